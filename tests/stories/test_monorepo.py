"""deploy.yaml in a subfolder, the service's source elsewhere in the repository, and neighbours with changes and tags of their own."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.project_checkout import Checkout
from tests.stories.story_assertions import assert_ended

NO_REQUEST = "production-20270101T000000Z-0000"
PRODUCTION = ("--deploy-env=production", "--deploy-rehearse", f"--deploy-run={NO_REQUEST}")
"""Ends at the request, which does not exist: whatever was to be refused before it was, or was not."""


@pytest.fixture
def monorepo(checkout: Checkout, tmp_path: Path) -> Path:
    """The top of a repository that the checkout is one folder of; the service's source is another, a neighbour's a third."""
    shutil.rmtree(checkout.path / ".git")
    (tmp_path / "libs").mkdir()
    shutil.move(checkout.path / "examples" / "diary", tmp_path / "libs" / "diary")
    policy = (checkout.path / "deploy.yaml").read_text(encoding="utf-8")
    policy = policy.replace("source: examples/diary", "source: ../libs/diary")
    checkout.write("deploy.yaml", f"{policy}\nrelease: {{tag_prefix: diary-}}\n")
    (tmp_path / "neighbour").mkdir()
    (tmp_path / "neighbour" / "conftest.py").write_text("# a neighbour's\n")
    checkout.git("-C", "..", "init", "--quiet", "--initial-branch=main")
    checkout.commit("All services")
    checkout.git("tag", "diary-1.2")
    checkout.git("tag", "neighbour-9.9")
    (tmp_path / "neighbour" / "conftest.py").write_text("# changed, and not committed\n")
    return tmp_path


def test_a_service_of_a_monorepo_is_deployed_as_clean_whatever_its_neighbours_are(
    checkout: Checkout, monorepo: Path
) -> None:
    ran = checkout.deploy()
    assert_ended(checkout, ran, code=0, outcome="deployed")
    (opened,) = checkout.said("run.opened")
    assert (opened["version"], opened["dirty"]) == ("diary-1.2", False)

    started = checkout.run(*PRODUCTION)
    assert NO_REQUEST in started.stdout + started.stderr, started.said
    (monorepo / "libs" / "diary" / "diary" / "extra.py").write_text("# in no commit\n")
    refused = checkout.run(*PRODUCTION)
    assert refused.code == 4, refused.said
    assert "../libs/diary/diary/extra.py is not in the commit" in refused.stdout + refused.stderr, refused.said
    assert "neighbour" not in refused.stdout + refused.stderr, refused.said
