"""The plan of a rollback: the difference between what was and what is, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_deploy.release.live import Baseline
from pytest_deploy.rollback.rollback import Live, MoveTraffic, RestoreInfrastructure, RollBackSchema, plan

BASELINE = Baseline("diary-00001", ("0001", "0002"), "a" * 64, "b" * 64, None)


def live(
    shares: dict[str, int] | None = None,
    tags: dict[str, str] | None = None,
    migrations: tuple[str, ...] = ("0001", "0002"),
    *,
    settled: bool = True,
) -> Live:
    return Live(shares or {"diary-00001": 100}, tags or {}, migrations, settled)


def test_an_environment_that_is_as_it_was_needs_nothing() -> None:
    assert plan(BASELINE, live(), "traffic-first") == ()


@pytest.mark.parametrize(
    "state",
    [
        live({"diary-00002": 100}),
        live({"diary-00001": 50, "diary-00002": 50}),
        live(tags={"candidate": "diary-00002"}),
        live(settled=False),
    ],
    ids=["moved", "split", "tagged", "unsettled"],
)
def test_traffic_that_is_anywhere_else_or_about_to_be_is_moved_back(state: Live) -> None:
    assert plan(BASELINE, state, "traffic-first") == (MoveTraffic("diary-00001"),)


def test_what_was_applied_since_is_undone_newest_first() -> None:
    acts = plan(BASELINE, live(migrations=("0001", "0002", "0003", "0004")), "traffic-first")

    assert acts == (RollBackSchema(undo=("0004", "0003"), remain=("0001", "0002")),)


@pytest.mark.parametrize(
    "order, kinds",
    [("traffic-first", [MoveTraffic, RollBackSchema]), ("database-first", [RollBackSchema, MoveTraffic])],
)
def test_policy_chooses_the_order(order: str, kinds: list[type]) -> None:
    state = live({"diary-00002": 100}, migrations=("0001", "0002", "0003"))

    assert [type(act) for act in plan(BASELINE, state, order)] == kinds  # type: ignore[arg-type] # the literal, parametrised


@pytest.mark.parametrize("order", ["traffic-first", "database-first"])
def test_infrastructure_that_is_not_as_it_was_goes_back_last(order: str) -> None:
    state = replace(live({"diary-00002": 100}, migrations=("0001", "0002", "0003")), resources=("urn:a",))

    acts = plan(BASELINE, state, order)  # type: ignore[arg-type] # the literal, parametrised

    assert len(acts) == 3
    assert acts[-1] == RestoreInfrastructure(("urn:a",))
    assert plan(BASELINE, replace(live(), resources=("urn:a",)), order) == acts[-1:]  # type: ignore[arg-type]


@given(st.integers(0, 5), st.booleans(), st.booleans())
def test_carried_out_to_any_point_the_rest_is_planned_again(extra: int, moved: bool, undone: bool) -> None:  # noqa: FBT001 -- hypothesis gives them
    applied = ("0001", "0002") + (() if undone else tuple(f"{n:04}" for n in range(3, 3 + extra)))
    state = live({"diary-00001": 100} if moved else {"diary-00002": 100}, migrations=applied)

    acts = plan(BASELINE, state, "traffic-first")

    assert any(isinstance(act, MoveTraffic) for act in acts) is not moved
    assert any(isinstance(act, RollBackSchema) for act in acts) is (extra > 0 and not undone)
