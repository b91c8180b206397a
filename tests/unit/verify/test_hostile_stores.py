"""Whatever somebody lays into a store, both verifiers name it, in bounded time and memory, and neither fails on it."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_deploy.record import log_entry as entries
from pytest_deploy.record import stored_file
from pytest_deploy.record.event import DEEPEST, canonical
from pytest_deploy.record.run_folder import ASIDE
from pytest_deploy.verify import run_files
from pytest_deploy.verify.verify import verify
from tests.unit.verify.altered_record import first, replace
from tests.unit.verify.conftest import Record
from tests.unit.verify.hostile_store import KINDS, MANY, deep_json, many, nested, remove, sparse
from tests.unit.verify.second_verifier import both, second_opinion
from tests.unprivileged import NOBODY, open_folder

pytestmark = pytest.mark.timeout(120)

MEMORY = 1 << 30
"""Bytes that the verifier's process may have: a file of 8 TB does not fit, nor do ten of the largest allowed."""
ROOT = Path(__file__).parents[3]


@pytest.fixture
def hostile(record: Record) -> Iterator[Record]:
    yield record
    remove(record.store)


def places(record: Record) -> dict[str, str]:
    """A name in each folder of a store that nothing lists."""
    trust_set = next(path.name for path in (record.store / "trust").iterdir() if path.is_dir())
    return {
        "log": "log/x",
        "runs": "runs/x",
        "a sealed run": f"runs/{record.first}/x",
        "a folder of a sealed run": f"runs/{record.first}/allure-results/x",
        "trust": "trust/x",
        "a trust set": f"trust/{trust_set}/x",
        "signoffs": "signoffs/x",
        "a run's sign-offs": f"signoffs/{record.first}/x.json",
        "anchors": "anchors/00000003.checkpoint",
        "timestamps": "anchors/00000003.tsr",
    }


PLACES = (
    *("log", "runs", "a sealed run", "a folder of a sealed run", "trust", "a trust set"),
    *("signoffs", "a run's sign-offs", "anchors", "timestamps"),
)
CASES = [(kind, place) for kind in KINDS for place in PLACES]
NESTED = "1,500 folders in one another"
SAMPLE = {(kind, PLACES[number % len(PLACES)]) for number, kind in enumerate(KINDS)} | {
    ("8 TB", p) for p in PLACES[::3]
}
CASES_HERE = [
    pytest.param(kind, place, marks=pytest.mark.faults if kind == NESTED and place != "signoffs" else ())
    for kind, place in CASES
]
"""Tried with the script in every run; `make faults` tries all. The verifier itself is tried with all but what takes long to lay."""


@pytest.mark.parametrize("kind, place", CASES_HERE)
def test_what_nobody_listed_is_named_and_not_opened(hostile: Record, kind: str, place: str) -> None:
    name = laid(hostile, kind, place)
    found = verify(hostile.store)

    words = "is no name of an event" if (kind, place) == ("8 TB", "log") else KINDS[kind][1]
    words = "regular file" if (kind, place) == ("1,500 folders in one another", "log") else words
    assert any(f.place.startswith(name) and words in f.problem for f in found.findings), found.findings


@pytest.mark.parametrize(
    "kind, place",
    [pytest.param(*case, marks=() if case in SAMPLE else pytest.mark.faults) for case in CASES],
)
def test_the_script_names_it_too(hostile: Record, kind: str, place: str) -> None:
    name = laid(hostile, kind, place)
    said = second_opinion(hostile.store)

    assert not said.ok
    assert said.text.startswith(f"NOT VERIFIED: {name}"), said.text
    assert KINDS[kind][1] in said.text, said.text


def laid(record: Record, kind: str, place: str) -> str:
    name = places(record)[place]
    (record.store / name).parent.mkdir(parents=True, exist_ok=True)
    KINDS[kind][0](record.store / name)
    return name


def test_what_a_seal_set_aside_is_no_part_of_the_record(hostile: Record) -> None:
    aside = hostile.store / ASIDE / hostile.first
    aside.mkdir(parents=True)
    for number, (lay, _) in enumerate(KINDS.values()):
        lay(aside / str(number))

    assert verify(hostile.store).ok
    assert second_opinion(hostile.store).ok


LISTED = ("report.html", "SHA256SUMS", "request.json")


@pytest.mark.parametrize("name", LISTED)
def test_a_listed_file_of_8_tb_is_named_and_not_read(hostile: Record, name: str) -> None:
    sparse(first(hostile, name))

    assert both(hostile.store) == (False, f"runs/{hostile.first}/{name}")


@pytest.mark.parametrize("name", ["log.pem", "roles.json", "allowed_signers"])
def test_a_key_of_8_tb_is_named_and_not_read(hostile: Record, name: str) -> None:
    for path in (hostile.store / "trust" / name, next((hostile.store / "trust").glob(f"*/{name}"))):
        sparse(path)

    verdict, place = both(hostile.store)
    assert not verdict
    assert place.startswith("trust/")


def test_a_second_verifier_of_8_tb_is_noted(hostile: Record) -> None:
    sparse(hostile.store / "verify.sh")

    found = verify(hostile.store)
    assert found.ok
    assert any(note.startswith("verify.sh: is not that of this version") for note in found.notes)


