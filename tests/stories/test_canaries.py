"""Secrets and subjects' rows get into nothing that a run writes: planted, given away by steps in every way, and searched for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.child_process import Ran
from tests.project_checkout import Checkout
from tests.stories.rehearsed_checkout import QUICKLY
from tests.stories.secret_canaries import CANARIES, MIGRATION, PASSWORD, SUBJECT_MARK, VARIABLE, Watch, found, plant


def test_no_file_a_run_writes_holds_a_secret_or_a_subjects_row(checkout: Checkout) -> None:
    """Development rehearsed: a run that goes well, on two workers, and one that fails."""
    development = prepared(checkout)
    watch = Watch()

    with watch.over():
        well = deploy(development, "passes", "-n", "2")
        assert (well.code, "deployed") == (0, development.decided()["outcome"]), well.said
        assert clean(development, well) == []
        fails = deploy(development, "fails")
        assert (fails.code, "rolled-back") == (1, development.decided()["outcome"]), fails.said
        assert len([step for step in development.failing() if "canaries" in step]) == CANARIES, fails.said
        assert clean(development, fails) == []

    told = b"\n".join(watch.seen)
    assert b"--deploy-rehearse" in told, "it saw the processes"
    assert [word for word in (PASSWORD, VARIABLE, SUBJECT_MARK) if word.encode() in told] == []


@pytest.mark.faults
def test_nor_does_one_that_fails_on_two_workers_or_whose_migration_fails_on_the_rows(checkout: Checkout) -> None:
    development = prepared(checkout)
    assert deploy(development, "passes").code == 0
    two = deploy(development, "fails", "-n", "2")
    assert (two.code, "rolled-back") == (1, development.decided()["outcome"]), two.said
    assert clean(development, two) == []

    checkout.write("migrations/0008_canary.sql", MIGRATION)
    checkout.commit("A migration that the rows do not allow")
    rows = deploy(development, "fails")

    assert rows.code == 1, rows.said
    assert any(step.startswith("migration/") for step in development.failing()), rows.said
    assert found(development, said(development, rows)) == []


def prepared(checkout: Checkout) -> Checkout:
    """Development, rehearsed, its secrets canaries and canary steps among its own."""
    secrets = checkout.path / ".deploy" / "secrets" / "rehearsal-development.json"
    secrets.parent.mkdir(parents=True, mode=0o700)
    secrets.write_text(json.dumps({"SMOKE_USER": "smoke-canary", "SMOKE_PASSWORD": PASSWORD}))
    plant(checkout)
    return checkout.rehearsing("development")


def deploy(development: Checkout, canary: str, *more: str) -> Ran:
    return development.run(
        "--deploy-env=development", "--deploy-rehearse", *QUICKLY, *more, env={"CANARY": canary, "CANARY_TOKEN": VARIABLE}
    )  # fmt: skip


def clean(development: Checkout, ran: Ran) -> list[str]:
    """What leaked, into a file or onto the terminal; the canaries did get as far as the reports."""
    written = b"".join(path.read_bytes() for path in development.run_folder().rglob("*") if path.is_file())
    assert b"[SMOKE_PASSWORD]" in written, ran.said
    assert b"[CANARY_TOKEN]" in written, ran.said
    return found(development, said(development, ran))


def said(development: Checkout, ran: Ran) -> Path:
    """What the terminal showed, as a file."""
    shown = development.path.parent / "terminal"
    shown.write_text(ran.said)
    return shown
