"""A value that a file of the repository tells, or that a person has to say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Generic, TypeVar

T = TypeVar("T")

TO_BE_SAID: Final = "to be said:"
"""Begins the comment beside a value that nothing told; doctor finds it again."""


@dataclass(frozen=True)
class Told(Generic[T]):
    """A value, and who told it."""

    value: T
    by: str = ""
    """The file that tells it; empty where nothing did."""
    asks: str = ""
    """What a person has to say in its place, where nothing told it."""

    @property
    def comment(self) -> str:
        """What stands beside it in deploy.yaml."""
        return f"{TO_BE_SAID} {self.asks}" if self.asks else f"from {self.by}"
