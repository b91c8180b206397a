"""Whoever holds the log's key goes on with the log: what it then says of people, and of gates, no verifier takes for granted.

Every record here is written through the log with its own key, legal event for legal event. Each is judged by all three
verifiers, which name the same event.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import pytest_deploy
from pytest_deploy.policy.asked_gates import GATES_OF_PIPELINE, LATER, RULES, Asked
from pytest_deploy.record import log_entry as entries
from pytest_deploy.record import preimages
from pytest_deploy.verify.verify import verify
from tests.unit.record.sample_record import RunWriter, policy_text, verdict
from tests.unit.verify.insider import FILLED, OVERRIDDEN, PRODUCTION, ROLES, RULES_OF_PRODUCTION, Insider, approvals
from tests.unit.verify.second_verifier import second_opinion
from tests.unit.verify.third_verifier import Peer, all_three


@pytest.fixture
def insider(tmp_path: Path) -> Insider:
    return Insider.begin(tmp_path)


def test_what_was_signed_by_those_whom_policy_asks_verifies(insider: Insider) -> None:
    insider.approve("tina", "quinn").open().ask().deploy()

    insider.stands()
    assert not any("asks nobody" in note for note in verify(insider.store).notes)


def test_a_deployment_without_one_signature_is_refused(insider: Insider) -> None:
    insider.open().ask().deploy()
    insider.refused_at(insider.seq_of("gate.passed", gate="approvals"), "quinn@example.org approved as QA Lead, and no")


def test_an_approval_by_nobody_is_refused_before_anything_changes(insider: Insider) -> None:
    insider.open().ask({}).run.close("failed")
    insider.refused_at(insider.seq_of("gate.passed", gate="approvals"), "says that it was approved, and by nobody")


def test_an_approval_that_is_counted_after_the_verdict_comes_too_late(insider: Insider) -> None:
    insider.approve("tina").open().ask().approve("quinn").deploy()
    insider.refused_at(insider.seq_of("gate.passed", gate="approvals"), "quinn@example.org approved as QA Lead, and no")


@pytest.mark.parametrize(
    "filled, problem",
    [
        ({**FILLED, "QA Lead": "otto@example.org"}, "otto@example.org approved as QA Lead"),
        ({**FILLED, "QA Lead": "tina@example.org"}, "tina@example.org approved as QA Lead"),
        ({"Tech Lead": "quinn@example.org", "QA Lead": "tina@example.org"}, "tina@example.org approved as QA Lead"),
    ],
    ids=["somebody else", "one for both", "each other's role"],
)
def test_a_verdict_names_those_who_signed_in_the_role_they_signed_in(
    insider: Insider, filled: dict[str, str], problem: str
) -> None:
    insider.approve("tina", "quinn").open().ask(filled).deploy()
    insider.refused_at(insider.seq_of("gate.passed", gate="approvals"), problem)


def test_the_signatures_of_another_run_count_nothing_here(insider: Insider) -> None:
    insider.approve("tina", "quinn").open().ask().deploy()
    again = RunWriter(insider.run.log)
    again.policy = PRODUCTION
    insider.run = again.planned_request()
    insider.open().ask().deploy()
    insider.refused_at(insider.seq_of("gate.passed", gate="approvals"), "no signature counted before it does")


def test_a_role_that_policy_asks_and_nobody_fills_is_named(insider: Insider) -> None:
    insider.approve("tina").open().ask({"Tech Lead": "tina@example.org"}).deploy()
    insider.refused_at(insider.seq_of("step.started", changes=True), "nobody approved as QA Lead")


def test_a_role_that_is_asked_twice_takes_two_people(tmp_path: Path) -> None:
    twice = policy_text(**{**RULES_OF_PRODUCTION, "approval": {"roles": ["QA Lead", "QA Lead"]}})
    filled = {"QA Lead": "otto@example.org", "QA Lead (2)": "quinn@example.org"}
    for name, who in (("two", filled), ("one", {"QA Lead": "otto@example.org", "QA Lead (2)": "otto@example.org"})):
        (tmp_path / name).mkdir()
        insider = Insider.begin(tmp_path / name)
        insider.run = RunWriter(insider.run.log)
        insider.run.policy = twice
        insider.run.planned_request()
        insider.approve("otto", "quinn").open().ask(who).deploy()
        if name == "two":
            insider.stands()
        else:
            insider.refused_at(insider.seq_of("gate.passed", gate="approvals"), "one person approved in two roles")


ANSWERS: dict[str, tuple[dict[str, Any], str]] = {
    "refused": (verdict("window", "refused", "change"), "the gate window answered last: refused"),
    "still needed": (verdict("window", "still-needed", "change"), "the gate window answered last: still-needed"),
    "no rule": (verdict("window", "not-applicable", "change"), "not-applicable and policy has a rule for it"),
    "earlier": (verdict("window", "passed", "lease"), "the gate window was not asked right before"),
    "another": (verdict("watch", "passed", "change"), "the gate window was not asked right before"),
}
"""What stands in the place of the window's verdict, and what is said of it."""


