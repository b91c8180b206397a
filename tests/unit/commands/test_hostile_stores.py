"""Whatever somebody lays into a store, each command that reads one ends, names it in words, and leaves alone what lies outside."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.unit.commands import hostile_checkout
from tests.unit.commands.hostile_checkout import SECRET, Ended, HostileCheckout
from tests.unit.verify.hostile_store import deep_json, fifo, many, nested, outward, sparse

pytestmark = pytest.mark.timeout(120)

COMMANDS = {
    "history": ("history", "--rehearse"),
    "as-of": ("history", "--rehearse", "--as-of", "2036-01-01T00:00Z"),
    "show": ("show", "RUN"),
    "export": ("export", "RUN", "../exported"),
    "audit": ("audit", "production", "--rehearse"),
    "recover": ("recover", "production", "--rehearse"),
    "anchor": ("anchor", "production", "--rehearse"),
    "keys": ("keys", "list", "production", "--rehearse"),
}
ALL = frozenset(COMMANDS)
LOG = ALL - {"anchor"}
"""Who reads every event; to anchor, the newest is read, which commits to all before it."""
FILES = frozenset({"export", "audit"})
"""Who reads what else lies in the store."""
SOUND = {name: int(name == "audit") for name in COMMANDS}
"""How each ends on the record as it was: the audit asks for an anchor."""


class Thing(NamedTuple):
    """What somebody lays into the store."""

    lay: Callable[[HostileCheckout], None]
    place: str
    words: str
    named_by: frozenset[str]
    """The commands that read what lies there; to the others it is nothing."""


def laid(kind: Callable[[Path], None], name: str, words: str, named_by: frozenset[str]) -> Thing:
    def lay(checkout: HostileCheckout) -> None:
        path = checkout.store / checkout.place(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        kind(path)

    return Thing(lay, name, words, named_by)


def deep(name: str, named_by: frozenset[str]) -> Thing:
    return Thing(
        lambda checkout: deep_json(checkout.store, checkout.place(name)), name, "deep in one another", named_by
    )


def led_out(name: str, named_by: frozenset[str]) -> Thing:
    return Thing(lambda checkout: checkout.led_out(name), name, "", named_by)


LARGE, NO_FILE = "has more than", "regular file"
EVENTS = {
    "an event of 8 TB": laid(sparse, "log/00000005.event", LARGE, LOG),
    "an event that is a FIFO": laid(fifo, "log/00000005.event", NO_FILE, LOG),
    "an event that is a link": led_out("log/00000005.event", LOG),
    "an event of deep JSON": deep("log/00000005.event", LOG),
    "a newest event that is a FIFO": laid(fifo, "log/NEWEST", NO_FILE, ALL),
    "a newest event that is a link": led_out("log/NEWEST", ALL),
    "a newest event of 8 TB": laid(sparse, "log/NEWEST", LARGE, ALL),
    "a newest event of deep JSON": deep("log/NEWEST", ALL),
    "a FIFO as the next event": laid(fifo, "log/NEXT", NO_FILE, ALL),
    "a link as the next event": led_out("log/NEXT", ALL),
}
FOLDERS = {
    "log/ is a link": led_out("log", ALL),
    "runs/ is a link": led_out("runs", FILES),
    "the run's folder is a link": led_out("runs/RUN", FILES),
    "trust/ is a link": led_out("trust", FILES | {"keys"}),
    "the trust set is a link": led_out("trust/SET", FILES | {"keys"}),
    "signoffs/ is a link": led_out("signoffs", FILES),
    "the run's sign-offs are a link": led_out("signoffs/RUN", FILES),
    "anchors/ is a link": led_out("anchors", FILES | {"anchor"}),
    "preimages/ is a link": led_out("preimages", FILES),
    "preimages/sha256/ is a link": led_out("preimages/sha256", FILES),
}
OTHERS = {
    "a FIFO in the run's folder": laid(fifo, "runs/RUN/x", NO_FILE, FILES),
    "8 TB in the run's folder": laid(sparse, "runs/RUN/x", LARGE, FILES),
    "a link in the run's folder": laid(outward, "runs/RUN/x", NO_FILE, FILES),
    "deep folders in the run's folder": laid(nested, "runs/RUN/x", "folders deep", FILES),
    "20,000 files in the run's folder": laid(many, "runs/RUN/x", "added after", FILES),
    "a report that is a FIFO": laid(fifo, "runs/RUN/report.html", NO_FILE, FILES),
    "a list that is a FIFO": laid(fifo, "runs/RUN/SHA256SUMS", NO_FILE, FILES),
    "a FIFO in trust/": laid(fifo, "trust/x", NO_FILE, FILES),
    "8 TB in trust/": laid(sparse, "trust/x", LARGE, FILES),
    "a roster that is a FIFO": laid(fifo, "trust/SET/roles.json", NO_FILE, FILES | {"keys"}),
    "a roster of 8 TB": laid(sparse, "trust/SET/roles.json", LARGE, FILES | {"keys"}),
    "a FIFO in the sign-offs": laid(fifo, "signoffs/RUN/x.json", NO_FILE, FILES),
    "8 TB in the sign-offs": laid(sparse, "signoffs/RUN/x.json", LARGE, FILES),
    "a FIFO in anchors/": laid(fifo, "anchors/00000003.checkpoint", NO_FILE, FILES),
    "8 TB in anchors/": laid(sparse, "anchors/00000003.checkpoint", LARGE, FILES),
    "a mark of a bucket that is a FIFO": laid(fifo, ".copy-of", NO_FILE, ALL - {"history", "as-of", "show"}),
    "a timestamp that is a FIFO": laid(fifo, "anchors/SIZE.tsr", NO_FILE, FILES),
}
THINGS = EVENTS | FOLDERS | OTHERS
FOUND_WRONG = {("anchors/ is a link", "anchor")}
"""To anchor, the record is opened; only then is there no anchor that could be made."""
CASES = [(thing, command) for thing in THINGS for command in COMMANDS]
SAMPLE = {
    ("an event that is a FIFO", "show"), ("an event of deep JSON", "keys"), ("a newest event that is a FIFO", "history"),
    ("a link as the next event", "as-of"), ("a newest event of 8 TB", "anchor"), ("log/ is a link", "anchor"),
    ("log/ is a link", "history"), ("the run's folder is a link", "export"), ("the run's sign-offs are a link", "export"),
    ("trust/ is a link", "keys"), ("preimages/ is a link", "audit"), ("anchors/ is a link", "anchor"),
    ("a FIFO in the run's folder", "export"), ("8 TB in the sign-offs", "audit"), ("an event that is a link", "recover"),
}  # fmt: skip
"""Of every command and kind one; `make faults` tries all."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> HostileCheckout:
    return hostile_checkout.build(tmp_path_factory.mktemp("hostile"))


