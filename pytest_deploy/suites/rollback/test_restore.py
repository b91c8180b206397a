"""What was changed is undone, in policy's order, from the log and the live state: after a failure (REQ-o00043-I), or as somebody asked (REQ-o00044-H)."""

from __future__ import annotations

import difflib
from pathlib import Path

import pytest

from pytest_deploy import Baseline, Migrations, NoInfrastructure, RollbackExecutor, StepRecord

SHOWN_LINES = 30

OF_ITSELF, BY_HAND = "REQ-o00043-I", "REQ-o00044-H"

pytestmark = [pytest.mark.requirement(OF_ITSELF), pytest.mark.requirement(BY_HAND)]


def shown(record: StepRecord) -> str:
    """What a rollback shows: that one follows a failure, or that one can be asked for."""
    return BY_HAND if record.pipeline == "rollback" else OF_ITSELF


@pytest.mark.requirement("REQ-o00044-G")
@pytest.mark.requirement("REQ-o00044-P")
@pytest.mark.step(changes=True, timeout=300)
def test_environment_is_led_back(rollback: RollbackExecutor, baseline: Baseline, record: StepRecord) -> None:
    acts = rollback.undo(baseline)

    left = rollback.plan(baseline)
    told = [(event.type, event.content.as_data()) for event in record.events()]
    undone = [data["version"] for kind, data in told if kind == "migration.rolled-back"]
    steps = [data for kind, data in told if kind == "step.finished" and data["phase"] == "migration"]
    record.expect(
        {"left": []},
        {"done": [type(act).__name__ for act in acts], "migrations": undone, "left": [str(act) for act in left]},
    )
    assert not left
    record.verified(shown(record))
    if undone:
        record.verified("REQ-o00044-P")
    if any(step["outcome"] in {"failed", "error"} for step in steps):
        record.verified("REQ-o00044-G")


def test_traffic_is_what_it_was(rollback: RollbackExecutor, baseline: Baseline, record: StepRecord) -> None:
    """Nobody is sent anywhere else, and nothing else is still asked of the platform."""
    live = rollback.live()

    record.expect(
        {"shares": {baseline.revision: 100}, "tags": {}, "settled": True},
        {"shares": dict(live.shares), "tags": dict(live.tags), "settled": live.settled},
    )
    assert live.shares == {baseline.revision: 100}
    assert not live.tags
    assert live.settled
    record.verified(shown(record))


def _difference(before: Path, now: str) -> list[str]:
    """What the schema has lost (-) and got (+), as far as it was kept before and a person reads on."""
    if not before.is_file():
        return ["schema/before.sql was not kept: nothing had moved the schema yet"]
    lines = difflib.unified_diff(before.read_text(encoding="utf-8").splitlines(), now.splitlines(), n=0, lineterm="")
    changed = [line for line in lines if line[1:].strip() and not line.startswith(("---", "+++", "@@"))]
    more = [f"and {len(changed) - SHOWN_LINES} lines more"] if len(changed) > SHOWN_LINES else []
    return [*changed[:SHOWN_LINES], *more]


def test_schema_is_what_it_was(migrations: Migrations, baseline: Baseline, record: StepRecord) -> None:
    found = migrations.schema()

    difference = _difference(record.folder.path / "schema" / "before.sql", found.text)
    record.expect(
        {"schema": baseline.schema_sha256},
        {"schema": found.sha256, **({"difference": difference} if found.sha256 != baseline.schema_sha256 else {})},
    )
    assert found.sha256 == baseline.schema_sha256, "\n".join(["the schema is not what it was:", *difference])
    record.verified(shown(record))


def test_infrastructure_is_what_it_was(rollback: RollbackExecutor, record: StepRecord) -> None:
    """The stack's state is the one that the request found, resource for resource."""
    compared = rollback.infrastructure.compared()
    if isinstance(compared, NoInfrastructure):
        record.not_applicable(compared.reason)

    earlier, found = compared
    record.expect({"state": earlier.digest}, {"state": found.digest, "different": found.differences(earlier)})
    assert found.differences(earlier) == ()
    assert not found.pending
    record.verified(shown(record))
