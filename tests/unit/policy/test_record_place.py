"""Who signs the record: a file, or one version of a key in Cloud KMS; never half of each."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_deploy.errors import ConfigurationError
from pytest_deploy.policy.load import load
from tests.unit.policy.documents import BASE, PRODUCTION, written

VERSION = "projects/p/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/7"


def test_a_file_signs_where_nothing_is_said(tmp_path: Path) -> None:
    assert (
        load(written(tmp_path), "local").record.signer,
        load(written(tmp_path), "local").record.key,
    ) == ("file", None)


def test_a_key_version_is_named_in_full_and_a_rehearsal_signs_with_a_file(tmp_path: Path) -> None:
    signed = PRODUCTION.replace("record: {", f"record: {{signer: kms, key: {VERSION}, ")
    file = written(tmp_path, f"{BASE}{signed}")

    assert load(file, "production").record.key == VERSION
    rehearsed = load(file, "production", rehearsal=True).record
    assert (rehearsed.signer, rehearsed.key) == ("file", None)


@pytest.mark.parametrize(
    "said, fault",
    [
        ("{signer: kms}", "needs to know which key signs"),
        (f"{{signer: file, key: {VERSION}}}", "is named, and a file signs"),
        ("{signer: kms, key: projects/p/locations/l/keyRings/r/cryptoKeys/k}", "the key's version in full"),
        (
            "{signer: kms, key: projects/p/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/latest}",
            "the key's version",
        ),
        ("{signer: hsm}", "file"),
    ],
)
def test_what_names_no_key_or_two_is_refused(tmp_path: Path, said: str, fault: str) -> None:
    with pytest.raises(ConfigurationError, match=fault):
        load(written(tmp_path, f"{BASE}record: {said}\n"), "local")
