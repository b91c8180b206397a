"""A token of Google's own library, and the file that carries it to podman."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from google.auth import credentials, exceptions

from pytest_deploy.errors import Refused
from pytest_deploy.platform.containers import Login, google_login
from pytest_deploy.platform.containers.login import login_file


class Credentials(credentials.Credentials):
    """Google's protocol of credentials, without Google."""

    def refresh(self, _request: Any) -> None:
        self.token = "fresh"


class Expired(credentials.Credentials):
    def refresh(self, _request: Any) -> None:
        raise exceptions.RefreshError("invalid_grant")  # type: ignore[no-untyped-call]


def test_the_token_is_fetched_anew() -> None:
    assert google_login(Credentials()) == Login("oauth2accesstoken", "fresh")  # type: ignore[no-untyped-call]


def test_nobody_signed_in_is_said_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    with pytest.raises(Refused, match=r"no access token for Artifact Registry .DefaultCredentialsError.; sign in"):
        google_login()
    with pytest.raises(Refused, match=r"RefreshError.; sign in"):
        google_login(Expired())  # type: ignore[no-untyped-call]


def test_its_words_never_show_the_password() -> None:
    assert "fresh" not in repr(Login("a", "fresh"))


def test_the_file_is_its_owners_alone_and_is_gone_afterwards() -> None:
    with login_file("example.org", Login("a", "fresh")) as path:
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.parent.stat().st_mode & 0o777 == 0o700
        assert json.loads(path.read_text(encoding="utf-8")) == {"auths": {"example.org": {"auth": "YTpmcmVzaA=="}}}
    assert not path.parent.exists()
    with login_file("example.org", None) as path:
        assert json.loads(path.read_text(encoding="utf-8")) == {"auths": {}}
