"""Whether the revision that serves now survives, and in which order a rollback goes therefore."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_deploy.migrate.migration import compatibility
from pytest_deploy.migrate.migration_folder import read_migrations
from tests.unit.migrate.sample_migrations import VISIT, text, write


@pytest.mark.parametrize(
    "declared, survives",
    [
        ([], True),
        (["expand"], True),
        (["expand", "contract"], True),
        (["expand", "breaking", "contract"], False),
    ],
)
def test_the_hardest_declaration_decides(tmp_path: Path, declared: list[str], *, survives: bool) -> None:
    verdict = compatibility(read_migrations(write(tmp_path, *(text(*VISIT, compatible=one) for one in declared))))
    assert verdict.running_revision_survives == survives
    assert ("does not survive 0002" in verdict.summary) == ("breaking" in declared)
