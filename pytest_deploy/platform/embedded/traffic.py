"""The rules of a traffic split, as pure functions of Google's own messages."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterable, Sequence

from google.cloud import run_v2

TO_LATEST = run_v2.TrafficTargetAllocationType.TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST
TO_REVISION = run_v2.TrafficTargetAllocationType.TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION


def fault(targets: Sequence[run_v2.TrafficTarget], known: Collection[str]) -> str | None:
    """Why Cloud Run would refuse this split (INVALID_ARGUMENT), or None."""
    if any(not 0 <= target.percent <= 100 for target in targets):  # noqa: PLR2004  # per cent
        return "a traffic percent lies between 0 and 100"
    if (total := sum(target.percent for target in targets)) != 100:  # noqa: PLR2004  # per cent
        return f"the traffic percents add up to {total}, not to 100"
    tags = [target.tag for target in targets if target.tag]
    if len(set(tags)) != len(tags):
        return "a traffic tag stands on more than one target"
    for target in targets:
        if target.type_ not in (TO_LATEST, TO_REVISION):
            return "a traffic target has no type"
        if target.type_ == TO_REVISION and target.revision not in known:
            return f"traffic names revision {target.revision!r}, which does not exist"
    return None


def statuses(
    targets: Iterable[run_v2.TrafficTarget], *, latest_ready: str, url: Callable[[str], str]
) -> list[run_v2.TrafficTargetStatus]:
    """What serves once the split is in force; `url` gives a tag's."""
    return [
        run_v2.TrafficTargetStatus(
            type_=target.type_,
            revision=target.revision if target.type_ == TO_REVISION else latest_ready,
            percent=target.percent,
            tag=target.tag,
            uri=url(target.tag) if target.tag else "",
        )
        for target in targets
    ]


def choose(serving: Sequence[run_v2.TrafficTargetStatus], tag: str) -> str | None:
    """The revision that answers one request: the tag's, or for no tag one drawn by percent. None: there is none."""
    if tag:
        return next((line.revision for line in serving if line.tag == tag), None)
    weights = [line.percent for line in serving]
    if not any(weights):
        return None
    return random.choices(serving, weights)[0].revision  # noqa: S311  # load, not secrecy
