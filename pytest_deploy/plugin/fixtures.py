"""The fixtures of a deployment's suites: `release baseline stated policy database migrations service platform gates rollback record clock secrets`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Final

import pytest

from pytest_deploy.errors import DeployError
from pytest_deploy.gates.registry import Gatekeeper
from pytest_deploy.gates.verdict import Verdict
from pytest_deploy.migrate.migrations import Migrations
from pytest_deploy.pipeline.step_record import StepRecord, append_verdict
from pytest_deploy.platform.clients import Database, Service
from pytest_deploy.platform.environment import Environment
from pytest_deploy.platform.infrastructure import NoInfrastructure
from pytest_deploy.platform.protocol import Platform
from pytest_deploy.plugin.recorder import RECORD
from pytest_deploy.policy.policy import Policy
from pytest_deploy.policy.run_context import RunContext
from pytest_deploy.record.actor import PIPELINE_ACTOR
from pytest_deploy.record.clock import Clock
from pytest_deploy.record.events import GatePoint
from pytest_deploy.record.secrets import Secrets
from pytest_deploy.release import live
from pytest_deploy.release.candidate import of_run
from pytest_deploy.release.infrastructure_update import InfrastructureUpdate, approved_update
from pytest_deploy.release.live import Baseline, Release
from pytest_deploy.release.request import stored_request
from pytest_deploy.rollback import request as rollback_request
from pytest_deploy.rollback.rollback import RollbackExecutor, baseline_of

CANDIDATE: Final = "candidate"
"""The tag of the new revision until it serves all traffic."""
ENVIRONMENT = pytest.StashKey[Environment]()
CONTEXT = pytest.StashKey[RunContext]()
GATEKEEPER = pytest.StashKey[Gatekeeper]()


class Gates:
    """Asks gates for one step: each verdict goes into the record, and a refusal fails the step."""

    def __init__(self, gates: Gatekeeper, record: StepRecord, clock: Clock, *, point: GatePoint) -> None:
        self._gates = gates
        self._record = record
        self._clock = clock
        self._point = point

    @property
    def pipeline(self) -> str:
        """The pipeline whose gates these are: in a plan the one that is planned."""
        return self._gates.facts.candidate.pipeline

    def check(self, name: str) -> Verdict:
        """Ask the gate and record its verdict; fail the step where it refuses.

        The step's assertions are credited where the gate passed by policy's own rule, not by an override, nor by a rule that
        a rehearsal or a setting put in its place. A gate that policy has no
        rule for ends the step as not applicable. In a plan one that time or signatures will lift ends it as still needed:
        that is what a plan is for.

        Args:
            name: one of the gates of docs/reference.md, e.g. `window`.

        Returns:
            The verdict, passed.
        """
        __tracebackhide__ = True
        if name not in self._gates.names:
            self._record.expect({"verdict": "passed"}, {"gate": name, "verdict": "not-applicable"})
            self._record.not_applicable("not asked in this pipeline")
        verdict = self._gates.check(name, self._clock.now())
        append_verdict(self._record, verdict.event(self._point))
        self._record.expect(
            {"verdict": "passed"},
            {
                "gate": name,
                "verdict": verdict.result,
                "still_needed": verdict.still_needed or None,
                "reason": verdict.reason,
            },
        )
        if verdict.result == "not-applicable":
            self._record.not_applicable(verdict.reason)
        if verdict.result == "still-needed" and self._point == "plan":
            self._record.still_needed(verdict.sentence)
        if verdict.blocks:
            pytest.fail(f"{name}: {verdict.sentence}", pytrace=False)
        if verdict.by_its_rule and not self._gates.replaced(name):
            self._record.verified()
        return verdict


@pytest.fixture(scope="session")
def environment(pytestconfig: pytest.Config) -> Iterator[Environment]:
    """This process's hold on the environment; the other fixtures are its parts."""
    process_environment = pytestconfig.stash[ENVIRONMENT]
    yield process_environment
    if hasattr(pytestconfig, "workerinput"):
        process_environment.close()


@pytest.fixture(scope="session")
def policy(environment: Environment) -> Policy:
    """The environment's policy, resolved and frozen."""
    return environment.policy


@pytest.fixture(scope="session")
def platform(environment: Environment) -> Platform:
    """The environment's platform: `.runtime` (Cloud Run), `.artefacts`, `.database` (how to reach it)."""
    return environment.platform


