"""Verify a record from its files alone: the twelve steps of record-format.md, "Verifying", in order.

Their numbers and titles: `findings.TITLES`. Each number stands again where its step is done: 1 to 8 in `chain` (1 to 5 and
the form of 7 in `segment`), 9 in `run_files`, 10 in `signatures`, 11 and 12 in `anchors`.

Nothing of what wrote the record is used: no log, no clock, no key but those in the store. And a log that brings its own
keys proves only that it agrees with itself: compare `trust/log.vkey` with a copy that came by another way.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from pytest_deploy.errors import IllegalEvent
from pytest_deploy.record import stored_file
from pytest_deploy.record.events import UNSET, ClockSkewed
from pytest_deploy.record.plain_text import escape_to_ascii
from pytest_deploy.verify.anchors import check_anchors, check_timestamps
from pytest_deploy.verify.chain import Chain, Signatures
from pytest_deploy.verify.findings import Check, Finding, Verification
from pytest_deploy.verify.run_files import check_run_folders, other_files, unexpected_files
from pytest_deploy.verify.segment import WorkerPool
from pytest_deploy.verify.signatures import check_signatures, uncounted_files

_SCRIPT: Final = Path(__file__).with_name("verify.sh")


def verify(
    path: Path,
    *,
    anchor: str | Sequence[str] | None = None,
    signatures: Signatures = "newest",
    trust_root: str = "",
    pool: WorkerPool | None = None,
) -> Verification:
    """Check the record in the store `path`. Nothing is written; for a bad record nothing is raised, each fault is a finding.

    Args:
        path: The store, e.g. `reports/production`.
        anchor: A line `tlog <origin> <size> <root>` that was kept outside the store, or several.
        signatures: `newest` checks the log's signatures on its newest 1,000 events (the last one commits to all) and on
            those that change its keys, and the newest 250 of people; `all` every one.
        trust_root: The SHA-256 of the first roster that administrators signed, hex, as it was kept outside the store.
        pool: Who does the work; else as many processes as the log is worth.

    Returns:
        What each step concluded, every finding with its place, and what a reader should know besides.
    """
    given = [anchor] if isinstance(anchor, str) else list(anchor or ())
    # Before a file is opened: what is neither file nor folder. Each is a finding of the step that looks at its folder.
    unexpected = unexpected_files(path)
    chain = Chain(path, signatures)
    chain.list_names()
    with nullcontext(pool) if pool is not None else WorkerPool(chain.names) as workers:
        # Steps 1 to 7 in one reading of the log, from event 0 to the first bad one.
        chain.read(workers)
        steps: dict[int, Callable[[], Check]] = {
            **{number: partial(chain.check, number) for number in range(1, 8)},
            8: chain.check_endings,
            9: partial(check_run_folders, chain, workers),
            10: partial(check_signatures, chain, workers, trust_root),
            11: partial(check_anchors, chain, given),
            12: partial(check_timestamps, chain),
        }
        checks = []
        for number, step in steps.items():
            check = run_check(path, number, step)
            own = tuple(finding for finding in unexpected if finding.step == number)
            checks.append(replace(check, findings=tuple(dict.fromkeys((*own, *check.findings)))))
        notes = (*_uncounted(chain, workers), *_notes(chain))
    head = chain.head.checkpoint if chain.head is not None else None
    return Verification(
        checks=tuple(checks),
        notes=notes,
        origin=chain.trust[0].key.origin if chain.trust else "",
        vkey=chain.trust[-1].key.vkey if chain.trust else "",
        size=chain.size,
        root=base64.b64encode(head.root).decode() if head is not None else "",
        in_progress=chain.state.open_runs(),
    )


def run_check(store: Path, number: int, step: Callable[[], Check]) -> Check:
    """What a step concluded; a file it could not read, or that changed while it looked, is a finding and no crash."""
    try:
        return step()
    except OSError as error:
        finding = Finding.unreadable(number, store, error)
    except IllegalEvent as error:
        finding = Finding(number, "log/", f"changed while it was read: {error}")
    return Check(number, (finding,), "", concluded=False)


def _uncounted(chain: Chain, pool: WorkerPool) -> tuple[str, ...]:
    try:
        return tuple(escape_to_ascii(text) for text in uncounted_files(chain, pool))
    except OSError:  # a folder that cannot be listed is a finding already
        return ()


def _notes(chain: Chain) -> tuple[str, ...]:
    notes = [
        escape_to_ascii(f"{name}: is no part of the record; nothing is said of it") for name in other_files(chain.store)
    ]
    if _is_altered(chain.store / "verify.sh"):
        notes.append("verify.sh: is not that of this version; take one from where you trust it, as you do with trust/")
    if chain.unfinished:
        notes.append(f"log/: {chain.unfinished} unfinished writes (names with a dot); they are no part of the log")
    newest = f"trust/{chain.trust[-1].folder.name}" if chain.trust else ""
    notes += [f"{place}: is that of an earlier trust set; take {newest}'s" for place in chain.older_copies]
    for event in chain.kept_of(ClockSkewed):
        if isinstance(skew := event.content, ClockSkewed):
            how = "time restarts after it" if skew.restart is not UNSET else f"{skew.skew_s} s"
            notes.append(f"event {event.seq}: a clock was off, {how}")
    if unapproved := chain.verdicts.unapproved:
        notes.append(
            f"{len(unapproved)} of its runs went on under a policy that asks nobody to approve, the last is {unapproved[-1]}"
        )
    if chain.root is not None:
        notes.append(
            f"the trust root is {chain.root_sha256}: compare it with the one you hold, or give it as --trust-root"
        )
    elif chain.trust:
        notes.append("no roster here is signed by administrators: who may sign rests on the log's key alone")
    if chain.trust:
        notes.append(
            f"the log's own key is {chain.trust[-1].key.vkey}: compare it with a copy that came by another way"
        )
    return tuple(notes)


def _is_altered(script: Path) -> bool:
    try:
        return script.is_file() and (ours := _SCRIPT.read_bytes()) != stored_file.read(script, len(ours))
    except OSError:
        return True
