"""What an environment at Google lacks before anything may begin there: signed in, reachable, permitted. Nothing is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Literal, NamedTuple

from pytest_deploy.errors import DeployError, Refused
from pytest_deploy.platform.google.platform import GooglePlatform
from pytest_deploy.policy.policy import Policy
from pytest_deploy.record.bucket import Bucket
from pytest_deploy.record.open_record import bucket_of

State = Literal["right", "wrong"]


class Finding(NamedTuple):
    """One thing that a deployment needs."""

    name: str
    """Of what was asked: `sign-in`, `Cloud Run` and so on."""
    state: State
    words: str
    """What was found, and where it is wrong what to do."""


def findings(policy: Policy, *, address: str | None, kms: Callable[[], object]) -> Iterator[Finding]:
    """Each, as it is found; where nobody is signed in nothing more is asked.

    Args:
        policy: of an environment at Google.
        address: of its database.
        kms: reads the public key of the log's key in Cloud KMS.
    """
    # 1. Who asks. 2. The service, its rights and its front. 3. Where the record lies, and what signs it. 4. The database.
    try:
        platform = GooglePlatform(policy, address=address)
    except Refused as error:
        yield Finding("sign-in", "wrong", _one_line(error))
        return
    with closing(platform):
        who = platform.admission.who or "a person"
        yield Finding("sign-in", "right", f"as {who}")
        yield _asked("Cloud Run", lambda: _service(platform))
        yield _asked("ID token", lambda: _token(platform))
        if policy.record.bucket is not None:
            yield _asked("record", lambda: _bucket(policy))
        if policy.record.key is not None:
            yield _asked("Cloud KMS", lambda: _key(kms))
        if platform.has_database:
            yield _asked("database", lambda: _database(platform))


def refuse_unready(policy: Policy, *, address: str | None, kms: Callable[[], object]) -> None:
    """Raises Refused with a line for each thing that is lacking."""
    lacking = [one for one in findings(policy, address=address, kms=kms) if one.state == "wrong"]
    if lacking:
        lines = "\n".join(f"  {one.name}: {one.words}" for one in lacking)
        raise Refused(f"{policy.environment} is not ready, and nothing was written:\n{lines}")


def _asked(name: str, ask: Callable[[], str]) -> Finding:
    try:
        return Finding(name, "right", ask())
    except DeployError as error:
        return Finding(name, "wrong", _one_line(error))


def _service(platform: GooglePlatform) -> str:
    platform.runtime.require_rights()
    front = platform.runtime.front()
    if front.fault:
        raise Refused(front.fault)
    return f"{platform.runtime.service} answers at {front.url}"


def _token(platform: GooglePlatform) -> str:
    return "is minted for this identity" if platform.admission.headers() else "none is asked for"


def _bucket(policy: Policy) -> str:
    rule = policy.record
    bucket: Bucket = bucket_of(policy, "record.store", rule.bucket or "", rule.prefix, policy.place())
    bucket.holding()
    return f"{bucket.url} answers"


def _key(read: Callable[[], object]) -> str:
    read()
    return "the log's key answers"


def _database(platform: GooglePlatform) -> str:
    return f"answers, and has the service's role {platform.database.role}"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
