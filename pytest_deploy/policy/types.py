"""The words a policy is written in: texts, times, zones, durations; each refuses with what would be right."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import time
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer
from pydantic_core import PydanticCustomError

PROGRAMS = ("git", "ssh-keygen", "openssl", "pg_dump", "pg_restore")
"""The programs whose answers a deployment goes by."""
COMPLAINT = "policy"
"""The type of errors made by `complaint`."""


def complaint(problem: str, remedy: str, *, at: str = "") -> PydanticCustomError:
    """What validators raise: the problem, what would be right, and the field `at` fault where the section is judged."""
    return PydanticCustomError(COMPLAINT, "{problem}", {"problem": problem, "remedy": remedy, "at": at})


class Section(BaseModel):
    """A part of a policy: frozen, no unknown keys, no conversions; a field's docstring is the remedy readers see."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


def _zone(name: str) -> str:
    from zoneinfo import ZoneInfo

    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown; not a key at all; names a folder of the database
        raise complaint(f"{name!r} is not a zone of the IANA database", "name one, e.g. America/New_York") from None
    if name in _FIXED_ZONES:
        raise complaint(
            f"{name!r} is a fixed offset, an hour off for half of the year", "name a place, e.g. America/New_York"
        )
    return name


_FIXED_ZONES = frozenset({"EST", "MST", "HST"})
"""Names that look like a place's time and know no summer."""


def _wall_time(value: Any) -> time:
    if not isinstance(value, str) or not re.fullmatch(r"(?:[01][0-9]|2[0-3]):[0-5][0-9]", value):
        raise complaint(f"{value!r} is not a time of day", "write HH:MM of a 24-hour clock, e.g. '09:00'")
    return time(int(value[:2]), int(value[3:]))


def _relative(value: str) -> str:
    path = PurePosixPath(value)
    if path.is_absolute() or ".." in path.parts or "\\" in value:
        raise complaint(
            f"{value!r} leads out of the folder of deploy.yaml", "give a path relative to it, with / and no .."
        )
    return value


def _of_the_repository(value: str) -> str:
    parts = PurePosixPath(value).parts
    inner = parts[next((number for number, part in enumerate(parts) if part != ".."), len(parts)) :]
    if value.startswith("/") or "\\" in value or ".." in inner:
        raise complaint(
            f"{value!r} is no folder of this repository",
            "give a path relative to deploy.yaml, with / and with .. at its beginning alone, e.g. ../../libs/parcels",
        )
    return value


def url_fault(value: str) -> str:
    """Why a text is no URL of a PostgreSQL database that libpq reads as it is meant; empty where it is one. Quotes nothing of it."""
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    if not value.startswith(("postgresql://", "postgres://")):
        return "is no URL of a PostgreSQL database"
    try:
        given = {name: str(text) for name, text in conninfo_to_dict(value).items()}
    except ProgrammingError:  # its message may quote a password
        return "libpq cannot read this URL"
    # Of a password that holds @ or / as it is, libpq takes a part for the host, the port or the database, and says it when it fails.
    path = value.partition("://")[2].partition("?")[0].partition("/")[2]
    if "@" in given.get("host", "") + path or not re.fullmatch(r"[0-9,]*", given.get("port", "")):
        return "has an @ or a / that libpq takes for another one: write %40 and %2F within a user or a password"
    return ""


URL_IS = "postgresql://USER@HOST:PORT/DATABASE; what it leaves out comes from libpq's variables, e.g. PGUSER"


def _database_url(value: str) -> str:
    from psycopg.conninfo import conninfo_to_dict

    if fault := url_fault(value):
        raise complaint(fault, f"give {URL_IS}")
    given = conninfo_to_dict(value)
    if {"password", "sslpassword"} & given.keys():
        raise complaint(
            "holds a password, and everybody reads this file",
            "take it out, and give it as PGPASSWORD, in a file that PGPASSFILE names (~/.pgpass), or the whole URL by url_variable",
        )
    if given.get("dbname") in SERVERS_OWN_DATABASES:
        raise complaint(
            f"names the server's own database {given['dbname']}",
            "name a database for this environment alone, or none: it is then called SERVICE_ENVIRONMENT",
        )
    return value


SERVERS_OWN_DATABASES = frozenset({"postgres", "template0", "template1"})
"""They belong to the server: an address that names one does not name an environment's."""


