from __future__ import annotations

import ast
import dataclasses
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from docs.generate_event_types import with_section
from pytest_deploy.approvals import after_run, sign_request  # noqa: F401 -- what declares the statements
from pytest_deploy.approvals.signed_file import Statement
from pytest_deploy.errors import IllegalEvent
from pytest_deploy.record.event import canonical
from pytest_deploy.record.events import RESERVED, RESERVED_KEYS, TYPES, PhaseFinished, fields, parse
from pytest_deploy.record.transitions import LEGAL
from tests.unit.record.sample_record import SHA, decided, opened_data, step_finished

ROOT = Path(__file__).parents[3]

# record-format.md, "Types (closed set …)".
FORMAT_TYPES = """
request.made request.voided lease.taken lease.renewed lease.released run.opened run.planned run.decided run.closed run.abandoned
phase.started phase.finished step.started step.finished step.not-run gate.passed gate.refused gate.not-applicable approval.signed approval.refused
request.rejected override.signed migration.applied migration.rolled-back backup.created revision.deployed traffic.moved rollback.started
rollback.finished environment.frozen environment.released alert.raised clock.skewed notification.sent
notification.failed anchor.made record.amended record.annotated record.read signoff.signed deviation.accepted trail.reviewed key.enrolled key.revoked key.rotated
"""

# record-format.md, "Keys of `data` that others rely on".
FORMAT_KEYS = {
    "request.made": "request_sha256 expires requested_by",
    "run.opened": "environment pipeline deployer commit branch version image rehearsal dirty request_sha256 workflow_run"
    " plugins config_sha256 spec_sha256 suites_sha256 lock_sha256 reason",
    "run.planned": "steps conditional steps_sha256",
    "phase.started": "phase",
    "phase.finished": "phase outcome duration_s",
    "step.started": "nodeid phase changes",
    "step.finished": "nodeid phase outcome duration_s verifies attempts message warnings expected actual attachments",
    "step.not-run": "nodeid phase cause",
    "gate.passed": "gate point inputs verdict reason earliest_start",
    "gate.refused": "gate point inputs verdict reason earliest_start",
    "gate.not-applicable": "gate point inputs verdict reason earliest_start",
    "approval.signed": "file sha256 signature_sha256 role signer meaning request_sha256",
    "request.rejected": "file sha256 signature_sha256 role signer meaning reason request_sha256 printed_name signed_at",
    "lease.taken": "name holder until",
    "key.enrolled": "set set_sha256 person fingerprint reason",
    "key.revoked": "set set_sha256 person fingerprint reason",
    "key.rotated": "set set_sha256 person fingerprint reason",
    "override.signed": "file sha256 signature_sha256 signer reason",
    "record.amended": "file sha256 signature_sha256 signer reason",
    "deviation.accepted": "file sha256 signature_sha256 signer reason",
    "environment.released": "file sha256 signature_sha256 signer reason",
    "trail.reviewed": "file sha256 signature_sha256 signer role meaning findings first size root printed_name signed_at",
    "migration.applied": "version sha256 duration_s schema_before schema_after engine",
    "migration.rolled-back": "version sha256 duration_s schema_before schema_after engine",
    "backup.created": "kind place bytes sha256 restorable",
    "rollback.started": "cause order target",
    "rollback.finished": "outcome duration_s",
    "run.decided": "outcome cause duration_s sla_s",
    "run.closed": "outcome record record_sha256 missing",
    "run.abandoned": "cause found_sha256",
}


def test_the_types_are_the_closed_set_of_the_format_each_with_its_place_in_a_life() -> None:
    assert set(FORMAT_TYPES.split()) == TYPES.keys()
    assert LEGAL.keys() == TYPES.keys()


@pytest.mark.parametrize("event_type", FORMAT_KEYS)
def test_the_keys_others_rely_on_are_required(event_type: str) -> None:
    assert set(FORMAT_KEYS[event_type].split()) <= {
        name for name, field in fields(TYPES[event_type]).items() if field.required
    }


