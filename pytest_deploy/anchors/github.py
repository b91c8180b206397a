"""Lines at GitHub: each is the description of a status, and whoever sees the repository can read it.

    deployment    environment deploy.example.org/production, task deploy-record
    its statuses  success, `tlog deploy.example.org/production 118 w5Wb…`, one a checkpoint

The environment is the record's origin, so no team's deployment is listed with these or made inactive by them, nor these by
theirs. GitHub may have done what it never answered: each try looks first. Every wait is bounded.
Source: docs.github.com/rest/deployments; a status holds 140 characters.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NoReturn, TypeVar
from urllib.parse import quote

from pytest_deploy.errors import AnchorUnavailable
from pytest_deploy.policy.storage import GitHub
from pytest_deploy.record.log_entry import Checkpoint, SignedCheckpoint, parse_anchor
from pytest_deploy.record.plain_text import escape_line

TASK: Final = "deploy-record"
PATIENCE_S: Final = 20.0
"""After so long no further try begins: less than the life of a lease."""
_VERSION: Final = "2026-03-10"
"""Of GitHub's API."""
_PAGE: Final = 100
"""What GitHub lists at once, at most."""
_FIRST_WAIT_S: Final = 0.5
_WRITE: Final = "let the token read and write deployments (in a workflow, permissions: {deployments: write})"
_MOVED, _BUSY, _BROKEN = 300, 429, 500  # HTTP's own

_Found = TypeVar("_Found")


