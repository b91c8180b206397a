"""A revision that serves with a secret's newest version is nothing to return to: another value may be there when it starts again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from google.cloud import run_v2

from pytest_deploy.errors import Refused
from pytest_deploy.platform.google.platform import GooglePlatform
from pytest_deploy.release.live import read_baseline, refuse_newest_secrets
from tests.google_cloud_run import CloudRunApi
from tests.unit.platform.google.sample_google import at_google


def variable(version: str) -> run_v2.RevisionTemplate:
    source = run_v2.EnvVarSource(secret_key_ref=run_v2.SecretKeySelector(secret="db-url", version=version))
    plain = run_v2.EnvVar(name="VERSION", value="latest")
    held = [plain, run_v2.EnvVar(name="DATABASE_URL", value_source=source)]
    return run_v2.RevisionTemplate(containers=[run_v2.Container(image="x@sha256:00", env=held)])


def mounted(*versions: str) -> run_v2.RevisionTemplate:
    items = [run_v2.VersionToPath(path=f"key-{version}", version=version) for version in versions]
    volume = run_v2.Volume(name="keys", secret=run_v2.SecretVolumeSource(secret="projects/p/secrets/key", items=items))
    return run_v2.RevisionTemplate(containers=[run_v2.Container(image="x@sha256:00")], volumes=[volume])


@contextmanager
def serving(folder: Path, template: run_v2.RevisionTemplate) -> Iterator[GooglePlatform]:
    api = CloudRunApi.serving()
    api.service.template = template
    api.add("parcels-00001-abc")
    with api.answering() as run:
        policy = at_google(folder, run=run, iam_credentials=run)
        with closing(GooglePlatform(policy, address=None)) as platform:
            yield platform


@pytest.mark.parametrize(
    "template, named",
    [
        (variable("latest"), "DATABASE_URL (db-url)"),
        (mounted("3", "latest"), "keys/key-latest (key)"),
        (mounted(), "keys/ (key)"),
    ],
    ids=["variable", "file", "whole secret"],
)
def test_the_newest_version_of_a_secret_is_refused_by_name(
    tmp_path: Path, template: run_v2.RevisionTemplate, named: str
) -> None:
    with serving(tmp_path, template) as platform, pytest.raises(Refused) as caught:
        refuse_newest_secrets(platform, read_baseline(platform).revision)

    assert f"starts: {named}; a rollback to it would be one to something else" in str(caught.value)


@pytest.mark.parametrize("template", [variable("7"), mounted("3", "4")], ids=["variable", "files"])
def test_a_version_by_its_number_is_what_a_rollback_returns_to(
    tmp_path: Path, template: run_v2.RevisionTemplate
) -> None:
    with serving(tmp_path, template) as platform:
        refuse_newest_secrets(platform, read_baseline(platform).revision)
