"""A rehearsal's roster: people who do not exist, with keys that are kept and reused, able to satisfy the policy.

They are enrolled in the rehearsal store alone, whose origin is another: nothing they sign counts for a real environment.
"""

from __future__ import annotations

from pathlib import Path

from pytest_deploy.approvals import enrollment
from pytest_deploy.approvals.roster import Person
from pytest_deploy.approvals.signed_file import slug
from pytest_deploy.errors import UsageError
from pytest_deploy.platform.environment import Environment
from pytest_deploy.policy.load import policy_of
from pytest_deploy.policy.policy import Policy
from pytest_deploy.record.actor import local_actor, local_user
from pytest_deploy.record.event import of_type
from pytest_deploy.record.events import KeyEnrolled
from pytest_deploy.record.ssh_signature import make_key
from pytest_deploy.release import source
from pytest_deploy.workspace import Workspace

DEPLOYER = "Rehearsing Deployer"


def prepare(workspace: Workspace, policy: Policy) -> None:
    """Enroll the throw-away roster where the rehearsal store has none yet."""
    environment = Environment(workspace, policy)
    log = environment.log
    if any(enrolled.person for _, enrolled in of_type(log.history(), KeyEnrolled)):
        return
    people = roster(workspace, policy)
    keys = {person.email: _public_key(_key_file(workspace, person.email)) for person in people if person.roles}
    enrollment.enroll(
        log,
        workspace.store,
        people,
        keys,
        namespace=f"deploy-approval@{policy.organisation.domain}",
        now=environment.system_clock.now(),
        actor=local_actor(),
        reason="a rehearsal's throw-away roster",
    )


def roster(workspace: Workspace, policy: Policy) -> tuple[Person, ...]:
    """Somebody for every role, the deployer at this machine, and the authors of the history, who may sign nothing."""
    domain = f"rehearsal.{policy.organisation.domain}"
    roles = dict.fromkeys([*policy.approval.roles, *policy.rollback.roles, *policy.thaw.roles])
    people = [Person(f"{slug(role)}@{domain}", f"Rehearsing {role}", (role,), None, None, ()) for role in roles]
    held = (policy.deployer.role,) if policy.deployer is not None else ("Deployer",)
    people.append(Person(f"deployer@{domain}", DEPLOYER, held, None, local_user(), ()))
    authors = source.authors(workspace.root, source.read(workspace.root).commit, None)
    people.append(Person(f"authors@{domain}", "Authors of the rehearsed commits", (), None, None, authors))
    return tuple(people)


def throw_away_key(workspace: Workspace, role: str) -> Path:
    """The private key of a rehearsal's person for a role. Raises UsageError where the rehearsal has none for it."""
    policy = policy_of(workspace)
    path = _key_file(workspace, f"{slug(role)}@rehearsal.{policy.organisation.domain}")
    if not path.is_file():
        raise UsageError(
            f"no throw-away key for {role!r}: the roles of {policy.environment} are {', '.join(policy.approval.roles)}"
        )
    return path


def _key_file(workspace: Workspace, email: str) -> Path:
    return workspace.rehearsal_keys / email.partition("@")[0]


def _public_key(path: Path) -> str:
    """The public half of a throw-away key, which is made where there is none (0600, its folder 0700)."""
    if not path.is_file():
        make_key(path, comment=f"{path.name} (rehearsal)")
    return path.with_name(f"{path.name}.pub").read_text(encoding="utf-8").strip()