@pytest.mark.parametrize(
    "place",
    [
        "a sealed run",
        *(pytest.param(p, marks=pytest.mark.faults) for p in ("a run's sign-offs", "a trust set", "anchors", "log")),
    ],
)
def test_twenty_thousand_files_that_nobody_listed_end(hostile: Record, place: str) -> None:
    path = hostile.store / places(hostile)[place]
    path.parent.mkdir(parents=True, exist_ok=True)
    if place in {"a sealed run", "a trust set"}:
        many(path)
    else:
        suffix = {"a run's sign-offs": "json", "anchors": "checkpoint", "log": "bak"}[place]
        for number in range(MANY):
            os.close(os.open(path.parent / f"{number:08d}.{suffix}", os.O_CREAT))

    ours = verify(hostile.store)
    assert ours.ok == second_opinion(hostile.store).ok == (place == "a run's sign-offs")
    assert len(ours.notes) < 100


def test_many_large_files_in_place_of_those_that_were_sealed_are_not_all_read(
    hostile: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_files, "MOST_CHANGED", 1)
    sums = first(hostile, "SHA256SUMS").read_text(encoding="utf-8")
    names = [line.split("  ")[1] for line in sums.splitlines()]
    for name in names:
        os.truncate(first(hostile, name), stored_file.LARGEST["runs"])

    found = [finding for finding in verify(hostile.store).findings if finding.step == 9]
    assert len(names) > 1
    assert [str(finding).rpartition(": ")[2] for finding in found] == [
        "was changed after the folder was sealed",
        "has 1 changed files; what comes after the last of them was not read",
    ]
    assert second_opinion(hostile.store).text.startswith(f"NOT VERIFIED: runs/{hostile.first}/")


@pytest.mark.parametrize(
    "name", ["log/00000005.event", "trust/*/roles.json", "runs/RUN/request.json", "anchors/00000003.checkpoint"]
)
def test_json_20000_deep_is_named(record: Record, name: str) -> None:
    name = name.replace("RUN", record.first)
    if "*" in name:
        name = next(record.store.glob(name)).relative_to(record.store).as_posix()
    deep_json(record.store, name)

    verdict, place = both(record.store)
    assert not verdict
    # A file of a trust set is answered for by the event that names the set.
    assert place == (entries.name(0) if name.startswith("trust/") else name)


@pytest.mark.parametrize("deep", [DEEPEST, DEEPEST + 1])
def test_both_read_json_to_the_same_depth(record: Record, deep: int) -> None:
    """An event nested as deep as is allowed is at fault for what it says; deeper, for how it is written."""
    path = record.store / entries.name(3)
    inner = deep - 2  # the event, its data
    replace(path, b'"steps":2', b'"steps":' + b"[" * inner + b"]" * inner)

    theirs = second_opinion(record.store).text
    (ours, *_) = verify(record.store).findings
    assert ours.place == entries.name(3)
    assert ("deep in one another" in ours.problem, "deep in one another" in theirs) == (deep > DEEPEST,) * 2


def test_nothing_is_written_that_is_too_deep_to_be_read_again() -> None:
    value: list[object] = []
    for _ in range(DEEPEST - 1):
        value = [value]

    assert json.loads(canonical(value)) == value
    with pytest.raises(Exception, match="not JSON: objects and lists lie more than 64 deep"):
        canonical([value])
    assert canonical("[" * 100) == b'"' + b"[" * 100 + b'"\n'


@pytest.mark.parametrize(
    "what",
    ["log", "log/00000005.event", "runs", "runs/RUN", "runs/RUN/report.html", "trust", "trust/log.pem", "anchors"],
)
def test_the_script_names_what_it_may_not_read(written: Record, what: str) -> None:
    """The verifier's own answers: test_run_files."""
    with open_folder() as home:
        store = home / "local"
        shutil.copytree(written.store, store)
        (store / "anchors").mkdir()
        place = what.replace("RUN", written.first)
        (store / place).chmod(0)
        # A shell takes back the rights that it was given up by effect only.
        nobody = NOBODY if os.geteuid() == 0 else None
        said = subprocess.run(
            [store / "verify.sh"], capture_output=True, text=True, timeout=100, check=False, cwd="/", user=nobody
        )

    assert (said.returncode, said.stderr) == (1, ""), said
    named = (f"NOT VERIFIED: {place}: cannot be ", f"NOT VERIFIED: {place}/: cannot be ")
    assert said.stdout.startswith(named), said.stdout


@pytest.mark.parametrize("kind", ["8 TB", "a FIFO", "1,500 folders in one another"])
def test_the_command_ends_in_little_memory_without_a_traceback(hostile: Record, kind: str) -> None:
    laid(hostile, kind, "anchors")
    laid(hostile, kind, "a sealed run")

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))

    done = subprocess.run(
        [sys.executable, "deploy.py", "verify", str(hostile.store)],
        cwd=ROOT, capture_output=True, text=True, timeout=100, check=False, preexec_fn=limited,
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (1, ""), done
    assert "NOT VERIFIED" in done.stdout
    assert "anchors/00000003.checkpoint" in done.stdout


def test_names_are_sorted_and_a_folder_too_deep_is_not_entered(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    for name in ("b", "a", "c"):
        (home / name).touch()
    nested(home / "deep")

    found = list(stored_file.below(home))
    remove(home)
    assert [item.name for item in found if item.problem is None] == ["a", "b", "c"]
    (deep,) = (item for item in found if item.problem is not None)
    assert deep.name.count("/") == stored_file.DEEPEST