@pytest.fixture(scope="session")
def database(environment: Environment) -> Database:
    """A client of the environment's database, as its owner."""
    return Database(environment.platform.database)


@pytest.fixture(scope="session")
def migrations(environment: Environment) -> Migrations:
    """The environment's migrations: `.files()`, `.pending()`, `.findings()`, `.trial()`, `.apply(...)`, `.schema()`, `.back_up(...)`."""
    return Migrations.of(environment)


@pytest.fixture(scope="session")
def clock(environment: Environment) -> Clock:
    """The clock that gates and expiry go by; in a rehearsal it may be shifted."""
    return environment.clock


@pytest.fixture(scope="session")
def secrets(environment: Environment) -> Secrets:
    """The environment's secrets by name; their values are cut from every report."""
    return environment.secrets


@pytest.fixture
def record(request: pytest.FixtureRequest) -> StepRecord:
    """What this step says of itself: `.expect(expected, actual)`, `.answered(label, seconds)`, `.attach(...)`, `.event(...)`."""
    running: StepRecord = request.node.stash[RECORD]
    return running


@pytest.fixture
def release(environment: Environment, record: StepRecord, baseline: Baseline | None) -> Release:
    """The release that is expected to answer: the run's own; where a run deploys none, the one that serves; in a rollback the earlier one."""
    if record.step.phase == "rollback":
        if baseline is None or baseline.release is None:
            pytest.fail(
                "no release was here before this run, as far as its request says: nothing can answer as it",
                pytrace=False,
            )
        return baseline.release
    return live.expected(record.events(), environment.workspace.run_folder(environment.run), environment.platform)


@pytest.fixture
def baseline(record: StepRecord) -> Baseline | None:
    """What a rollback of this run returns to: the environment before the first change, or what was asked for by hand; None without a request."""
    return baseline_of(record.events())


@pytest.fixture
def stated(environment: Environment, record: StepRecord, baseline: Baseline | None) -> Baseline | None:
    """The environment before the first change, as the run's request states it; None where the run made no request."""
    if record.pipeline != rollback_request.PIPELINE:
        return baseline
    made = stored_request(environment.workspace.store, environment.run, record.events())
    return rollback_request.serving_of(made)


@pytest.fixture
def rollback(environment: Environment, record: StepRecord) -> RollbackExecutor:
    """What carries the acts of a rollback out, each recorded when it is done."""
    return RollbackExecutor(environment, record.event, record.events())


@pytest.fixture
def infrastructure(environment: Environment, record: StepRecord) -> InfrastructureUpdate | NoInfrastructure:
    """The update of the stack that the run's request names: `.changes`, `.apply()`; where there is none, a `NoInfrastructure` with the reason."""
    stack = environment.platform.infrastructure
    if isinstance(stack, NoInfrastructure):
        return stack
    return approved_update(environment, record.events())


@pytest.fixture
def gates(environment: Environment, record: StepRecord, pytestconfig: pytest.Config) -> Gates:
    """The gates of the environment's policy: `.check(name)` asks one, records its verdict, fails where it refuses."""
    context = pytestconfig.stash[CONTEXT]
    if GATEKEEPER not in pytestconfig.stash:  # their facts are gathered once a process, after the build
        asked = Gatekeeper(environment, of_run(environment, context, record.events()))
        if context.request:
            with suppress(DeployError, OSError):  # what cannot be had blocks at the gate that needs it
                asked.count_signatures(actor=PIPELINE_ACTOR)
        pytestconfig.stash[GATEKEEPER] = asked
    bound = pytestconfig.stash[GATEKEEPER]
    point: GatePoint = "plan" if context.pipeline == "plan" else "lease"
    return Gates(bound, record, environment.clock, point=point)


@pytest.fixture
def service(environment: Environment, record: StepRecord) -> Iterator[Service]:
    """An HTTP client of the address that serves users, in smoke of the new revision's own; the record keeps how long each call took.

    Smoke asks where no user is sent yet; where nothing was deployed (the smoke pipeline) it asks what serves.
    """
    platform = environment.platform
    state = platform.runtime.state()
    tagged = [share.url for share in state.shares if share.tag == CANDIDATE]
    url = tagged[0] if tagged and record.step.phase == "smoke" else state.url
    client = Service(url, on_call=record.answered, admission=platform.admission)
    yield client
    client.close()
