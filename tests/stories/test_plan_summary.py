"""What a job's summary and a comment on a pull request say of a plan."""

from __future__ import annotations

from tests.project_checkout import Checkout
from tests.stories.rehearsed_checkout import TUESDAY, RehearsedCheckout


def test_the_newest_plan_is_shown_as_markdown(checkout: Checkout) -> None:
    staging = RehearsedCheckout.of(checkout, "staging")
    asked = ("plan", "staging", "--rehearse", "--summary")
    before = checkout.deploy_py(*asked)
    assert before.code == 1
    assert "staging has no plan on record: `" in before.said
    request = staging.planned(TUESDAY)

    said = checkout.deploy_py(*asked)

    assert said.code == 0, said.said
    assert f"| request | `{request}`, digest begins `" in said.stdout
    assert "approval missing: QA Lead" in said.stdout
    assert "<summary>0007 plausible_days</summary>" in said.stdout
    assert "create table diary.account (" in said.stdout
    assert f"deploy.py approve {request}\n" in said.stdout
