"""For each assertion of the specification: the step that exercises it, the stories' runs that credit it, and one that must not, and why.

The stories hold each run that is named here against the whole table (`assert_credited`): what a run's report calls verified is what
stands here for its kind, no more and no less.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

from pytest_deploy.record.event import Event
from pytest_deploy.reports.run_summary import summarize
from pytest_deploy.traceability import register
from pytest_deploy.traceability.matrix import assertions
from tests.project_checkout import REPOSITORY

Kind = Literal[
    "staging plan", "staging", "production plan", "production",
    "local", "local again", "failed in its build", "refused", "smoke failed", "migration failed", "migration undone",
]  # fmt: skip
"""Runs that stories make.

staging, production: rehearsed, with approvals, and with the checks, the watch and the platform replaced (production_record.py).
local: the first release, with everything as policy has it. local again: another over it, without a migration, the checks and the watch
replaced. refused: by a gate in preflight (test_github.py). smoke failed: and nothing was to migrate (test_faults.py). migration failed: in
its middle; migration undone: with a release that fails in smoke (test_migrations.py).
"""
KINDS: Final = frozenset(get_args(Kind))


@dataclass(frozen=True)
class Credited:
    """An assertion that runs credit."""

    step: str
    """Node id, from its phase on, of the step that exercises it, or of one of them."""
    by: Sequence[Kind]
    """The runs whose report calls it verified."""
    never_by: Kind
    """A run that must not credit it, for one."""
    because: str


@dataclass(frozen=True)
class Never:
    """An assertion that none of these runs credits."""

    because: str
    step: str = ""
    """The step that claims it; empty: none does."""


CHECKS = "build/test_checks.py::test_unit_tests_pass"
APPROVALS = "approval/test_approvals.py::test_approvals"
GATES = "preflight/test_gates.py::test_"
OF_THE_RUN = "preflight/test_environment.py::test_"
IN_ORDER = "preflight/test_migrations.py::test_migrations_are_in_order_and_reversible"
TRIAL = "preflight/test_migrations.py::test_pending_migrations_are_rehearsed"
BACKUP = "backup/test_backup.py::test_database_is_backed_up"
MIGRATION = "migration/test_migration.py::test_"
APPLIED = f"{MIGRATION}pending_migrations_are_applied"
DEPLOY = "deploy/test_deploy.py::test_new_revision_is_ready_at_0_percent"
HEALTH = "health/test_health.py::test_"
LED_BACK = "rollback/test_restore.py::test_environment_is_led_back"

PAST_ITS_BUILD: Final = tuple(sorted(KINDS - {"failed in its build"}))
WITH_MIGRATIONS: Final[tuple[Kind, ...]] = ("staging", "production", "local", "migration undone")
"""Those in which pending migrations were applied."""
TRIED: Final[tuple[Kind, ...]] = ("staging plan", "production plan", *WITH_MIGRATIONS, "migration failed")
"""Those in which pending migrations were tried before."""
STOPPED = "it ended before its preflight"
NOTHING_PENDING = "no migration was pending"
MADE_UP = "a rehearsal's people are made for it, with throw-away keys"

TABLE: Final[dict[str, Credited | Never]] = {
    "REQ-o00043-A": Never("what starts a deployment on a merge is the repository's workflow, outside any run"),
    "REQ-o00043-B": Never(MADE_UP, APPROVALS),
    "REQ-o00043-C": Never(MADE_UP, APPROVALS),
    "REQ-o00043-D": Credited(
        f"{GATES}staging_smoke", ("production plan", "production"), "local", "policy has no rule for it there"
    ),
    "REQ-o00043-E": Credited(CHECKS, ("local",), "production", "`true` stood in place of policy's own checks"),
    "REQ-o00043-F": Credited(APPLIED, WITH_MIGRATIONS, "local again", NOTHING_PENDING),
    "REQ-o00043-G": Never("the embedded platform is no Cloud Run", DEPLOY),
    "REQ-o00043-H": Credited(
        "smoke/test_health.py::test_health_answers_200_for_this_release",
        ("staging", "production", "local", "local again"), "smoke failed", "one of its smoke tests failed",
    ),
    "REQ-o00043-I": Credited(
        LED_BACK, ("smoke failed", "migration failed", "migration undone"), "local", "nothing was rolled back"
    ),
    "REQ-o00043-J": Never("a rehearsal's clock was set to a time that the window is open", f"{GATES}window"),
    "REQ-o00043-K": Credited(f"{GATES}rate_limit", ("production plan", "production"), "local", "it has no limit"),
    "REQ-o00043-L": Credited(
        f"{HEALTH}service_stays_healthy", ("local",), "production", "a shorter watch stood in place of policy's own"
    ),
    "REQ-o00043-M": Credited(f"{OF_THE_RUN}run_names_who_deploys_what_and_when", PAST_ITS_BUILD, "failed in its build", STOPPED),
    "REQ-o00043-N": Never(MADE_UP, APPROVALS),
    "REQ-o00043-O": Credited(
        f"{OF_THE_RUN}earlier_runs_have_an_outcome_and_a_duration",
        tuple(kind for kind in PAST_ITS_BUILD if kind not in {"staging plan", "production plan", "local"}),
        "local", "no run was closed there before",
    ),
    "REQ-o00043-P": Credited(f"{OF_THE_RUN}record_verifies", PAST_ITS_BUILD, "failed in its build", STOPPED),
    "REQ-o00043-Q": Credited(f"{GATES}retention", ("production plan", "production"), "local", "its record lies on a disk"),
    "REQ-o00043-R": Never("development's platform is not built yet", f"{HEALTH}deployment_takes_no_longer_than_allowed"),
    "REQ-o00043-S": Never(
        "a rehearsal's time on this machine is not staging's", f"{HEALTH}deployment_takes_no_longer_than_allowed"
    ),
    "REQ-o00043-T": Never(
        "a rehearsal's time on this machine is not production's", f"{HEALTH}deployment_takes_no_longer_than_allowed"
    ),
    "REQ-o00044-A": Credited(IN_ORDER, PAST_ITS_BUILD, "failed in its build", STOPPED),
    "REQ-o00044-B": Credited(APPLIED, WITH_MIGRATIONS, "migration failed", "the step that applies them failed"),
    "REQ-o00044-C": Credited(APPLIED, WITH_MIGRATIONS, "local again", NOTHING_PENDING),
    "REQ-o00044-D": Credited(f"{MIGRATION}schema_after_is_kept", WITH_MIGRATIONS, "local again", NOTHING_PENDING),
    "REQ-o00044-E": Credited(IN_ORDER, PAST_ITS_BUILD, "failed in its build", STOPPED),
    "REQ-o00044-F": Credited(TRIAL, TRIED, "local again", NOTHING_PENDING),
    "REQ-o00044-G": Credited(LED_BACK, ("migration failed",), "smoke failed", "no migration had failed"),
    "REQ-o00044-H": Never("a rollback that nobody asked for is none by hand", LED_BACK),
    "REQ-o00044-I": Credited(TRIAL, ("staging plan", "production plan"), "production", "only a plan makes a dry run"),
    "REQ-o00044-J": Credited(BACKUP, ("production",), "staging", "it is no production"),
    "REQ-o00044-K": Credited(APPLIED, WITH_MIGRATIONS, "local again", NOTHING_PENDING),
    "REQ-o00044-L": Never("none of their migrations runs for five minutes", APPLIED),
    "REQ-o00044-M": Credited(APPLIED, WITH_MIGRATIONS, "local again", NOTHING_PENDING),
    "REQ-o00044-N": Credited(
        f"{MIGRATION}schema_before_is_kept", (*WITH_MIGRATIONS, "migration failed"), "local again", NOTHING_PENDING
    ),
    "REQ-o00044-O": Credited(f"{MIGRATION}schema_after_is_kept", WITH_MIGRATIONS, "migration failed", "nothing was applied"),
    "REQ-o00044-P": Credited(LED_BACK, ("migration undone",), "smoke failed", "no migration was rolled back"),
    "REQ-o00044-Q": Credited(f"{MIGRATION}migrations_are_recorded", WITH_MIGRATIONS, "local again", NOTHING_PENDING),
    "REQ-o00044-R": Never("PostgreSQL on this machine is no Cloud SQL", APPLIED),
    "REQ-o00044-S": Credited(IN_ORDER, PAST_ITS_BUILD, "failed in its build", STOPPED),
    "REQ-o00044-T": Credited(TRIAL, TRIED, "local again", NOTHING_PENDING),
}  # fmt: skip


def assert_credited(events: Sequence[Event], kind: Kind) -> None:
    """A run's report calls verified what the table says of its kind, each by the step named there, with its evidence."""
    steps = summarize(events).steps
    found = {one.name: one for one in assertions(steps, register.of_checkout(REPOSITORY))}
    verified = {name for name, one in found.items() if one.outcome == "verified"}
    assert verified == {name for name, row in TABLE.items() if isinstance(row, Credited) and kind in row.by}
    for name in verified:
        row = TABLE[name]
        (step,) = (step for step in steps if step.nodeid.partition("suites/")[2] == row.step)
        assert name in step.verifies, (name, step.nodeid)
        assert (step.expected, step.actual) != (None, None), f"{name} is credited without evidence: {step.nodeid}"
    for name, row in TABLE.items():
        claiming = {step.nodeid.partition("suites/")[2] for step in found[name].steps}
        assert bool(row.step) or not claiming, f"{name}: nothing claims it, says the table; {claiming}"
