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
    tag = registry_tag(read_source(root, policy).version)
    first = build_artefact(root, policy.service.source, tmp_path / "first")
    second = build_artefact(root, policy.service.source, tmp_path / "second")

    # Where it is a container image, each archive is built to one anew.
    image = platform.artefacts.push(first, tag=tag)
    again = platform.artefacts.push(second, tag=tag)

    record.built(image)
    record.expect({"archive": first.stem, "image": image}, {"archive": second.stem, "image": again})
    assert first.name == second.name, "two builds of one source differ: the artefact depends on more than its content"
    assert image == again, (
        "two images of one source differ: name the base image by digest, and fetch nothing without a hash"
    )
    if not policy.replaced("service.checks"):  # it is verified with them, or not at all
        record.verified()
