"""Steps 11 and 12: what was said of the log outside it, and when.

Truncation, and a rewrite with the log's own key, are visible only from an anchor that its writer could not change.
"""

from __future__ import annotations

import base64
import itertools
import re
import subprocess
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, cast

from pytest_deploy.record import log_entry as entries
from pytest_deploy.record import stored_file
from pytest_deploy.record.event import Event
from pytest_deploy.record.events import AnchorMade, given
from pytest_deploy.record.key import TIMESTAMP_CA
from pytest_deploy.record.log_entry import Checkpoint, parse_anchor, parse_checkpoint
from pytest_deploy.record.programs import system_program
from pytest_deploy.verify.chain import Chain
from pytest_deploy.verify.findings import NONE, Check, Finding

OPENSSL_TIMEOUT_S: Final = 30
_LARGEST: Final = stored_file.LARGEST["anchors"]
MOST_REFUSED: Final = 10
"""Timestamps that do not verify before no further one is asked about: each costs a process or two."""
_OPTION: Final = "--anchor"
_FILE: Final = re.compile(r"anchors/\d+\.checkpoint", re.ASCII)
_FRACTION: Final = re.compile(r"\.\d+(?= )")
"""Of a second: an authority may state one (RFC 3161, 2.4.2), and openssl prints it."""


def check_anchors(chain: Chain, outside: Sequence[str]) -> Check:
    """Step 11: the log still holds what each anchor saw: those given, those copied, those the log recorded."""
    findings: list[Finding] = []
    # Anchor lines that were kept outside.
    for line in outside:
        findings += _given(chain, line)
    # Signed checkpoints in the store's anchors/.
    copies = _files(chain.store, ".checkpoint")
    for path in copies:
        findings += _copied(chain, path)
    # What the log itself says that it left, and the files it names.
    recorded = chain.kept_of(AnchorMade)
    seen: set[tuple[str, str]] = set()
    for event in recorded:
        findings += _recorded(chain, event, seen)
    how_many = {0: "none given from outside (truncation shows only against one)", 1: "the one given from outside"}
    parts = [how_many.get(len(outside), f"{len(outside)} given from outside")]
    parts += [f"{len(copies)} copied"] if copies else []
    parts += [f"{len(recorded)} recorded"] if recorded else []
    examined = ", ".join(parts) if outside or copies or recorded else f"{NONE}; {parts[0]}"
    return Check(11, tuple(findings), examined, concluded=not chain.stopped)


def check_timestamps(chain: Chain) -> Check:
    """Step 12: each RFC 3161 reply is over its checkpoint, by the authority of a trust set, judged at its own time."""
    replies = _files(chain.store, ".tsr")
    problems = ((path, _timestamp_fault(chain, path)) for path in replies)
    refused = (Finding(12, f"anchors/{path.name}", problem) for path, problem in problems if problem is not None)
    findings = tuple(itertools.islice(refused, MOST_REFUSED))
    return Check(12, findings, f"{len(replies)} replies" if replies else NONE, concluded=not chain.stopped)


def _given(chain: Chain, line: str) -> Iterator[Finding]:
    try:
        seen = parse_anchor(line)
    except ValueError as error:
        yield Finding(11, _OPTION, str(error))
        return
    yield from _contradicted(chain, seen, _OPTION)


def _copied(chain: Chain, path: Path) -> Iterator[Finding]:
    place = f"anchors/{path.name}"
    try:
        signed = parse_checkpoint(stored_file.read(path, _LARGEST))
    except OSError as error:
        yield Finding.unreadable(11, chain.store, error)
        return
    except ValueError as error:
        yield Finding(11, place, f"is no signed checkpoint: {error}")
        return
    if path.name != f"{signed.checkpoint.size:08d}.checkpoint":
        yield Finding(11, place, f"holds the checkpoint of size {signed.checkpoint.size}")
        return
    findings = list(_contradicted(chain, signed.checkpoint, place))
    trust = chain.trust_at(signed.checkpoint.size - 1)
    if not findings and not (trust is not None and signed.signed_by(trust.key)):
        findings = [Finding(11, place, "is not signed by the log's key")]
    yield from findings


