"""Undoing without steps: from the log and the live state, where pytest can run none, or the record cannot be written."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import psycopg

from pytest_deploy.errors import DeployError, ManualInterventionRequired
from pytest_deploy.migrate.migrations import Migrations
from pytest_deploy.pipeline.outcome import MANUAL_INTERVENTION
from pytest_deploy.pipeline.run import Run
from pytest_deploy.record.event import Event, of_type
from pytest_deploy.record.events import EventContent, RunDecided
from pytest_deploy.release.live import Baseline
from pytest_deploy.rollback.rollback import RollbackExecutor, baseline_of

logger = logging.getLogger(__name__)


def roll_back(run: Run) -> None:
    """Roll back and record each act; how it went is in the log."""
    baseline = run.start_rollback()
    try:
        if baseline is None:
            raise ManualInterventionRequired("the log does not say what the environment was; compare it by hand")
        _undo(run, baseline, run.append, run.events())
    except (DeployError, psycopg.Error, OSError) as error:
        run.finish_rollback("failed", f"{type(error).__name__}: {error}")
    else:
        run.finish_rollback("done")


def abort_unrecorded(run: Run) -> int:
    """Restore the environment although nothing can be recorded; 3 where nothing had been changed, else 20.

    A run that was decided is left as decided: undone now, its record would say that a release serves which does not.
    """
    say, recover = run.observer.line, run.context.workspace.command_line("recover")
    if run.lease is not None:
        run.lease.stop_renewing()
    logger.info("the record cannot be written: %s", run.context.run)
    code = 3
    events = run.log.run_in_memory(run.context.run)
    decided = [content.outcome for _, content in of_type(events, RunDecided)]
    if decided:
        code = MANUAL_INTERVENTION if run.sequence.changed else 3
        say(f"the run was decided before, {decided[-1]}: the environment is left so, its record is incomplete")
        say(f"see to the store, then: `{recover}`")
    elif run.lease is not None and run.lease.lost.is_set():
        code = MANUAL_INTERVENTION
        say(f"the lease was lost ({run.lease.cause}): whoever took it over decides what becomes of the environment")
    elif run.sequence.changed:
        code = MANUAL_INTERVENTION
        try:
            baseline = baseline_of(events)
            if baseline is None:
                raise ManualInterventionRequired("the record does not say what the environment was")
            _undo(run, baseline, lambda content: None, events)
        except (DeployError, psycopg.Error, OSError) as error:
            say(f"the environment was not restored: {error}")
        else:
            say("the environment was restored to what it was; none of that is recorded")
        say(f"see to the store, then: `{recover}`")
    run.environment.close()
    return code


def _undo(
    run: Run, baseline: Baseline, append: Callable[[EventContent], Event | None], events: Sequence[Event]
) -> None:
    """Lead back what this program moved. Raises ManualInterventionRequired where a step of the project's own moved more."""
    environment = run.environment
    RollbackExecutor(environment, append, events).undo(baseline)
    database = environment.policy.database
    if database is None or database.migrations is not None:
        return
    # Their way back is a step, which nothing runs here.
    if Migrations.of(environment).schema().sha256 != baseline.schema_sha256:
        raise ManualInterventionRequired(
            "the schema is not what it was: a step of suites/migration moved it, and its way back in suites/rollback was not run; "
            f"take it back by hand, by what the step kept in the record's runs/{run.context.run}"
        )
