"""How the project's own tests are dealt out, and where they write."""

from __future__ import annotations

import os
import random
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.conftest import dealt
from tests.memory import in_memory


def item(name: str, *, story: bool = False, production: bool = False) -> Any:
    path = Path("tests", "stories" if story else "unit", f"test_{name.partition(':')[0]}.py")
    return SimpleNamespace(path=path, nodeid=name, fixturenames=("production",) if production else ())


@pytest.mark.parametrize("workers", [1, 2, 3, 4, 7])
def test_each_item_is_dealt_once_and_in_every_worker_alike(workers: int) -> None:
    chance = random.Random(workers)  # noqa: S311 -- cases, no secrets
    for count in (0, 1, 3, 40, 200):
        items = [
            item(f"{chance.randrange(30)}:{at}", story=chance.random() < 0.3, production=chance.random() < 0.1)
            for at in range(count)
        ]

        order = dealt(items, workers)

        assert sorted(one.nodeid for one in order) == sorted(one.nodeid for one in items)
        assert order == dealt(items, workers)


def test_each_of_two_workers_begins_with_stories_and_one_alone_waits_for_the_production_record() -> None:
    stories = [item(f"s{at}", story=True) for at in range(4)]
    waiting = [item(f"p{at}", story=True, production=True) for at in range(2)]
    short = [item(f"u{at}") for at in range(14)]

    order = dealt([*short, *stories, *waiting], 2)

    first, second = order[:10], order[10:]
    assert [one.nodeid[0] for one in first[:3]] == ["p", "p", "s"]
    assert [one.nodeid[0] for one in second[:3]] == ["s", "s", "s"]
    assert {one.nodeid[0] for one in (*first[3:], *second[3:])} == {"u"}


def test_memory_is_used_where_it_can_be_written_to_and_has_room(tmp_path: Path) -> None:
    assert in_memory(place=tmp_path) == tmp_path
    assert in_memory(place=tmp_path, room=2**60) is None
    assert in_memory(place=tmp_path / "nowhere") is None


@pytest.mark.parametrize("option", ["ro", "noexec"])
def test_memory_that_takes_no_file_or_starts_no_program_is_not_used(tmp_path: Path, option: str) -> None:
    if (
        os.geteuid() != 0
        or subprocess.run(["mount", "-t", "tmpfs", "-o", option, "x", str(tmp_path)], check=False).returncode
    ):
        pytest.skip("mounting needs root")
    try:
        assert in_memory(place=tmp_path) is None
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)
