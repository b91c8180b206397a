"""Every refusal the service answers with: a status, a short code, and for a person what would be right."""

from __future__ import annotations

from collections.abc import Mapping


class Problem(Exception):
    """An answer other than the one asked for: `status` is HTTP's, `code` is stable for programs."""

    status = 500
    code = "internal-error"

    def __init__(self, detail: str, *, fields: Mapping[str, str] | None = None) -> None:
        self.detail = detail
        self.fields = dict(fields or {})
        super().__init__(detail)

    def body(self) -> dict[str, object]:
        """The answer's JSON."""
        return {"error": self.code, "detail": self.detail, **({"fields": self.fields} if self.fields else {})}


class MalformedBody(Problem):
    """The body is not JSON."""

    status, code = 400, "malformed-body"


class NotLoggedIn(Problem):
    """No session, an expired one, or credentials that are not right; which of them is not said."""

    status, code = 401, "not-logged-in"


class NotThere(Problem):
    """No such entry, or not the caller's, or deleted; which of them is not said."""

    status, code = 404, "not-there"


class VersionConflict(Problem):
    """The entry is not at the version that the caller saw, or the caller did not say which one it saw."""

    status, code = 409, "version-conflict"


class TooLarge(Problem):
    """The body is longer than the service reads."""

    status, code = 413, "too-large"


class Invalid(Problem):
    """Fields that are missing, unknown or out of range, all of them named."""

    status, code = 422, "invalid"

    def __init__(self, fields: Mapping[str, str]) -> None:
        super().__init__("some fields are not valid", fields=fields)


class Unavailable(Problem):
    """The database does not answer; trying again later may help."""

    status, code = 503, "unavailable"
