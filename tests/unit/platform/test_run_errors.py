"""Each error that Cloud Run answers with is told apart, with what mends it: as people report who deploy to it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.cloud import run_v2
from google.longrunning import operations_pb2
from google.rpc import status_pb2

from pytest_deploy.errors import PlatformUnavailable, RevisionFailed
from pytest_deploy.platform.google.channels import loopback_channel
from pytest_deploy.platform.google.run import CloudRun
from tests.memory import short_parent

SERVICE = "projects/p/locations/europe-west1/services/parcels"
Code = grpc.StatusCode
READER = (
    "roles/artifactregistry.reader on its repository to the Cloud Run service agent and to the identity of this run"
)
QUOTA = "lower the service's maximum of instances or CPU, or ask for more quota"

REFUSED_CALLS = [
    (Code.UNAUTHENTICATED, "Request had invalid authentication credentials.", "sign in: workload identity in CI"),
    (Code.PERMISSION_DENIED, "Permission 'run.services.update' denied on resource", "roles/run.developer on the service"),
    (Code.PERMISSION_DENIED, "Permission 'iam.serviceaccounts.actAs' denied on service account", "roles/iam.serviceAccountUser on the service's runtime account"),
    (Code.PERMISSION_DENIED, 'Permission "artifactregistry.repositories.downloadArtifacts" denied', READER),
    (Code.PERMISSION_DENIED, "Google Cloud Run Service Agent must have permission to read the image", READER),
    (Code.PERMISSION_DENIED, "Cloud Run Admin API has not been used in project 123 before or it is disabled", "enable run.googleapis.com"),
    (Code.PERMISSION_DENIED, "Request is prohibited by organization's policy. vpcServiceControlsUniqueIdentifier", "whoever administers that has to allow it"),
    (Code.PERMISSION_DENIED, "Permission denied on secret: projects/1/secrets/x for Revision service account", "roles/secretmanager.secretAccessor"),
    (Code.RESOURCE_EXHAUSTED, "Quota exceeded for total allowable CPU per project per region.", QUOTA),
    (Code.RESOURCE_EXHAUSTED, "Quota exceeded for quota metric 'Write requests' per minute", "too many calls in a minute"),
    (Code.INVALID_ARGUMENT, "Quota violated: Max instances must be set to 10 or fewer", QUOTA),
    (Code.INVALID_ARGUMENT, "spec.template.containers[0].startup_probe: timeout_seconds must be less than period_seconds", "a probe's timeout must be shorter than its period"),
    (Code.INVALID_ARGUMENT, "Container image must be linux/amd64: exec format error", "build the image for linux/amd64"),
    (Code.INVALID_ARGUMENT, "Percent must be between 0 and 100", "look at what was asked"),
    (Code.ALREADY_EXISTS, "Revision named 'parcels-00003-k7q' with different configuration already exists.", "run again, under another name"),
    (Code.NOT_FOUND, "Resource 'parcels' of kind 'SERVICE' in region 'europe-west1' does not exist", "the service itself is made by the infrastructure code"),
    (Code.NOT_FOUND, "Revision 'parcels-00001-abc' does not exist", "a revision that is gone serves no more"),
    (Code.INTERNAL, "Internal error while setting traffic to revision", "traffic to a revision that is gone"),
    (Code.ABORTED, "Conflict: the etag is stale", "another process changes this service"),
    (Code.UNAVAILABLE, "The service is currently unavailable.", "try again when the platform answers"),
    (Code.DEADLINE_EXCEEDED, "Deadline Exceeded", "try again when the platform answers"),
    (Code.DATA_LOSS, "Something that nobody has seen", "look at the platform's own log"),
]  # fmt: skip
FAILED_REVISIONS = [
    ("Image 'europe-docker.pkg.dev/p/r/parcels@sha256:ab' not found.", READER),
    ("Google Cloud Run Service Agent service-1@serverless-robot-prod must have permission to read the image", READER),
    ("Revision 'x' is not ready and cannot serve traffic. The readiness deadline exceeded", READER),
    ("The user-provided container failed to start and listen on the port defined provided by the PORT=8080 environment variable", "the container has to listen on 0.0.0.0 at $PORT"),
    ("The kernel said: exec format error", "build the image for linux/amd64"),
    ("Quota exceeded for total allowable CPU", QUOTA),
]  # fmt: skip


@contextmanager
def answering(
    folder: Path, update: Callable[[Any, grpc.ServicerContext], Any], *, ready: bool = False
) -> Iterator[CloudRun]:
    """The production code against a service whose UpdateService answers like this."""

    def get_service(_: Any, __: grpc.ServicerContext) -> Any:
        line = run_v2.TrafficTargetStatus(revision="parcels-00001-abc", percent=100)
        service = run_v2.Service(name=SERVICE, uri="http://parcels", etag="1", traffic_statuses=[line])
        service.template.containers = [run_v2.Container(image="x@sha256:00")]
        return run_v2.Service.pb(service)

    def get_revision(request: Any, _: grpc.ServicerContext) -> Any:
        state = run_v2.Condition.State.CONDITION_SUCCEEDED if ready else run_v2.Condition.State.CONDITION_FAILED
        condition = run_v2.Condition(type_="Ready", state=state)
        return run_v2.Revision.pb(
            run_v2.Revision(
                name=request.name, conditions=[condition], containers=[run_v2.Container(image="x@sha256:00")]
            )
        )

    calls: dict[str, dict[str, tuple[Callable[..., Any], Callable[[bytes], Any]]]] = {
        "google.cloud.run.v2.Services": {
            "GetService": (get_service, run_v2.GetServiceRequest.deserialize),
            "UpdateService": (update, run_v2.UpdateServiceRequest.deserialize),
        },
        "google.cloud.run.v2.Revisions": {"GetRevision": (get_revision, run_v2.GetRevisionRequest.deserialize)},
    }
    server = grpc.server(ThreadPoolExecutor(2))
    for name, methods in calls.items():
        handlers = {
            method: grpc.unary_unary_rpc_method_handler(
                answer, request_deserializer=read, response_serializer=lambda message: message.SerializeToString()
            )
            for method, (answer, read) in methods.items()
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, handlers),))
    server.add_insecure_port(f"unix:{folder}/run")
    server.start()
    try:
        with loopback_channel(f"unix:{folder}/run") as channel:
            yield CloudRun(channel, SERVICE)
    finally:
        server.stop(0).wait()


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder whose path a socket's name can hold."""
    with tempfile.TemporaryDirectory(prefix="pd-", dir=short_parent()) as folder:
        yield Path(folder)


