"""Production, for real, where Google is not there yet: the doctor's words, a refusal, and nothing is written."""

from __future__ import annotations

import json

import pytest

from tests.project_checkout import Checkout


def test_production_without_a_sign_in_is_refused_with_what_to_do(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(checkout.path / "nobody"))
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)

    ran = checkout.run("--deploy-env=production")

    assert ran.code == 1, ran.said
    assert "production is not ready, and nothing was written:" in ran.said
    assert "sign-in: nobody is signed in to Google Cloud" in ran.said
    # Credentials that would end in the middle of it are no better.
    direct = {"type": "external_account", "audience": "//iam.googleapis.com/x", "credential_source": {"file": "/gone"}}
    file = checkout.memory / "gha-creds-1.json"
    file.write_text(json.dumps(direct), encoding="utf-8")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
    federated = checkout.run("--deploy-env=production")
    file.unlink()
    assert federated.code == 1, federated.said
    assert "is workload identity federation without a service account" in federated.said
    assert not (checkout.path / "reports").exists()
    assert not (checkout.path / ".deploy").exists()
    assert list(checkout.memory.iterdir()) == []
