"""What a registry has under a tag or digest, asked of the registry itself over the OCI distribution protocol.

The program that pushes is not the one that is believed: the bytes of the manifest are read back and hashed here.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode, urlsplit

import requests

from pytest_deploy.bounded_http import bounded_session, whole_answer
from pytest_deploy.bounded_output import WORDS_BYTES, kept
from pytest_deploy.errors import Failed, PlatformUnavailable, Refused
from pytest_deploy.platform.containers.login import Login
from pytest_deploy.platform.image_names import Repository

_MANIFESTS: Final = frozenset(
    ("application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json")
)
_INDEXES: Final = frozenset(
    ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
)
_DEADLINE_S: Final = 30.0
_LARGEST: Final = 4 * 2**20
"""Bytes of a manifest: what the protocol tells registries to take."""
_PARAMETER: Final = re.compile(r'([a-z_]+)="([^"]*)"')


@dataclass(frozen=True)
class Registry:
    """One repository, as whoever `login` is."""

    repository: Repository
    login: Login | None

    def digest(self, reference: str) -> str | None:
        """The digest of the one manifest under a tag or digest, hashed from its bytes; None where there is none.

        Raises:
            Refused: not signed in, not allowed, or it is an index of several platforms.
            Failed: its bytes have another digest than it was asked for or says.
            PlatformUnavailable: it does not answer, or with an error.
        """
        response, body = self._manifest(reference)
        if response.status_code == requests.codes.not_found:
            return None
        what = f"{self.repository}:{reference}"
        self._require_ok(response, body, f"{what} cannot be read")
        kind = response.headers.get("Content-Type", "").partition(";")[0].strip()
        if kind in _INDEXES:
            raise Refused(
                f"{what} is an index of several platforms or attestations ({kind}): push one manifest for linux/amd64, without provenance"
            )
        if kind not in _MANIFESTS:
            raise PlatformUnavailable(
                f"{what} was answered with {kind or 'no type'}: is {self.repository.host} a registry?"
            )
        found = f"sha256:{hashlib.sha256(body).hexdigest()}"
        for promised in (
            response.headers.get("Docker-Content-Digest", found),
            reference if ":" in reference else found,
        ):
            if promised != found:
                raise Failed(
                    f"{what}: the manifest's bytes have the digest {found}, not {promised}; the registry is not to be trusted"
                )
        return found

    def _manifest(self, reference: str) -> tuple[requests.Response, bytes]:
        headers = {"Accept": ", ".join(sorted(_MANIFESTS | _INDEXES)), "Accept-Encoding": "identity"}
        with bounded_session() as session:
            # No .netrc of whoever runs this is read, which requests would do by itself.
            session.trust_env = not self.repository.is_loopback
            session.auth = _no_login
            url = f"{self._origin}/v2/{self.repository.path}/manifests/{reference}"
            answer = self._get(session, url, headers)
            if answer[0].status_code != requests.codes.unauthorized:
                return answer
            challenge = answer[0].headers.get("WWW-Authenticate", "")
            if (authorization := self._authorization(session, challenge)) is None:
                return answer
            return self._get(session, url, {**headers, "Authorization": authorization})

    def _authorization(self, session: requests.Session, challenge: str) -> str | None:
        """What the registry's challenge is answered with; None where nobody is signed in."""
        scheme = challenge.partition(" ")[0].lower()
        basic = None if self.login is None else f"Basic {self.login.basic}"
        if scheme != "bearer":
            return basic
        asked = dict(_PARAMETER.findall(challenge))
        realm = asked.pop("realm", "")
        if basic is not None and urlsplit(realm)[:2] != urlsplit(self._origin)[:2]:
            raise Refused(
                f"{self.repository.host} sends those who log in to another place ({urlsplit(realm).netloc or 'none'}): the token is not given there"
            )
        query = urlencode({name: asked[name] for name in ("service", "scope") if name in asked})
        response, body = self._get(session, f"{realm}?{query}", {} if basic is None else {"Authorization": basic})
        self._require_ok(response, body, f"{self.repository.host} gave no token")
        try:
            answer = json.loads(body)
            return f"Bearer {answer.get('token') or answer['access_token']}"
        except (ValueError, KeyError, AttributeError):
            raise PlatformUnavailable(f"{self.repository.host} gave no token: its answer holds none") from None

    def _get(self, session: requests.Session, url: str, headers: dict[str, str]) -> tuple[requests.Response, bytes]:
        return whole_answer(session, "GET", url, deadline_s=_DEADLINE_S, limit_bytes=_LARGEST, headers=headers)

    @property
    def _origin(self) -> str:
        return f"{'http' if self.repository.is_loopback else 'https'}://{self.repository.host}"

    def _require_ok(self, response: requests.Response, body: bytes, what: str) -> None:
        status = response.status_code
        if status == requests.codes.ok:
            return
        said = f"{status} {' '.join(kept(body, WORDS_BYTES).text.split())}"
        if status == requests.codes.unauthorized:
            whose = (
                "nobody is signed in there"
                if self.login is None
                else f"the login of {self.login.username} is not taken, or has expired"
            )
            raise Refused(f"{what}: {whose}; sign in again: {said}")
        if status == requests.codes.forbidden:
            raise Refused(
                f"{what}: who is signed in may not; give roles/artifactregistry.reader (to push: writer) on the repository: {said}"
            )
        raise PlatformUnavailable(f"{what}: the registry answered {said}; try again when it is well")


def _no_login(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request
