"""The first release is deployed by one command, with the service's real checks; a second one is deployed over it."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from tests.project_checkout import Checkout
from tests.stories.evidence_assertions import assert_complete
from tests.stories.output_assertions import COLOURED, assert_outputs_agree
from tests.stories.requirement_credit import assert_credited
from tests.stories.step_ids import phase_of
from tests.stories.story_assertions import (
    LEFT_OUT,
    NOTHING_TO_UNDO,
    WITHOUT_A_MIGRATION,
    WITHOUT_AN_EARLIER_RUN,
    assert_ended,
    locked,
)
from tests.unit.reports.parsed_page import parse

WITHOUT_A_RULE = {
    f"test_{gate}"
    for gate in (
        *("deployer", "window", "blackout", "rate_limit", "staging_smoke"),
        *("incidents", "freeze", "retention", "anchors", "administrators"),
        "infrastructure_is_as_approved",
    )
}
"""The gates that local's policy has no rule for, and the infrastructure that it does not name."""


def test_release_is_deployed_and_another_over_it(checkout: Checkout) -> None:
    commit = checkout.git("rev-parse", "HEAD")

    ran = checkout.run("--deploy-env=local", COLOURED)

    assert_ended(checkout, ran, code=0, outcome="deployed")
    assert_outputs_agree(checkout, checkout.last_run(), ran.stdout)
    assert_credited(checkout.events(checkout.last_run()), "local")
    _every_step_passed_but(checkout, WITHOUT_A_RULE | WITHOUT_AN_EARLIER_RUN)
    _evidence_is_complete(checkout)
    opened, request = checkout.said("run.opened")[0], checkout.said("request.made")[0]
    assert (opened["commit"], opened["dirty"]) == (commit, False)
    assert _sha256(checkout, "request.json") == request["request_sha256"]
    assert request["earlier"]["release"] is None
    first = checkout.standing()
    assert (first.status, first.body["commit"], first.tags) == (200, commit, {})
    assert [data["version"] for data in checkout.said("migration.applied")] == list(first.migrations)
    assert f"schema {first.migrations[-1]}, at http://127.0.0.1:" in ran.stdout
    (old,) = first.shares
    # What a run leaves is nothing to commit, whatever the checkout's own .gitignore says.
    ignored = checkout.path / ".gitignore"
    ignored.write_text(
        ignored.read_text(encoding="utf-8").replace("/.deploy/\n", "").replace("/reports/\n", ""), encoding="utf-8"
    )
    assert checkout.git("status", "--porcelain") == " M .gitignore"
    checkout.git("checkout", "--", ".gitignore")

    changed = checkout.path / "examples" / "diary" / "README.md"
    changed.write_text("Another release.\n", encoding="utf-8")
    commit = checkout.commit("Another release")
    ran = checkout.deploy()

    assert_ended(checkout, ran, code=0, outcome="deployed")
    assert_credited(checkout.events(checkout.last_run()), "local again")
    _every_step_passed_but(checkout, WITHOUT_A_RULE | WITHOUT_A_MIGRATION)
    second = checkout.standing()
    (new,) = second.shares
    assert new != old
    assert (second.status, second.body["commit"], second.tags) == (200, commit, {})
    assert second.schema_sha256 == first.schema_sha256
    moved = [(data["before"], data["after"]) for data in checkout.said("traffic.moved")]
    assert moved == [({old: 100}, {old: 50, new: 50}), ({old: 50, new: 50}, {new: 100})]
    assert checkout.said("migration.applied") == []
    earlier = checkout.said("request.made")[0]["earlier"]
    assert (earlier["revision"], earlier["release"]["commit"]) == (old, opened["commit"])

    ran = checkout.deploy('--deploy-set=service.checks.lint=["false"]')

    assert_ended(checkout, ran, code=1, outcome="failed")
    assert_credited(checkout.events(checkout.last_run()), "failed in its build")
    assert checkout.standing() == second


def _every_step_passed_but(checkout: Checkout, not_applicable: set[str]) -> None:
    """Each step passed but those of a rollback, which did not run, and those that had nothing to judge."""
    expected = {nodeid: "passed" if when == "always" else "not-run" for nodeid, when in locked(checkout).items()}
    expected |= {nodeid: "not-applicable" for nodeid in expected if nodeid.partition("::")[2] in not_applicable}
    assert checkout.step_outcomes() == expected
    causes = checkout.not_run()
    assert all(causes[nodeid] == LEFT_OUT.get(phase_of(nodeid), NOTHING_TO_UNDO) for nodeid in causes), causes


def _evidence_is_complete(checkout: Checkout) -> None:
    folder = checkout.run_folder()
    programs = [*checkout.said("run.opened")[0]["programs"].values(), checkout.said("backup.created")[0]["program"]]
    installed = [name for name in ("git", "openssl", "ssh-keygen") if shutil.which(name)]
    assert [Path(program["path"]).name for program in programs] == [*installed, "pg_dump"]
    for program in programs:
        assert program["version"]
        assert program["sha256"] == hashlib.sha256(Path(program["path"]).read_bytes()).hexdigest()
    assert (checkout.path / "reports" / "index.html").is_file()
    assert_complete(checkout, checkout.last_run())
    watch = next(data["measured"] for data in checkout.said("step.finished") if "stays_healthy" in data["nodeid"])
    samples = watch["samples"]["GET /health"]
    assert 0 < len(samples) == sum(sample[2] == 200 for sample in samples)
    assert watch["watch_s"] == checkout.decided()["watch_s"] > 0
    page = parse((folder / "report.html").read_text(encoding="utf-8"))
    row = page.one("tr", data_answers=next(n for n in checkout.step_outcomes() if "stays_healthy" in n))
    assert len(list(row.all("rect", class_="sample"))) == len(samples)
    assert "create table" in page.one("pre", class_="diff").text.lower()


def _sha256(checkout: Checkout, name: str) -> str:
    return hashlib.sha256((checkout.run_folder() / name).read_bytes()).hexdigest()
