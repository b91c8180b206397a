"""What a rollback by hand returns to: a release that was deployed here, as the record and the platform know it.

The state that it returns to is the one that the next request found: `earlier` of each request.json states the environment as it
was under the release before, by its revision, its migrations and the digests of its schema.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from pytest_deploy.errors import PlatformUnavailable, Refused, UsageError
from pytest_deploy.platform.protocol import Runtime
from pytest_deploy.record.clock import stamp
from pytest_deploy.record.event import Event, of_type
from pytest_deploy.record.events import RequestMade, RevisionDeployed, RunDecided, RunOpened, given
from pytest_deploy.release.live import Baseline, Release

EARLIER: Final = "earlier"
"""The word for the release before the one that serves."""
_SHOWN: Final = 10
"""So many releases a message names, newest first."""


@dataclass(frozen=True)
class DeployedRelease:
    """A release that a run deployed, and that served."""

    run: str
    version: str
    at: str
    """When that was decided: a stamp, UTC."""
    revision: str

    def __str__(self) -> str:
        return f"{self.version}  deployed {self.at} by {self.run}"


def deployed_releases(history: Sequence[Event]) -> tuple[DeployedRelease, ...]:
    """The releases of a record, in the order in which they came to serve."""
    opened = {event.run: content for event, content in of_type(history, RunOpened)}
    revisions = {event.run: content.revision for event, content in of_type(history, RevisionDeployed)}
    return tuple(
        DeployedRelease(event.run, opened[event.run].version, stamp(event.time), revisions[event.run])
        for event, decided in of_type(history, RunDecided)
        if decided.outcome == "deployed" and event.run in revisions
    )


def find_target(history: Sequence[Event], now: Baseline, to: str, *, more: Sequence[Baseline] = ()) -> Baseline:
    """The state that a rollback to `to` returns to.

    Args:
        history: the record's events.
        now: what the environment is.
        to: a version as the history shows it, the run that deployed it, or `earlier`.
        more: states that the record knows besides, newest last.

    Raises:
        UsageError: there is no such release, it serves already, or several runs deployed it; with what would be right.
        Refused: the record does not say what the environment was under it.
    """
    releases = deployed_releases(history)
    if to == EARLIER:
        return _before(history, releases, now)
    chosen = _choose(history, releases, now, to)
    stated = [state for state in (*more, *_earlier(history)) if state.revision == chosen.revision]
    if not stated:
        raise Refused(
            f"{chosen.version} is not gone back to: no request on record says what the environment was while {chosen.revision} served; "
            "deploy its commit again"
        )
    return stated[-1]


def _before(history: Sequence[Event], releases: Sequence[DeployedRelease], now: Baseline) -> Baseline:
    """What the request that brought what serves found."""
    serving = [one for one in releases if one.revision == now.revision]
    if not serving:
        raise UsageError(
            f"--to {EARLIER}: no run on record deployed {now.revision}, which serves; {_which(releases, now)}"
        )
    found = [given(made.earlier) for event, made in of_type(history, RequestMade) if event.run == serving[-1].run]
    before = Baseline.of(found[-1]) if found and found[-1] else None
    if before is None or before.release is None:
        raise UsageError(f"--to {EARLIER}: {serving[-1].version} serves, and no release served here before it")
    return before


def _choose(history: Sequence[Event], releases: Sequence[DeployedRelease], now: Baseline, to: str) -> DeployedRelease:
    """The one release that is meant. Raises UsageError."""
    meant = [one for one in releases if to in {one.run, one.version}]
    if not meant:
        tried = [event.run for event, opened in of_type(history, RunOpened) if to in {event.run, opened.version}]
        why = f"it was never deployed here (run {tried[-1]} was to)" if tried else "the record knows no such release"
        raise UsageError(f"--to {to}: {why}; {_which(releases, now)}")
    other = [one for one in meant if one.revision != now.revision]
    if not other:
        raise UsageError(f"--to {to}: it serves already ({now.revision}); {_which(releases, now)}")
    if len(meant) > 1:
        runs = "".join(f"\n  {one}{'  (serves)' if one.revision == now.revision else ''}" for one in meant)
        raise UsageError(
            f"--to {to}: {len(meant)} runs deployed it; name the run in place of the version: --to RUN{runs}"
        )
    return other[0]


def _which(releases: Sequence[DeployedRelease], now: Baseline) -> str:
    """What could be named."""
    others = [one for one in releases if one.revision != now.revision]
    if not others:
        return "there is no other release to go back to"
    return "right is one of" + "".join(f"\n  {one}" for one in reversed(others[-_SHOWN:]))


def _earlier(history: Sequence[Event]) -> Iterator[Baseline]:
    """The states that requests found, or returned to, oldest first."""
    for _, made in of_type(history, RequestMade):
        if stated := given(made.earlier):
            yield Baseline.of(stated)


def require_served(runtime: Runtime, target: Baseline) -> Release:
    """The target's release, where the platform still has its revision as the record states it. Raises Refused."""
    release = target.release
    if release is None:
        raise Refused(f"{target.revision} is no release: nothing had been deployed then")
    again = "deploy its commit again"
    try:
        revision = runtime.revision(target.revision)
    except PlatformUnavailable as error:
        raise Refused(
            f"{release.version} is not gone back to: {target.revision} cannot be read: {error}; {again}"
        ) from None
    if revision.digest != release.digest:
        raise Refused(
            f"{release.version} is not gone back to: {target.revision} is of {revision.image}, and the record says {release.image}; {again}"
        )
    if not revision.ready:
        raise Refused(f"{release.version} is not gone back to: {target.revision} is not ready to serve; {again}")
    return release
