"""A stand-in for the Cloud Run Admin API, version 2: Services, Revisions and long-running Operations over gRPC.

It speaks Google's published messages, so that Google's own client drives it, and keeps Google's rules where a deployment
leans on them: a stale etag is ABORTED, a bad split INVALID_ARGUMENT, a revision that does not start fails the operation
and leaves serving what served.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import grpc
import grpc.aio
from google.cloud import run_v2
from google.longrunning import operations_pb2
from google.rpc import code_pb2, status_pb2

from pytest_deploy.platform.embedded.places import Places, Site
from pytest_deploy.platform.embedded.router import split_fault
from pytest_deploy.platform.embedded.service import HostedService, NotReady
from pytest_deploy.platform.google.run import short

logger = logging.getLogger(__name__)

_CHANGEABLE = frozenset(("template", "traffic"))
"""What a deployment changes; all else of a service belongs to infrastructure code."""


class Refusal(Exception):  # says what happened, as the names of errors.py do
    """An error answer: a gRPC status code and a message for people."""


class CloudRunStandIn:
    """The API over the services that `host` opened."""

    def __init__(self, places: Places, marker: Mapping[str, str]) -> None:
        self._places = places
        self._marker = marker
        self._services: dict[str, HostedService] = {}
        """By full name."""
        self._operations: dict[str, operations_pb2.Operation] = {}
        self._server = grpc.aio.server()

    async def start(self) -> None:
        """Answer on the socket `run` of the places."""
        calls = {
            "google.cloud.run.v2.Services": {
                "GetService": _handler(self._get_service, run_v2.GetServiceRequest.deserialize),
                "UpdateService": _handler(self._update_service, run_v2.UpdateServiceRequest.deserialize),
            },
            "google.cloud.run.v2.Revisions": {
                "GetRevision": _handler(self._get_revision, run_v2.GetRevisionRequest.deserialize),
            },
            "google.longrunning.Operations": {
                "GetOperation": _handler(self._get_operation, operations_pb2.GetOperationRequest.FromString),
            },
        }
        self._server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(*api) for api in calls.items()])
        self._places.run.unlink(missing_ok=True)
        self._server.add_insecure_port(f"unix:{self._places.run}")
        await self._server.start()

    async def host(self, site: Site) -> None:
        """Open a service, where it is not open."""
        if site.path not in self._services:
            hosted = HostedService(site, places=self._places, marker=self._marker)
            await hosted.open()
            self._services[site.path] = hosted

    async def close(self, grace_s: float) -> None:
        """Give up what is under way and stop every process."""
        await asyncio.gather(self._server.stop(0), *(service.close(grace_s) for service in self._services.values()))
        self._places.run.unlink(missing_ok=True)

    async def _get_service(self, request: run_v2.GetServiceRequest) -> run_v2.Service:
        return self._service(request.name).pb

    async def _update_service(self, request: run_v2.UpdateServiceRequest) -> operations_pb2.Operation:
        """Of template and traffic; the operation is done when the change serves or has failed."""
        wanted = request.service
        hosted = self._service(wanted.name)
        if wanted.etag and wanted.etag != hosted.pb.etag:
            raise Refusal(
                grpc.StatusCode.ABORTED, f"the etag {wanted.etag} is stale: somebody changed the service since"
            )
        fields = frozenset(request.update_mask.paths) or _CHANGEABLE
        if unknown := fields - _CHANGEABLE:
            raise Refusal(grpc.StatusCode.UNIMPLEMENTED, f"the embedded platform does not change {sorted(unknown)}")
        if wanted.template == hosted.pb.template:
            fields -= {"template"}
        name = wanted.template.revision if "template" in fields else ""
        if name and not name.startswith(f"{hosted.name}-"):
            raise Refusal(
                grpc.StatusCode.INVALID_ARGUMENT, f"the revision name {name} does not begin with {hosted.name}-"
            )
        if name in hosted.revisions:
            raise Refusal(grpc.StatusCode.ALREADY_EXISTS, f"revision {name} already exists with another template")
        targets = wanted.traffic if "traffic" in fields else hosted.pb.traffic
        if fault := split_fault(targets, {*hosted.revisions, *([name] if name else [])}):
            raise Refusal(grpc.StatusCode.INVALID_ARGUMENT, fault)
        hosted.wish(wanted, fields)
        return self._begin_reconciling(hosted, fields)

    async def _get_revision(self, request: run_v2.GetRevisionRequest) -> run_v2.Revision:
        hosted = self._service(request.name.partition("/revisions/")[0])
        if short(request.name) not in hosted.revisions:
            raise Refusal(grpc.StatusCode.NOT_FOUND, f"revision {request.name} does not exist")
        return hosted.revisions[short(request.name)]

    async def _get_operation(self, request: operations_pb2.GetOperationRequest) -> operations_pb2.Operation:
        if request.name not in self._operations:
            raise Refusal(grpc.StatusCode.NOT_FOUND, f"operation {request.name} does not exist")
        return self._operations[request.name]

    def _service(self, name: str) -> HostedService:
        if name not in self._services:
            raise Refusal(grpc.StatusCode.NOT_FOUND, f"service {name} does not exist")
        return self._services[name]

    def _begin_reconciling(self, hosted: HostedService, fields: frozenset[str]) -> operations_pb2.Operation:
        location = hosted.pb.name.partition("/services/")[0]
        operation = operations_pb2.Operation(name=f"{location}/operations/{uuid.uuid4()}")
        operation.metadata.Pack(run_v2.Service.pb(hosted.pb))
        self._operations[operation.name] = operation

        async def run() -> None:
            try:
                await hosted.reconcile(fields)
                operation.response.Pack(run_v2.Service.pb(hosted.pb))
            except NotReady as error:
                operation.error.CopyFrom(status_pb2.Status(code=code_pb2.FAILED_PRECONDITION, message=str(error)))
            except Exception as error:  # whoever waits for it must hear of it
                logger.exception("operation %s broke", operation.name)
                operation.error.CopyFrom(status_pb2.Status(code=code_pb2.INTERNAL, message=repr(error)))
            operation.metadata.Pack(run_v2.Service.pb(hosted.pb))
            operation.done = True

        hosted.in_background(run())
        return operation


def _handler(call: Callable[[Any], Awaitable[Any]], read: Callable[[bytes], Any]) -> grpc.RpcMethodHandler[Any, Any]:
    async def answer(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        try:
            return await call(request)
        except Refusal as refusal:
            await context.abort(*refusal.args)

    return grpc.unary_unary_rpc_method_handler(answer, request_deserializer=read, response_serializer=_to_bytes)


def _to_bytes(message: Any) -> bytes:
    # Google's client wraps the messages of Cloud Run, but not those of operations.
    plain = message if isinstance(message, operations_pb2.Operation) else type(message).pb(message)
    serialized: bytes = plain.SerializeToString()
    return serialized
