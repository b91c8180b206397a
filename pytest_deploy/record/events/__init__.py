"""The closed set of event types, one frozen class a type: what an event of the record may hold, checked, read and written.

    log.append(StepStarted(nodeid="suites/smoke/test_a.py::test_it", phase="smoke", changes=False), run=run, actor=actor)

    match event.content:
        case StepFinished(outcome="failed", nodeid=nodeid): ...

Where a type's name is data, `parse("step.started", {...})` gives the same object. docs/record-format.md lists every type; its tables are
written by `python docs/generate_event_types.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import UNSET, ValidationError

from pytest_deploy.errors import IllegalEvent
from pytest_deploy.record.events.content import EventContent, Field, Json, converted, explain, fields, given
from pytest_deploy.record.events.of_changes import (
    AlertRaised,
    BackupCreated,
    ClockSkewed,
    EnvironmentFrozen,
    Migration,
    MigrationApplied,
    MigrationRolledBack,
    NotificationFailed,
    NotificationSent,
    RevisionDeployed,
    RollbackFinished,
    RollbackStarted,
    TrafficMoved,
)
from pytest_deploy.record.events.of_people import (
    AnchorMade,
    ApprovalRefused,
    ApprovalSigned,
    DeviationAccepted,
    EnvironmentReleased,
    KeyChange,
    KeyEnrolled,
    KeyRevoked,
    KeyRotated,
    OverrideSigned,
    RecordAmended,
    RecordAnnotated,
    RecordRead,
    RequestRejected,
    Signed,
    SignoffSigned,
    TrailReviewed,
)
from pytest_deploy.record.events.of_runs import (
    GateNotApplicable,
    GatePassed,
    GatePoint,
    GateRefused,
    GateVerdict,
    LeaseReleased,
    LeaseRenewed,
    LeaseTaken,
    Outcome,
    PhaseFinished,
    PhaseOutcome,
    PhaseStarted,
    Pipeline,
    RequestMade,
    RequestVoided,
    Result,
    RunAbandoned,
    RunClosed,
    RunDecided,
    RunOpened,
    RunPlanned,
    StepFinished,
    StepNotRun,
    StepOutcome,
    StepStarted,
)

TYPES: Final[Mapping[str, type[EventContent]]] = {
    content_type.type: content_type
    for content_type in (
        *(RequestMade, RequestVoided, LeaseTaken, LeaseRenewed, LeaseReleased),
        *(RunOpened, RunPlanned, RunDecided, RunClosed, RunAbandoned),
        *(PhaseStarted, PhaseFinished, StepStarted, StepFinished, StepNotRun),
        *(GatePassed, GateRefused, GateNotApplicable),
        *(ApprovalSigned, ApprovalRefused, RequestRejected, OverrideSigned),
        *(MigrationApplied, MigrationRolledBack, BackupCreated, RevisionDeployed, TrafficMoved),
        *(RollbackStarted, RollbackFinished, EnvironmentFrozen, EnvironmentReleased),
        *(AlertRaised, ClockSkewed, NotificationSent, NotificationFailed),
        *(
            AnchorMade,
            RecordAmended,
            RecordAnnotated,
            RecordRead,
            SignoffSigned,
            DeviationAccepted,
            TrailReviewed,
            KeyEnrolled,
            KeyRevoked,
            KeyRotated,
        ),
    )
}

RESERVED: Final[Mapping[str, str]] = {}
"""Types that nothing writes yet -> what will (docs/decisions/0049). Readers and verifiers know them already."""
RESERVED_KEYS: Final[Mapping[str, Mapping[str, str]]] = {
    "approval.refused": {"source": "reviews at GitHub"},
    "approval.signed": {"source": "reviews at GitHub"},
    "environment.frozen": {"incident": "incidents"},
    "environment.released": {"incident": "incidents"},
    "lease.taken": {"workflow_run": "runs at GitHub", "workflow_attempt": "runs at GitHub"},
}
"""Type -> its keys that nothing writes yet -> what will. All other keys are written."""


def parse(event_type: str, data: Mapping[str, Json]) -> EventContent:
    """The content of an event. Raises IllegalEvent where the type is unknown or `data` does not fit it."""
    content_type = TYPES.get(event_type)
    if content_type is None:
        raise IllegalEvent(f"{event_type!r} is no type of event this software knows")
    try:
        return converted(content_type, data)
    except (ValidationError, ValueError, TypeError) as error:
        raise IllegalEvent(explain(content_type, data)) from error
