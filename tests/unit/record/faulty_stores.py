"""Stores that misbehave as real ones do. Each implements the production protocol around a real folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from pytest_deploy.errors import StoreUnavailable
from pytest_deploy.record.store import FolderStore


class WatchedStore(FolderStore):
    """Counts what is asked of it, and lets something happen right before an object is created."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.asked: list[str] = []
        self.before_create: Callable[[str], None] = lambda _: None

    def create(self, name: str, data: bytes) -> None:
        self.asked.append("create")
        self.before_create(name)
        super().create(name, data)

    def get(self, name: str) -> bytes:
        self.asked.append("get")
        return super().get(name)

    def names(self, prefix: str) -> Iterator[str]:
        self.asked.append("names")
        return super().names(prefix)


class LossyStore(FolderStore):
    """Stores what it is given; the reply is lost as often as `losses` says. `down`: nothing is stored either."""

    losses = 0
    down = False

    def create(self, name: str, data: bytes) -> None:
        if self.down:
            raise StoreUnavailable("no answer")
        super().create(name, data)
        if self.losses:
            self.losses -= 1
            raise StoreUnavailable("no answer")
