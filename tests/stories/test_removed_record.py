"""Somebody removes the record of what serves: the next run says so and changes nothing, until a person says that a new one begins."""

from __future__ import annotations

import re
import shlex
import shutil

from tests.project_checkout import Checkout
from tests.stories.story_assertions import assert_ended

SMOKE = "--deploy-pipeline=smoke"


def test_a_removed_record_is_told_with_the_one_command_and_begins_anew_with_a_reason(checkout: Checkout) -> None:
    assert_ended(checkout, checkout.deploy(), code=0, outcome="deployed")
    standing = checkout.standing()

    shutil.rmtree(checkout.path / "reports")
    ran = checkout.deploy(SMOKE)
    assert ran.code == 3, ran.said
    _begin_as_told(checkout, ran.said)
    assert (checkout.events()[0].type, checkout.events()[0].data["reason"]) == (
        "key.enrolled",
        "begun anew: reports/local was removed",
    )
    _smokes(checkout)

    # Who removes the log's key too leaves what serves.
    shutil.rmtree(checkout.path / "reports")
    shutil.rmtree(checkout.path / ".deploy" / "keys")
    ran = checkout.deploy(SMOKE)
    assert ran.code == 1, ran.said
    assert "serves here" in ran.said
    assert checkout.events() == []
    began = checkout.deploy_py("keys", "init", "local", "--new-record", "--reason", "OPS-7: the folder was lost")
    assert began.code == 0, began.said
    _smokes(checkout)
    assert checkout.standing() == standing


def _smokes(checkout: Checkout) -> None:
    ran = checkout.deploy(SMOKE)
    assert ran.code == 0, ran.said
    assert checkout.decided()["outcome"] == "passed"


def _begin_as_told(checkout: Checkout, said: str) -> None:
    (told,) = set(re.findall(r"deploy\.py (keys init .*?)`", said))
    began = checkout.deploy_py(*shlex.split(told))
    assert began.code == 0, began.said
