"""Policy's section on the infrastructure under the service: which program says what it is, and which stack it is."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Annotated, Final

from pydantic import AfterValidator, Field

from pytest_deploy.policy.types import Names, RelativePath, Seconds, Section, Text, complaint, distinct

_BACKENDS: Final = ("gs://", "s3://", "azblob://", "https://", "file:///")


def _backend(value: str) -> str:
    if not value.startswith(_BACKENDS) or value in _BACKENDS:
        raise complaint(
            f"{value!r} is no place where Pulumi keeps states", "give e.g. gs://BUCKET, https://HOST, file:///FOLDER"
        )
    if "@" in value.partition("://")[2].partition("/")[0]:  # not shown: what stands there may be a password
        raise complaint("holds who signs in, and everybody reads this file", "take it out, and sign in by `variables`")
    return value


def _program_path(value: str) -> str:
    if ".." in PurePosixPath(value).parts or "\\" in value:
        raise complaint(f"{value!r} leads out of where it begins", "give a path from / or from deploy.yaml, without ..")
    return value


def _absolute(value: str) -> str:
    if not PurePosixPath(value).is_absolute():
        raise complaint(f"{value!r} is no whole path", "give it whole, e.g. /opt/pulumi/bin/pulumi")
    return value


def _urn(value: str) -> str:
    if not re.fullmatch(r"urn:pulumi:\S+::\S+::\S+::.+", value):
        raise complaint(
            f"{value!r} is no URN of Pulumi", "copy it from the plan, e.g. urn:pulumi:production::parcels::TYPE::NAME"
        )
    return value


def _variable(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", value):  # not shown: the value itself may have been given
        raise complaint("is no name of an environment variable", "give names alone, e.g. PULUMI_CONFIG_PASSPHRASE")
    return value


class Infrastructure(Section):
    """What Pulumi makes under the service and the database, changed by each deployment before the new revision is made."""

    program: RelativePath
    """the folder of the Pulumi program, with its Pulumi.yaml, e.g. infrastructure; what a commit holds of it is run"""
    stack: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_./-]*$")]
    """the stack's name, e.g. production; it is made once, by hand: `pulumi stack init`"""
    backend: Annotated[Text, AfterValidator(_backend)]
    """where states lie: gs://BUCKET, s3://BUCKET, https://HOST of Pulumi's service, or file:///FOLDER"""
    python: Annotated[Text, AfterValidator(_program_path)]
    """the interpreter that has Pulumi's SDK and what the program imports, e.g. .venv/infrastructure/bin/python"""
    pulumi: Annotated[Text, AfterValidator(_absolute)] | None = None
    """the command-line program, as /absolute/path, or null for the system's"""
    variables: Annotated[tuple[Annotated[str, AfterValidator(_variable)], ...], AfterValidator(distinct)] = ()
    """variables of the environment that the engine, its plug-ins and the program are given, by name, e.g. [PULUMI_CONFIG_PASSPHRASE]; no other reaches them"""
    may_destroy: Annotated[Names, AfterValidator(lambda urns: tuple(map(_urn, urns)))] = ()
    """URNs of resources that a deployment may delete or replace, as a refused plan names them"""
    update_s: Seconds = 900
    """seconds an update may take before it is stopped"""