@pytest.mark.parametrize("answer", ANSWERS)
def test_a_change_stands_behind_every_gate_that_policy_asks(insider: Insider, answer: str) -> None:
    said, problem = ANSWERS[answer]
    insider.approve("tina", "quinn").open().ask(window=said).deploy()
    insider.refused_at(insider.seq_of("step.started", changes=True), problem)


@pytest.mark.parametrize("first", [True, False])
def test_no_anchor_is_asked_before_a_run_was_closed(tmp_path: Path, *, first: bool) -> None:
    insider = Insider.begin(tmp_path)
    if not first:
        RunWriter(insider.run.log).open().close("failed")
    insider.run = RunWriter(insider.run.log)
    insider.run.policy = policy_text(**RULES_OF_PRODUCTION, anchors={"required": True})
    insider.run.planned_request()
    insider.approve("tina", "quinn").open().ask(anchors=verdict("anchors", "not-applicable", "change")).deploy()
    if first:
        insider.stands()
    else:
        insider.refused_at(insider.seq_of("step.started", changes=True), "the gate anchors answered not-applicable")


LISTED = {"administrators": {"store": None, "key": None, "github": None, "database": {"postgres": "dana@example.org"}}}


@pytest.mark.parametrize(
    "rule, said, problem",
    [
        (LISTED, verdict("administrators", "passed", "change"), ""),
        (LISTED, verdict("watch", "passed", "change"), "the gate administrators was not asked right before"),
        (LISTED, verdict("administrators", "refused", "change"), "the gate administrators answered last: refused"),
        (LISTED, verdict("administrators", "not-applicable", "change"), "not-applicable and policy has a rule for it"),
        ({"administrators": None}, verdict("watch", "passed", "change"), ""),
        ({}, verdict("watch", "passed", "change"), ""),
    ],
)
def test_who_administers_is_asked_where_policy_lists_them_and_an_older_policy_does_not_know_of_it(
    tmp_path: Path, rule: dict[str, Any], said: dict[str, Any], problem: str
) -> None:
    insider = Insider.begin(tmp_path, policy=policy_text(**RULES_OF_PRODUCTION, **rule))
    insider.approve("tina", "quinn").open().ask(administrators=said).deploy()
    if problem:
        insider.refused_at(insider.seq_of("step.started", changes=True), problem)
    else:
        insider.stands()


def test_a_change_before_any_gate_is_refused(insider: Insider) -> None:
    insider.approve("tina", "quinn").open()
    insider.run.gates_asked = True
    insider.deploy()
    insider.refused_at(insider.seq_of("step.started", changes=True), "the gate deployer was not asked right before")


def test_what_a_gate_said_last_counts(insider: Insider) -> None:
    insider.approve("tina", "quinn").open().ask()
    insider.run.add("gate.refused", verdict("freeze", "refused", "change"))
    insider.deploy()
    insider.refused_at(insider.seq_of("step.started", changes=True), "the gate freeze answered last: refused")


def test_a_deployment_that_is_said_to_change_nothing_needs_its_approvals_all_the_same(insider: Insider) -> None:
    insider.open().run.step("traffic").close("deployed")
    insider.refused_at(insider.seq_of("run.decided"), "the gate deployer was not asked right before")


@pytest.mark.parametrize("outcome", ["failed", "refused"])
def test_a_run_that_changes_nothing_and_deploys_nothing_needs_no_gate(insider: Insider, outcome: str) -> None:
    insider.open().run.close(outcome)
    insider.stands()


def test_the_way_back_waits_for_no_gate(insider: Insider) -> None:
    insider.approve("tina", "quinn").open().ask()
    insider.run.step("traffic", changes=True, outcome="failed")
    insider.run.add("rollback.started", {"cause": "traffic", "order": ["traffic"], "target": None})
    insider.run.add("gate.refused", verdict("window", "refused", "change"))
    insider.run.step("rollback", changes=True)
    insider.run.add("rollback.finished", {"outcome": "rolled-back", "duration_s": 1.0, "target": None})
    insider.run.close("rolled-back")

    insider.stands()


