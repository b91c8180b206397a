"""The release's migrations on a scratch database, up and down and up again, before the real one is touched.

REQ-o00044-F. First all of them as the release will run them: one transaction through the engine, all downs back. Then each
by itself: up, down, the schema and the rows as before, up again to the same schema. What holds rows that go with the
down must be declared (`-- deploy:lossy REASON`). All faults are told at once. Who passes gets a result that names the
digests of exactly these files and the schema they started from.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from pytest_deploy.errors import Fault, MigrationFailed, MigrationsRefused
from pytest_deploy.migrate import ledger, sample_rows
from pytest_deploy.migrate.adopted import ADOPT
from pytest_deploy.migrate.apply import BUDGET_S
from pytest_deploy.migrate.batches import require_one_batch
from pytest_deploy.migrate.cluster_effects import ServerChanged
from pytest_deploy.migrate.migration import Migration
from pytest_deploy.migrate.rights import require_rights
from pytest_deploy.migrate.session import connect, rows_of
from pytest_deploy.migrate.snapshot import Catalog, read_catalog
from pytest_deploy.migrate.state import not_restored, read_state
from pytest_deploy.migrate.trial_database import FailedOnInventedRows, TrialDatabase, TrialRequest
from pytest_deploy.migrate.trial_losses import tables_of, taken_for_good
from pytest_deploy.migrate.trial_place import (
    BesideTarget,
    TrialServerUnfit,
    Where,
    choose,
    require_no_named_effects,
)
from pytest_deploy.migrate.trial_result import Trial, TrialStep
from pytest_deploy.workspace import typed_path

_SHOWN_LINES = 12


def run_trial(
    conninfo: str,
    migrations: Sequence[Migration],
    *,
    actor: str,
    seeds: Path | None = None,
    budget_s: float = BUDGET_S,
    several: bool = False,
    where: Where | None = None,
    programs: Path | None = None,
) -> Trial:
    """Try what is pending on a database of its own, like the one of `conninfo`, which is only read.

    `seeds` is a folder of `<version>.sql` with representative rows for the schema of that version; where it has none,
    rows are made up from the columns' types. `several`: whether the release may commit in several batches. `where` is in a server
    of its own, or beside the target; None: a server of its own where this machine has the programs for it. They are looked for in
    the folder `programs` first.

    Raises PlatformUnavailable where there is no such server, and MigrationsRefused with every fault: a migration that fails, a
    way down that fails, does nothing or does not restore schema and rows, a loss that is not declared, a schema that is not
    what the applied migrations make.
    """
    began = time.monotonic()
    # 1. Where the real database stands, and what is pending on it.
    with connect(conninfo) as connection:
        require_rights(connection)
        history = ledger.applied(connection)
        target = read_catalog(rows_of(connection))
    pending = ledger.pending(migrations, history)
    if not pending:
        return Trial((), target.sha256, target.sha256, 0.0, time.monotonic() - began, (), within_budget=True)
    require_one_batch(pending, several=several or not history)
    _require_ways_down(pending)
    # 2. Where it is tried: where a server of its own cannot be made like the target's, and policy asks for none, beside it.
    applied = migrations[: len(migrations) - len(pending)]
    place = choose(conninfo, where, programs=programs, applied=applied, pending=pending)
    request = TrialRequest(place, migrations, len(applied), actor, seeds)
    try:
        trial = _try(request, target)
    except TrialServerUnfit as unfit:
        if where is not None:
            raise
        place = BesideTarget(conninfo, unfit.reason)
        trial = _try(replace(request, place=place), target)
    duration_s = time.monotonic() - began
    within_budget = trial.together_s <= budget_s
    return replace(
        trial,
        duration_s=duration_s,
        within_budget=within_budget,
        before=target.sha256,
        where=place.where,
        why=place.why,
    )


def _try(request: TrialRequest, target: Catalog) -> Trial:
    """A trial at one place. What fails on nothing but rows that were made up is tried without them."""
    require_no_named_effects(
        request.place, request.migrations[: request.applied], request.migrations[request.applied :]
    )
    left_out: frozenset[str] = frozenset()
    while True:
        with TrialDatabase.make(request) as database:
            # 3. Bring the database to where the real one stands, with rows.
            _bring_up_to_date(database, target, left_out)
            # 4. All pending ones in one transaction and back, as the release will do it.
            try:
                together_s, after = _try_in_one_transaction(database)
            except FailedOnInventedRows as failed:
                left_out |= failed.tables
                continue
            # 5. Each by itself: up, down, up again; those before the one that took no rows do have some.
            if left_out:
                database.fill()
            steps, empty = _try_each(database, after)
            without_rows = {*empty, *(table for step in steps for table in step.without_rows)}
            return Trial(
                steps=steps,
                before=target.sha256,
                after=after.sha256,
                together_s=together_s,
                duration_s=0.0,
                without_rows=tuple(sorted(without_rows)),
                within_budget=True,
            )


def _require_ways_down(pending: Sequence[Migration]) -> None:
    """REQ-o00044-E, -S: also what was adopted needs its way down where it is to be applied anew."""
    problem = "it was adopted without a way down, and this database does not have it: a deployment could not be undone"
    remedy = f"bring the database there by the tool it was applied with, then `{ADOPT}`"
    faults = [_fault(migration, problem, remedy) for migration in pending if not migration.reversible]
    if faults:
        raise MigrationsRefused("trial", faults)


def require_seeds(seeds: Path, migrations: Sequence[Migration]) -> None:
    """The author's rows are there, each file for a version of the whole folder of migrations. Raises MigrationsRefused."""
    versions = {migration.version for migration in migrations}
    faults = [
        Fault(str(file), None, "", "there is no migration of this version", "name it by one that is, e.g. 0001.sql")
        for file in sorted(seeds.glob("*.sql"))
        if file.stem not in versions
    ]
    if not seeds.is_dir():
        problem, remedy = "there is no such folder", "name the folder of representative rows, or none: database.seeds"
        faults.append(Fault(str(seeds), None, "", problem, remedy))
    if faults:
        raise MigrationsRefused("representative rows", faults)


