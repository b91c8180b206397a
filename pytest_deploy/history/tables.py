"""The index's tables, and a question as a condition over them."""

from __future__ import annotations

from typing import Any, Final

from pytest_deploy.history.query import Asked

VERSION: Final = 3
"""Of the tables and of what they are filled with: another version is built anew."""

TABLES: Final = """
CREATE TABLE state (version INTEGER, origin TEXT, size INTEGER, root TEXT, head TEXT);
CREATE TABLE runs (
    id INTEGER PRIMARY KEY, run TEXT UNIQUE, began TEXT, opened TEXT, ended TEXT, outcome TEXT, pipeline TEXT,
    commit_id TEXT, digest TEXT, version TEXT, deployer TEXT, body TEXT
);
CREATE INDEX runs_began ON runs (began, opened, ended);
CREATE INDEX runs_commit ON runs (commit_id);
CREATE INDEX runs_digest ON runs (digest);
CREATE INDEX runs_version ON runs (version);
CREATE TABLE events (seq INTEGER PRIMARY KEY, run INTEGER, type TEXT, time TEXT, prev BLOB);
CREATE INDEX events_run ON events (run);
CREATE INDEX events_moved ON events (seq, time) WHERE type = 'traffic.moved';
CREATE INDEX events_anchor ON events (seq) WHERE type = 'anchor.made';
CREATE TABLE facts (kind TEXT, value TEXT, run INTEGER, seq INTEGER);
CREATE INDEX facts_value ON facts (kind, value, run);
CREATE INDEX facts_run ON facts (run);
"""

_OVER: Final = "CASE WHEN ended != '' THEN ended WHEN opened != '' THEN '~' ELSE began END"
"""`Row.over`, with what comes after every stamp for a run that goes on."""
_FACTS: Final = {
    "signer": "id IN (SELECT run FROM facts WHERE kind = 'signer' AND instr(value, ?))",
    "migration": "id IN (SELECT run FROM facts WHERE kind = 'migration' AND value = ?)",
    "requirement": "id IN (SELECT run FROM facts WHERE kind = 'requirement' AND (value = ? OR value >= ? AND value < ?))",
}


def condition(asked: Asked) -> tuple[str, list[Any]]:
    """A condition over `runs`, of constant words, and its parameters."""
    words = ["1"]
    values: list[Any] = []
    for column, prefix in (("commit_id", asked.commit), ("digest", asked.digest)):
        if prefix:
            words.append(f"{column} >= ? AND {column} < ?")
            values += [prefix, _after(prefix)]
    for word, value in (
        (f"{_OVER} >= ?", asked.since),
        ("began < ?", asked.until),
        ("version = ?", asked.version),
        ("instr(deployer, ?)", asked.deployer.casefold()),
    ):
        if value:
            words.append(word)
            values.append(value)
    for column, some in (("outcome", asked.outcomes), ("pipeline", asked.pipelines)):
        if some:
            words.append(f"{column} IN ({', '.join('?' for _ in some)})")
            values += some
    for kind in asked.kinds:
        words.append(_FACTS[kind])
        values += {
            "signer": [asked.approver.casefold()],
            "migration": [asked.migration],
            "requirement": [asked.requirement, f"{asked.requirement}-", f"{asked.requirement}."],
        }[kind]
    return " AND ".join(words), values


def _after(prefix: str) -> str:
    """The least text after every text that begins so."""
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)
