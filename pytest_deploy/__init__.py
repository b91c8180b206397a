"""A deployment as an ordered pytest run, whose evidence report is the audit record.

This module is the public API, and nothing else is: suites, conftests and extension points import from here alone.
Every other module of the package is internal and may change without notice.

    from pytest_deploy import Database, Gates, Policy, Release, Service, StepRecord

Nothing is imported before it is asked for, so that plain `pytest` stays as fast as it was.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pytest_deploy.anchors.kinds import Anchor
    from pytest_deploy.bounded_output import run_bounded
    from pytest_deploy.errors import (
        AnchorUnavailable,
        CollectionRefused,
        ConfigurationError,
        DeployError,
        Failed,
        Fault,
        IllegalEvent,
        Interrupted,
        LeaseHeld,
        ManualInterventionRequired,
        MigrationFailed,
        MigrationsRefused,
        OptionRefused,
        PlatformUnavailable,
        RecordError,
        RecordTampered,
        Refused,
        RevisionFailed,
        StoreUnavailable,
        UsageError,
    )
    from pytest_deploy.migrate.migrations import Migrations, backup_event
    from pytest_deploy.pipeline.step_record import StepRecord
    from pytest_deploy.platform.account import make_account
    from pytest_deploy.platform.clients import Answer, Database, Service
    from pytest_deploy.platform.environment import Environment
    from pytest_deploy.platform.infrastructure import NoInfrastructure
    from pytest_deploy.platform.program_search import find_program, search_path
    from pytest_deploy.platform.protocol import (
        Artefacts,
        DatabaseAccess,
        LastOutput,
        Platform,
        Revision,
        Runtime,
        ServiceState,
        Share,
    )
    from pytest_deploy.plugin.fixtures import Gates
    from pytest_deploy.policy.policy import Policy
    from pytest_deploy.record.clock import Clock
    from pytest_deploy.record.key import Signer
    from pytest_deploy.record.secrets import Secrets
    from pytest_deploy.record.store import Store
    from pytest_deploy.release.artefact import build_artefact, registry_tag
    from pytest_deploy.release.health import Health, ask_health
    from pytest_deploy.release.infrastructure_update import InfrastructureUpdate
    from pytest_deploy.release.live import Baseline, Release, read_baseline
    from pytest_deploy.release.source import read as read_source
    from pytest_deploy.rollback.rollback import RollbackExecutor
    from pytest_deploy.verify.verify import verify as verify_record
    from pytest_deploy.watch.watch import Watched, watch_service
    from pytest_deploy.workspace import Workspace

__version__ = "0.1.0"

__all__ = [
    "Anchor",
    "AnchorUnavailable",
    "Answer",
    "Artefacts",
    "Baseline",
    "Clock",
    "CollectionRefused",
    "ConfigurationError",
    "Database",
    "DatabaseAccess",
    "DeployError",
    "Environment",
    "Failed",
    "Fault",
    "Gates",
    "Health",
    "IllegalEvent",
    "InfrastructureUpdate",
    "Interrupted",
    "LastOutput",
    "LeaseHeld",
    "ManualInterventionRequired",
    "MigrationFailed",
    "Migrations",
    "MigrationsRefused",
    "NoInfrastructure",
    "OptionRefused",
    "Platform",
    "PlatformUnavailable",
    "Policy",
    "RecordError",
    "RecordTampered",
    "Refused",
    "Release",
    "Revision",
    "RevisionFailed",
    "RollbackExecutor",
    "Runtime",
    "Secrets",
    "Service",
    "ServiceState",
    "Share",
    "Signer",
    "StepRecord",
    "Store",
    "StoreUnavailable",
    "UsageError",
    "Watched",
    "Workspace",
    "ask_health",
    "backup_event",
    "build_artefact",
    "find_program",
    "make_account",
    "read_baseline",
    "read_source",
    "registry_tag",
    "run_bounded",
    "search_path",
    "verify_record",
    "watch_service",
]

_HOME: Final = {
    "Anchor": "anchors.kinds",
    "Answer": "platform.clients",
    "Artefacts": "platform.protocol",
    "Baseline": "release.live",
    "Clock": "record.clock",
    "Database": "platform.clients",
    "DatabaseAccess": "platform.protocol",
    "Environment": "platform.environment",
    "Gates": "plugin.fixtures",
    "Health": "release.health",
    "InfrastructureUpdate": "release.infrastructure_update",
    "LastOutput": "platform.protocol",
    "Migrations": "migrate.migrations",
    "NoInfrastructure": "platform.infrastructure",
    "Platform": "platform.protocol",
    "Policy": "policy.policy",
    "Release": "release.live",
    "Revision": "platform.protocol",
    "RollbackExecutor": "rollback.rollback",
    "Runtime": "platform.protocol",
    "Secrets": "record.secrets",
    "Service": "platform.clients",
    "ServiceState": "platform.protocol",
    "Share": "platform.protocol",
    "Signer": "record.key",
    "StepRecord": "pipeline.step_record",
    "Store": "record.store",
    "Watched": "watch.watch",
    "Workspace": "workspace",
    "ask_health": "release.health",
    "backup_event": "migrate.migrations",
    "build_artefact": "release.artefact",
    "find_program": "platform.program_search",
    "make_account": "platform.account",
    "read_baseline": "release.live",
    "read_source": "release.source:read",
    "registry_tag": "release.artefact",
    "run_bounded": "bounded_output",
    "search_path": "platform.program_search",
    "verify_record": "verify.verify:verify",
    "watch_service": "watch.watch",
}
"""Where each public name but the errors is defined: its module, and the name there where that is another."""


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"pytest_deploy has no public name {name!r}; public are {', '.join(__all__)}")
    module, _, attribute = _HOME.get(name, "errors").partition(":")
    value = globals()[name] = getattr(import_module(f"pytest_deploy.{module}"), attribute or name)
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
