"""The artefact: built from this source, bit for bit the same each time, named by its digest."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_deploy import Platform, Policy, StepRecord, build_artefact, read_source, registry_tag


@pytest.mark.requirement("REQ-o00043-E")
@pytest.mark.step(timeout=300)
def test_artefact_is_built_and_reproducible(
    policy: Policy, platform: Platform, record: StepRecord, pytestconfig: pytest.Config, tmp_path: Path
) -> None:
    root = pytestconfig.rootpath
    first = build_artefact(root, policy.service.source, tmp_path / "first")
    second = build_artefact(root, policy.service.source, tmp_path / "second")

    image = platform.artefacts.push(first, tag=registry_tag(read_source(root, policy).version))

    record.built(image)
    record.expect(f"sha256:{first.stem}", image.partition("@")[2])
    assert first.name == second.name, "two builds of one source differ: the artefact depends on more than its content"
    assert image.endswith(f"@sha256:{first.stem}")
    if not policy.replaced("service.checks"):  # it is verified with them, or not at all
        record.verified()