# --- the policy that is asked


NO_POLICY: dict[str, dict[str, Any]] = {
    "nothing kept": {"preimages": {}},
    "a path": {"preimages": {"policy.json": "../../../keys/local.pem"}},
}


@pytest.mark.parametrize("kept", NO_POLICY)
def test_a_run_that_does_not_bring_its_policy_changes_nothing(insider: Insider, kept: str) -> None:
    insider.approve("tina", "quinn").open(**NO_POLICY[kept]).ask().deploy()
    findings = verify(insider.store).findings

    assert "under a policy whose text is not in the record" in findings[-1].problem
    assert not all_three(insider.store)[0]


def test_a_text_that_is_no_policy_asks_everything_and_lets_nothing_go(insider: Insider) -> None:
    kept = preimages.keep(insider.run.log.store, {"policy.json": b'{"approval":{"roles":[]}}'})
    insider.approve("tina", "quinn").open(preimages=kept).ask().deploy()
    insider.refused_at(insider.seq_of("step.started", changes=True), "a policy whose text is not in the record")


def test_a_request_is_run_under_the_policy_that_it_was_signed_under(insider: Insider) -> None:
    """One of two signed; a policy of the insider's own asks no more."""
    milder = policy_text(**{**RULES_OF_PRODUCTION, "approval": {"roles": ["Tech Lead"]}})
    insider.approve("tina").run.policy = milder
    insider.open().ask({"Tech Lead": "tina@example.org"}).deploy()
    insider.refused_at(insider.seq_of("step.started", changes=True), "under another policy than runs/")


def test_a_policy_that_asks_nobody_is_no_fault_and_is_told(insider: Insider) -> None:
    """Of whom nothing is asked, nothing is signed: the record does not say that anybody approved."""
    free = RunWriter(insider.run.log)
    free.open().step("build").step("traffic", changes=True).close("deployed")
    told = f"1 of its runs went on under a policy that asks nobody to approve, the last is {free.run}"

    insider.stands()
    assert told in verify(insider.store).notes
    assert f"note: {told}\n" in second_opinion(insider.store).text


def test_the_third_verifier_tells_so_too(peer: Peer, insider: Insider) -> None:
    free = RunWriter(insider.run.log)
    free.open().step("build").step("traffic", changes=True).close("deployed")

    assert peer.notes(insider.store) == [
        f"1 runs went on under a policy that asks nobody to approve, the last is {free.run}"
    ]


# --- keys that ended while the request waited


@pytest.mark.parametrize(
    "known, ok", [(("tina", "quinn", "otto"), True), (("quinn", "otto"), False)], ids=["another joins", "hers ends"]
)
def test_a_request_that_waits_loses_what_an_ended_key_signed(
    insider: Insider, known: tuple[str, ...], *, ok: bool
) -> None:
    insider.approve("tina", "quinn").enroll(*known).open().ask().deploy()
    if ok:
        insider.stands()
    else:
        insider.refused_at(
            insider.seq_of("gate.passed", gate="approvals"),
            "says that tina@example.org approved as Tech Lead, and no signature counted before it does",
        )


def test_what_was_signed_anew_with_a_key_that_lasts_counts(insider: Insider) -> None:
    insider.approve("tina", "quinn").enroll("quinn", "otto").enroll("tina", "quinn")
    insider.open().ask().deploy()
    insider.stands()


def test_a_run_that_is_over_keeps_what_an_ended_key_signed(insider: Insider) -> None:
    insider.approve("tina", "quinn").open().ask().deploy()
    insider.enroll("quinn", "otto")
    insider.stands()


@pytest.mark.parametrize("known, ok", [(("tina", "quinn"), True), (("quinn", "otto"), False)])
def test_an_override_is_lost_with_the_key_of_who_signed_it(tmp_path: Path, known: tuple[str, ...], *, ok: bool) -> None:
    insider = Insider.begin(tmp_path).approve("otto").override("tina", "quinn")
    insider.run.policy = PRODUCTION
    insider.enroll(*known, "otto").open()
    insider.run.ask_gates(
        "change", window=overridden(), approvals={"inputs": approvals({"QA Lead": "otto@example.org"})}
    )
    seq = insider.seq_of("gate.passed", gate="window")
    assert all_three(insider.store) == ((True, "") if ok else (False, entries.name(seq)))


# --- overrides


