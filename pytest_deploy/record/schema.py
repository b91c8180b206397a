"""The closed set of event types, and what the `data` of each holds.

A schema is written as words `key:type`; `type?` may be null. Keys of the first text must be there, keys of the second may;
any other key is refused. Absence is a value: a required key without a value is null, it is not left out.

Types: str int number bool object array any; sha256 (64 hex digits), time (a UTC stamp), or words joined by `|`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from pytest_deploy.errors import IllegalEvent
from pytest_deploy.record.clock import parse_stamp
from pytest_deploy.record.event import Json

_RUN_OUTCOME = "deployed|refused|failed|rolled-back|rollback-failed|passed|not-passed"
_COMMON = "clock:time"  # a rehearsal's shifted instant; `time` stays real
_KEY_CHANGE = "set:str set_sha256:sha256 person:str? fingerprint:str? reason:str"
_KEY_EXTRA = "verified_by:str method:str ticket:str origin:str vkey:str roles:array valid_after:str valid_before:str"
_ROTATION = "previous:str signer:str"
_SIGNED = "file:str sha256:sha256 signature_sha256:sha256"
_LEASE_EXTRA = "recovers:bool machine:str? workflow_run:str? workflow_attempt:int? reason:str"
_MIGRATION = "version:str sha256:sha256 duration_s:number schema_before:object? schema_after:object? engine:str"
_MIGRATION_EXTRA = (
    "name:str file:str statements:int transaction:str compatible:str lossy:object? saved:array by:str direction:str"
    " schema_diff:str rehearsal:object?"
)


@dataclass(frozen=True)
class Field:
    """One key of `data`."""

    kinds: tuple[str, ...]
    """One of the type names, or the words it may be."""
    nullable: bool

    def fits(self, value: Json) -> bool:
        """Whether `value` may stand under the key."""
        if value is None:
            return self.nullable or self.kinds == ("any",)
        kind = _KINDS.get(self.kinds[0])
        return kind(value) if kind is not None else value in self.kinds


@dataclass(frozen=True)
class Schema:
    """The keys of one type's `data`."""

    required: Mapping[str, Field]
    optional: Mapping[str, Field]

    @cached_property
    def fields(self) -> Mapping[str, Field]:
        """Every key there may be."""
        return {**self.optional, **self.required}


def _fields(text: str) -> dict[str, Field]:
    fields = {}
    for word in text.split():
        key, _, kind = word.partition(":")
        fields[key] = Field(tuple(kind.removesuffix("?").split("|")), kind.endswith("?"))
    return fields


def _schema(required: str, optional: str = "") -> Schema:
    return Schema(_fields(required), _fields(f"{optional} {_COMMON}"))


