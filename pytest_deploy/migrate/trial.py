"""The release's migrations on a scratch database, up and down and up again, before the real one is touched.

REQ-o00044-F. First all of them as the release will run them: one transaction through the engine, all downs back. Then each
by itself: up, down, the schema and the rows as before, up again to the same schema. What holds rows that go with the
down must be declared (`-- deploy:lossy REASON`). All faults are told at once. Who passes gets a result bound to the
digests of exactly these files and to the schema they started from.
"""

from __future__ import annotations

import difflib
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_deploy.errors import Fault, MigrationFailed, MigrationsRefused
from pytest_deploy.migrate import ledger, rows
from pytest_deploy.migrate.apply import BUDGET_S, alone, apply
from pytest_deploy.migrate.catalog import Catalog, read_catalog
from pytest_deploy.migrate.migration import Migration
from pytest_deploy.migrate.rollback import RolledBack, roll_back
from pytest_deploy.migrate.scratch import scratch
from pytest_deploy.migrate.session import connect, plain, rows_of

if TYPE_CHECKING:
    from collections import Counter

    import psycopg

_SHOWN_LINES = 12


@dataclass(frozen=True)
class StepRehearsal:
    """What one migration did on the scratch database."""

    version: str
    sha256: str
    """Of the file."""
    up_s: float
    down_s: float
    lost: tuple[str, ...]
    """Tables and columns whose rows go with the down, declared."""


@dataclass(frozen=True)
class Rehearsal:
    """A rehearsal that passed. It speaks for these files from this schema, and for nothing else."""

    steps: tuple[StepRehearsal, ...]
    before: str
    """SHA-256 of the catalog text that it started from."""
    after: str
    """SHA-256 of the catalog text after all ups: `apply` commits no other."""
    together_s: float
    """All ups in one transaction, in seconds, on the scratch database's rows."""
    duration_s: float
    """The whole rehearsal."""
    without_rows: tuple[str, ...]
    """Tables that took no representative row: nothing is known about their rows."""
    within_budget: bool
    """Whether all ups together took no longer than the budget. REQ-o00044-T."""

    def speaks_for(self, migrations: Sequence[Migration], before: str) -> bool:
        """Whether exactly these files were rehearsed, in this order, from the schema with this catalog digest."""
        files = [(migration.version, migration.sha256) for migration in migrations]
        return before == self.before and files == [(step.version, step.sha256) for step in self.steps]

    def to_json(self) -> str:
        """For keeping; `from_json` gives it back."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Rehearsal:
        """What was kept. Raises MigrationsRefused where it is something else."""
        try:
            kept = json.loads(text)
            steps = tuple(StepRehearsal(**{**step, "lost": tuple(step["lost"])}) for step in kept["steps"])
            return cls(**{**kept, "steps": steps, "without_rows": tuple(kept["without_rows"])})
        except (ValueError, TypeError, KeyError):
            pass
        fault = Fault("kept rehearsal", None, "", "this is not a rehearsal", "rehearse again")
        raise MigrationsRefused("rehearsal", [fault])


class _Stage:
    """The scratch database with what is at hand on it."""

    def __init__(
        self, connection: psycopg.Connection[Any], conninfo: str, actor: str, lock_timeout_s: float, seeds: Path | None
    ) -> None:
        self.connection = connection
        self.conninfo = conninfo
        self.actor = actor
        self.lock_timeout_s = lock_timeout_s
        self.seeds = seeds

    def up(self, migrations: Sequence[Migration]) -> float:
        """Apply what is pending of these; seconds."""
        began = time.monotonic()
        apply(self.conninfo, migrations, actor=self.actor, lock_timeout_s=self.lock_timeout_s)
        return time.monotonic() - began

    def down(self, migrations: Sequence[Migration], remain: Sequence[Migration]) -> tuple[RolledBack, ...]:
        """Undo all but `remain`; rows that go are saved as they would be, and then deleted with their folder."""
        with tempfile.TemporaryDirectory(prefix="rehearsal-") as spill:
            return roll_back(
                self.conninfo,
                migrations,
                to=[migration.version for migration in remain],
                actor=self.actor,
                save_into=Path(spill),
                lock_timeout_s=self.lock_timeout_s,
            )

    def catalog(self) -> Catalog:
        """The schema now."""
        return read_catalog(rows_of(self.connection))

    def held(self) -> dict[str, Counter[str]]:
        """All rows now."""
        return rows.held(self.connection)

    def seed(self, version: str | None = None) -> None:
        """The author's rows for this version where there are some, else our own for every table."""
        file = self.seeds / f"{version}.sql" if self.seeds is not None and version is not None else None
        if file is not None and file.is_file():
            _run_seeds(self.connection, file)
        else:
            rows.fill(self.connection)