def _recorded(chain: Chain, event: Event, seen: set[tuple[str, str]]) -> Iterator[Finding]:
    """Whether an anchor.made is of this log, and the checkpoint and timestamp it names lie there; each is looked at once."""
    anchor, place = cast("AnchorMade", event.content), entries.name(event.seq)
    size = anchor.size
    root = chain.checkpoint(size).checkpoint.root if 0 < size <= event.seq else None
    if root is None or base64.b64encode(root).decode() != anchor.root:
        yield Finding(11, place, f"records an anchor this log never had: {anchor.as_data()}")
    name, reply = given(anchor.file), f"anchors/{size:08d}.tsr"
    if name is not None and not _FILE.fullmatch(name):
        yield Finding(11, place, f"names no file of an anchor: {name}")
        return
    for file, digest in ((name, given(anchor.sha256)), (reply, given(anchor.reply_sha256))):
        if file is None or digest is None or (file, digest) in seen:
            continue
        seen.add((file, digest))
        try:
            actual = stored_file.sha256(stored_file.file_of(chain.store, file), _LARGEST)
        except stored_file.NotOfARecord:
            continue  # named among the unexpected files, and not opened
        except FileNotFoundError:
            yield Finding(11, file, f"is missing, though event {event.seq} recorded it")
        except OSError as error:
            yield Finding.unreadable(11, chain.store, error)
        else:
            if actual != digest:
                yield Finding(11, file, f"is not the file that event {event.seq} recorded")


def _contradicted(chain: Chain, seen: Checkpoint, source: str) -> Iterator[Finding]:
    origin = chain.trust[0].key.origin if chain.trust else ""
    if seen.origin != origin:
        yield Finding(11, source, f"is of the log {seen.origin}, this is {origin or 'unreadable'}")
    elif seen.size > chain.size:
        if not chain.stopped:  # else it is not known how long the log is, and the step says so
            known = f"{source} knows {seen.size} events, {chain.size} are here"
            yield Finding(11, entries.name(chain.size), f"is missing: the log was truncated; {known}")
    elif chain.checkpoint(seen.size).checkpoint.root != seen.root:
        yield Finding(11, source, f"saw another root at size {seen.size}: the log was rewritten")


def _timestamp_fault(chain: Chain, reply: Path) -> str | None:
    """What openssl says against a timestamp, or None."""
    trust = next((known for known in reversed(chain.trust) if TIMESTAMP_CA in known.files), None)
    if trust is None:
        return "cannot be checked: no trust set holds tsa-ca.pem"
    try:
        stored_file.read(reply.with_suffix(".checkpoint"), _LARGEST)
    except OSError as error:
        return f"cannot be checked: the checkpoint beside it cannot be read: {error.strerror}"
    try:
        shown = openssl_ts("-reply", "-in", str(reply), "-text").stdout.decode("utf-8", "replace")
        times = [line.partition(": ")[2] for line in shown.splitlines() if line.startswith("Time stamp: ")]
        whole = _FRACTION.sub("", times[0])
        when = datetime.strptime(whole, "%b %d %H:%M:%S %Y %Z").replace(tzinfo=UTC)
        done = openssl_ts(
            *("-verify", "-data", str(reply.with_suffix(".checkpoint")), "-in", str(reply)),
            *("-CAfile", str(trust.folder / TIMESTAMP_CA), "-attime", str(int(when.timestamp()))),
        )
    except FileNotFoundError:
        return "cannot be checked: openssl is not installed"
    except subprocess.TimeoutExpired:
        return f"cannot be checked: openssl gave no answer in {OPENSSL_TIMEOUT_S} s"
    except (IndexError, ValueError):
        return "is no timestamp reply"
    return None if done.returncode == 0 else "does not verify over its checkpoint"


def openssl_ts(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    """Run stock openssl. Raises FileNotFoundError where it is not installed; TimeoutExpired."""
    return subprocess.run(
        [system_program("openssl"), "ts", *arguments],
        capture_output=True,
        timeout=OPENSSL_TIMEOUT_S,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def _files(store: Path, ending: str) -> list[Path]:
    """What is no regular file is named among the unexpected files, and not opened: a FIFO never ends."""
    try:
        folder = stored_file.folder_of(store, "anchors")
    except stored_file.NotOfARecord:
        return []
    if not folder.is_dir():
        return []
    files = (item for item in stored_file.below(folder, _LARGEST) if item.problem is None)
    return [folder / item.name for item in files if item.name.endswith(ending) and not item.name.startswith(".")]
