"""What the environment tells the service: read once, frozen, and every fault reported at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Fault(StrEnum):
    """How the service misbehaves when it is told to, so that a deployment's checks can be seen to fail."""

    STARTUP = "startup"
    """It ends with status 1 before it listens."""
    HEALTH = "health"
    """/health answers 500."""
    LOGIN = "login"
    """Valid credentials are refused."""
    CRUD = "crud"
    """Updating and deleting an entry answers 500."""
    AUDIT = "audit"
    """Entries stay in the process and reach no table, so the audit trail never hears of them."""
    SLOW = "slow"
    """Each answer takes 2.5 s longer."""


class SettingsError(Exception):
    """The environment is not one the service can run in; `faults` says all that is wrong, and quotes no secret."""

    def __init__(self, faults: list[str]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(faults))


@dataclass(frozen=True)
class Settings:
    """One process's configuration. Raises nothing by itself: `read` is the way in."""

    database_url: str = field(repr=False)
    """A libpq URL or connection string; it may hold a password, so it is never printed."""
    port: int = 8080
    """0 lets the system choose; the first log line says which."""
    host: str = "127.0.0.1"
    """A container sets 0.0.0.0."""
    version: str = "unknown"
    commit: str = "unknown"
    revision: str | None = None
    """K_REVISION of the Cloud Run container contract."""
    session_seconds: int = 1800
    fault: Fault | None = None

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Settings:
        """Settings from environment variables. Raises SettingsError with every fault."""
        faults: list[str] = []

        def number(name: str, default: int, low: int, high: int) -> int:
            given = environment.get(name, str(default))
            if given.isascii() and given.isdigit() and low <= int(given) <= high:
                return int(given)
            faults.append(f"{name}={given!r} is not a whole number from {low} to {high}")
            return default

        database_url = environment.get("DATABASE_URL", "")
        if not database_url:
            faults.append("DATABASE_URL is missing: a libpq URL, postgresql://user@host/database")

        fault = None
        if asked := environment.get("FAULT", ""):
            try:
                fault = Fault(asked)
            except ValueError:
                faults.append(f"FAULT={asked!r} is not one of {', '.join(Fault)}")

        settings = cls(
            database_url=database_url,
            port=number("PORT", 8080, 0, 65535),
            host=environment.get("HOST") or cls.host,
            version=environment.get("VERSION") or cls.version,
            commit=environment.get("COMMIT") or cls.commit,
            revision=environment.get("K_REVISION") or None,
            session_seconds=number("SESSION_SECONDS", 1800, 1, 86400),
            fault=fault,
        )
        if faults:
            raise SettingsError(faults)
        return settings
