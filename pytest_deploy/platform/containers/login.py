"""Who this process is at a registry. A password is given in a header or in a file of its owner's alone, never as an argument."""

from __future__ import annotations

import base64
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pytest_deploy.errors import Refused

_SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"


@dataclass(frozen=True)
class Login:
    """A name and what proves it."""

    username: str
    password: str = field(repr=False)

    @property
    def basic(self) -> str:
        """As HTTP's Basic authentication has it."""
        return base64.b64encode(f"{self.username}:{self.password}".encode()).decode()


def google_login(credentials: Any = None) -> Login:
    """An access token for Artifact Registry: of these credentials of google-auth, else of whoever this process is signed in as.

    Raises Refused where nobody is, or no token is to be had.
    """
    try:
        import google.auth
        from google.auth import exceptions
        from google.auth.transport.requests import Request
    except ImportError as error:
        raise Refused(
            f"Artifact Registry wants a token of google-auth, which is not installed ({error}): pip install 'pytest-deploy[google]'"
        ) from None
    try:
        if credentials is None:
            credentials, _ = google.auth.default(scopes=[_SCOPE])
        credentials.refresh(Request())
    except exceptions.GoogleAuthError as error:
        raise Refused(
            f"no access token for Artifact Registry ({type(error).__name__}); sign in: workload identity in CI, "
            "`gcloud auth application-default login` at a desk"
        ) from None
    return Login("oauth2accesstoken", str(credentials.token))


@contextmanager
def login_file(host: str, login: Login | None) -> Iterator[Path]:
    """A file as podman and buildah read it, of mode 0600 in a folder of its own; it is gone afterwards. Without a login it names none."""
    auths = {} if login is None else {host: {"auth": login.basic}}
    with tempfile.TemporaryDirectory(prefix="login-") as folder:
        path = Path(folder, "auth.json")
        path.touch(mode=0o600)
        path.write_text(json.dumps({"auths": auths}), encoding="utf-8")
        yield path