def overridden(**changes: Any) -> dict[str, Any]:
    return {"inputs": {"override": {**OVERRIDDEN, **changes}}}


def test_an_override_that_two_people_signed_verifies(insider: Insider) -> None:
    insider.approve("tina", "quinn").override("tina", "quinn").open().ask(window=overridden()).deploy()
    insider.stands()


NOT_OVERRIDDEN: dict[str, Any] = {
    "nobody": lambda it: it,
    "one": lambda it: it.override("tina"),
    "another gate": lambda it: it.override("tina", "quinn", gate="incidents"),
    "two incidents": lambda it: it.override("tina").override("quinn", incident="INC-8"),
    "other people": lambda it: it.override("tina", "otto"),
}


@pytest.mark.parametrize("signed", NOT_OVERRIDDEN)
def test_an_override_that_no_two_people_signed_is_refused(insider: Insider, signed: str) -> None:
    NOT_OVERRIDDEN[signed](insider.approve("tina", "quinn")).open().ask(window=overridden()).deploy()
    insider.refused_at(
        insider.seq_of("gate.passed", gate="window"), "overrode window; no two signatures counted before it do"
    )


@pytest.mark.parametrize("by", [["tina@example.org"], ["tina@example.org", "Tina@example.org"], [], "all of us", None])
def test_an_override_names_two_people(insider: Insider, by: Any) -> None:
    insider.approve("tina", "quinn").override("tina", "quinn").open().ask(window=overridden(by=by)).deploy()
    insider.refused_at(insider.seq_of("gate.passed", gate="window"), "no two signatures counted before it do")


@pytest.mark.parametrize("gate", ["window", "clock", "approvals", "build"])
def test_what_says_what_goes_and_who_allowed_it_is_overridden_by_nobody(insider: Insider, gate: str) -> None:
    """Two people may answer for another time, not for another artefact, for no approval or for a wrong clock."""
    said = overridden()
    said["inputs"] |= approvals(FILLED) if gate == "approvals" else {}
    insider.approve("tina", "quinn").override("tina", "quinn", gate=gate).open().ask(**{gate: said}).deploy()
    if gate == "window":
        insider.stands()
    else:
        insider.refused_at(insider.seq_of("gate.passed", gate=gate), f"{gate} was overridden, which nobody can")


def test_who_deploys_overrides_nothing(insider: Insider) -> None:
    insider.approve("tina", "otto").override("tina", "quinn").open(deployer="local:7:quinn@desk")
    insider.ask({**FILLED, "QA Lead": "otto@example.org"}, window=overridden()).deploy()
    insider.refused_at(
        insider.seq_of("step.started", changes=True), "quinn@example.org, who deploys it, overrode window"
    )


# --- the rule itself


def test_the_script_knows_the_gates_that_there_are_and_what_their_rules_are() -> None:
    script = (Path(pytest_deploy.__file__).parent / "verify" / "verify.sh").read_text(encoding="utf-8")
    known = script.partition("\ngates='")[2].partition("'")[0].split()

    assert dict(one.split(":") for one in known) == dict(RULES)
    assert tuple(script.partition("\nlater='")[2].partition("'")[0].split()) == LATER
    for pipeline in ("smoke", "rollback"):
        (listed,) = re.findall(rf'pipeline == "{pipeline}" \? " ([a-z ]+) "', script)
        assert tuple(listed.split()) == GATES_OF_PIPELINE[pipeline]


def test_the_text_of_a_policy_is_written_in_one_way() -> None:
    """So that a text has one reading: no key twice, nothing after it."""
    assert Asked.of(PRODUCTION).roles == tuple(ROLES)
    for text in (PRODUCTION + b"\n", PRODUCTION.replace(b":", b": "), json.dumps({"a": 1}).encode()):
        with pytest.raises(ValueError, match="is no policy"):
            Asked.of(text)


@pytest.mark.parametrize("known, ok", [(("tina", "quinn"), True), (("tina",), False)], ids=["before", "after"])
def test_a_key_that_was_enrolled_after_the_request_approves_nothing(
    tmp_path: Path, known: Sequence[str], *, ok: bool
) -> None:
    """Else whoever holds the log's key has somebody enrolled for the request that waits."""
    insider = Insider.begin(tmp_path, known).enroll("tina", "quinn").approve("tina", "quinn").open().ask().deploy()

    place = "" if ok else f"runs/{insider.run.run}/approvals/quinn.json.sig"
    assert all_three(insider.store) == (ok, place)
