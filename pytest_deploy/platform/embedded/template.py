"""From a service's template to a revision, and from a revision to its process."""

from __future__ import annotations

import secrets
import string
from collections.abc import Collection

from google.cloud import run_v2
from google.protobuf.timestamp_pb2 import Timestamp

from pytest_deploy.platform.embedded.revision import Container, StartFailed

READY = "Ready"

PLACEHOLDER = f"local/placeholder@sha256:{'0' * 64}"
"""The image of a service that nobody has deployed to yet: no archive has it, nothing runs for it."""

_STARTUP_S = 240.0
"""Cloud Run's own patience where the template has no start-up probe."""

_LETTERS = string.ascii_lowercase + string.digits


def revision(service: run_v2.Service, name: str) -> run_v2.Revision:
    """The immutable revision the template of `service` describes; not ready yet."""
    template = service.template
    made = now()
    return run_v2.Revision(
        name=f"{service.name}/revisions/{name}",
        uid=secrets.token_hex(8),
        generation=1,
        service=service.name,
        labels=dict(template.labels),
        annotations=dict(template.annotations),
        create_time=made,
        update_time=made,
        scaling=template.scaling,
        timeout=template.timeout,
        service_account=template.service_account,
        containers=list(template.containers),
        volumes=list(template.volumes),
        max_instance_request_concurrency=template.max_instance_request_concurrency,
        reconciling=True,
        conditions=[condition(run_v2.Condition.State.CONDITION_RECONCILING)],
        etag=secrets.token_hex(8),
    )


def now() -> Timestamp:
    """The system's time, as Google's messages carry it; of the platform's own bookkeeping, not of the record."""
    instant = Timestamp()
    instant.GetCurrentTime()
    return instant


def condition(state: int, message: str = "") -> run_v2.Condition:
    """The condition `Ready` of a service or revision, as of now."""
    return run_v2.Condition(type_=READY, state=state, message=message, last_transition_time=now())


def is_ready(of: run_v2.Revision) -> bool:
    """Whether the revision has started once with success."""
    return any(
        line.type_ == READY and line.state == run_v2.Condition.State.CONDITION_SUCCEEDED for line in of.conditions
    )


def new_name(service: str, generation: int, taken: Collection[str]) -> str:
    """A name as Cloud Run gives them: `<service>-00003-k7q`."""
    while True:
        name = f"{service}-{generation:05d}-{''.join(secrets.choice(_LETTERS) for _ in range(3))}"
        if name not in taken:
            return name


def container(of: run_v2.Revision) -> Container:
    """What to run for a revision. Raises StartFailed for what this platform cannot give it."""
    if len(of.containers) != 1:
        raise StartFailed(f"its template has {len(of.containers)} containers; the embedded platform runs exactly one")
    spec = of.containers[0]
    for variable in spec.env:
        if "value_source" in variable:
            raise StartFailed(f"its variable {variable.name} refers to a secret; the embedded platform keeps none")
    probe = spec.startup_probe
    startup_s = _STARTUP_S
    if "startup_probe" in spec:
        startup_s = float(probe.initial_delay_seconds + (probe.period_seconds or 10) * (probe.failure_threshold or 3))
    return Container(
        command=(*spec.command, *spec.args),
        env={variable.name: variable.value for variable in spec.env},
        probe_path=(probe.http_get.path or "/") if "http_get" in probe else None,
        startup_s=startup_s,
    )