def _one_line(value: str) -> str:
    if not value.isprintable():
        raise complaint("is not one line of printable text", "leave out line breaks and control characters")
    return value


def _environment_names(value: Mapping[str, str]) -> Mapping[str, str]:
    for name in value:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise complaint(f"{name!r} is no name for an environment variable", "use letters, digits and _", at=name)
    return value


def _variable_name(value: str) -> str:
    if not re.fullmatch(r"[A-Z_][A-Z0-9_]*", value):  # not shown: a URL itself may have been given
        raise complaint("is no name of an environment variable", "give the variable's name, e.g. PARCELS_DATABASE_URL")
    return value


def _secret_names(value: Sequence[str]) -> Sequence[str]:
    for name in value:
        if not re.fullmatch(r"[A-Z][A-Z0-9_]{0,63}", name):
            raise complaint(f"{name!r} is no name of a secret", "use capitals, digits and _, e.g. API_TOKEN")
        if name in _TAKEN:
            raise complaint(f"{name} is what programs get besides", "give the secret another name, e.g. API_TOKEN")
    return value


_TAKEN = frozenset({"PATH", "HOME", "DATABASE_URL", "SERVICE_ROLE"})
"""Variables that the account's command is given beside the secrets, or lives by."""


def _program_paths(value: Mapping[str, str]) -> Mapping[str, str]:
    for name, path in value.items():
        if name not in PROGRAMS:
            raise complaint(f"{name!r} judges nothing here", f"these do: {', '.join(PROGRAMS)}", at=name)
        if not PurePosixPath(path).is_absolute() or PurePosixPath(path).name != name:
            raise complaint(f"{path!r} is no path of {name}", f"give it whole, e.g. /opt/tools/bin/{name}", at=name)
    return value


def _role(value: str) -> str:
    if len(value.encode()) > _ROLE_BYTES:
        raise complaint(f"{value!r} is longer than a name of PostgreSQL", f"give at most {_ROLE_BYTES} bytes")
    if value.startswith("pg_") or value == "public":
        raise complaint(f"{value!r} is PostgreSQL's own", "name a role that a migration makes, e.g. parcels_app")
    return value


_ROLE_BYTES = 63
"""Of a name of PostgreSQL; what is longer it would cut."""


def distinct(value: Sequence[str]) -> Sequence[str]:
    """The list itself, where nothing is in it twice."""
    twice = sorted({item for item in value if value.count(item) > 1})
    if twice:
        raise complaint(f"{', '.join(twice)} more than once", "name each once")
    return value


Text = Annotated[str, Field(min_length=1, pattern=r"\S")]
EMAIL = r"[a-z0-9$%&'/=^_`{|}~.-]+@[a-z0-9]([a-z0-9.-]*[a-z0-9])?"
"""Of one person, as the roster writes it (`record/actor.py`): lower case, no `+`, nothing that looks like another letter."""
Email = Annotated[str, Field(pattern=f"^{EMAIL}$")]
Line = Annotated[Text, Field(max_length=300), AfterValidator(_one_line)]
Domain = Annotated[str, Field(pattern=r"^[a-z0-9-]+(\.[a-z0-9-]+)+$")]
UrlPath = Annotated[str, Field(pattern=r"^/[^\s?#]*$")]
RepositoryPath = Annotated[Text, AfterValidator(_of_the_repository)]
TagPrefix = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$", max_length=60)]
VariableName = Annotated[Text, AfterValidator(_variable_name)]
DatabaseUrl = Annotated[Text, AfterValidator(_database_url)]
RelativePath = Annotated[Text, AfterValidator(_relative)]
Argv = Annotated[tuple[Text, ...], Field(min_length=1)]
Names = Annotated[tuple[Text, ...], AfterValidator(distinct)]
SecretNames = Annotated[Names, AfterValidator(_secret_names)]
Variables = Annotated[Mapping[str, str], AfterValidator(_environment_names)]
ProgramPaths = Annotated[Mapping[str, str], AfterValidator(_program_paths)]
Role = Annotated[Line, AfterValidator(_role)]
Zone = Annotated[Text, AfterValidator(_zone)]
WallTime = Annotated[time, BeforeValidator(_wall_time), PlainSerializer(lambda value: value.strftime("%H:%M"))]
Seconds = Annotated[float, Field(gt=0)]
Hours = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=0)]
Weekday = Literal["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
