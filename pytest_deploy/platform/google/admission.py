"""Calls of a Cloud Run service that lets nobody in without an ID token, and what its front end answers in the service's place.

The token's audience is the service's own URL, for a tag's address too. It goes into `X-Serverless-Authorization`, since
`Authorization` is the service's. It is minted by IAM Credentials for the identity of this run.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import requests
from google.auth import exceptions as sign_in_errors
from google.auth.transport.requests import AuthorizedSession

from pytest_deploy.bounded_output import WORDS_BYTES, kept_text
from pytest_deploy.errors import PlatformUnavailable
from pytest_deploy.platform.google.sign_in import Identity

GOOGLES: Final = "https://iamcredentials.googleapis.com"
HEADER: Final = "X-Serverless-Authorization"
_CALL_S: Final = 10.0
_ENDED: Final = "the sign-in of this run has ended: sign in again, and start what deploys after it"
_KEPT_S: Final = 60.0
"""Seconds that a token is used again: the calls of one step. It lives longer, and whoever may call may lose that right."""


@dataclass(frozen=True)
class Front:
    """How a service is reached, as Cloud Run tells it."""

    url: str
    """Its own, which is every token's audience; empty where run.app addresses are off."""
    open: bool
    """Whether it asks for no token (`invoker_iam_disabled`)."""
    ingress: str = "INGRESS_TRAFFIC_ALL"
    """The name of the setting."""
    audiences: tuple[str, ...] = ()
    """Others that it takes, as infrastructure set them."""

    @property
    def fault(self) -> str:
        """Why a deployment cannot call a tag's address from outside; empty where it can."""
        if not self.url:
            return (
                "the service has no run.app address (default_uri_disabled), so that no tag can be asked: give it its address back, or put a "
                "serverless network endpoint group with a URL mask for tags before it and run from there"
            )
        if self.ingress not in {"INGRESS_TRAFFIC_ALL", "INGRESS_TRAFFIC_UNSPECIFIED"}:
            return (
                f"the service's ingress is {self.ingress}, so that whoever runs this from the internet is answered 404: run it on a machine "
                "inside the VPC; never open the ingress for the time of a deployment"
            )
        return ""


class IdTokens:
    """Lets calls through to one service; implements protocol.Admission."""

    def __init__(
        self,
        identity: Identity,
        front: Callable[[], Front],
        *,
        at: str = GOOGLES,
        learn: Callable[[str], object] = lambda token: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`front` reads how the service is reached; `at` is who mints; `learn` hears each token, which is a secret."""
        self._email = identity.email
        self._session = AuthorizedSession(identity.credentials)  # type: ignore[no-untyped-call]  # its gap
        self._read_front = front
        self._front: Front | None = None
        self._at = at
        self._learn = learn
        self._clock = clock
        self._minted: tuple[float, str] | None = None

    @property
    def who(self) -> str:
        """The service account's e-mail; empty where a person asks."""
        return self._email

    def headers(self) -> Mapping[str, str]:
        """What a call must carry. Raises PlatformUnavailable where no token can be had."""
        front = self._front = self._front or self._read_front()
        if front.open:
            return {}
        if self._minted is None or self._clock() - self._minted[0] > _KEPT_S:
            token = self.mint(front.url)
            self._minted = (self._clock(), token)
        return {HEADER: f"Bearer {self._minted[1]}"}

    def mint(self, audience: str) -> str:
        """A new token. Raises PlatformUnavailable with what is lacking."""
        doing = f"minting an ID token for {audience}"
        if not self._email:
            raise PlatformUnavailable(
                f"{doing}: a person is signed in, and only for a service account a token is minted: `gcloud auth "
                "application-default login --impersonate-service-account=EMAIL`"
            )
        url = f"{self._at}/v1/projects/-/serviceAccounts/{self._email}:generateIdToken"
        asked = {"audience": audience, "includeEmail": True}
        try:
            answer = self._session.request("POST", url, json=asked, timeout=_CALL_S, max_allowed_time=_CALL_S)  # type: ignore[no-untyped-call]  # its gap
        except (requests.RequestException, sign_in_errors.TransportError) as error:
            raise PlatformUnavailable(
                f"{doing}: IAM Credentials does not answer ({_words(str(error))}); run again when it does"
            ) from None
        except sign_in_errors.GoogleAuthError as error:
            raise PlatformUnavailable(f"{doing}: {_words(str(error))}; {_ENDED}") from None
        try:
            said = answer.json()
        except ValueError:
            said = {}
        token = said.get("token") if isinstance(said, dict) else None
        if answer.ok and isinstance(token, str) and token:
            self._learn(token)
            return token
        raise PlatformUnavailable(f"{doing}: {answer.status_code} {_message(said)}; {self._remedy(answer)}")

    def refusal(self, status: int, content_type: str, body: bytes) -> str:
        """Why Cloud Run's front end did not let a call through; empty where the service itself answered."""
        audience = self._front.url if self._front is not None else "the service's URL"
        return refused_by_front_end(status, content_type, body, audience=audience, who=self._email)

    def close(self) -> None:
        """Give the connections back."""
        self._session.close()  # type: ignore[no-untyped-call]  # its gap

    def _remedy(self, answer: requests.Response) -> str:
        match answer.status_code:
            case 403 if "SERVICE_DISABLED" in answer.text or "has not been used" in answer.text:
                return "enable iamcredentials.googleapis.com in the project, and wait some minutes"
            case 403:
                return f"give {self._email} roles/iam.serviceAccountOpenIdTokenCreator on itself; a right that was given may take some minutes"
            case 401:
                return _ENDED
            case 404:
                return f"there is no service account {self._email}: name the one that deploys in the log-in step"
            case 429:
                return "too many tokens in a minute: try again after one"
            case _:
                return "look at the audit log of IAM Credentials"


_TITLE: Final = re.compile(rb"<h1>Error: (Unauthorized|Forbidden|Page not found|Not Found)</h1>", re.IGNORECASE)
"""As the front end says it, and no service of ours: its page, in HTML."""


def refused_by_front_end(status: int, content_type: str, body: bytes, *, audience: str, who: str) -> str:
    """What an answer of the front end itself means; empty for an answer of the service, whatever its status is.

    Example:
        >>> page = b"<html><h1>Error: Unauthorized</h1></html>"
        >>> refused_by_front_end(401, "text/html", page, audience="https://x.run.app", who="d@p").partition(":")[0]
        "401 by Cloud Run's front end"
    """
    if status not in _MEANINGS or "html" not in content_type.lower() or not _TITLE.search(body):
        return ""
    meaning = _MEANINGS[status].format(audience=audience or "the service's URL", who=who or "the identity of this run")
    return f"{status} by Cloud Run's front end: {meaning}"


_MEANINGS: Final[Mapping[int, str]] = {
    401: "the ID token is not taken: its audience must be the service's own URL ({audience}), not a tag's and not a custom host's",
    403: "{who} may not call the service: give it roles/run.invoker there; a right that was given may take some minutes",
    404: "nothing answers for this address from here: the service's ingress keeps calls from the internet out, or the tag is gone",
}


def _message(said: object) -> str:
    error = said.get("error") if isinstance(said, dict) else None
    message = error.get("message") if isinstance(error, dict) else error
    return _words(str(message or "no words"))


def _words(text: str) -> str:
    return kept_text(" ".join(text.split()), WORDS_BYTES)
