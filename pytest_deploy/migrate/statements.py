"""Where statements begin, and what kind they are; never what they mean.

The server parses SQL (nothing here executes on this module's word). This scan only finds, *before* a server is asked,
what can be pointed at with a line: statements that end or open a transaction, statements that cannot run inside one,
and sections that hold no statement at all. It knows strings, quoted names, dollar quotes, nested comments and the
`BEGIN ATOMIC … END` body of SQL-standard functions.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Final

_TOKEN: Final = re.compile(
    r"""
    (?P<comment>--[^\n]*)
  | (?P<block>/\*)
  | (?P<escaped>\b[eE]'[^'\\]*(?:(?:\\.|'')[^'\\]*)*')
  | (?P<text>'[^']*(?:''[^']*)*')
  | (?P<quoted>"[^"]*(?:""[^"]*)*")
  | (?P<dollar>(?<![\w$])\$(?P<tag>[^\W\d]\w*)?\$)
  | (?P<end>;)
  | (?P<word>[^\W\d][\w$.]*)
  | (?P<space>\s+)
  | (?P<other>[^A-Za-z_'"$;/\\\x80-\U0010ffff-]+|.)  # a run of what opens none of these, for speed
    """,
    re.VERBOSE | re.DOTALL,
)
_BLOCK_EDGE: Final = re.compile(r"/\*|\*/")

_TRANSACTION: Final = frozenset({"BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE", "ABORT", "END"})
_TRANSACTION_PAIRS: Final = frozenset({("START", "TRANSACTION"), ("PREPARE", "TRANSACTION")})
_OUTSIDE_PAIRS: Final = frozenset(
    {("ALTER", "SYSTEM"), ("CREATE", "DATABASE"), ("DROP", "DATABASE"), ("CREATE", "TABLESPACE")}
)
_OF_THE_SERVER: Final = frozenset(
    {"ROLE", "USER", "GROUP", "DATABASE", "TABLESPACE", "SUBSCRIPTION", "SYSTEM", "PARAMETER"}
)
"""Kinds of what belongs to no single database, or works beyond it."""
_OURS: Final = (
    *("lock_timeout", "client_connection_check_interval", "deploy.", "session_authorization"),
    "session_replication_role",  # as a replica no trigger fires: neither the ledger's nor the service's audit trail
)
_LEADING_WORDS: Final = 12


@dataclass(frozen=True, slots=True)
class Statement:
    line: int
    """1-based, within the section, of its first word."""
    start: int
    """0-based index of its first character in the section."""
    words: tuple[str, ...]
    """Its bare words, in capitals, as far as kinds are told apart (12 at the most)."""

    @property
    def _first(self) -> str:
        return self.words[0] if self.words else ""

    def controls_transaction(self) -> bool:
        """Whether it opens, ends or marks a transaction, which is the runner's business."""
        return self._first in _TRANSACTION or self.words[:2] in _TRANSACTION_PAIRS

    def needs_no_transaction(self) -> bool:
        """Whether PostgreSQL refuses to run it inside a transaction."""
        concurrent = "CONCURRENTLY" in self.words and (
            self._first == "REINDEX" or "INDEX" in self.words[:3] or "DETACH" in self.words
        )
        return concurrent or self._first == "VACUUM" or self.words[:2] in _OUTSIDE_PAIRS

    def changes_server(self) -> bool:
        """Whether its words say that it changes what belongs to the server: roles, memberships, databases, its configuration."""
        if self._first in {"CREATE", "ALTER", "DROP"}:
            return self.words[1:2] != () and self.words[1] in _OF_THE_SERVER and self.words[1:3] != ("USER", "MAPPING")
        if self._first in {"GRANT", "REVOKE", "COMMENT", "SECURITY"} and "ON" in self.words:
            at = self.words.index("ON") + 1
            return not _OF_THE_SERVER.isdisjoint(self.words[at : at + 1])
        return (self._first == "GRANT" and "TO" in self.words) or (self._first == "REVOKE" and "FROM" in self.words)

    def reads_client_input(self) -> bool:
        """Whether it wants rows from the client's input, of which a migration has none."""
        return self._first == "COPY" and "FROM" in self.words and "STDIN" in self.words

    def is_client_command(self) -> bool:
        r"""Whether it is psql's own (`\connect`), not SQL."""
        return self._first == "\\"

    def disarms(self) -> str:
        """The session setting of the runner that it would change, or an empty string."""
        names = [word.lower() for word in self.words[1:3]] if self._first in {"SET", "RESET"} else []
        return next((name for name in names if name.startswith(_OURS) or name == "all"), "")

    def touches_ledger(self) -> bool:
        """Whether it names something of the runner's own schema, which no snapshot shows: its history is append-only."""
        schema = "DEPLOY" in self.words[2:] and self.words[1] == "SCHEMA"  # DROP SCHEMA IF EXISTS deploy
        named = any(word.startswith("DEPLOY.") for word in self.words[1:])
        return self._first not in {"SET", "RESET"} and (schema or named)


def _block_end(sql: str, start: int) -> int:
    """The index after the block comment that opens at `start`; such comments nest."""
    depth, at = 1, start + 2
    while depth:
        edge = _BLOCK_EDGE.search(sql, at)
        if edge is None:
            return len(sql)
        depth += 1 if edge.group() == "/*" else -1
        at = edge.end()
    return at


def _spans(sql: str) -> Iterator[tuple[str, int, int]]:
    """Kind, begin and end of each token, comments and spaces too."""
    at = 0
    while at < len(sql):
        match = _TOKEN.match(sql, at)
        if match is None:  # pragma: no cover - the last alternative takes any character
            raise AssertionError(f"no token at {at}")
        begin, at = match.start(), match.end()
        if match["block"]:
            at = _block_end(sql, begin)
        elif match["dollar"]:
            close = sql.find(match["dollar"], at)
            at = len(sql) if close < 0 else close + len(match["dollar"])
        yield match.lastgroup or "", begin, at


def _tokens(sql: str) -> Iterator[tuple[str, str, int]]:
    """Kind, text and index of each token that is not a comment or a space."""
    for kind, begin, end in _spans(sql):
        if kind == "dollar":
            yield "literal", "", begin
        elif kind not in {"comment", "block", "space"}:
            yield kind, sql[begin:end], begin


_HOLDING: Final = {
    "block": "a comment",
    "escaped": "a string",
    "text": "a string",
    "quoted": "a quoted name",
    "dollar": "a dollar-quoted text",
}


def holders(sql: str, places: Collection[int]) -> dict[int, tuple[str, int]]:
    """What holds each of these characters that is inside of something, in words, and the line, from 1, where that begins."""
    found: dict[int, tuple[str, int]] = {}
    last = max(places, default=0)
    for kind, begin, end in _spans(sql):
        if begin >= last:
            break
        for place in places if kind in _HOLDING else ():
            if begin < place < end:
                found[place] = _HOLDING[kind], sql.count("\n", 0, begin) + 1
    return found


def statements(sql: str) -> tuple[Statement, ...]:
    """The statements of a section, in order; comments and empty statements are none."""
    complete: list[Statement] = []
    shared: dict[tuple[str, ...], tuple[str, ...]] = {}  # thousands of INSERTs share the words they begin with
    words: list[str] = []
    start: int | None = None
    depth = 0
    previous = ""
    line, counted = 1, 0
    for kind, part, at in chain(_tokens(sql), [("the end", "", len(sql))]):
        if kind == "the end" or (kind == "end" and not depth):
            if start is not None:
                line, counted = line + sql.count("\n", counted, start), start
                begin = tuple(words)
                complete.append(Statement(line, start, shared.setdefault(begin, begin)))
            words, start, previous = [], None, ""
            continue
        if start is None:
            start = at
        word = part.upper() if kind == "word" or part == "\\" else ""
        if word and len(words) < _LEADING_WORDS:
            words.append(word)
        elif kind == "quoted" and words[:1] in (["SET"], ["RESET"]):
            words.append(part.strip('"').upper())  # SET "lock_timeout" is SET lock_timeout
        if word == "ATOMIC" and previous == "BEGIN":
            depth = 1
        elif depth:
            depth += (word == "CASE") - (word == "END")
        previous = word
    return tuple(complete)


def is_terminated(sql: str) -> bool:
    """Whether its last statement ends with a semicolon."""
    last = ""
    for kind, _, _ in _tokens(sql):
        last = kind
    return last == "end"