class Statuses:
    """Statuses of the record's own deployment at GitHub: an Anchor."""

    kind = "github"
    read_back = True
    covers = True

    def __init__(self, rule: GitHub, origin: str, *, patience_s: float = PATIENCE_S) -> None:
        """`origin`: the record's. Nothing is asked yet."""
        self._rule = rule
        self._origin = origin
        self._patience_s = patience_s
        self._owner, self._name = rule.repository.split("/")

    @property
    def place(self) -> str:
        """The address that lists the deployments."""
        query = f"environment={quote(self._origin, safe='')}&task={TASK}"
        return f"{self._rule.api}/repos/{self._rule.repository}/deployments?{query}"

    def make(self, signed: SignedCheckpoint) -> Mapping[str, Any]:
        """See Anchor.make. Raises AnchorUnavailable, too, where another root of this size stands there."""
        return {"receipt": self._asking(lambda repos: self._leave(repos, signed.checkpoint))}

    def known(self) -> tuple[Checkpoint, ...]:
        """See Anchor.known: every page is read."""
        statuses = self._asking(lambda repos: self._read(repos, whole=True))
        return tuple(checkpoint for _, (checkpoint, _) in sorted(statuses.items()))

    def newest(self) -> Checkpoint | None:
        """See Anchor.newest: the highest of the newest page."""
        statuses = self._asking(lambda repos: self._read(repos, whole=False))
        return statuses[max(statuses)][0] if statuses else None

    def administrators(self) -> dict[str, int]:
        """Who has the permission `admin` on the repository, an organisation's owners too: login -> id. Raises AnchorUnavailable."""

        def listed(repos: Any) -> dict[str, int]:
            pages = _pages(
                lambda number: repos.list_collaborators(
                    self._owner, self._name, permission="admin", per_page=_PAGE, page=number
                )
            )
            return {one.login: one.id for page in pages for one in page}

        return self._asking(
            listed, denied="the token's owner must be able to write to it, and the token read its metadata and members"
        )

    def _leave(self, repos: Any, checkpoint: Checkpoint) -> str:
        """The address of the status that holds the checkpoint: one that is there, else a new one."""
        statuses = self._read(repos, whole=False)
        if statuses and checkpoint.size < max(statuses) and checkpoint.size not in statuses:
            statuses = self._read(repos, whole=True)
        if (existing_status := statuses.get(checkpoint.size)) is not None:
            if existing_status[0] != checkpoint:
                raise AnchorUnavailable(
                    f"{existing_status[1]} holds another root of {checkpoint.size} events: the record was rewritten; keep everything as it is"
                )
            return existing_status[1]
        own = {"owner": self._owner, "repo": self._name}
        deployment = max((existing.id for existing in self._deployments(repos)), default=None)
        if deployment is None:
            deployment = _data(
                repos.create_deployment(
                    **own,
                    ref=self._rule.ref,
                    task=TASK,
                    environment=self._origin,
                    description="What the record of deployments was at a time: one line a status",
                    auto_merge=False,
                    required_contexts=[],
                    transient_environment=False,
                    production_environment=False,
                )
            ).id
        created = _data(
            repos.create_deployment_status(
                **own, deployment_id=deployment, state="success", description=checkpoint.anchor, auto_inactive=False
            )
        )
        if created.description != checkpoint.anchor:
            self._not_ours(created)
        return str(created.url)

    def _read(self, repos: Any, *, whole: bool) -> dict[int, tuple[Checkpoint, str]]:
        """What stands there, by size, each with the address of its status."""
        checkpoints: dict[int, tuple[Checkpoint, str]] = {}
        for deployment in self._deployments(repos):
            for status in self._statuses(repos, deployment.id, whole=whole):
                checkpoint, url = self._said(status)
                if checkpoints.setdefault(checkpoint.size, (checkpoint, url))[0] != checkpoint:
                    raise AnchorUnavailable(
                        f"{checkpoints[checkpoint.size][1]} and {url} hold two roots of {checkpoint.size} events: one of two records was "
                        "rewritten; keep everything as it is"
                    )
        return checkpoints

    def _deployments(self, repos: Any) -> Iterator[Any]:
        """The record's own: one, unless two writers were the first."""
        for page in _pages(
            lambda number: repos.list_deployments(
                self._owner, self._name, task=TASK, environment=self._origin, per_page=_PAGE, page=number
            )
        ):
            yield from page

    def _statuses(self, repos: Any, deployment: int, *, whole: bool) -> Iterator[Any]:
        """All statuses; unless `whole` the newest page alone, where GitHub lists the newest first as it does and never says."""
        for page in _pages(
            lambda number: repos.list_deployment_statuses(
                self._owner, self._name, deployment, per_page=_PAGE, page=number
            )
        ):
            yield from page
            ids = [status.id for status in page]
            if not whole and ids == sorted(ids, reverse=True):
                return

    def _said(self, status: Any) -> tuple[Checkpoint, str]:
        try:
            checkpoint = parse_anchor(status.description)
        except ValueError:
            self._not_ours(status)
        if checkpoint.origin != self._origin:
            self._not_ours(status)
        return checkpoint, str(status.url)

    def _not_ours(self, status: Any) -> NoReturn:
        raise AnchorUnavailable(
            f"{status.url} says {status.description!r}, and only lines `tlog {self._origin} SIZE ROOT` belong there: find out "
            "who wrote it"
        ) from None

    def _asking(self, call: Callable[[Any], _Found], *, denied: str = _WRITE) -> _Found:
        """A call with the part of GitHub's client for repositories, repeated while GitHub is not there; `denied` says what it takes."""
        try:
            from githubkit import GitHub as Client
            from githubkit.exception import GitHubException, RateLimitExceeded, RequestError, RequestFailed
        except ImportError as error:
            raise AnchorUnavailable(
                f"anchors lie at GitHub, and its client is not installed ({error}): pip install 'pytest-deploy[github]'"
            ) from error
        rule, token, pause = self._rule, self._token(), _FIRST_WAIT_S
        until = time.monotonic() + self._patience_s
        # Its own repetition waits as long as it is told to, and writes again without looking; its cache is a file.
        with Client(
            token,
            base_url=rule.api,
            timeout=rule.timeout_s,
            follow_redirects=False,
            trust_env=not rule.loopback,
            auto_retry=False,
            http_cache=False,
        ) as client:
            while True:
                try:
                    return call(client.rest(_VERSION).repos)
                except RateLimitExceeded as error:
                    wait, problem = error.retry_after.total_seconds(), f"asks for patience ({_words(error, token)})"
                except RequestFailed as error:
                    if error.response.status_code not in {_BUSY, *range(_BROKEN, 600)}:
                        raise AnchorUnavailable(self._refusal(error, token, denied)) from None
                    wait, problem = pause, f"answered {_words(error, token)}"
                except RequestError as error:
                    wait, problem = pause, f"gave no answer ({type(error.exc).__name__})"
                except (GitHubException, ValueError) as error:  # what its description does not know
                    raise AnchorUnavailable(
                        f"{rule.api} answered what GitHub does not document ({type(error).__name__}): see whether anchors.github.api "
                        f"is GitHub's, of version {_VERSION}"
                    ) from None
                if time.monotonic() + wait > until:
                    raise AnchorUnavailable(
                        f"{rule.api} {problem}, and to wait {wait:g} s more would pass {self._patience_s:g} s: see whether GitHub is up"
                    ) from None
                time.sleep(wait)
                pause *= 2

    def _token(self) -> str:
        name = self._rule.token_variable
        token = os.environ.get(name, "")
        if not re.fullmatch(r"[!-~]{8,}", token):
            problem = "is not set" if not token else "holds no token (8 characters or more, no space, no line break)"
            raise AnchorUnavailable(f"{name} {problem}: GitHub is asked with it; see anchors.github.token_variable")
        return token

    def _refusal(self, error: Any, token: str, denied: str) -> str:
        rule, status = self._rule, error.response.status_code
        remedy = {
            401: f"give {rule.token_variable} a token that is valid now",
            403: denied,
            404: f"see whether {rule.repository} is its name, and let the token see it",
            422: f"see whether there is a {rule.ref}, and anchors.github.ref names it",
        }.get(status, "see what it says")
        return f"{error.request.method} {error.request.url.copy_with(query=None)} was refused, {_words(error, token)}: {remedy}"


def _pages(ask: Callable[[int], Any]) -> Iterator[Any]:
    """Page after page, for as long as GitHub says that there is a next one."""
    number = 1
    while True:
        answer = ask(number)
        page = _data(answer)
        yield page
        if not page or "next" not in answer.raw_response.links:
            return
        number += 1


def _data(answer: Any) -> Any:
    """What was answered, held against GitHub's description of it. Raises AnchorUnavailable for a repository that moved."""
    if answer.status_code >= _MOVED:
        raise AnchorUnavailable(
            f"{answer.url.copy_with(query=None)} answered {answer.status_code}: the repository has another name now; "
            "anchors.github.repository must give it"
        )
    return answer.parsed_data


def _words(error: Any, token: str) -> str:
    """Status and GitHub's own words, short, one line, without the token whatever they repeat."""
    try:
        body = error.response.json()
        messages = [
            body["message"],
            *(fault.get("message") or fault.get("code", "") for fault in body.get("errors", ())),
        ]
    except (ValueError, KeyError, TypeError, AttributeError):
        messages = []
    text = " ".join("; ".join(map(str, messages)).replace(token, "[token]").split())
    return f"{error.response.status_code} {escape_line(text)[:200]}".strip()
