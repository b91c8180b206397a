"""The first release ever that fails leaves nothing: no release, no schema; the next one starts from there."""

from __future__ import annotations

from tests.project_checkout import Checkout
from tests.stories.story_assertions import assert_ended, locked

NO_RELEASE = "no prior release: there is nothing to expect"


def test_first_release_ever_goes_back_to_nothing_and_the_record_can_be_begun_anew(checkout: Checkout) -> None:
    before = checkout.standing()
    assert (before.status, before.migrations) == (503, ())

    ran = checkout.deploy("--deploy-set=service.env.FAULT=audit")

    assert_ended(checkout, ran, code=1, outcome="rolled-back")
    assert checkout.failing() == {"smoke/test_features.py::test_audit_trail_records_are_created"}
    assert checkout.said("rollback.finished")[0]["target"] == "none"
    earlier = {nodeid for nodeid, when in locked(checkout).items() if when == "earlier"}
    assert earlier == {nodeid for nodeid, cause in checkout.not_run().items() if cause == NO_RELEASE}
    after = checkout.standing()
    assert after == before, f"was: {before}\nis:  {after}"
    assert "serving   nothing yet" in ran.stdout

    ran = checkout.deploy()

    assert_ended(checkout, ran, code=0, outcome="deployed")
    assert checkout.standing().status == 200

    _begin_anew(checkout)


def _begin_anew(checkout: Checkout) -> None:
    """`deploy.py reset local` archives the record, which still verifies, and forgets what served."""
    refused = checkout.deploy_py("reset", "production")
    assert refused.code == 4, refused.said

    reset = checkout.deploy_py("reset", "local")

    assert reset.code == 0, reset.said
    assert not checkout.store.exists()
    (archived,) = (checkout.path / "reports" / "archive").iterdir()
    verified = checkout.deploy_py("verify", str(archived.relative_to(checkout.path)))
    assert verified.code == 0, verified.said
    standing = checkout.standing()
    assert (standing.status, standing.migrations) == (503, ())
