"""Google's messages of a Cloud Run service and ours, each from the other. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import cast

from google.cloud import run_v2

from pytest_deploy.platform.protocol import Revision, ServiceState, Share

TO_LATEST = run_v2.TrafficTargetAllocationType.TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST
TO_REVISION = run_v2.TrafficTargetAllocationType.TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION


def template(
    present: run_v2.RevisionTemplate, name: str, image: str, env: Mapping[str, str], annotations: Mapping[str, str]
) -> run_v2.RevisionTemplate:
    """The present template with another image, other plain variables and annotations; the rest is infrastructure's.

    Variables that refer to a secret are infrastructure's, too, and stay unless `env` names them.
    """
    new = run_v2.RevisionTemplate()
    run_v2.RevisionTemplate.copy_from(new, present)
    new.revision = name
    new.annotations = dict(annotations)
    container = new.containers[0]
    secret = [variable for variable in container.env if "value_source" in variable and variable.name not in env]
    container.image = image
    container.env = [*(run_v2.EnvVar(name=key, value=value) for key, value in sorted(env.items())), *secret]
    return new


def target(revision: str, percent: int, tag: str) -> run_v2.TrafficTarget:
    """A wish that names its revision."""
    return run_v2.TrafficTarget(type_=TO_REVISION, revision=revision, percent=percent, tag=tag)


def pinned(service: run_v2.Service) -> list[run_v2.TrafficTarget]:
    """What serves now as a wish that names every revision."""
    return [target(name_of(line, service), line.percent, line.tag) for line in service.traffic_statuses]


def name_of(line: run_v2.TrafficTarget | run_v2.TrafficTargetStatus, service: run_v2.Service) -> str:
    """The short name of the revision a line leads to."""
    return line.revision or (short(service.latest_ready_revision) if line.type_ == TO_LATEST else "")


def split(
    lines: Sequence[run_v2.TrafficTarget] | Sequence[run_v2.TrafficTargetStatus],
) -> tuple[dict[str, int], dict[str, str]]:
    """Percent by revision and revision by tag: two splits are the same if these are."""
    percents: dict[str, int] = {}
    for line in lines:
        if line.percent:
            percents[line.revision] = percents.get(line.revision, 0) + line.percent
    return percents, {line.tag: line.revision for line in lines if line.tag}


def state(service: run_v2.Service) -> ServiceState:
    """What serves, of a service as it was read."""
    return ServiceState(
        url=service.uri,
        shares=tuple(
            Share(name_of(line, service), line.percent, line.tag, line.uri) for line in service.traffic_statuses
        ),
        settled=not service.reconciling
        and service.observed_generation == service.generation
        and split(service.traffic) == split(service.traffic_statuses),
        etag=service.etag,
    )


def revision(of: run_v2.Revision) -> Revision:
    """A revision as it was read."""
    return Revision(
        name=short(of.name),
        image=of.containers[0].image,
        ready=is_ready(of),
        created=datetime.fromtimestamp(cast("datetime", of.create_time).timestamp(), UTC),
        annotations=dict(of.annotations),
    )


def is_ready(revision: run_v2.Revision) -> bool:
    """Whether its condition `Ready` holds."""
    return any(
        line.type_ == "Ready" and line.state == run_v2.Condition.State.CONDITION_SUCCEEDED
        for line in revision.conditions
    )


def short(name: str) -> str:
    """The last part of a full resource name."""
    return name.rpartition("/")[2]
