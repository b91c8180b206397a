"""The straightforward way: every event of a log read, every question asked of every run. And a log of given events, to ask."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from pytest_deploy.history.runs import Fact, Row, RunQuery, facts
from pytest_deploy.record.clock import stamp
from pytest_deploy.record.event import Event
from pytest_deploy.record.key import FileSigner
from pytest_deploy.record.run_id import NO_RUN
from pytest_deploy.traceability.register import covers
from tests.scale.generated_record import Writer
from tests.unit.record.sample_record import HandClock, open_log


def scan(events: Sequence[Event], query: RunQuery) -> list[Row]:
    """The runs asked for, newest first."""
    of: dict[str, list[Event]] = {}
    for event in events:
        if event.run != NO_RUN:
            of.setdefault(event.run, []).append(event)
    found = []
    for mine in of.values():
        row = Row.of(mine)
        if row.began and accepts(query, row, [fact for event in mine for fact in facts(event)]):
            found.append(row)
    found.reverse()  # of those that began at once, the one named later in the log comes first
    return sorted(found, key=lambda row: row.began, reverse=True)


def accepts(query: RunQuery, row: Row, facts: Iterable[Fact]) -> bool:
    """Whether a run is one that is asked for: what the index says in SQL, said again in Python."""
    over = row.ended or ("" if row.opened else row.newest)
    signers, migrations, verified, failed = (
        {fact.value for fact in facts if fact.kind == kind} for kind in ("signer", "migration", "verified", "failed")
    )
    return (
        (not over or query.since <= over)
        and (not query.until or row.began < query.until)
        and row.commit.startswith(query.commit)
        and row.digest.startswith(query.digest)
        and query.version in {"", row.version}
        and query.deployer.casefold() in row.deployer.casefold()
        and (not query.outcomes or row.outcome in query.outcomes)
        and (not query.pipelines or row.pipeline in query.pipelines)
        and (not query.approver or any(query.approver.casefold() in signer for signer in signers))
        and (not query.unreviewed or bool(row.ended and row.outcome != "abandoned" and not row.reviews))
        and (not query.migration or query.migration in migrations)
        and (not query.requirement or any(covers(query.requirement, name) for name in verified | failed))
    )


def write_log(home: Path, events: Iterable[Event]) -> Path:
    """A store whose log holds these events after its first, legal or not; their positions and hashes become the log's."""
    open_log(home, HandClock())
    store = home / "reports" / "local"
    writer = Writer(store, FileSigner.open(home / "keys" / "local.pem"))
    for event in events:
        writer.write(event.type, dict(event.data), event.run, stamp(event.time))
    return store
