"""Who may deploy as what: what nobody is signed in with, or ends in the middle of a deployment, is refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pytest_deploy.errors import Refused
from pytest_deploy.platform.google.sign_in import sign_in
from pytest_deploy.policy.google import Google
from tests import http_stand_in
from tests.http_stand_in import JsonHandler

GOOGLE = Google(project="example", region="us-east4")
ACCOUNT = "deployer@example.iam.gserviceaccount.com"


@pytest.fixture(autouse=True)
def nobody_signed_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path / "gcloud"))
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)


class Tokens(JsonHandler):
    """Security Token Service and IAM Credentials, as far as a federated sign-in asks them."""

    status, message = 200, ""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        if self.status != 200 and "generateAccessToken" in self.path:
            self.answer(self.status, {"error": {"code": self.status, "message": self.message}})
        elif "generateAccessToken" in self.path:
            self.answer(200, {"accessToken": "of-the-account", "expireTime": "2099-01-01T00:00:00Z"})
        else:
            kind = "urn:ietf:params:oauth:token-type:access_token"
            self.answer(
                200, {"access_token": "federated", "issued_token_type": kind, "token_type": "Bearer", "expires_in": 300}
            )


@pytest.fixture
def federated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A credential file as google-github-actions/auth writes it, with its stand-ins; called it is signed in with."""
    token = tmp_path / "token"
    token.write_text("of-ci")

    def write(url: str, *, impersonates: bool = True) -> None:
        content = {
            "type": "external_account",
            "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/ci/providers/github",
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "token_url": f"{url}/v1/token",
            "credential_source": {"file": str(token)},
        }
        if impersonates:
            content["service_account_impersonation_url"] = (
                f"{url}/v1/projects/-/serviceAccounts/{ACCOUNT}:generateAccessToken"
            )
        file = tmp_path / "gha-creds-1.json"
        file.write_text(json.dumps(content))
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))

    return write


def test_a_service_account_that_ci_impersonates_is_who_deploys(federated: Any) -> None:
    with http_stand_in.serving(Tokens) as url:
        federated(url)
        assert sign_in(GOOGLE).email == ACCOUNT


def test_federation_without_a_service_account_is_refused_by_name(federated: Any) -> None:
    with http_stand_in.serving(Tokens) as url:
        federated(url, impersonates=False)
        with pytest.raises(Refused, match="workload identity federation without a service account") as caught:
            sign_in(GOOGLE)

    assert "`service_account:` of google-github-actions/auth" in str(caught.value)


def test_an_account_that_may_not_be_impersonated_is_told_with_the_role(federated: Any) -> None:
    said = "Permission 'iam.serviceAccounts.getAccessToken' denied on resource (or it may not exist)."
    handler = type("Refuses", (Tokens,), {"status": 403, "message": said})
    with http_stand_in.serving(handler) as url:
        federated(url)
        with pytest.raises(Refused, match=r"roles/iam\.workloadIdentityUser on the service account"):
            sign_in(GOOGLE)


def test_who_gives_out_tokens_and_does_not_answer_is_told(federated: Any) -> None:
    federated("http://127.0.0.1:1")
    with pytest.raises(Refused, match=r"does not answer: .*; see to this machine's network"):
        sign_in(GOOGLE)


def test_nobody_is_told_how_to_sign_in() -> None:
    with pytest.raises(Refused, match=r"nobody is signed in to Google Cloud: .*; sign in: in CI the log-in step"):
        sign_in(GOOGLE)


def test_a_credential_file_that_is_not_there_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "gone.json"))
    with pytest.raises(Refused, match=r"gone\.json"):
        sign_in(GOOGLE)
