"""What a run was judged by lies in the store once, by its content; all verifiers name what is missing, changed or misnamed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_deploy.record import preimages
from tests.unit.record.sample_record import HandClock, RunWriter, open_log
from tests.unit.verify.third_verifier import all_three

SPEC, POLICY = b"1. It shall.\n", b"{}\n"
NAMES = {"spec/it.md": SPEC, "deploy.yaml": POLICY, 'a copy of "it"': SPEC}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Of two runs judged by the same."""
    log = open_log(tmp_path, HandClock())
    for _ in range(2):
        RunWriter(log).open(preimages=preimages.keep(log.store, NAMES)).step("build").close("failed")
    return log.store.folder()


def place(store: Path, text: bytes) -> Path:
    (found,) = [path for path in (store / "preimages" / "sha256").iterdir() if path.read_bytes() == text]
    return found


def test_each_text_lies_there_once_and_verifies(store: Path) -> None:
    assert sorted(path.read_bytes() for path in (store / "preimages" / "sha256").iterdir()) == sorted({SPEC, POLICY})
    assert all_three(store) == (True, "")


def test_a_text_that_no_run_names_is_no_fault(store: Path) -> None:
    """Of a run that was refused right before it opened."""
    preimages.keep(open_log(store.parent, HandClock()).store, {"x": b"another"})
    assert all_three(store) == (True, "")


def _rename(path: Path) -> None:
    path.with_name("f" * 64).write_bytes(path.read_bytes())


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(b"1. It need not.\n"),
        _rename,
        lambda path: path.with_name("spec.md").write_bytes(SPEC),
        lambda path: (path.parents[1] / path.name).write_bytes(SPEC),
        lambda path: (path.unlink(), path.symlink_to("/etc/hostname")),
    ],
    ids=["missing", "changed", "another's name", "no digest", "elsewhere", "a link"],
)
def test_a_text_that_is_not_what_it_was_is_a_fault(store: Path, spoil: Callable[[Path], object]) -> None:
    spoil(place(store, SPEC))
    ok, named = all_three(store)
    assert not ok
    assert named.startswith("preimages/")
