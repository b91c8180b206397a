"""Who this process is at Google: Application Default Credentials, of a service account that is impersonated, or of a person.

Workload identity federation that impersonates nobody is refused by name: it ends with CI's own token after minutes, and
mints no ID token, so that a deployment would stop in its middle.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import google.auth
from google.auth import exceptions as sign_in_errors
from google.auth import identity_pool
from google.auth.credentials import AnonymousCredentials, Credentials
from google.auth.transport.requests import Request

from pytest_deploy.bounded_output import WORDS_BYTES, kept_text
from pytest_deploy.errors import Refused
from pytest_deploy.policy.google import Google

SCOPES: Final = ("https://www.googleapis.com/auth/cloud-platform",)
SIGN_IN: Final = (
    "sign in: in CI the log-in step of google-github-actions/auth with `service_account:`, at a desk "
    "`gcloud auth application-default login --impersonate-service-account=EMAIL`"
)
_CALL_S: Final = 10.0
"""Seconds that one answer of those who give out tokens may take."""


@dataclass(frozen=True)
class Identity:
    """Who asks."""

    credentials: Credentials
    email: str
    """Of the service account; empty where a person asks with a sign-in of their own."""


def sign_in(google_: Google) -> Identity:
    """Whoever this process is signed in as; with stand-ins nobody, under a name of the project.

    Raises Refused, with what to do, where nobody is, or one who could not finish a deployment.
    """
    if google_.loopback is not None:
        return Identity(AnonymousCredentials(), f"stand-in@{google_.project}.iam.gserviceaccount.com")  # type: ignore[no-untyped-call]  # its gap
    try:
        credentials = _found()
    except (sign_in_errors.GoogleAuthError, OSError, ValueError) as error:
        raise Refused(f"nobody is signed in to Google Cloud: {_said(error)}; {SIGN_IN}") from None
    try:
        credentials.refresh(partial(Request(), timeout=_CALL_S))
    except sign_in_errors.TransportError as error:
        raise Refused(
            f"who gives out Google's tokens does not answer: {_said(error)}; see to this machine's network, then run again"
        ) from None
    except sign_in_errors.GoogleAuthError as error:
        raise Refused(f"the sign-in to Google Cloud is refused: {_said(error)}; {_remedy(error)}") from None
    return Identity(credentials, getattr(credentials, "service_account_email", None) or "")


def _found() -> Any:
    """The credentials, as Google's own client finds them. Raises Refused for federation without a service account."""
    named = os.environ.get("GOOGLE_APPLICATION_CREDENTIALS")
    said = json.loads(Path(named).read_text(encoding="utf-8")) if named else {}
    if isinstance(said, dict) and said.get("type") == "external_account":
        if not said.get("service_account_impersonation_url"):
            raise Refused(
                f"{named} is workload identity federation without a service account: it ends after minutes, and no ID token for the "
                "smoke steps can be had with it; name the account that deploys in the log-in step (`service_account:` of "
                "google-github-actions/auth), and give the federated identity roles/iam.workloadIdentityUser on it"
            )
        if _OF_ANOTHER_KIND.isdisjoint(said.get("credential_source") or {}):
            # `default` would ask for the project's name too, by another API that a deployment does without.
            return identity_pool.Credentials.from_info(said, scopes=SCOPES)  # type: ignore[no-untyped-call]  # its gap
    credentials, _ = google.auth.default(scopes=SCOPES)
    return credentials


_OF_ANOTHER_KIND: Final = frozenset({"environment_id", "executable"})
"""Keys of a credential source that is AWS's or a program: Google's client tells those apart by itself."""


def _remedy(error: Exception) -> str:
    said = str(error)
    if "getAccessToken" in said or "PERMISSION_DENIED" in said:
        return "give the federated identity roles/iam.workloadIdentityUser on the service account that it impersonates"
    if "iamcredentials.googleapis.com" in said and "SERVICE_DISABLED" in said:
        return "enable iamcredentials.googleapis.com in the account's project"
    return SIGN_IN


def _said(error: Exception) -> str:
    return kept_text(" ".join(str(error).split()) or type(error).__name__, WORDS_BYTES)