def _bring_up_to_date(database: TrialDatabase, target: Catalog, left_out: frozenset[str]) -> None:
    """The database at the target's version, with rows but in some tables. REQ-o00044-D: refuses a target that has drifted."""
    database.reach(database.applied)
    if drift := _difference(database.catalog(), target, "made by the migrations", "found in the database"):
        problem = f"the database's schema is not what its {database.applied} migrations make:\n{drift}"
        remedy = "write the difference as a migration, or undo it"
        raise MigrationsRefused("trial", [Fault("database", None, "", problem, remedy)])
    database.fill(left_out)


def _try_in_one_transaction(database: TrialDatabase) -> tuple[float, Catalog]:
    """All ups in one transaction and all downs in one, as the release will do it; seconds of the ups, and the schema."""
    pending = database.migrations[database.applied :]
    before, rows_before, state_before = database.catalog(), database.rows(), read_state(database.connection)
    try:
        up_s = database.up(len(database.migrations))
        after, state_after = database.catalog(), read_state(database.connection)
        database.down(database.applied)
    except FailedOnInventedRows:
        raise
    except ServerChanged as error:
        _try_each_anew(database, None)  # which of them it is
        raise MigrationsRefused("trial", [_fault_of(error, pending)]) from None
    except MigrationFailed as error:
        raise MigrationsRefused("trial", [_fault_of(error, pending)]) from None
    # The way back: schema and rows as before, unless a loss is declared.
    faults = []
    lossy = any(migration.lossy for migration in pending)
    if changed := _difference(before, database.catalog(), "before", "after the ways down"):
        faults.append(_not_restored(pending[-1], changed))
    left = not_restored(state_before, read_state(database.connection), lossy=lossy, between=(state_after, state_after))
    faults.extend(_left(pending[-1], left))
    if not lossy:
        faults.extend(_losses(pending[-1], (), sample_rows.missing_rows(rows_before, database.rows())))
    if faults and len(pending) > 1:
        # One by one it shows which of them it is, on a new database: this one is no longer as it was.
        _try_each_anew(database, after)
    if faults:
        raise MigrationsRefused("trial", faults)
    return up_s, after


def _try_each_anew(database: TrialDatabase, end: Catalog | None) -> None:
    with database.another() as fresh:
        fresh.reach(fresh.applied)
        fresh.fill()
        _try_each(fresh, end)


def _try_each(database: TrialDatabase, end: Catalog | None) -> tuple[tuple[TrialStep, ...], tuple[str, ...]]:
    """Each migration up, down and up again on top of those before it; they must reach the schema `end`, where that is known.

    Returns the steps, and the tables that hold no row at the end.
    """
    faults: list[Fault] = []
    steps: list[TrialStep] = []
    pending = database.migrations[database.applied :]
    with ExitStack() as databases:
        for number, migration in enumerate(pending, database.applied + 1):
            left_out: frozenset[str] = frozenset()
            while True:
                try:
                    step, new_faults = _try_step(database, number)
                    break
                except FailedOnInventedRows as failed:  # this one is tried again without them; the others have them
                    left_out |= failed.tables
                    databases.close()
                    database = databases.enter_context(database.another())
                    database.reach(number - 1)
                    database.fill(left_out)
            faults.extend(new_faults)
            steps.append(replace(step, without_rows=tuple(sorted(left_out))))
            if new_faults:  # what follows is tried on a database of its own: this one is not what it should be
                databases.close()
                database = databases.enter_context(database.another())
                try:
                    database.reach(number)
                except (MigrationFailed, MigrationsRefused):  # what is wrong with it is told already
                    raise MigrationsRefused("trial", faults) from None
            database.seed(migration.version)
        if not faults and end is not None and database.catalog() != end:
            problem = "one by one the migrations give another schema than in one transaction"
            faults.append(_fault(pending[-1], problem, "make them independent of the transaction they run in"))
        if faults:
            raise MigrationsRefused("trial", faults)
        return tuple(steps), sample_rows.without_rows(database.connection)


