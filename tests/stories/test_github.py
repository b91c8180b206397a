"""A record whose anchors lie at GitHub: its runs hang on no answer, and nobody goes on behind what GitHub knows."""

from __future__ import annotations

import re

import pytest

from pytest_deploy.record.redaction import forms
from tests.fake_github import REPOSITORY, TOKEN, GitHub
from tests.project_checkout import Checkout
from tests.stories.output_assertions import COLOURED, assert_outputs_agree
from tests.stories.requirement_credit import assert_credited

ENV = {"GITHUB_TOKEN": TOKEN}


@pytest.mark.faults
def test_a_run_ends_as_it_did_whatever_github_says_and_the_next_goes_on_from_what_it_knows(checkout: Checkout) -> None:
    github = GitHub(may_write=False)
    with github.serving() as url:
        anchored(checkout, url)

        refused = checkout.deploy(env=ENV)
        assert (refused.code, "deployed") == (0, checkout.decided()["outcome"]), refused.said
        (alert,) = (one for one in checkout.said("alert.raised") if one["alert"] == "anchor")
        assert "was refused, 403 Resource not accessible by integration: let the token" in alert["detail"]
        assert "was refused, 403" in refused.said
        assert github.lines() == []

        github.may_write = True
        made = checkout.deploy_py("anchor", "local", env=ENV)
        assert made.code == 0, made.said
        (line,) = github.lines()
        assert checkout.deploy_py("verify", "reports/local", "--anchor", line).code == 0
        well = checkout.deploy_py("audit", "local", env=ENV)
        assert well.code == 0, well.said

        github.said(github.deployments[0]["id"], re.sub(r" [0-9]+ ", " 9999 ", line))
        cut = checkout.deploy(COLOURED, env=ENV)
        assert (cut.code, checkout.decided()["outcome"]) == (1, "refused"), cut.said
        assert_outputs_agree(checkout, checkout.last_run(), cut.stdout)
        assert_credited(checkout.events(checkout.last_run()), "refused")
        (gate,) = checkout.said("gate.refused")
        assert "deploy-record knows 9999 events, " in gate["reason"], gate
        assert "the record was cut" in cut.said
    written = {name: data for top in ("reports", ".deploy") for name, data in checkout.bytes_below(top).items()}
    assert [name for name, data in written.items() if any(form.encode() in data for form in forms(TOKEN))] == []
    assert not any(TOKEN in ran.said for ran in (refused, made, well, cut))


def anchored(checkout: Checkout, url: str) -> None:
    """Local's policy asks for anchors at GitHub."""
    written = (checkout.path / "deploy.yaml").read_text(encoding="utf-8")
    asked = f"anchors: {{required: true, github: {{repository: {REPOSITORY}, api: '{url}'}}}}"
    checkout.write("deploy.yaml", written.replace("    dirty_tree: true\n", f"    dirty_tree: true\n    {asked}\n", 1))
    checkout.commit("Anchors at GitHub")
