"""Policy's section on infrastructure: what it takes, what it refuses, and what becomes of it in a rehearsal."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_deploy.errors import ConfigurationError, PlatformUnavailable
from pytest_deploy.platform.infrastructure import NoInfrastructure
from pytest_deploy.platform.pulumi.configured import infrastructure_of
from pytest_deploy.platform.pulumi.stack import PulumiStack
from pytest_deploy.policy.load import load
from tests.unit.policy.sample_policy import BASE, PRODUCTION, written

SECTION = """\
        infrastructure:
          program: infrastructure
          stack: local
          backend: file:///srv/pulumi
          python: .venv/infrastructure/bin/python
          pulumi: /opt/pulumi/bin/pulumi
          variables: [PULUMI_CONFIG_PASSPHRASE]
"""


def with_section(old: str = "", new: str = "", *, more: str = "") -> str:
    assert old in SECTION
    lines = "".join(f"    {line.strip()}\n" if "infrastructure:" in line else f"      {line.strip()}\n" for line in SECTION.replace(old, new).splitlines())  # fmt: skip
    return BASE + lines + more


def test_it_is_none_unless_it_is_given_and_then_the_digest_is_as_before(tmp_path: Path) -> None:
    plain, given = load(written(tmp_path), "local"), load(written(tmp_path, with_section()), "local")

    assert plain.infrastructure is None
    assert b'"infrastructure"' not in plain.canonical()
    assert b'"stack":"local"' in given.canonical()
    assert plain.digest() != given.digest()


@pytest.mark.parametrize(
    "old, new, said",
    [
        ("file:///srv/pulumi", "srv/pulumi", "is no place where Pulumi keeps states"),
        ("file:///srv/pulumi", "https://tok3n@state.example.org", "holds who signs in"),
        ("program: infrastructure", "program: ../infrastructure", "leads out of the folder of deploy.yaml"),
        ("python: .venv", "python: ../.venv", "leads out of where it begins"),
        ("/opt/pulumi/bin/pulumi", "pulumi", "is no whole path"),
        ("[PULUMI_CONFIG_PASSPHRASE]", "[PASS=hunter2]", "is no name of an environment variable"),
        ("[PULUMI_CONFIG_PASSPHRASE]", "[A, A]", "A more than once"),
        ("stack: local", "stack: local\nmay_destroy: [record]", "is no URN of Pulumi"),
    ],
)
def test_what_it_does_not_take_is_refused_with_what_would_be_right(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    with pytest.raises(ConfigurationError, match=said) as caught:
        load(written(tmp_path, with_section(old, new)), "local")

    for secret in ("tok3n", "hunter2"):
        assert secret not in str(caught.value)


def test_two_environments_do_not_share_a_stack_and_each_may_have_its_own(tmp_path: Path) -> None:
    other = "  other:\n    extends: local\n"
    with pytest.raises(ConfigurationError, match="local and other have one stack, local"):
        load(written(tmp_path, with_section(more=other)), "local")

    own = load(written(tmp_path, with_section(more=f"{other}    infrastructure: {{stack: other}}\n")), "other")
    assert own.infrastructure is not None
    assert own.infrastructure.stack == "other"


def test_a_rehearsal_leaves_it_alone_and_says_so(tmp_path: Path) -> None:
    section = with_section().removeprefix(BASE)
    file = written(tmp_path, BASE + PRODUCTION + section)
    rehearsed = load(file, "production", rehearsal=True)

    assert rehearsed.infrastructure is None
    assert rehearsed.replaced("infrastructure")
    found = infrastructure_of(rehearsed, tmp_path, {})
    assert isinstance(found, NoInfrastructure)
    assert "a rehearsal" in found.reason
    with pytest.raises(ConfigurationError, match="leaves the environment's infrastructure alone"):
        load(
            file,
            "production",
            ["infrastructure={program: a, stack: b, backend: 'gs://c', python: d}"],
            rehearsal=True,
        )


def test_a_platforms_stack_is_the_one_that_policy_names(tmp_path: Path) -> None:
    policy = load(written(tmp_path, with_section()), "local")

    found = infrastructure_of(policy, tmp_path, {"PULUMI_CONFIG_PASSPHRASE": "canary-7c1f", "OTHER": "x"})

    assert isinstance(found, PulumiStack)
    assert (found.settings.stack, found.settings.backend) == ("local", "file:///srv/pulumi")
    assert found.settings.python == tmp_path / ".venv/infrastructure/bin/python"
    assert found.settings.environment == {"PULUMI_CONFIG_PASSPHRASE": "canary-7c1f"}
    assert "canary" not in repr(found.settings)
    none = infrastructure_of(load(written(tmp_path), "local"), tmp_path, {})
    assert none == NoInfrastructure("deploy.yaml names no infrastructure for this environment")


@pytest.mark.parametrize("variables", [{}, {"PULUMI_CONFIG_PASSPHRASE": ""}], ids=["not set", "empty"])
def test_a_variable_that_is_not_there_is_a_failure_named_for_it(tmp_path: Path, variables: dict[str, str]) -> None:
    policy = load(written(tmp_path, with_section()), "local")

    with pytest.raises(PlatformUnavailable, match="names PULUMI_CONFIG_PASSPHRASE, which is not set, or empty"):
        infrastructure_of(policy, tmp_path, variables)