def create(runtime: CloudRun) -> None:
    runtime.create(image="x@sha256:00", env={}, tag="candidate", annotations={}, deadline_s=2)


@pytest.mark.parametrize(
    "code, said, remedy", REFUSED_CALLS, ids=[f"{code.name} {said[:40]}" for code, said, _ in REFUSED_CALLS]
)
def test_a_call_that_is_refused_says_what_mends_it(short_folder: Path, code: Any, said: str, remedy: str) -> None:
    def refuse(_: Any, context: grpc.ServicerContext) -> Any:
        context.abort(code, said)

    with answering(short_folder, refuse) as runtime, pytest.raises(PlatformUnavailable) as caught:
        create(runtime)

    assert str(caught.value).startswith("creating revision parcels-")
    assert said in str(caught.value), "Google's own words stay"
    assert remedy in str(caught.value)


@pytest.mark.parametrize("said, remedy", FAILED_REVISIONS, ids=[said[:40] for said, _ in FAILED_REVISIONS])
def test_a_revision_that_never_is_ready_says_what_mends_it(short_folder: Path, said: str, remedy: str) -> None:
    def fail(_: Any, __: grpc.ServicerContext) -> Any:
        return operations_pb2.Operation(name="operations/1", done=True, error=status_pb2.Status(code=9, message=said))

    with answering(short_folder, fail) as runtime, pytest.raises(RevisionFailed) as caught:
        create(runtime)

    assert said in str(caught.value)
    assert remedy in str(caught.value)
    assert "gcloud logging read" in str(caught.value), "and where its output is read"
