"""Every way to alter a record that our verifier is tried with, and the file and step that it must name."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pytest_deploy.record import log_entry as entries
from pytest_deploy.record.event import Event, line_hash, parse_line
from pytest_deploy.record.key import FileSigner
from tests.unit.record.sample_record import ORIGIN, HandClock, deployed, open_log
from tests.unit.verify.altered_record import at, first, renumber, replace, swap
from tests.unit.verify.conftest import Record


def where(record: Record, event_type: str, run: str = "") -> int:
    """The seq of the first event of a type (of a run)."""
    paths = sorted((record.store / "log").iterdir())
    events = [json.loads(path.read_bytes().split(b"\n")[0]) for path in paths]
    return next(int(e["seq"]) for e in events if e["type"] == event_type and run in {"", e["run"]})


@dataclass(frozen=True)
class Tampering:
    """One way to alter a record, and where it must be found."""

    name: str
    do: Callable[[Record], object]
    step: int
    place: Callable[[Record], str]
    says: str
    anchored: bool = False


def truncate(record: Record) -> None:
    for seq in range(record.size - 2, record.size):
        at(record, seq).unlink()


def forge(record: Record, seq: int, *, signer: FileSigner | None = None, **changes: object) -> None:
    """Append, or write in place of `seq`, an event that fits, signed by `signer` or else by a stranger."""
    before = entries.parse(at(record, seq - 1).read_bytes())
    model = (
        parse_line(at(record, seq).read_bytes().split(b"\n")[0] + b"\n") if at(record, seq).exists() else before.event
    )
    fields = {**vars(model), "seq": seq, "prev": line_hash(before.line), "time": before.event.time, **changes}
    stranger = signer or FileSigner.open_or_create(record.store.parent / "stranger.pem")
    _, data = entries.build(Event(**fields), before.path_after, ORIGIN, stranger)  # type: ignore[arg-type]
    at(record, seq).write_bytes(data)


def insert(record: Record) -> None:
    for seq in reversed(range(5, record.size)):
        at(record, seq).replace(at(record, seq + 1))
    shutil.copy(at(record, 4), at(record, 5))


def link_event(record: Record) -> None:
    shutil.copy(at(record, 5), record.store.parent / "elsewhere")
    at(record, 5).unlink()
    at(record, 5).symlink_to(record.store.parent / "elsewhere")


def other_log(record: Record) -> Path:
    deployed(open_log(record.store.parent / "other", HandClock()))
    return record.store.parent / "other" / "reports" / "local"


def exchange_log(record: Record) -> None:
    """Another log of the same origin, under this one's trust."""
    other = other_log(record)
    shutil.rmtree(record.store / "log")
    shutil.copytree(other / "log", record.store / "log")


def exchange_all(record: Record) -> None:
    """A log rewritten whole, keys and files included: consistent, visible only from outside."""
    other = other_log(record)
    shutil.rmtree(record.store)
    shutil.copytree(other, record.store)


def in_first(name: str) -> Callable[[Record], str]:
    return lambda record: f"runs/{record.first}/{name}"


def swap_report_and_sums(record: Record) -> None:
    for name in ("report.html", "SHA256SUMS"):
        shutil.copy(record.store / "runs" / record.rolled_back / name, first(record, name))


def event(seq: int) -> Callable[[Record], str]:
    return lambda _: entries.name(seq)


def newest(record: Record) -> str:
    return entries.name(record.size)


def key_folder(record: Record) -> Path:
    return next(path for path in (record.store / "trust").iterdir() if path.is_dir())