def _try_step(database: TrialDatabase, number: int) -> tuple[TrialStep, list[Fault]]:
    """Up, down, compare, up: the times and losses of one migration, the `number`th, and what is wrong with it."""
    migration = database.migrations[number - 1]
    step = TrialStep(migration.version, migration.sha256, 0.0, 0.0, ())
    # 1. Up, with rows in what is new, and down.
    before, rows_before, state_before = database.catalog(), database.rows(), read_state(database.connection)
    try:
        up_s = database.up(number)
        after, state_after = database.catalog(), read_state(database.connection)
        rows_made = sample_rows.minus(database.rows(), rows_before)
        database.seed(migration.version)
        rows_written = sample_rows.minus(database.rows(), rows_made)
        lost_if_sparse = database.losses_of_sparse_rows(number - 1)
        state_seeded = read_state(database.connection)
        began = time.monotonic()
        tables = tables_of(database.connection)
        back = database.down(number - 1)
    except FailedOnInventedRows:
        raise
    except MigrationFailed as error:
        return step, [_fault_of(error, [migration])]
    gone = tables.gone_in(tables_of(database.connection))
    step = replace(step, up_s=up_s, down_s=time.monotonic() - began, schema=after.sha256)
    # 2. The schema and the rows are as before.
    rows_back = database.rows()
    not_back = sample_rows.missing_rows(rows_before, rows_back)
    taken = tuple(saved.described() for saved in back[0].lost)
    if changed := _difference(before, database.catalog(), "before", "after its way down"):
        return step, [_not_restored(migration, changed), *_losses(migration, taken, not_back)]
    between, state = (state_after, state_seeded), read_state(database.connection)
    faults = list(
        _left(migration, not_restored(state_before, state, lossy=migration.lossy is not None, between=between))
    )
    # 3. Up again gives the same schema.
    try:
        database.up(number)
    except MigrationFailed as error:
        return step, [*faults, *_losses(migration, taken, not_back), _fault_of(error, [migration])]
    # 4. Rows written since the first up that the down took and no up brings back.
    lost = taken_for_good(migration.down, back[0].lost, lost_if_sparse, (rows_written, rows_back, database.rows()))
    lost += tuple(
        f"{table}, which held no row here" for table in gone if table not in {one.table for one in back[0].lost}
    )
    step = replace(step, lost=lost)
    faults.extend(_losses(migration, lost, not_back))
    if again := _difference(after, database.catalog(), "the first time up", "the second time up"):
        problem = f"up, down and up again gives another schema:\n{again}\n   "
        faults.append(_fault(migration, problem, "make up and down each other's reverse"))
    return step, faults


def _difference(first: Catalog, second: Catalog, name: str, other_name: str) -> str:
    """The first lines in which two schemas differ; empty where they do not."""
    changed = (line for line in first.diff(second, name, other_name) if not line.startswith("@@"))
    lines = ["    " + line.rstrip("\n") for line in changed]
    rest = len(lines) - _SHOWN_LINES
    return "\n".join(lines[:_SHOWN_LINES] + ([f"    and {rest} lines more"] if rest > 0 else []))


def _fault(migration: Migration, problem: str, remedy: str) -> Fault:
    return Fault(typed_path(migration.down.path), migration.down.line, "", problem, remedy)


def _fault_of(error: MigrationFailed, pending: Sequence[Migration]) -> Fault:
    migration = next((failed for failed in pending if failed.version == error.failed), pending[-1])
    return Fault(
        typed_path(migration.path), None, migration.version, str(error), "mend it before it meets the real database"
    )


def _not_restored(migration: Migration, changed: str) -> Fault:
    problem = f"the way down does not restore the schema:\n{changed}\n   "
    return _fault(migration, problem, "let the down undo all that the up does")


def _left(migration: Migration, lines: Iterable[str]) -> Iterator[Fault]:
    if changed := "\n".join(f"    {line}" for line in lines):
        problem = f"the way down does not restore the state of the database:\n{changed}\n   "
        yield _fault(migration, problem, "let the down give back what the up changed of it")


def _losses(migration: Migration, lost: Sequence[str], missing_rows: dict[str, int]) -> Iterator[Fault]:
    """The faults of losses that the migration does not declare."""
    if migration.lossy:
        return
    remedy = "write `-- deploy:lossy REASON`, or keep the rows"
    if lost:
        yield _fault(migration, f"the way down takes rows with it: {'; '.join(lost)}", remedy)
    if missing_rows:
        shown = ", ".join(f"{count} of {table}" for table, count in sorted(missing_rows.items()))
        yield _fault(migration, f"up and down do not give back the rows that were there: {shown}", remedy)
