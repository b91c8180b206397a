"""What is asked of the history: a predicate of a row and its facts. The index only finds faster what this accepts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from pytest_deploy.history.row import Fact, Row

PREFIX: Final = "sha256:"


@dataclass(frozen=True)
class Asked:
    """Which runs; an empty field asks for nothing."""

    since: str = ""
    """A stamp: runs that were not over before it."""
    until: str = ""
    """A stamp: runs whose first event is before it. What ran across either end is within: no range misses it."""
    commit: str = ""
    """The beginning of a commit, lower case."""
    digest: str = ""
    """The beginning of an artefact's digest, with `sha256:`."""
    version: str = ""
    deployer: str = ""
    """Part of who deployed."""
    approver: str = ""
    """Part of who signed, by address or printed name: an approval, an override, a sign-off, an acceptance, an amendment."""
    outcomes: tuple[str, ...] = ()
    pipelines: tuple[str, ...] = ()
    migration: str = ""
    requirement: str = ""
    """A requirement, or one assertion of it: REQ-o00043 covers REQ-o00043-K."""

    def accepts(self, row: Row, facts: Iterable[Fact]) -> bool:
        """Whether the run is one that was asked for."""
        return self._accepts_row(row) and all(
            any(fact.kind == kind and self.fits(fact) for fact in facts) for kind in self.kinds
        )

    def _accepts_row(self, row: Row) -> bool:
        return (
            (not row.over or self.since <= row.over)
            and (not self.until or row.began < self.until)
            and row.commit.startswith(self.commit)
            and row.digest.startswith(self.digest)
            and self.version in {"", row.version}
            and self.deployer.casefold() in row.deployer.casefold()
            and (not self.outcomes or row.outcome in self.outcomes)
            and (not self.pipelines or row.pipeline in self.pipelines)
        )

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of facts that are asked for."""
        wanted = {"signer": self.approver, "migration": self.migration, "requirement": self.requirement}
        return tuple(kind for kind, value in wanted.items() if value)

    def fits(self, fact: Fact) -> bool:
        """Whether a fact, of a kind that is asked for, is the one."""
        match fact.kind:
            case "signer":
                return self.approver.casefold() in fact.value
            case "migration":
                return fact.value == self.migration
            case "requirement":
                return fact.value == self.requirement or fact.value.startswith(f"{self.requirement}-")
            case _:
                return False
