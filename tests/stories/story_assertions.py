"""What every story claims of its end: the record verifies, nothing runs, and the environment is as it should be."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_deploy.policy.phases import PHASES
from tests.child_process import Ran
from tests.project_checkout import Checkout, Standing
from tests.stories.step_ids import phase_of

LEFT_OUT = {"approval": "not in this environment's policy"}
"""The phases that deploy.yaml leaves out for local, and the cause its steps have."""
NOTHING_TO_UNDO = "nothing to roll back: no step failed"


@dataclass
class Deployed:
    """A checkout and what serves in it."""

    checkout: Checkout
    standing: Standing
    """What a rollback must lead back to."""
    base: str
    """The commit the tree goes back to between stories."""
    first: str
    """The run that deployed first, without workers."""

    @property
    def revision(self) -> str:
        """The one revision that serves."""
        (revision,) = self.standing.shares
        return revision

    def restore_tree(self) -> None:
        self.checkout.git("reset", "--quiet", "--hard", self.base)
        self.checkout.git("clean", "--quiet", "-fd")

    def deployed_last(self) -> str:
        """The version that the record says was deployed last."""
        events = self.checkout.events()
        opened = {event.run: event.data for event in events if event.type == "run.opened"}
        decided = [event for event in events if event.type == "run.decided" and event.data["outcome"] == "deployed"]
        return str(opened[decided[-1].run]["version"])

    def assert_rolled_back(self, ran: Ran, *, code: int = 1) -> None:
        """The run failed and was undone: the earlier revision serves everybody, on the earlier schema."""
        assert_ended(self.checkout, ran, code=code, outcome="rolled-back")
        finished = self.checkout.said("rollback.finished")
        assert [one["outcome"] for one in finished] == ["rolled-back"], finished
        assert finished[0]["target"] == self.standing.body["version"], finished
        found = self.checkout.standing()
        assert found == self.standing, f"not as it was\nwas: {self.standing}\nis:  {found}"


def deploy_first(checkout: Checkout) -> Deployed:
    """Deploy the first release of a checkout."""
    ran = checkout.deploy()
    assert ran.code == 0, ran.said
    return Deployed(checkout, checkout.standing(), checkout.git("rev-parse", "HEAD"), checkout.last_run())


def assert_ended(checkout: Checkout, ran: Ran, *, code: int, outcome: str) -> None:
    """The last run ended with this code and outcome, in order; the record verifies; nothing of it runs any more."""
    checkout.assert_nothing_runs()
    assert ran.code == code, ran.said
    decided = checkout.decided()
    assert (decided["outcome"], decided["exit_code"]) == (outcome, code), f"{decided}\n{ran.said}"
    assert_phases_in_turn(checkout)
    assert_every_step_accounted_for(checkout)
    verified = checkout.deploy_py("verify", f"reports/{checkout.environment}")
    assert verified.code == 0, verified.said
    assert not list((checkout.path / ".deploy" / "sessions").glob("*/*")), "the session's folder was left behind"


def assert_phases_in_turn(checkout: Checkout) -> None:
    """No step of a phase begins before every step of the phase before it has ended: by order in the log, and by time."""
    order = list(PHASES)
    steps = [event for event in checkout.events(checkout.last_run()) if event.type in {"step.started", "step.finished"}]
    for before, after in itertools.pairwise(steps):
        phases = order.index(before.data["phase"]), order.index(after.data["phase"])
        assert phases[0] <= phases[1], f"{after.data['nodeid']} came after {before.data['nodeid']}"
        assert before.time <= after.time
    running: set[str] = set()
    for event in steps:
        phase = event.data["phase"]
        running = running | {event.data["nodeid"]} if event.type == "step.started" else running - {event.data["nodeid"]}
        assert all(phase_of(nodeid) == phase for nodeid in running), f"{running} overlap with {phase}"


def assert_every_step_accounted_for(checkout: Checkout) -> None:
    """Each step of the lock ended once or has a cause for not having begun."""
    found = checkout.step_outcomes()
    assert set(locked(checkout)) == set(found), set(locked(checkout)) ^ set(found)
    assert all(checkout.not_run().values()), "a step was not run without a cause"


def locked(checkout: Checkout) -> Mapping[str, str]:
    """When each step of suites/steps.lock runs, by node id: always, rollback or earlier; or that local leaves it out."""
    text = (checkout.path / "suites" / "steps.lock").read_text(encoding="utf-8")
    lines = [line.split() for line in text.splitlines() if "::" in line]
    return {line[3]: "left out" if line[0] in LEFT_OUT else line[1] for line in lines}


WITHOUT_A_MIGRATION = {
    "test_no_finding_is_left_unaccepted",
    "test_pending_migrations_are_rehearsed",
    "test_schema_before_is_kept",
    "test_pending_migrations_are_applied",
    "test_schema_after_is_kept",
    "test_migrations_are_recorded",
}
"""The steps that have nothing to do where none is pending."""
WITHOUT_AN_EARLIER_RUN = {"test_earlier_runs_have_an_outcome_and_a_duration"}
"""The step that has nothing to judge in the first run."""


def steps_told(checkout: Checkout, run: str) -> set[tuple[Any, ...]]:
    """The step events of a run, without what differs from run to run (time, order within a parallel phase)."""
    kinds = {"step.started", "step.finished", "step.not-run"}
    events = [event for event in checkout.events(run) if event.type in kinds]
    found = {
        (event.type, event.data["nodeid"], event.data.get("outcome"), event.data.get("changes")) for event in events
    }
    assert len(found) == len(events), "a step event stands in the log twice"
    return found


def assert_recovered_for_good(deployed: Deployed) -> None:
    """No run is open, the record verifies, and nothing lies about."""
    checkout = deployed.checkout
    again = checkout.deploy_py("recover", "local")
    assert again.code == 0, again.said
    assert "no run is open" in again.stdout
    verified = checkout.deploy_py("verify", "reports/local")
    assert verified.code == 0, verified.said
    assert _below(checkout.path / ".deploy" / "sessions") == []


def _below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]