@contextmanager
def _stage(conninfo: str, actor: str, lock_timeout_s: float, seeds: Path | None) -> Iterator[_Stage]:
    with scratch(conninfo) as place, connect(place, lock_timeout_s=lock_timeout_s, autocommit=True) as connection:
        yield _Stage(connection, place, actor, lock_timeout_s, seeds)


def _run_seeds(connection: psycopg.Connection[Any], file: Path) -> None:
    import psycopg

    try:
        connection.execute(file.read_bytes())
    except psycopg.Error as error:
        said = plain(error)
    else:
        return
    fault = Fault(str(file), None, "", f"the representative rows do not go in: {said}", "mend them")
    raise MigrationsRefused("representative rows", [fault])


def rehearse(
    conninfo: str,
    migrations: Sequence[Migration],
    *,
    actor: str,
    seeds: Path | None = None,
    lock_timeout_s: float = 5.0,
    budget_s: float = BUDGET_S,
) -> Rehearsal:
    """Rehearse what is pending on the database of `conninfo`, which is only read.

    `seeds` is a folder of `<version>.sql` with representative rows for the schema of that version; where it has none,
    rows are made up from the columns' types.

    Raises MigrationsRefused with every fault: a migration that fails, a way down that fails, does nothing or does not restore
    schema and rows, a loss that is not declared, a schema that is not what the applied migrations make.
    """
    began = time.monotonic()
    with connect(conninfo, lock_timeout_s=lock_timeout_s) as connection:
        history = ledger.applied(connection)
        target = read_catalog(rows_of(connection))
    todo = ledger.judge(migrations, history)
    if not todo:
        return Rehearsal((), target.sha256, target.sha256, 0.0, time.monotonic() - began, (), within_budget=True)
    alone(todo)
    done = [migration for migration in migrations if migration not in todo]
    with _stage(conninfo, actor, lock_timeout_s, seeds) as stage:
        _reach(stage, done, target)
        together_s, after = _together(stage, done, todo)
        steps = _one_by_one(stage, done, todo, after)
        return Rehearsal(
            steps=steps,
            before=target.sha256,
            after=after.sha256,
            together_s=together_s,
            duration_s=time.monotonic() - began,
            without_rows=rows.without_rows(stage.connection),
            within_budget=together_s <= budget_s,
        )


def _reach(stage: _Stage, done: Sequence[Migration], target: Catalog) -> None:
    """The scratch database at the target's version, with rows. REQ-o00044-D: refuses a target that has drifted."""
    seeded = [
        number
        for number, migration in enumerate(done, 1)
        if stage.seeds is not None and (stage.seeds / f"{migration.version}.sql").is_file()
    ]
    for number in sorted({*seeded, len(done)} - {0}):
        stage.up(done[:number])
        if number in seeded:
            stage.seed(done[number - 1].version)
    drift = _difference(stage.catalog(), target, "made by the migrations", "found in the database")
    if drift:
        problem = f"the database's schema is not what its {len(done)} migrations make:\n{drift}"
        remedy = "write the difference as a migration, or undo it"
        raise MigrationsRefused("rehearsal", [Fault("database", None, "", problem, remedy)])
    stage.seed()


def _together(stage: _Stage, done: Sequence[Migration], todo: Sequence[Migration]) -> tuple[float, Catalog]:
    """All ups in one transaction and all downs in one, as the release will do it; seconds of the ups, and the schema."""
    before, held = stage.catalog(), stage.held()
    try:
        up_s = stage.up([*done, *todo])
    except MigrationFailed as error:
        raise _refusal([_fault_of(error, todo)]) from None
    after = stage.catalog()
    try:
        stage.down([*done, *todo], done)
    except MigrationFailed as error:
        raise _refusal([_fault_of(error, todo)]) from None
    faults = []
    if changed := _difference(before, stage.catalog(), "before", "after the ways down"):
        faults.append(_not_restored(todo[-1], changed))
    if not any(migration.lossy for migration in todo):
        faults.extend(_losses(todo[-1], (), rows.missing(held, stage.held())))
    if faults and len(todo) == 1:
        raise _refusal(faults)
    if faults:  # one by one it shows which of them it is; the scratch database is no longer as it was
        with _stage(stage.conninfo, stage.actor, stage.lock_timeout_s, stage.seeds) as again:
            if done:
                again.up(done)
            again.seed()
            _one_by_one(again, done, todo, after)
        raise _refusal(faults)
    return up_s, after