@pytest.mark.parametrize("event_type,data",
    [
        ("run.opened", opened_data(sets={"a": "1"}, python="3.11.7", options={})),
        ("run.decided", decided("failed", exit_code=1, watch_s=0.5)),
        ("step.finished", {**step_finished("a", "build"), "expected": [1], "image": "x@sha256:1"}),
        ("gate.refused", {"gate": "window", "point": "lease", "inputs": {}, "verdict": "refused", "reason": "closed",
                          "earliest_start": "2026-11-23T14:00:00.000Z"}),
        ("clock.skewed", {"skew_s": 1, "source": "store"}),
        ("alert.raised", {"alert": "slow", "detail": "5 min", "clock": "2026-11-23T14:00:00.000Z"}),
    ],
)  # fmt: skip
def test_data_of_its_type_is_accepted_and_written_as_it_was_read(event_type: str, data: dict[str, Any]) -> None:
    assert canonical(parse(event_type, data).as_data()) == canonical(data)


@pytest.mark.parametrize(
    "event_type,data,says",
    [
        ("gate.opened", {}, "no type of event"),
        ("phase.started", {}, "lacks phase"),
        ("phase.started", {"phase": "build", "colour": "red"}, "no key 'colour'"),
        ("phase.started", {"phase": None}, "phase is None, not str"),
        (
            "phase.finished",
            {"phase": "build", "outcome": "green", "duration_s": 1},
            "not passed or failed or still-needed or not-applicable or not-run",
        ),
        ("phase.finished", {"phase": "build", "outcome": "passed", "duration_s": True}, "not number"),
        ("run.decided", decided("green"), "outcome is 'green'"),
        ("run.planned", {"steps": 1.0, "conditional": 0, "steps_sha256": SHA}, "not int"),
        ("run.planned", {"steps": 1, "conditional": 0, "steps_sha256": SHA.upper()}, "not sha256"),
        ("lease.renewed", {"name": "local", "until": "soon", "fence": 1}, "not time"),
        ("lease.renewed", {"name": "local", "until": 1, "fence": 1}, "not time"),
        ("lease.renewed", {"name": "local", "until": "2026-11-23T14:00:00Z", "fence": 1}, "not time"),
        ("lease.renewed", {"name": "local", "until": "2026-11-23T15:00:00.000+01:00", "fence": 1}, "not time"),
        (
            "lease.renewed",
            {"name": "local", "until": "2026-11-23T14:00:00.000Z", "fence": True},
            "fence is True, not int",
        ),
        ("step.not-run", {"nodeid": "a", "phase": "build", "cause": "", "claims": None}, "claims is None, not array"),
        ("run.planned", {"steps": 1, "conditional": 0, "steps_sha256": SHA + "\n"}, "not sha256"),
        ("step.finished", {**step_finished("a", "build"), "attachments": []}, "not object"),
        ("step.finished", {**step_finished("a", "build"), "outcome": []}, "not passed or"),
        ("run.closed", {"outcome": "passed", "record": "x", "record_sha256": SHA, "missing": None}, "not array"),
    ],
)
def test_data_that_does_not_fit_its_type_is_refused(event_type: str, data: dict[str, Any], says: str) -> None:
    with pytest.raises(IllegalEvent, match=says):
        parse(event_type, data)


def test_a_key_without_a_value_is_left_out_and_null_stays() -> None:
    assert PhaseFinished(phase="build", outcome="passed", duration_s=1, cause=None).as_data() == {
        "phase": "build",
        "outcome": "passed",
        "duration_s": 1,
        "cause": None,
    }


def test_the_format_page_holds_what_the_classes_say() -> None:
    page = (ROOT / "docs" / "record-format.md").read_text(encoding="utf-8")

    assert with_section(page) == page, "python docs/generate_event_types.py"


@pytest.mark.parametrize("event_type", sorted(TYPES))
def test_every_type_is_written_by_something_or_reserved_for_a_part_of_the_work(event_type: str) -> None:
    """Written: its class is made, or its name handed to a recorder, outside `record/events` and the table of transitions."""
    name = TYPES[event_type].__name__
    quoted = rf"\"{re.escape(event_type)}\""
    ways = (
        rf"(?<!case )(?<!\| )\b{name}\(",  # the class is made
        rf" = {name}\b|\belse {name}\b|\b_[A-Z]\w+\({name}\b|\": {name},|_put_in_force\([\w, ]*\b{name}\b",  # or chosen, to be made
        rf"\b(append|event|parse|_?[A-Z]\w+)\(\s*{quoted}",  # or its name is handed over
        rf"(return|else|: ClassVar\[str\] =) {quoted}|{quoted} (if|else)\b",
        rf"\(log, store, {name}\b",
    )
    written = re.compile("|".join(ways))

    assert (event_type in RESERVED) != any(written.search(source) for source in _sources().values())


