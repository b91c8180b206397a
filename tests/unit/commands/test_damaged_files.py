"""A stored file that is emptied, cut or overwritten is named, in words of the record and not of the program that parsed it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_deploy.commands import sign_off as commands
from pytest_deploy.commands.audit import Audit
from pytest_deploy.errors import DeployError
from pytest_deploy.history.history import History
from pytest_deploy.history.runs import RunQuery
from pytest_deploy.verify.verify import verify
from tests.unit.commands import finished_runs
from tests.unit.commands.finished_runs import FinishedRuns
from tests.unit.commands.typed import typed

OF_THE_PROGRAM = re.compile(
    r"unpack|invalid literal|codec|out of range|NoneType|object has no|required positional|KeyError|Traceback"
)
CONTENTS = {
    "emptied": b"",
    "one line feed": b"\n",
    "one word": b"x\n",
    "many lines": b"x\n" * 9,
    "no UTF-8": b"\xff\xfe\n\xff\n\n\xff\n",
    "a number": b"7",
    "a list": b"[]\n",
    "an object": b"{}\n",
    "digits without end": b"a\n" + b"9" * 5_000 + b"\nb\n\nc\n",
}
FILES = (
    *("log/00000000.event", "log/00000007.event", "trust/*/log.vkey", "trust/*/log.pem", "trust/*/allowed_signers"),
    *("trust/*/roles.json", "runs/*/SHA256SUMS", "signoffs/*/*.json", "signoffs/*/*.sig"),
    "anchors/*.checkpoint",
)


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> FinishedRuns:
    """Runs, people, a sign-off and an anchor."""
    home = tmp_path_factory.mktemp("damaged")
    (home / "keys").mkdir()
    made = finished_runs.build(home / "checkout", home / "keys")
    asked = {"role": "QA Lead", "meaning": "reviewed", "comment": ""}
    typed(made.root, commands.sign_off, made.deployed, printed=made.printed, key=made.key("quinn"), **asked)
    kept = made.log.signed()
    made.log.store.create(f"anchors/{kept.checkpoint.size:08d}.checkpoint", kept.text.encode())
    return made


def words_of(it: FinishedRuns) -> Iterator[str]:
    """All that is said of the store by whoever only reads it."""
    found = verify(it.store)
    yield from map(str, found.findings)
    yield from found.notes
    yield from map(str, Audit(it.root, rehearsal=True).all("production"))
    try:
        with History({"production": it.store}, it.root / ".deploy" / "history") as history:
            history.runs(RunQuery())
    except DeployError as error:
        yield str(error)


@pytest.mark.parametrize("file", FILES)
def test_a_damaged_file_is_named_in_words(signed: FinishedRuns, tmp_path: Path, file: str) -> None:
    it = finished_runs.copy(signed, tmp_path / "checkout")
    path = min(it.store.glob(file))
    # What answers for a trust set is the event that names it.
    named = f"its trust set trust/{path.parent.name}" if "trust" in file else path.relative_to(it.store).as_posix()

    # The first trust set has nobody in it: what is written there already is no damage.
    whole = path.read_bytes()
    for what, content in ((what, content) for what, content in CONTENTS.items() if content != whole):
        path.write_bytes(content)
        said = list(words_of(it))
        assert [words for words in said if OF_THE_PROGRAM.search(words)] == [], what
        assert any(named in words for words in said), (what, said)
