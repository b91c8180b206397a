"""A review of the trail: what all three verifiers permit, and what all refuse, naming the same place."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from pytest_deploy.errors import IllegalEvent
from pytest_deploy.record.events import parse
from tests.unit.verify.signed_rosters import SignedRosters, make_keys
from tests.unit.verify.third_verifier import all_three
from tests.unit.verify.trail_reviews import EVENT, PERMITTED, REFUSED, Reviews, named


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    return make_keys(tmp_path_factory.mktemp("people"))


@pytest.fixture
def reviews(tmp_path: Path, keys: Mapping[str, Path]) -> Reviews:
    return Reviews.begin(tmp_path, keys)


@pytest.mark.parametrize("case", PERMITTED)
def test_a_review_that_goes_on_where_the_last_one_ended_verifies(reviews: Reviews, case: str) -> None:
    PERMITTED[case](reviews)

    assert all_three(reviews.store) == (True, "")


@pytest.mark.parametrize("case", REFUSED)
def test_a_review_that_covers_or_says_another_thing_is_refused_by_both(reviews: Reviews, case: str) -> None:
    make, where = REFUSED[case]
    make(reviews)

    assert all_three(reviews.store) == (False, named(reviews, where))


def test_a_review_before_the_trust_root_does_not_stand_under_it(tmp_path: Path, keys: Mapping[str, Path]) -> None:
    rosters = SignedRosters.begin(tmp_path, keys)
    rosters.bring(rosters.files())
    reviews = Reviews(rosters).review()
    place = named(reviews, EVENT)
    rosters.number = 0
    root = rosters.root().trust_root

    assert all_three(reviews.store) == (True, "")
    assert all_three(reviews.store, trust_root=root) == (False, place)
    reviews.review("ben", reviews.size - 2)
    assert all_three(reviews.store) == (True, "")


def test_a_review_is_of_no_run(reviews: Reviews) -> None:
    reviews.review()
    head = reviews.rosters.log.head()
    assert head is not None
    run = next(event.run for event in reviews.rosters.log.events() if event.type == "run.closed")

    with pytest.raises(IllegalEvent, match=r"trail\.reviewed is not legal now"):
        reviews.rosters.log.append(parse("trail.reviewed", head.data), run=run, actor=head.actor)
