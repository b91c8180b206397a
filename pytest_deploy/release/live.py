"""What is live: the environment as it is now, and the release that is expected to answer in it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import psycopg

from pytest_deploy.errors import ManualInterventionRequired, Refused
from pytest_deploy.migrate import ledger, snapshot
from pytest_deploy.platform.protocol import Platform
from pytest_deploy.record.event import Event
from pytest_deploy.release.request import Earlier, Release


def read_earlier(platform: Platform) -> Earlier:
    """What the environment is now, before any change: what a rollback returns to.

    Raises PlatformUnavailable where it cannot be read, ManualInterventionRequired where traffic is split.
    """
    state = platform.runtime.state()
    name = state.sole_revision()
    if name is None or not state.settled:
        raise ManualInterventionRequired(
            f"traffic is split or moving ({', '.join(f'{s.revision} {s.percent} %' for s in state.shares)}): there is no "
            "sole revision to return to; give one revision all traffic, then run again"
        )
    with psycopg.connect(platform.database.owner, autocommit=True) as connection:
        applied = tuple(one.version for one in ledger.applied(connection))
    schema = snapshot.snapshot(platform.database.owner, platform.database.programs)
    revision = platform.runtime.revision(name)
    release = None
    if version := revision.annotations.get("deploy.version"):
        release = Release(
            version=version,
            commit=revision.annotations.get("deploy.commit", ""),
            image=revision.image,
            migrations=applied,
            revision=name,
            schema_sha256=schema.sha256,
        )
    return Earlier(name, applied, schema.sha256, schema.catalog, release)


def expected(events: Sequence[Event], run_folder: Path, platform: Platform) -> Release:
    """The release a run deploys; where it deploys none, the one that serves. Raises Refused where there is neither."""
    opened = next(event for event in events if event.type == "run.opened")
    if not any(event.type == "request.made" for event in events):
        serving = read_earlier(platform).release
        if serving is None:
            raise Refused("no release serves here yet: deploy one first, `pytest --deploy-env=ENV`")
        return serving
    asked = json.loads((run_folder / "request.json").read_bytes())
    deployed = [event.data["revision"] for event in events if event.type == "revision.deployed"]
    return Release(
        version=opened.data["version"],
        commit=opened.data["commit"],
        image=asked["artefact"]["image"],
        migrations=tuple(one["version"] for one in asked["migrations"]),
        revision=deployed[-1] if deployed else "",
    )
