"""Verify a record from its files alone: the twelve steps of record-format.md, in order, each its own function.

Nothing of what wrote the record is used: no log, no clock, no key but those in the store. And a log that brings its own
keys proves only that it agrees with itself: compare `trust/log.vkey` with a copy that came by another way.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Final

from pytest_deploy.errors import IllegalEvent
from pytest_deploy.record.plain_text import escape_to_ascii
from pytest_deploy.verify.anchors import anchors, timestamps
from pytest_deploy.verify.chain import Chain, Signatures
from pytest_deploy.verify.checks import Check, Finding, Outcome, Verification
from pytest_deploy.verify.pool import Hands
from pytest_deploy.verify.run_check import endings, folders
from pytest_deploy.verify.signatures import signatures as people
from pytest_deploy.verify.signatures import uncounted
from pytest_deploy.verify.unexpected_files import blamed, misfits, strangers, unreadable

_SCRIPT: Final = Path(__file__).with_name("verify.sh")


def verify(
    path: Path,
    *,
    anchor: str | Sequence[str] | None = None,
    signatures: Signatures = "newest",
    hands: Hands | None = None,
) -> Verification:
    """Check the record in the store `path`; `anchor` is a line `tlog <origin> <size> <root>` kept elsewhere, or several.

    `newest` checks the log's signatures on its newest thousand events (the last one commits to all) and on those that
    change its keys, and the newest 250 of people; `all` every one. `hands` do the work, else as many as it is worth.
    Nothing is written, nothing raised for a bad record: every fault is a finding with its place.
    """
    odd = misfits(path)
    chain = Chain(path, signatures)
    looks: dict[int, Callable[[Hands], Outcome]] = {
        **{number: partial(_of_chain, chain, number) for number in range(1, 8)},
        8: lambda _: endings(chain),
        9: lambda several: folders(chain, several),
        10: lambda several: people(chain, several),
        11: lambda _: anchors(chain, [anchor] if isinstance(anchor, str) else list(anchor or ())),
        12: lambda _: timestamps(chain),
    }
    chain.find()
    with nullcontext(hands) if hands is not None else Hands(chain.names) as several:
        chain.read(several)
        outcomes = {
            number: blamed(_looked(path, number, partial(look, several)), number, odd) for number, look in looks.items()
        }
        unused = _unused(chain, several)
    checks: tuple[Check, ...] = tuple(outcome.check(number) for number, outcome in outcomes.items())
    findings: tuple[Finding, ...] = tuple(finding for outcome in outcomes.values() for finding in outcome.findings)
    head = chain.head.checkpoint if chain.head is not None else None
    return Verification(
        ok=all(check.ok for check in checks),
        checks=checks,
        findings=findings,
        notes=(*unused, *_notes(chain)),
        origin=chain.trust[0].key.origin if chain.trust else "",
        vkey=chain.trust[-1].key.vkey if chain.trust else "",
        size=chain.size,
        root=base64.b64encode(head.root).decode() if head is not None else "",
        in_progress=chain.life.in_progress(),
    )


def _of_chain(chain: Chain, number: int, _: Hands) -> Outcome:
    return chain.outcome(number)


def _looked(store: Path, number: int, look: Callable[[], Outcome]) -> Outcome:
    """What a step concluded; a file it could not read, or that changed while it looked, is a finding and no crash."""
    try:
        return look()
    except OSError as error:
        return Outcome((unreadable(store, number, error),), "", concluded=False)
    except IllegalEvent as error:
        return Outcome((Finding(number, "log/", f"changed while it was read: {error}"),), "", concluded=False)


def _unused(chain: Chain, hands: Hands) -> tuple[str, ...]:
    try:
        return tuple(escape_to_ascii(text) for text in uncounted(chain, hands))
    except OSError:  # a folder that cannot be listed is a finding already
        return ()


def _notes(chain: Chain) -> tuple[str, ...]:
    notes = [
        escape_to_ascii(f"{name}: is no part of the record; nothing is said of it") for name in strangers(chain.store)
    ]
    if _is_altered(chain.store / "verify.sh"):
        notes.append("verify.sh: is not that of this version; take one from where you trust it, as you do with trust/")
    if chain.strays:
        notes.append(f"log/: {chain.strays} unfinished writes (names with a dot); they are no part of the log")
    notes += [f"{place}: is that of an earlier trust set; take {_newest(chain)}'s" for place in chain.older_copies]
    for event in chain.kept:
        if event.type == "clock.skewed":
            mended = "time restarts after it" if "restart" in event.data else f"{event.data['skew_s']} s"
            notes.append(f"event {event.seq}: a clock was off, {mended}")
    if chain.trust:
        notes.append(
            f"the log's own key is {chain.trust[-1].key.vkey}: compare it with a copy that came by another way"
        )
    return tuple(notes)


def _newest(chain: Chain) -> str:
    return f"trust/{chain.trust[-1].folder.name}"


def _is_altered(script: Path) -> bool:
    try:
        return script.is_file() and script.read_bytes() != _SCRIPT.read_bytes()
    except OSError:
        return True