TAMPERINGS = [
    Tampering("an event edited", lambda r: replace(at(r, 3), b'"steps":2', b'"steps":3'), 5, event(3), "root is not that"),
    Tampering("an event removed", lambda r: at(r, 5).unlink(), 1, event(5), "is missing, though"),
    Tampering("the first event removed", lambda r: at(r, 0).unlink(), 1, event(0), "is missing, though"),
    Tampering("an event removed, the rest renumbered", renumber, 1, event(5), "holds event 6"),
    Tampering("two events swapped", swap, 1, event(5), "holds event 6"),
    Tampering("an event renamed", lambda r: at(r, 5).replace(at(r, 999)), 1, event(5), "is missing, though"),
    Tampering("an event inserted", insert, 1, event(5), "holds event 4"),
    Tampering("an event linked to elsewhere", link_event, 1, event(5), "no regular file"),
    Tampering("a stranger in the log", lambda r: (r.store / "log/x.txt").touch(), 1, lambda _: "log/x.txt", "no name"),
    Tampering("CRLF", lambda r: replace(at(r, 5), b"\n", b"\r\n"), 2, event(5), "no canonical JSON"),
    Tampering("a key twice", lambda r: replace(at(r, 5), b'"v":2}', b'"v":2,"v":2}'), 2, event(5), "no canonical JSON"),
    Tampering("an empty event", lambda r: at(r, 5).write_bytes(b""), 2, event(5), "no canonical JSON"),
    Tampering("an event forged in place", lambda r: forge(r, 5), 6, event(5), "is not signed by"),
    Tampering("an event forged at the end", lambda r: forge(r, r.size, type="alert.raised", run="-",
              data={"alert": "a", "detail": "b"}), 6, newest, "is not signed by"),
    Tampering("the tail cut off", truncate, 11, lambda r: entries.name(r.size - 2), "was truncated", anchored=True),
    Tampering("another log with its own key", exchange_log, 6, event(0), "cannot be read"),
    Tampering("the whole record rewritten", exchange_all, 11, lambda _: entries.name(0), "", anchored=True),
    Tampering("the key's set altered", lambda r: replace(key_folder(r) / "roles.json", b"{}", b"[]"), 6, event(0), "is not the one"),
    Tampering("a file added to the key's set", lambda r: (key_folder(r) / "x").touch(), 6, event(0), "is not the one"),
    Tampering("the key's plain copy swapped", lambda r: (r.store / "trust/log.pem").write_text("x"), 6,
              lambda _: "trust/log.pem", "newest trust set"),
    Tampering("a report altered", lambda r: replace(first(r, "report.html"), b"report", b"Report"), 9, in_first("report.html"),
              "was changed after"),
    Tampering("a report and its list swapped", swap_report_and_sums, 9, in_first("SHA256SUMS"), "not the one event"),
    Tampering("a file added to a sealed run", lambda r: first(r, "extra.txt").touch(), 9, in_first("extra.txt"),
              "added after the folder was sealed"),
    Tampering("a file removed from a sealed run", lambda r: first(r, "report.html").unlink(), 9, in_first("report.html"),
              "is missing"),
    Tampering("a link in a sealed run", lambda r: first(r, "x").symlink_to("/etc/hostname"), 9, in_first("x"),
              "no regular file"),
    Tampering("the list of a sealed run removed", lambda r: first(r, "SHA256SUMS").unlink(), 9, in_first("SHA256SUMS"),
              "is missing, though event"),
    Tampering("a sealed run removed", lambda r: shutil.rmtree(first(r, "").resolve()), 9, in_first("SHA256SUMS"),
              "is missing, though event"),
    Tampering("a file added to an abandoned run", lambda r: (r.store / "runs" / r.abandoned / "y").touch(), 9,
              lambda r: f"runs/{r.abandoned}/y", "added after"),
    Tampering("a folder of a run nobody knows", lambda r: (r.store / "runs/local-20200101T000000Z-0000").mkdir(), 9,
              lambda _: "runs/local-20200101T000000Z-0000", "no event names this run"),
    Tampering("a file among the runs", lambda r: (r.store / "runs/x").touch(), 9, lambda _: "runs/x", "no folder of a run"),
    Tampering("a request altered", lambda r: replace(first(r, "request.json"), b"000", b"001"), 10, in_first("request.json"),
              "not the request of event"),
    Tampering("a request removed", lambda r: first(r, "request.json").unlink(), 10, in_first("request.json"), "is missing"),
]  # fmt: skip