SCHEMAS: Final[Mapping[str, Schema]] = {
    "request.made": _schema(
        "request_sha256:sha256 expires:time? requested_by:str",
        "environment:str pipeline:str commit:str branch:str? version:str image:str? earlier:object? migrations:array"
        " reason:str? ticket:str? plan:str steps_sha256:sha256 config_sha256:sha256? nonce:str",
    ),
    "request.voided": _schema("cause:str", "request_sha256:sha256 detail:any by:str"),
    "lease.taken": _schema(
        "name:str holder:str until:time host:str? pid:int? process_started:number?",
        _LEASE_EXTRA,
    ),
    "lease.renewed": _schema("name:str until:time fence:int", "holder:str"),
    "lease.released": _schema("name:str fence:int", "holder:str cause:str"),
    "run.opened": _schema(
        "environment:str pipeline:deploy|plan|smoke|rollback|iq|oq|pq deployer:str commit:str branch:str? version:str"
        " image:str? rehearsal:bool dirty:bool request_sha256:sha256? workflow_run:any plugins:object"
        " config_sha256:sha256? spec_sha256:sha256? suites_sha256:sha256? lock_sha256:sha256? reason:str?",
        "sets:object python:str options:object ticket:str? request:str host:str started:time invocation:array"
        " tzdata:str? workers:int earlier:object? platform:str target:any software:str"
        " organisation:object",
    ),
    "run.planned": _schema(
        "steps:int conditional:int steps_sha256:sha256",
        "phases:array omitted:object budgets:object sla_s:number? expected_s:number?",
    ),
    "run.decided": _schema(
        f"outcome:{_RUN_OUTCOME} cause:str? duration_s:number sla_s:number?",
        "exit_code:int serving:object? watch_s:number waiting_s:number steps:object changed:bool signal:str? by:str"
        " request:str? earliest_start:time? owed:array",
    ),
    "run.closed": _schema(
        f"outcome:{_RUN_OUTCOME} record:str record_sha256:sha256 missing:array", "files:int exit_code:int by:str"
    ),
    "run.abandoned": _schema("cause:str found_sha256:sha256", "by:str files:int"),
    "phase.started": _schema("phase:str", "mode:all|first budget_s:number? steps:int"),
    "phase.finished": _schema(
        "phase:str outcome:passed|failed|not-run duration_s:number", "cause:str? budget_s:number? steps:object"
    ),
    "step.started": _schema(
        "nodeid:str phase:str changes:bool",
        "title:str requirements:array verifies:array timeout_s:number? worker:str attempt:int",
    ),
    "step.finished": _schema(
        "nodeid:str phase:str outcome:passed|failed|error|skipped duration_s:number verifies:array attempts:int"
        " message:str? warnings:array expected:any actual:any attachments:object",
        "image:str? cause:str? worker:str setup_s:number teardown_s:number output:str? requirements:array title:str"
        " measured:object",
    ),
    "step.not-run": _schema(
        "nodeid:str phase:str cause:str", "requirements:array verifies:array changes:bool title:str"
    ),
    **dict.fromkeys(
        ("gate.passed", "gate.refused"),
        _schema(
            "gate:str point:plan|lease|change inputs:object verdict:str reason:str earliest_start:time?",
            "remedy:str overridden:str evaluated:time tzdata:str",
        ),
    ),
    "approval.signed": _schema(
        f"{_SIGNED} role:str signer:str meaning:str request_sha256:sha256",
        "printed_name:str signed_at:time comment:str? fingerprint:str source:str",
    ),
    "approval.refused": _schema(
        "signer:str? role:str? reason:str",
        "file:str sha256:sha256? signature_sha256:sha256? request_sha256:sha256? fingerprint:str? source:str",
    ),
    "override.signed": _schema(
        f"{_SIGNED} signer:str reason:str",
        "gate:str incident:str expires:time second:str request_sha256:sha256 role:str meaning:str printed_name:str signed_at:time",
    ),
    **dict.fromkeys(("migration.applied", "migration.rolled-back"), _schema(_MIGRATION, _MIGRATION_EXTRA)),
    "backup.created": _schema(
        "kind:str place:str bytes:int sha256:sha256? restorable:bool?",
        "format:str duration_s:number server_version:str tables:object rows:int restore:object table:str migration:str",
    ),
    "revision.deployed": _schema(
        "revision:str image:str url:str? env_names:array", "tag:str service:str duration_s:number annotations:object"
    ),
    "traffic.moved": _schema(
        "before:object after:object digest:str?", "revision:str? url:str tags:object duration_s:number service:str"
    ),
    "rollback.started": _schema("cause:str order:array target:any", "by:str changed:array"),
    "rollback.finished": _schema(
        "outcome:rolled-back|rollback-failed duration_s:number target:any", "cause:str? left:any by:str"
    ),
    "environment.frozen": _schema("reason:str", "commit:str version:str by:str incident:str?"),
    "environment.released": _schema(
        f"{_SIGNED} signer:str reason:str",
        "commit:str incident:str? frozen:int event_sha256:sha256 role:str printed_name:str",
    ),
    "alert.raised": _schema("alert:str detail:str", "severity:str phase:str nodeid:str after_s:number value:any"),
    "clock.skewed": _schema("skew_s:number source:str", "observed:time detail:str restart:time"),
    "incident.opened": _schema("incident:str severity:str cause:str", "url:str? detail:str source:str revert:str"),
    "notification.sent": _schema("channel:str subject:str", "recipients:array anchor:str detail:str duration_s:number"),
    "notification.failed": _schema("channel:str subject:str reason:str", "recipients:array attempts:int detail:str"),
    "anchor.made": _schema(
        "kind:str size:int root:str", "place:str file:str sha256:sha256 time:time receipt:any reply_sha256:sha256"
    ),
    "record.amended": _schema(
        f"{_SIGNED} signer:str reason:str",
        "amends:int event_sha256:sha256 key:str old:any new:any printed_name:str role:str",
    ),
    "record.read": _schema("reader:str", "purpose:str place:str size:int files:int"),
    "signoff.signed": _schema(
        f"{_SIGNED} role:str signer:str meaning:str record_sha256:sha256",
        "printed_name:str signed_at:time comment:str?",
    ),
    "deviation.accepted": _schema(
        f"{_SIGNED} signer:str reason:str", "deviation:str nodeid:str role:str printed_name:str record_sha256:sha256?"
    ),
    **dict.fromkeys(("key.enrolled", "key.revoked", "key.rotated"), _schema(_KEY_CHANGE, f"{_KEY_EXTRA} {_ROTATION}")),
}

TYPES: Final = frozenset(SCHEMAS)

_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)


def _is_time(value: Json) -> bool:
    try:
        parse_stamp(value)
    except (TypeError, ValueError):
        return False
    return True


_KINDS: Final[Mapping[str, Callable[[Json], bool]]] = {
    "any": lambda _: True,
    "str": lambda value: isinstance(value, str),
    "int": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "bool": lambda value: isinstance(value, bool),
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list | tuple),
    "sha256": lambda value: isinstance(value, str) and _SHA256.fullmatch(value) is not None,
    "time": _is_time,
}


def fault(event_type: str, data: Mapping[str, Json]) -> str | None:
    """The first thing about `data` that its type does not allow, or None."""
    schema = SCHEMAS.get(event_type)
    if schema is None:
        return f"{event_type!r} is no type of event this software knows"
    if not schema.required.keys() <= data.keys():
        return f"{event_type} lacks {', '.join(key for key in schema.required if key not in data)}"
    for key, value in data.items():
        field = schema.fields.get(key)
        if field is None:
            return f"{event_type} has no key {key!r}: {', '.join([*schema.required, *schema.optional])}"
        if not field.fits(value):
            wanted = " or ".join([*field.kinds, *(["null"] if field.nullable else [])])
            return f"{event_type}: {key} is {value!r}, not {wanted}"
    return None


def check(event_type: str, data: Mapping[str, Json]) -> None:
    """Refuse an event whose type is unknown or whose data does not fit it. Raises IllegalEvent."""
    if found := fault(event_type, data):
        raise IllegalEvent(found)
