"""Steps 11 and 12: what was said of the log outside it, and when.

Truncation, and a rewrite with the log's own key, are visible only from an anchor that its writer could not change.
"""

from __future__ import annotations

import base64
import re
import subprocess
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from pytest_deploy.record import log_entry as entries
from pytest_deploy.record.event import Event
from pytest_deploy.record.log_entry import Checkpoint, parse_anchor, parse_checkpoint
from pytest_deploy.record.run_folder import file_sha256
from pytest_deploy.verify.chain import Chain
from pytest_deploy.verify.checks import NONE, Finding, Outcome
from pytest_deploy.verify.unexpected_files import unreadable

_TIMEOUT_S: Final = 30
_GIVEN: Final = "--anchor"
_FILE: Final = re.compile(r"anchors/\d+\.checkpoint", re.ASCII)
_FRACTION: Final = re.compile(r"\.\d+(?= )")
"""Of a second: an authority may state one (RFC 3161, 2.4.2), and openssl prints it."""


def anchors(chain: Chain, given: Sequence[str]) -> Outcome:
    """Step 11: the log still holds what each anchor saw: those given, those copied, those the log recorded."""
    findings: list[Finding] = []
    parts = ["none given from outside (truncation shows only against one)"]
    for anchor in given:
        findings += _outside(chain, anchor)
        parts = ["the one given from outside" if len(given) == 1 else f"{len(given)} given from outside"]
    copies = _files(chain.store, "*.checkpoint")
    for path in copies:
        findings += _copied(chain, path)
    recorded = [event for event in chain.kept if event.type == "anchor.made"]
    looked: set[tuple[str, str]] = set()
    for event in recorded:
        root = (
            base64.b64encode(chain.checkpoint(event.data["size"]).checkpoint.root).decode()
            if (0 < event.data["size"] <= event.seq)
            else None
        )
        if root != event.data["root"]:
            findings.append(Finding(11, entries.name(event.seq), f"records an anchor this log never had: {event.data}"))
        findings += _recorded(chain.store, event, looked)
    parts += [f"{len(copies)} copied"] if copies else []
    parts += [f"{len(recorded)} recorded"] if recorded else []
    nothing = not given and not copies and not recorded
    detail = f"{NONE}; {parts[0]}" if nothing else ", ".join(parts)
    return Outcome(tuple(findings), detail, concluded=not chain.stopped)


def timestamps(chain: Chain) -> Outcome:
    """Step 12: each RFC 3161 reply is over its checkpoint, by the authority of a trust set, judged at its own time."""
    replies = _files(chain.store, "*.tsr")
    findings = [
        Finding(12, f"anchors/{path.name}", problem)
        for path in replies
        if (problem := _untimely(chain, path)) is not None
    ]
    detail = f"{len(replies)} replies" if replies else NONE
    return Outcome(tuple(findings), detail, concluded=not chain.stopped)


def _outside(chain: Chain, anchor: str) -> Iterator[Finding]:
    try:
        seen = parse_anchor(anchor)
    except ValueError as error:
        yield Finding(11, _GIVEN, str(error))
        return
    yield from _held(chain, seen, _GIVEN)


def _copied(chain: Chain, path: Path) -> Iterator[Finding]:
    place = f"anchors/{path.name}"
    try:
        signed = parse_checkpoint(path.read_text(encoding="utf-8"))
    except OSError as error:
        yield unreadable(chain.store, 11, error)
        return
    except ValueError as error:
        yield Finding(11, place, f"is no signed checkpoint: {error}")
        return
    if path.name != f"{signed.checkpoint.size:08d}.checkpoint":
        yield Finding(11, place, f"holds the checkpoint of size {signed.checkpoint.size}")
        return
    found = list(_held(chain, signed.checkpoint, place))
    trust = chain.trust_at(signed.checkpoint.size - 1)
    if not found and not (trust is not None and signed.signed_by(trust.key)):
        found = [Finding(11, place, "is not signed by the log's key")]
    yield from found


def _recorded(store: Path, event: Event, looked: set[tuple[str, str]]) -> Iterator[Finding]:
    """Whether the checkpoint that an anchor.made names, and its timestamp, lie there as it says; each is looked at once."""
    name, reply = event.data.get("file"), f"anchors/{event.data['size']:08d}.tsr"
    if name is not None and not _FILE.fullmatch(name):
        yield Finding(11, entries.name(event.seq), f"names no file of an anchor: {name}")
        return
    for place, digest in ((name, event.data.get("sha256")), (reply, event.data.get("reply_sha256"))):
        if place is None or digest is None or (place, digest) in looked:
            continue
        looked.add((place, digest))
        path = store / place
        if path.is_symlink() or (path.exists() and not path.is_file()):
            continue  # named as a misfit, and not opened
        try:
            found = file_sha256(path)
        except FileNotFoundError:
            yield Finding(11, place, f"is missing, though event {event.seq} recorded it")
        except OSError as error:
            yield unreadable(store, 11, error)
        else:
            if found != digest:
                yield Finding(11, place, f"is not the file that event {event.seq} recorded")


def _held(chain: Chain, seen: Checkpoint, source: str) -> Iterator[Finding]:
    """Whether the log still holds what an anchor saw."""
    origin = chain.trust[0].key.origin if chain.trust else ""
    if seen.origin != origin:
        yield Finding(11, source, f"is of the log {seen.origin}, this is {origin or 'unreadable'}")
    elif seen.size > chain.size:
        if not chain.stopped:  # else it is not known how long the log is, and the step says so
            known = f"{source} knows {seen.size} events, {chain.size} are here"
            yield Finding(11, entries.name(chain.size), f"is missing: the log was truncated; {known}")
    elif chain.checkpoint(seen.size).checkpoint.root != seen.root:
        yield Finding(11, source, f"saw another root at size {seen.size}: the log was rewritten")


def _untimely(chain: Chain, reply: Path) -> str | None:
    """What openssl says against a timestamp, or None."""
    trust = next((known for known in reversed(chain.trust) if "tsa-ca.pem" in known.files), None)
    if trust is None:
        return "cannot be checked: no trust set holds tsa-ca.pem"
    try:
        shown = _openssl("-reply", "-in", str(reply), "-text").stdout.decode("utf-8", "replace")
        times = [line.partition(": ")[2] for line in shown.splitlines() if line.startswith("Time stamp: ")]
        whole = _FRACTION.sub("", times[0])
        when = datetime.strptime(whole, "%b %d %H:%M:%S %Y %Z").replace(tzinfo=UTC)
        done = _openssl(
            *("-verify", "-data", str(reply.with_suffix(".checkpoint")), "-in", str(reply)),
            *("-CAfile", str(trust.folder / "tsa-ca.pem"), "-attime", str(int(when.timestamp()))),
        )
    except FileNotFoundError:
        return "cannot be checked: openssl is not installed"
    except subprocess.TimeoutExpired:
        return f"cannot be checked: openssl gave no answer in {_TIMEOUT_S} s"
    except (IndexError, ValueError):
        return "is no timestamp reply"
    return None if done.returncode == 0 else "does not verify over its checkpoint"


def _openssl(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["openssl", "ts", *arguments], capture_output=True, timeout=_TIMEOUT_S, check=False)


def _files(store: Path, pattern: str) -> list[Path]:
    """What is no regular file is named as a misfit, and not opened: a FIFO never ends."""
    found = (path for path in (store / "anchors").glob(pattern) if not path.name.startswith("."))
    return sorted(path for path in found if path.is_file() and not path.is_symlink())
