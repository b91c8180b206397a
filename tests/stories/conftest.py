"""Checkouts for the stories: an empty one, and one a worker keeps in which a release serves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.project_checkout import Checkout
from tests.stories.production_record import ProductionRecord, production_record
from tests.stories.story_assertions import Deployed, deploy_first


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    """A fresh checkout: nothing was ever deployed from it."""
    with Checkout.open(tmp_path) as made:
        yield made


class Kept:
    """One checkout with a release that serves, used by story after story, made anew after a story that failed."""

    def __init__(self, factory: pytest.TempPathFactory) -> None:
        self._factory = factory
        self._open = ExitStack()
        self._deployed: Deployed | None = None

    def lend(self) -> Deployed:
        if self._deployed is None:
            checkout = self._open.enter_context(Checkout.open(self._factory.mktemp("deployed")))
            self._deployed = deploy_first(checkout)
        return self._deployed

    def take_back(self, *, spoilt: bool) -> None:
        """The tree goes back to what was released first; a spoilt environment is thrown away."""
        if spoilt:
            self.close()
        elif self._deployed is not None:
            self._deployed.restore_tree()

    def close(self) -> None:
        self._deployed = None
        self._open.close()


@pytest.fixture(scope="session")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    """This worker's kept checkout."""
    made = Kept(tmp_path_factory)
    yield made
    made.close()


@pytest.fixture
def deployed(kept: Kept, request: pytest.FixtureRequest) -> Iterator[Deployed]:
    """A checkout whose release serves; stories leave it as they found it, or say what serves now."""
    failures = request.session.testsfailed
    made = kept.lend()
    yield made
    spoilt = request.session.testsfailed > failures
    serves = made.standing.body["version"] if spoilt else made.deployed_last()
    kept.take_back(spoilt=spoilt or serves != made.standing.body["version"])
    assert serves == made.standing.body["version"], "this story deployed it and does not say so to the next"


@pytest.fixture(scope="session")
def production(shared_folder: Path) -> ProductionRecord:
    """A rehearsed production record with approvals, made once for all workers."""
    return production_record(shared_folder)