WRITTEN_BY_STEPS = {
    *("alert.raised", "backup.created", "migration.applied", "migration.rolled-back", "revision.deployed"),
    "traffic.moved",
}
"""The types that a suite writes by name: it may give any of their keys."""
KEYS_COME_FROM = {
    "anchor.made": ("anchors/kinds.py", "anchors/github.py"),
    "approval.refused": ("approvals/evaluate.py",),
    "gate.not-applicable": ("gates/verdict.py",),
    "gate.passed": ("gates/verdict.py",),
    "gate.refused": ("gates/verdict.py",),
    "key.enrolled": ("approvals/enrollment.py", "record/key.py", "record/open_record.py"),
    "key.revoked": ("approvals/enrollment.py", "record/key.py", "record/open_record.py"),
    "key.rotated": ("approvals/enrollment.py", "record/key.py", "record/open_record.py"),
    "lease.taken": ("record/lease.py",),
    "run.decided": ("pipeline/plan.py",),
}
"""The modules that name keys of a type elsewhere than where its class is made."""


@pytest.mark.parametrize("event_type", sorted(TYPES.keys() - RESERVED.keys() - WRITTEN_BY_STEPS))
def test_every_key_is_written_by_something_or_reserved_for_a_part_of_the_work(event_type: str) -> None:
    keys = fields(TYPES[event_type]).keys() - {"clock"}

    unwritten = keys - keys_written(event_type)

    assert sorted(unwritten) == sorted(RESERVED_KEYS.get(event_type, {}))


def keys_written(event_type: str) -> set[str]:
    """By the calls that make its class, the modules that give it more keys, and the statements that its event repeats."""
    calls = _keywords()[TYPES[event_type].__name__] | (
        _keywords()["structs.replace"] & fields(TYPES[event_type]).keys()
    )
    elsewhere = [key for module in KEYS_COME_FROM.get(event_type, ()) for key in _named_in(module)]
    signed = [field.name for kind in _statements() if kind.type == event_type for field in dataclasses.fields(kind)]
    of_the_files = _named_in("approvals/signed_file.py") if signed else ()
    return {*calls, *elsewhere, *signed, *of_the_files}


def _named_in(module: str) -> Iterator[str]:
    """Keys of literal objects and fields of classes of one module, and what it gives a class that it chose."""
    for node in ast.walk(ast.parse(_sources()[f"pytest_deploy/{module}"])):
        match node:
            case ast.Call(func=ast.Subscript() | ast.Name(id="kind"), keywords=keywords):
                yield from (keyword.arg for keyword in keywords if keyword.arg is not None)
            case ast.Dict(keys=keys):
                yield from (key.value for key in keys if isinstance(key, ast.Constant) and isinstance(key.value, str))
            case ast.AnnAssign(target=ast.Name(id=name)):
                yield name
            case _:
                pass


def _statements(of: type[Statement] = Statement) -> Iterator[type[Statement]]:
    for kind in of.__subclasses__():
        yield from (kind, *_statements(kind))


@cache
def _keywords() -> dict[str, set[str]]:
    """What each name is called with, in the package and the suites."""
    keywords: dict[str, set[str]] = defaultdict(set)
    for source in _sources().values():
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                keywords[node.func.id] |= {keyword.arg for keyword in node.keywords if keyword.arg is not None}
            elif isinstance(node, ast.Call) and ast.unparse(node.func) == "structs.replace":
                keywords["structs.replace"] |= {keyword.arg for keyword in node.keywords if keyword.arg is not None}
    return keywords


@cache
def _sources() -> dict[str, str]:
    """The package and the suites by path, but for what declares and orders the types."""
    places = [path for folder in ("pytest_deploy", "suites") for path in (ROOT / folder).rglob("*.py")]
    left_out = {"events", "transitions.py"}
    return {
        path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
        for path in places
        if not left_out & {path.parent.name, path.name}
    }