@pytest.fixture
def checkout(made: HostileCheckout, tmp_path: Path) -> Iterator[HostileCheckout]:
    yield hostile_checkout.copy(made, tmp_path)
    hostile_checkout.remove(tmp_path)


def ended(checkout: HostileCheckout, command: str) -> Ended:
    """How a command ends that touches nothing outside, and says nothing that only a programmer understands."""
    checkout.forget_reads()
    before = checkout.untouched()
    done = checkout.run(*COMMANDS[command])

    assert checkout.untouched() == before, done
    for word in ("Traceback", "Error", "errno", "recursion", "Expecting value"):
        assert word not in done.said, done
    assert not hostile_checkout.holds(checkout.exported, SECRET)
    return done


@pytest.mark.parametrize(
    "thing, command",
    [pytest.param(*case, marks=() if case in SAMPLE else pytest.mark.faults) for case in CASES],
)
def test_what_is_no_part_of_a_record_is_named_and_not_followed(
    checkout: HostileCheckout, thing: str, command: str
) -> None:
    lay, place, words, named_by = THINGS[thing]
    lay(checkout)

    done = ended(checkout, command)
    if command not in named_by:
        assert done.code == SOUND[command], done
        return
    assert done.code == (1 if command == "audit" or (thing, command) in FOUND_WRONG else 3), done
    assert checkout.place(place) in done.said, done
    assert words in done.said, done
    assert not checkout.exported.exists()


def test_a_file_system_that_notes_reads_shows_what_is_read(tmp_path: Path) -> None:
    """Else what the tests above say of reading holds of writing alone."""
    if not hostile_checkout.notes_reads(tmp_path):
        pytest.skip("this file system does not note when a file is read")


def garbage(path: Path) -> None:
    path.write_bytes(b"no database" * 1000)


INDEXES: dict[str, Callable[[Path], None]] = {
    "a FIFO": fifo,
    "8 TB": sparse,
    "garbage": garbage,
    "a folder": Path.mkdir,
    "a link to everything": outward,
}


@pytest.mark.parametrize("kind", ["a FIFO", *(pytest.param(k, marks=pytest.mark.faults) for k in list(INDEXES)[1:])])
def test_an_index_that_is_none_is_built_anew(checkout: HostileCheckout, kind: str) -> None:
    sound = checkout.run(*COMMANDS["history"]).stdout
    checkout.index.unlink()
    INDEXES[kind](checkout.index)

    done = ended(checkout, "history")
    assert (done.code, done.stdout) == (0, sound), done


def test_an_index_that_is_a_link_is_not_written_to(checkout: HostileCheckout) -> None:
    sound = checkout.run(*COMMANDS["history"]).stdout
    foreign = checkout.outside / "index"
    checkout.index.rename(foreign)
    checkout.index.symlink_to(foreign)
    checkout.it.count("alert.raised", {"alert": "clock", "detail": "so that the index has to grow"}, "-")

    done = ended(checkout, "history")
    assert (done.code, done.stdout) == (0, sound.replace("53 events since", "54 events since")), done
    assert not checkout.index.is_symlink()
