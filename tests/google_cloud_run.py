"""Cloud Run's Admin API on this machine: Google's own messages over gRPC, at a loopback address, revisions without processes.

It keeps the published rules a deployment leans on: a stale etag is ABORTED, percents add up to 100, a revision of a name that is taken is
ALREADY_EXISTS, and testIamPermissions tells of the rights asked about those that are held.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Self

import grpc
from google.cloud import run_v2
from google.iam.v1 import iam_policy_pb2
from google.longrunning import operations_pb2
from google.rpc import code_pb2, status_pb2

SERVICE = "projects/example/locations/us-east4/services/parcels"
RIGHTS = frozenset({"run.services.get", "run.services.update", "run.revisions.get", "run.routes.invoke"})
READY = run_v2.Condition(type_="Ready", state=run_v2.Condition.State.CONDITION_SUCCEEDED)


@dataclass
class CloudRunApi:
    """What it tells of one service; change it while it answers."""

    service: run_v2.Service
    held: frozenset[str] = RIGHTS
    """Rights of whoever asks."""
    refuse: tuple[grpc.StatusCode, str] | None = None
    """What every call is answered with, instead of an answer."""
    revisions: dict[str, run_v2.Revision] = field(default_factory=dict)
    """By short name."""
    asked: list[str] = field(default_factory=list)
    """Each call."""
    operations: dict[str, operations_pb2.Operation] = field(default_factory=dict)
    """What is under way or was, by name."""

    @classmethod
    def serving(cls, name: str = SERVICE, *, url: str = "https://parcels-x.run.app") -> Self:
        """A service whose first revision serves all traffic; a tag's line comes before it."""
        first = f"{name.rpartition('/')[2]}-00001-abc"
        lines = [
            run_v2.TrafficTargetStatus(revision=first, tag="old", uri=f"{url}/old"),
            run_v2.TrafficTargetStatus(revision=first, percent=100),
        ]
        wish = [run_v2.TrafficTarget(revision=one.revision, percent=one.percent, tag=one.tag) for one in lines]
        service = run_v2.Service(
            name=name, uri=url, etag="1", generation=1, observed_generation=1, traffic=wish, traffic_statuses=lines
        )
        service.template.containers = [run_v2.Container(image=f"hello@sha256:{'0' * 64}")]
        api = cls(service)
        api.add(first)
        return api

    def add(self, name: str) -> run_v2.Revision:
        """A ready revision of the template as it is."""
        template = self.service.template
        self.revisions[name] = run_v2.Revision(
            name=f"{self.service.name}/revisions/{name}",
            service=self.service.name,
            containers=list(template.containers),
            volumes=list(template.volumes),
            annotations=dict(template.annotations),
            create_time=datetime(2026, 1, 1, tzinfo=UTC),
            conditions=[READY],
        )
        return self.revisions[name]

    @contextmanager
    def answering(self) -> Iterator[str]:
        """Its address, `127.0.0.1:PORT`."""
        services = {
            "GetService": (self._get_service, run_v2.GetServiceRequest.deserialize),
            "UpdateService": (self._update, run_v2.UpdateServiceRequest.deserialize),
            "TestIamPermissions": (self._test_rights, iam_policy_pb2.TestIamPermissionsRequest.FromString),
        }
        calls: dict[str, dict[str, Any]] = {
            "google.cloud.run.v2.Services": services,
            "google.cloud.run.v2.Revisions": {
                "GetRevision": (self._get_revision, run_v2.GetRevisionRequest.deserialize)
            },
            "google.longrunning.Operations": {
                "GetOperation": (self._get_operation, operations_pb2.GetOperationRequest.FromString)
            },
        }
        server = grpc.server(ThreadPoolExecutor(4))
        for api, methods in calls.items():
            handlers = {name: self._handler(name, *method) for name, method in methods.items()}
            server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(api, handlers),))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            server.stop(0).wait()

    def _handler(
        self, name: str, answer: Callable[[Any, grpc.ServicerContext], Any], read: Callable[[bytes], Any]
    ) -> grpc.RpcMethodHandler[Any, Any]:
        def call(request: Any, context: grpc.ServicerContext) -> Any:
            self.asked.append(name)
            if self.refuse is not None:
                context.abort(*self.refuse)
            return answer(request, context)

        return grpc.unary_unary_rpc_method_handler(
            call, request_deserializer=read, response_serializer=lambda message: message.SerializeToString()
        )

    def _get_service(self, request: Any, context: grpc.ServicerContext) -> Any:
        if request.name != self.service.name:
            context.abort(grpc.StatusCode.NOT_FOUND, f"Resource '{request.name}' of kind 'SERVICE' does not exist.")
        return run_v2.Service.pb(self.service)

    def _get_revision(self, request: Any, context: grpc.ServicerContext) -> Any:
        name = request.name.rpartition("/")[2]
        if name not in self.revisions:
            context.abort(grpc.StatusCode.NOT_FOUND, f"Revision '{name}' does not exist.")
        return run_v2.Revision.pb(self.revisions[name])

    def _test_rights(self, request: Any, _: grpc.ServicerContext) -> Any:
        held = [right for right in request.permissions if right in self.held]
        return iam_policy_pb2.TestIamPermissionsResponse(permissions=held)

    def _get_operation(self, request: Any, context: grpc.ServicerContext) -> Any:
        if request.name not in self.operations:
            context.abort(grpc.StatusCode.NOT_FOUND, f"Operation '{request.name}' does not exist.")
        return self.operations[request.name]

    def _update(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Refuse what Cloud Run refuses, take the wish over, and carry it out."""
        wanted = request.service
        if wanted.etag != self.service.etag:
            context.abort(grpc.StatusCode.ABORTED, "Conflict for resource: the etag is stale")
        if sum(line.percent for line in wanted.traffic) != 100:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "Percents must add up to 100")
        if "template" in request.update_mask.paths:
            name = wanted.template.revision
            if name in self.revisions:
                context.abort(
                    grpc.StatusCode.ALREADY_EXISTS,
                    f"Revision named '{name}' with different configuration already exists.",
                )
            self.service.template = wanted.template
            self.add(name)
        self.service.traffic = list(wanted.traffic)
        self.service.etag = str(int(self.service.etag) + 1)
        self.service.generation += 1
        operation = operations_pb2.Operation(name=f"operations/{self.service.generation}")
        self.operations[operation.name] = operation
        self.carry_out(operation)
        return operation

    def carry_out(self, operation: operations_pb2.Operation) -> None:
        """Make what is wished for what serves: here at once, since nothing runs."""
        self.serve_as_wished()
        self.finish(operation)

    def serve_as_wished(self) -> None:
        """The split that is wished for is in force."""
        self.service.traffic_statuses = [
            run_v2.TrafficTargetStatus(
                type_=line.type_,
                revision=line.revision,
                percent=line.percent,
                tag=line.tag,
                uri=self.tag_address(line.tag) if line.tag else "",
            )
            for line in self.service.traffic
        ]

    def tag_address(self, tag: str) -> str:
        """Where a tag's revision is asked."""
        return f"{self.service.uri}/{tag}"

    def finish(self, operation: operations_pb2.Operation, fault: str = "") -> None:
        """The operation is done, or has failed by `fault`."""
        self.service.observed_generation = self.service.generation
        if fault:
            operation.error.CopyFrom(status_pb2.Status(code=code_pb2.FAILED_PRECONDITION, message=fault))
        else:
            operation.response.Pack(run_v2.Service.pb(self.service))
        operation.done = True
