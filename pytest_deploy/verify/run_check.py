"""Steps 8 and 9: how every run ended, and that the files of the finished ones are those that were sealed."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from pytest_deploy.errors import RecordError
from pytest_deploy.record.clock import stamp
from pytest_deploy.record.event import Event
from pytest_deploy.record.run_folder import FOUND, SUMS, listing
from pytest_deploy.verify.chain import Chain
from pytest_deploy.verify.checks import NONE, Finding, Outcome
from pytest_deploy.verify.pool import Hands, batched
from pytest_deploy.verify.unexpected_files import unreadable


def endings(chain: Chain) -> Outcome:
    """Step 8: every run is closed, abandoned, or in progress; those in progress are named with their lease."""
    ended = [event for event in chain.kept if event.type in {"run.closed", "run.abandoned"}]
    closed = sum(event.type == "run.closed" for event in ended)
    parts = [f"{closed} closed"] if closed else []
    parts += [f"{len(ended) - closed} abandoned"] if len(ended) > closed else []
    lease = chain.life.lease
    for run in chain.life.in_progress():
        until = f" (lease until {stamp(lease.until)})" if lease is not None and lease.run == run else " (no lease)"
        parts.append(f"in progress: {run}{until}")
    return Outcome((), ", ".join(parts) or NONE, concluded=not chain.stopped)


def folders(chain: Chain, hands: Hands) -> Outcome:
    """Step 9: SHA256SUMS of each finished run is the one its last event binds, matches its files, and lists all."""
    findings: list[Finding] = []
    finished = [event for event in chain.kept if event.type in {"run.closed", "run.abandoned"}]
    jobs = ((chain.store, tuple(events)) for events in batched(finished))
    for found in hands.each(_sealed, jobs):
        findings += found
    for name, folder in sorted(subfolders(chain.store / "runs").items()):
        if not folder:
            findings.append(Finding(9, f"runs/{name}", "is no folder of a run"))
        elif not chain.stopped and not chain.life.run(name).known:
            findings.append(Finding(9, f"runs/{name}", "no event names this run"))
    detail = f"{len(finished)} sealed folders" if finished else NONE
    return Outcome(tuple(findings), detail, concluded=not chain.stopped)


def subfolders(place: Path) -> dict[str, bool]:
    """What lies in a folder, and whether each is a folder itself; nothing where there is none."""
    if not place.is_dir():
        return {}
    with os.scandir(place) as items:
        return {item.name: item.is_dir(follow_symlinks=False) for item in items}


def _sealed(job: tuple[Path, tuple[Event, ...]]) -> list[Finding]:
    store, events = job
    return [finding for event in events for finding in sealed(store, event)]


def sealed(store: Path, event: Event) -> Iterator[Finding]:
    """What is wrong with the folder of one finished run. `event`: its `run.closed` or `run.abandoned`."""
    closed = event.type == "run.closed"
    sums, bound = (SUMS, event.data["record_sha256"]) if closed else (FOUND, event.data["found_sha256"])
    folder = store / "runs" / event.run
    place = f"runs/{event.run}"
    try:
        if not stat.S_ISREG((folder / sums).lstat().st_mode):
            return  # a misfit, named as such
        text = (folder / sums).read_bytes()
        if hashlib.sha256(text).hexdigest() != bound:
            yield Finding(9, f"{place}/{sums}", f"is not the one event {event.seq} binds")
            return
        # By line feeds alone, as sha256sum reads them: a name may hold what Unicode takes for the end of a line.
        lines = [line.split("  ", 1) for line in text.decode().split("\n")[:-1]]
        listed = {name: sha256 for sha256, name in lines}
        actual = listing(folder)
    except FileNotFoundError:
        yield Finding(9, f"{place}/{sums}", f"is missing, though event {event.seq} binds it")
        return
    except OSError as error:
        yield unreadable(store, 9, error)
        return
    except (RecordError, ValueError) as error:
        yield Finding(9, f"{place}/{sums}", f"cannot be held against the files: {error}")
        return
    del actual[sums]
    for name in sorted(listed.keys() | actual.keys()):
        if name not in actual:
            yield Finding(9, f"{place}/{name}", "is missing")
        elif name not in listed:
            yield Finding(9, f"{place}/{name}", "was added after the folder was sealed")
        elif actual[name] != listed[name]:
            yield Finding(9, f"{place}/{name}", "was changed after the folder was sealed")