def _one_by_one(
    stage: _Stage, done: Sequence[Migration], todo: Sequence[Migration], end: Catalog
) -> tuple[StepRehearsal, ...]:
    faults: list[Fault] = []
    steps: list[StepRehearsal] = []
    with ExitStack() as stages:
        for number, migration in enumerate(todo):
            known = [*done, *todo[:number]]
            step, found = _step(stage, known, migration)
            faults.extend(found)
            if found:  # what follows is tried on a database of its own: this one is not what it should be
                stage = stages.enter_context(_stage(stage.conninfo, stage.actor, stage.lock_timeout_s, stage.seeds))
                try:
                    stage.up([*known, migration])
                except MigrationFailed as error:
                    raise _refusal([*faults, _fault_of(error, todo)]) from None
            stage.seed(migration.version)
            steps.append(step)
        if not faults and stage.catalog() != end:
            problem = "one by one the migrations give another schema than in one transaction"
            faults.append(_fault(todo[-1], problem, "make them independent of the transaction they run in"))
    if faults:
        raise _refusal(faults)
    return tuple(steps)


def _step(stage: _Stage, known: Sequence[Migration], migration: Migration) -> tuple[StepRehearsal, list[Fault]]:
    """Up, down, compare, up: the times and losses of one migration, and what is wrong with it."""
    step = StepRehearsal(migration.version, migration.sha256, 0.0, 0.0, ())
    before, held = stage.catalog(), stage.held()
    try:
        up_s = stage.up([*known, migration])
        after = stage.catalog()
        stage.seed(migration.version)
        began = time.monotonic()
        back = stage.down([*known, migration], known)
    except MigrationFailed as error:
        return step, [_fault_of(error, [migration])]
    down_s = time.monotonic() - began
    lost = tuple(f"{saved.table} ({', '.join(saved.columns)})" for one in back for saved in one.lost)
    step = replace(step, up_s=up_s, down_s=down_s, lost=lost)
    faults = [] if migration.lossy else list(_losses(migration, lost, rows.missing(held, stage.held())))
    if changed := _difference(before, stage.catalog(), "before", "after its way down"):
        return step, [_not_restored(migration, changed), *faults]
    try:
        stage.up([*known, migration])
    except MigrationFailed as error:
        return step, [*faults, _fault_of(error, [migration])]
    if again := _difference(after, stage.catalog(), "the first time up", "the second time up"):
        problem = f"up, down and up again gives another schema:\n{again}\n   "
        faults.append(_fault(migration, problem, "make up and down each other's reverse"))
    return step, faults


def _difference(one: Catalog, other: Catalog, name: str, other_name: str) -> str:
    """The first lines in which two schemas differ; empty where they do not."""
    lines = [
        f"    {line}"
        for line in difflib.unified_diff(
            one.text.splitlines(), other.text.splitlines(), name, other_name, "", "", 0, ""
        )
        if not line.startswith("@@")
    ]
    rest = len(lines) - _SHOWN_LINES
    return "\n".join(lines[:_SHOWN_LINES] + ([f"    and {rest} lines more"] if rest > 0 else []))


def _refusal(faults: Sequence[Fault]) -> MigrationsRefused:
    return MigrationsRefused("rehearsal", tuple(faults))


def _fault(migration: Migration, problem: str, remedy: str) -> Fault:
    section = migration.down_section
    return Fault(str(section.path), section.line, "", problem, remedy)


def _fault_of(error: MigrationFailed, todo: Sequence[Migration]) -> Fault:
    migration = next((one for one in todo if one.version == error.failed), todo[-1])
    return Fault(str(migration.path), None, migration.version, str(error), "mend it before it meets the real database")


def _not_restored(migration: Migration, changed: str) -> Fault:
    problem = f"the way down does not restore the schema:\n{changed}\n   "
    return _fault(migration, problem, "let the down undo all that the up does")


def _losses(migration: Migration, lost: Sequence[str], gone: dict[str, int]) -> Iterator[Fault]:
    remedy = "write `-- deploy:lossy REASON`, or keep the rows"
    if lost:
        yield _fault(migration, f"the way down takes rows with it: {'; '.join(lost)}", remedy)
    if gone:
        shown = ", ".join(f"{count} of {table}" for table, count in sorted(gone.items()))
        yield _fault(migration, f"up and down do not give back the rows that were there: {shown}", remedy)
