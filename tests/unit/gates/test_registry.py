"""Which gates a pipeline asks."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel

from pytest_deploy.gates.registry import GATES, POLICY_SECTIONS, Gatekeeper
from pytest_deploy.plugin.options import IMPLEMENTED_PIPELINES
from pytest_deploy.policy import phases
from pytest_deploy.policy.asked_gates import (
    GATE_NAMES,
    GATES_OF_PIPELINE,
    LATER,
    OVERRIDABLE,
    RULES,
    Asked,
    gates_of,
    ruled_gates,
)
from pytest_deploy.policy.load import load
from pytest_deploy.policy.policy import Policy
from pytest_deploy.record.events import Pipeline
from pytest_deploy.record.transitions import PIPELINE_OUTCOMES
from pytest_deploy.release.candidate import ReleaseCandidate
from tests.unit.sample_environment import environment

YAML = Path(__file__).parents[3] / "deploy.yaml"


@pytest.fixture(scope="module")
def production() -> Policy:
    return load(YAML, "production")


@pytest.mark.parametrize("pipeline", ["deploy", "plan"])
def test_a_deployment_and_its_plan_ask_every_gate(production: Policy, pipeline: str) -> None:
    assert gates_of(pipeline, production.phases.leave_out) == GATE_NAMES


def test_the_way_back_is_open_at_any_hour_and_signed_for(production: Policy) -> None:
    assert gates_of("rollback", production.phases.leave_out) == ("deployer", "approvals", "lease", "freeze", "clock")


def test_smoke_alone_asks_that_nothing_else_runs_and_what_time_it_is(production: Policy) -> None:
    assert gates_of("smoke", production.phases.leave_out) == ("lease", "clock")


@pytest.mark.parametrize("pipeline", ["iq", "oq", "pq"])
def test_qualification_asks_none(production: Policy, pipeline: str) -> None:
    assert gates_of(pipeline, production.phases.leave_out) == ()


def test_no_approval_is_asked_where_policy_has_no_approval_phase() -> None:
    assert tuple(name for name in GATE_NAMES if name != "approvals") == gates_of(
        "deploy", load(YAML, "local").phases.leave_out
    )


def test_every_pipeline_has_its_phases_gates_and_outcomes_and_no_gate_is_unknown() -> None:
    assert set(phases.PIPELINES) == set(GATES_OF_PIPELINE) == set(get_args(Pipeline)) == set(PIPELINE_OUTCOMES)
    assert set(IMPLEMENTED_PIPELINES) <= set(phases.PIPELINES)
    assert set(GATE_NAMES) >= {name for names in GATES_OF_PIPELINE.values() for name in names} | set(OVERRIDABLE)


def test_every_gate_says_which_sections_of_policy_it_goes_by() -> None:
    assert tuple(POLICY_SECTIONS) == tuple(GATES) == GATE_NAMES


def test_the_text_of_a_policy_says_what_it_asks(production: Policy) -> None:
    """Verifiers have nothing else: what they read there is what the gates were asked by."""
    asked, local = Asked.of(production.canonical()), Asked.of(load(YAML, "local").canonical())

    assert (asked.gates("deploy"), asked.roles) == (
        tuple(name for name in GATE_NAMES if name not in LATER),
        ("Tech Lead", "QA Lead"),
    )
    assert asked.ruled == set(GATE_NAMES) - set(LATER)
    assert local.gates("deploy") == tuple(name for name in GATE_NAMES if name not in {"approvals", *LATER})
    assert local.roles == ()
    assert local.ruled == {"lease", "build", "clock"}


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"{}", b"{ }", b'{"approval":{"roles":"QA Lead"},"phases":{"leave_out":[]}}']
)
def test_what_is_no_policy_asks_nothing_and_says_so(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"is no policy|Expecting value"):
        Asked.of(text)


@pytest.mark.parametrize("name", ["local", "staging", "production"])
def test_a_gate_is_not_applicable_only_where_the_text_has_no_rule(tmp_path: Path, name: str) -> None:
    """Else a genuine record would not verify. Before the first run was closed there is nothing to anchor: verifiers know that."""
    with closing(environment(tmp_path, name)) as made:
        verdicts = Gatekeeper(made, ReleaseCandidate("deploy", "", "c" * 40, None, None, "", None)).check_all()
    unruled = {verdict.gate for verdict in verdicts if verdict.result == "not-applicable"} - {"anchors"}

    assert unruled.isdisjoint(Asked.of(made.policy.canonical()).ruled)


@pytest.mark.parametrize(
    "text, ruled",
    [
        ({"vault": {"keepers": ["dana"]}}, {"keepers", "lease"}),
        ({"vault": {"keepers": []}}, {"lease"}),
        ({"vault": {}}, {"lease"}),
        ({"vault": None}, {"lease"}),
        ({}, {"lease"}),
    ],
)
def test_a_gate_that_came_later_has_its_rule_under_a_key_of_any_depth(text: dict[str, object], ruled: set[str]) -> None:
    rules = {"keepers": "vault.keepers", "lease": ""}

    assert ruled_gates(text, rules, later=("keepers",)) == ruled


def test_a_text_without_the_key_of_a_gate_that_was_always_there_is_no_policy() -> None:
    with pytest.raises(KeyError, match="vault"):
        ruled_gates({}, {"keepers": "vault.keepers"}, later=())


def test_the_rule_of_a_gate_lies_in_its_sections() -> None:
    assert all(not key or key.startswith(POLICY_SECTIONS[gate]) for gate, key in RULES.items())


@pytest.mark.parametrize("gate,section", [(gate, one) for gate, some in POLICY_SECTIONS.items() for one in some])
def test_a_section_that_a_gate_goes_by_is_one_of_the_policys(gate: str, section: str) -> None:
    model: type[BaseModel] = Policy
    for key in section.split("."):
        assert key in model.model_fields, f"{gate}: policy has no {section}"
        model = next((one for one in sections_in(model.model_fields[key].annotation)), BaseModel)


def sections_in(annotation: object) -> list[type[BaseModel]]:
    """The models that a key may hold: of `Window | None` it is Window."""
    return [one for one in (annotation, *get_args(annotation)) if isinstance(one, type) and issubclass(one, BaseModel)]
