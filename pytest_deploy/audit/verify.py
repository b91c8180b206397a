"""Verify a record from its files alone: the twelve steps of record-format.md, in order, each its own function.

Nothing of what wrote the record is used: no log, no clock, no key but those in the store. And a log that brings its own
keys proves only that it agrees with itself: compare `trust/log.vkey` with a copy that came by another way.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from pytest_deploy.audit.anchors import anchors, timestamps
from pytest_deploy.audit.chain import Chain, Signatures
from pytest_deploy.audit.checks import Check, Finding, Outcome, Verification
from pytest_deploy.audit.hands import Hands
from pytest_deploy.audit.runs import endings, folders
from pytest_deploy.audit.signatures import signatures as people
from pytest_deploy.audit.signatures import uncounted


def verify(
    path: Path,
    *,
    anchor: str | Sequence[str] | None = None,
    signatures: Signatures = "newest",
    hands: Hands | None = None,
) -> Verification:
    """Check the record in the store `path`; `anchor` is a line `tlog <origin> <size> <root>` kept elsewhere, or several.

    `newest` checks the log's signatures on its newest thousand events (the last one commits to all) and on those that
    change its keys, and the newest thousand of people; `all` every one. `hands` do the work, else as many as it is worth.
    Nothing is written, nothing raised for a bad record: every fault is a finding with its place.
    """
    chain = Chain(path, signatures)
    chain.find()
    with nullcontext(hands) if hands is not None else Hands(chain.names) as several:
        chain.read(several)
        outcomes: dict[int, Outcome] = {number: chain.outcome(number) for number in range(1, 8)}
        outcomes[8] = endings(chain)
        outcomes[9] = folders(chain, several)
        outcomes[10] = people(chain, several)
        unused = uncounted(chain, several)
    outcomes[11] = anchors(chain, [anchor] if isinstance(anchor, str) else list(anchor or ()))
    outcomes[12] = timestamps(chain)
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


def _notes(chain: Chain) -> tuple[str, ...]:
    notes = []
    if chain.strays:
        notes.append(f"log/: {chain.strays} unfinished writes (names with a dot); they are no part of the log")
    for event in chain.kept:
        if event.type == "clock.skewed":
            mended = "time restarts after it" if "restart" in event.data else f"{event.data['skew_s']} s"
            notes.append(f"event {event.seq}: a clock was off, {mended}")
    if chain.trust:
        notes.append(
            f"the log's own key is {chain.trust[-1].key.vkey}: compare it with a copy that came by another way"
        )
    return tuple(notes)
