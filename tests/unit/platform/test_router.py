"""The rules of a split, for every split."""

from __future__ import annotations

from google.cloud import run_v2
from hypothesis import given
from hypothesis import strategies as st

from pytest_deploy.platform.embedded import router
from pytest_deploy.platform.google.run import TO_LATEST, TO_REVISION

KNOWN = ("a", "b", "c")

percents = st.lists(st.integers(-5, 105), min_size=1, max_size=5)


def target(percent: int, revision: str = "a", tag: str = "") -> run_v2.TrafficTarget:
    return run_v2.TrafficTarget(type_=TO_REVISION, revision=revision, percent=percent, tag=tag)


@given(percents)
def test_a_split_is_accepted_exactly_if_it_adds_up(numbers: list[int]) -> None:
    accepted = router.split_fault([target(number) for number in numbers], KNOWN) is None
    assert accepted == (sum(numbers) == 100 and min(numbers) >= 0 and max(numbers) <= 100)


def test_a_tag_stands_once() -> None:
    assert router.split_fault([target(100, tag="x"), target(0, tag="y")], KNOWN) is None
    assert (
        router.split_fault([target(100, tag="x"), target(0, tag="x")], KNOWN)
        == "a traffic tag stands on more than one target"
    )


def test_a_target_has_a_type_and_an_existing_revision() -> None:
    assert router.split_fault([target(100, "c")], KNOWN) is None
    assert router.split_fault([target(100, "d")], KNOWN) == "traffic names revision 'd', which does not exist"
    assert router.split_fault([run_v2.TrafficTarget(percent=100)], KNOWN) == "a traffic target has no type"
    assert router.split_fault([run_v2.TrafficTarget(percent=100, type_=TO_LATEST)], ()) is None


def test_the_latest_ready_revision_stands_in_the_status_by_name() -> None:
    lines = router.split_in_force(
        [run_v2.TrafficTarget(percent=100, type_=TO_LATEST), target(0, "a", "t")],
        latest_ready="b",
    )
    assert [(line.revision, line.percent, line.tag) for line in lines] == [("b", 100, ""), ("a", 0, "t")]


@given(st.dictionaries(st.sampled_from(KNOWN), st.integers(0, 100), min_size=1))
def test_only_what_has_a_share_answers(shares: dict[str, int]) -> None:
    lines = router.split_in_force([target(percent, name) for name, percent in shares.items()], latest_ready="")
    drawn = {router.choose_revision(lines, "") for _ in range(20)}
    with_a_share: set[str | None] = {name for name, percent in shares.items() if percent}
    assert drawn <= (with_a_share or {None})


def test_a_tag_leads_to_its_revision_and_nowhere_else() -> None:
    lines = router.split_in_force([target(100, "a"), target(0, "b", "t")], latest_ready="")
    assert router.choose_revision(lines, "t") == "b"
    assert router.choose_revision(lines, "u") is None
