"""Before a migration touches the environment: its files are sound, and it has been rehearsed, up and down and up again."""

from __future__ import annotations

import json

import pytest

from pytest_deploy import Gates, Migrations, MigrationsRefused, Policy, StepRecord

MINUTES = 60


@pytest.fixture(autouse=True)
def folder_of_migrations(migrations: Migrations, gates: Gates, record: StepRecord) -> None:
    """Without one there is nothing to judge here, nor where none is to be applied."""
    if gates.pipeline == "rollback":
        record.not_applicable("a rollback applies no migration")
    if migrations.folder is None:
        record.not_applicable("deploy.yaml says database.migrations: null: a step of suites/migration moves the schema")


@pytest.mark.requirement("REQ-o00044-A")
@pytest.mark.requirement("REQ-o00044-E")
@pytest.mark.requirement("REQ-o00044-S")
def test_migrations_are_in_order_and_reversible(migrations: Migrations, record: StepRecord) -> None:
    """Numbered without gap, each with a way down, and the applied ones unchanged."""
    found, applied, todo = migrations.files(), migrations.applied(), migrations.pending()

    record.expect(
        {"applied": [one.version for one in applied]},
        {"files": [one.version for one in found], "pending": [one.version for one in todo]},
    )
    assert [one.version for one in applied] == [one.version for one in found[: len(applied)]]
    if found:
        record.verified()


def test_no_finding_is_left_unaccepted(migrations: Migrations, record: StepRecord) -> None:
    """Squawk's findings on what is pending: mended, or accepted with a written reason."""
    if not migrations.pending():
        record.not_applicable("no migration is pending")
    found = migrations.findings()

    blocking = [str(one.fault()) for one in found if one.blocks and one.accepted is None]
    accepted = [f"{one.path.name}:{one.line} {one.rule}: {one.accepted}" for one in found if one.accepted is not None]
    record.expect([], {"blocking": blocking, "accepted": accepted})
    assert not blocking


@pytest.mark.requirement("REQ-o00044-F")
@pytest.mark.requirement("REQ-o00044-I")
@pytest.mark.requirement("REQ-o00044-T")
@pytest.mark.step(timeout=30 * MINUTES)
def test_pending_migrations_are_rehearsed(migrations: Migrations, policy: Policy, record: StepRecord) -> None:
    """On a database of its own with rows in it: the downs restore schema and rows, and nothing is lost undeclared.

    A plan tries them besides on the environment's own, and takes them back: the schema must come out the same.
    """
    declared = migrations.compatibility()
    if not migrations.pending():
        record.attach("schema/rehearsal.json", migrations.trial().to_json().encode() + b"\n")
        record.not_applicable("no migration is pending")

    trial = migrations.trial()

    record.attach("schema/rehearsal.json", trial.to_json().encode() + b"\n")
    told = json.loads(trial.to_json())
    reached = _dry_run(migrations, record)
    record.expect(
        {"within_budget": True, "dry_run": reached and trial.after},
        {
            "within_budget": trial.within_budget,
            "dry_run": reached,
            "together_s": told["together_s"],
            "tried": list(trial.told),
            "lost": {step["version"]: step["lost"] for step in told["steps"] if step["lost"]},
            "compatibility": declared.summary,
        },
    )
    assert trial.within_budget
    assert reached in {None, trial.after}, "the environment's own schema comes out otherwise than the trial's"
    record.verified("REQ-o00044-F")
    if reached is not None:
        record.verified("REQ-o00044-I")
    if not policy.replaced("database.budget_s"):
        record.verified("REQ-o00044-T")


def _dry_run(migrations: Migrations, record: StepRecord) -> str | None:
    """The schema that a plan's dry run reached, its SHA-256; None in another pipeline, and of what cannot be taken back."""
    (opened,) = [event for event in record.events() if event.type == "run.opened"]
    if opened.content.as_data()["pipeline"] != "plan":
        return None
    try:
        return migrations.dry_run().after
    except MigrationsRefused:  # it runs outside a transaction; whether it may is for the trial to say
        return None
