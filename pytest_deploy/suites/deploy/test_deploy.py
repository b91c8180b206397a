"""REQ-o00043-G: what lies under the service is as approved; then the new revision is made, and serves nobody yet."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from pytest_deploy import (
    Environment,
    InfrastructureUpdate,
    NoInfrastructure,
    Platform,
    Policy,
    Release,
    Share,
    StepRecord,
)

TAG = "candidate"
START_SECONDS = 60
MINUTES = 60


@pytest.mark.step(changes=True, timeout=60 * MINUTES)
def test_infrastructure_is_as_approved(
    infrastructure: InfrastructureUpdate | NoInfrastructure, record: StepRecord
) -> None:
    """Pulumi carries out the preview that the request holds, and no other; then its program has nothing more to change."""
    if isinstance(infrastructure, NoInfrastructure):
        record.not_applicable(infrastructure.reason)
    record.expect(
        {"approved": infrastructure.digest, "changes": infrastructure.changes}, {"changes": "not carried out"}
    )

    applied = infrastructure.apply(record.attach)

    done = [str(change) for change in applied.changes]
    record.attach("infrastructure/applied.json", applied.to_json())
    record.expect(
        {"approved": infrastructure.digest, "changes": infrastructure.changes},
        {"changes": done, "state": applied.state.digest},
    )
    assert len(done) >= len(infrastructure.changes)
    assert not applied.state.pending


@pytest.mark.requirement("REQ-o00043-G")
@pytest.mark.step(changes=True, timeout=300)
def test_new_revision_is_ready_at_0_percent(
    platform: Platform, policy: Policy, release: Release, environment: Environment, record: StepRecord
) -> None:
    before = platform.runtime.state().shares
    given = {
        **policy.service.env,
        # Where infrastructure gives it to the service, a variable that refers to a secret, it stays as it is.
        **({"DATABASE_URL": platform.database.service} if platform.has_database and platform.database.service else {}),
        "VERSION": release.version,
        "COMMIT": release.commit,
    }

    made = platform.runtime.create(
        image=release.image,
        env=given,
        tag=TAG,
        annotations={
            "deploy.version": release.version,
            "deploy.commit": release.commit,
            "deploy.run": environment.run,
        },
        deadline_s=START_SECONDS,
    )

    after = platform.runtime.state()
    url = next(share.url for share in after.shares if share.tag == TAG)
    record.event("revision.deployed", revision=made.name, image=made.image, url=url, env_names=sorted(given))
    record.expect({"ready": True, "image": release.image}, {"ready": made.ready, "image": made.image})
    assert made.ready
    assert made.image == release.image
    assert serving(before) == serving(after.shares), "the new revision must not serve anybody yet"
    if policy.platform.at_google:  # the specification names Cloud Run: a stand-in shows nothing of it
        record.verified()


def serving(shares: Iterable[Share]) -> dict[str, int]:
    """Percent by revision of what serves."""
    return {share.revision: share.percent for share in shares if share.percent}
