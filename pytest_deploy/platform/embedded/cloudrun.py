"""A stand-in for the Cloud Run Admin API, version 2: Services, Revisions and long-running Operations over gRPC.

It speaks Google's published messages, so that Google's own client drives it, and keeps Google's rules where a deployment
leans on them: a stale etag is ABORTED, a bad split INVALID_ARGUMENT, a revision that does not start fails the operation
and leaves serving what served.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import grpc.aio
from google.cloud import run_v2
from google.longrunning import operations_pb2
from google.protobuf import any_pb2
from google.rpc import code_pb2, status_pb2

from pytest_deploy.platform.embedded.router import split_fault
from pytest_deploy.platform.embedded.service import HostedService, NotReady
from pytest_deploy.platform.google.run import short

logger = logging.getLogger(__name__)

_CHANGEABLE = frozenset(("template", "traffic"))
"""What a deployment changes; all else of a service belongs to infrastructure code."""


class Refusal(Exception):  # says what happened, as the names of errors.py do
    """An error answer: a gRPC status code and a message for people."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        self.code = code
        super().__init__(message)


class CloudRunStandIn:
    """The API over the services in `services` (by full name; the supervisor adds to it)."""

    def __init__(self) -> None:
        self.services: dict[str, HostedService] = {}
        self._operations: dict[str, operations_pb2.Operation] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def add_to(self, server: grpc.aio.Server) -> None:
        """Register the three API services."""
        server.add_generic_rpc_handlers(
            (
                _handlers(
                    "google.cloud.run.v2.Services",
                    GetService=(self.get_service, run_v2.GetServiceRequest.deserialize, run_v2.Service.serialize),
                    UpdateService=(self.update_service, run_v2.UpdateServiceRequest.deserialize, _to_bytes),
                ),
                _handlers(
                    "google.cloud.run.v2.Revisions",
                    GetRevision=(self.get_revision, run_v2.GetRevisionRequest.deserialize, run_v2.Revision.serialize),
                    ListRevisions=(
                        self.list_revisions,
                        run_v2.ListRevisionsRequest.deserialize,
                        run_v2.ListRevisionsResponse.serialize,
                    ),
                    DeleteRevision=(self.delete_revision, run_v2.DeleteRevisionRequest.deserialize, _to_bytes),
                ),
                _handlers(
                    "google.longrunning.Operations",
                    GetOperation=(self.get_operation, operations_pb2.GetOperationRequest.FromString, _to_bytes),
                ),
            )
        )

    async def close(self, grace_s: float) -> None:
        """Give up what is under way and stop every process."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*(service.close(grace_s) for service in self.services.values()))

    async def get_service(self, request: run_v2.GetServiceRequest) -> run_v2.Service:
        """Services.GetService."""
        return self._service(request.name).pb

    async def update_service(self, request: run_v2.UpdateServiceRequest) -> operations_pb2.Operation:
        """Services.UpdateService, of template and traffic; the operation is done when the change serves or has failed."""
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

        async def change() -> run_v2.Service:
            await hosted.reconcile(fields)
            return hosted.pb

        return self._begin(hosted, change, run_v2.Service)

    async def get_revision(self, request: run_v2.GetRevisionRequest) -> run_v2.Revision:
        """Revisions.GetRevision."""
        return self._revision(request.name)[1]

    async def list_revisions(self, request: run_v2.ListRevisionsRequest) -> run_v2.ListRevisionsResponse:
        """Revisions.ListRevisions, newest first, all on one page."""
        oldest_first = self._service(request.parent).revisions.values()
        return run_v2.ListRevisionsResponse(revisions=list(reversed(oldest_first)))

    async def delete_revision(self, request: run_v2.DeleteRevisionRequest) -> operations_pb2.Operation:
        """Revisions.DeleteRevision."""
        hosted, revision = self._revision(request.name)

        async def delete() -> run_v2.Revision:
            return await hosted.delete(short(revision.name))

        return self._begin(hosted, delete, run_v2.Revision)

    async def get_operation(self, request: operations_pb2.GetOperationRequest) -> operations_pb2.Operation:
        """Operations.GetOperation."""
        if request.name not in self._operations:
            raise Refusal(grpc.StatusCode.NOT_FOUND, f"operation {request.name} does not exist")
        return self._operations[request.name]

    def _service(self, name: str) -> HostedService:
        if name not in self.services:
            raise Refusal(grpc.StatusCode.NOT_FOUND, f"service {name} does not exist")
        return self.services[name]

    def _revision(self, name: str) -> tuple[HostedService, run_v2.Revision]:
        hosted = self._service(name.partition("/revisions/")[0])
        if short(name) not in hosted.revisions:
            raise Refusal(grpc.StatusCode.NOT_FOUND, f"revision {name} does not exist")
        return hosted, hosted.revisions[short(name)]

    def _begin(
        self,
        hosted: HostedService,
        work: Callable[[], Awaitable[Any]],
        kind: type[run_v2.Service | run_v2.Revision],
    ) -> operations_pb2.Operation:
        location = hosted.pb.name.partition("/services/")[0]
        operation = operations_pb2.Operation(name=f"{location}/operations/{uuid.uuid4()}")
        operation.metadata.CopyFrom(_packed(hosted.pb, run_v2.Service))
        self._operations[operation.name] = operation

        async def run() -> None:
            try:
                operation.response.CopyFrom(_packed(await work(), kind))
            except NotReady as error:
                operation.error.CopyFrom(status_pb2.Status(code=code_pb2.FAILED_PRECONDITION, message=str(error)))
            except Exception as error:  # whoever waits for it must hear of it
                logger.exception("operation %s broke", operation.name)
                operation.error.CopyFrom(status_pb2.Status(code=code_pb2.INTERNAL, message=repr(error)))
            operation.metadata.CopyFrom(_packed(hosted.pb, run_v2.Service))
            operation.done = True

        task = asyncio.get_running_loop().create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return operation


Method = tuple[Callable[[Any], Awaitable[Any]], Callable[[bytes], Any], Callable[[Any], bytes]]
"""What to call, how to read its request, how to write its answer."""


def _handlers(service: str, **methods: Method) -> grpc.GenericRpcHandler[Any, Any]:
    return grpc.method_handlers_generic_handler(
        service,
        {
            name: grpc.unary_unary_rpc_method_handler(
                _answering(call), request_deserializer=read, response_serializer=write
            )
            for name, (call, read, write) in methods.items()
        },
    )


def _answering(call: Callable[[Any], Awaitable[Any]]) -> Callable[[Any, grpc.aio.ServicerContext[Any, Any]], Any]:
    async def answer(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        try:
            return await call(request)
        except Refusal as refusal:
            await context.abort(refusal.code, str(refusal))

    return answer


def _packed(message: Any, kind: type[run_v2.Service | run_v2.Revision]) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(kind.pb(message))
    return packed


def _to_bytes(message: operations_pb2.Operation) -> bytes:
    serialized: bytes = message.SerializeToString()
    return serialized
