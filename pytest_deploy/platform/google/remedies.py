"""What mends an answer of Cloud Run that is an error: told by its status, and where one status has several causes by its words.

The rows are what people report who deploy to it: who must be allowed what, what is full, what is not there, what was refused.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from google.api_core import exceptions as google_errors
from google.auth import exceptions as sign_in_errors


class _Row(NamedTuple):
    kinds: tuple[type[Exception], ...]
    """Statuses; none: whatever it is."""
    words: str
    """A pattern in Google's message; empty: whatever it says."""
    remedy: str


_QUOTA = (
    "the project's quota is used up, and the earlier revision's instances count until they are gone: lower the service's "
    "maximum of instances or CPU, or ask for more quota in this region"
)
_IMAGE = (
    "check that the image is there by its digest, and give roles/artifactregistry.reader on its repository to the Cloud Run service "
    "agent and to the identity of this run"
)
_SIGN_IN = "sign in: workload identity in CI, `gcloud auth application-default login` at a desk"
_REFUSED = (google_errors.PermissionDenied, google_errors.Forbidden)

_ROWS: Final = (
    # Permission: the message names what is lacking, and each right is somebody else's to give.
    _Row(_REFUSED, r"actAs|iam\.serviceaccounts", "give the identity of this run roles/iam.serviceAccountUser on the service's runtime account"),
    _Row(_REFUSED, r"artifactregistry|artifact registry|pull the image|read the image", _IMAGE),
    _Row(_REFUSED, r"has not been used|is disabled|SERVICE_DISABLED", "enable run.googleapis.com in the project, and wait some minutes"),
    _Row(_REFUSED, r"secretmanager|\bsecret\b", "give the service's runtime account roles/secretmanager.secretAccessor on each secret it refers to"),
    _Row(_REFUSED, r"VPC Service Controls|organization'?s policy|org policy", "an organisation's policy forbids it: whoever administers that has to allow it"),
    _Row(_REFUSED, "", "the identity of this run needs roles/run.developer on the service; a right that was given may take some minutes"),
    # What is full. Cloud Run says 429, and for a limit of its own 400.
    _Row((google_errors.ResourceExhausted, google_errors.TooManyRequests), r"rate|per minute|requests", "too many calls in a minute: try again after one"),
    _Row((google_errors.ResourceExhausted, google_errors.TooManyRequests), "", _QUOTA),
    _Row((), r"quota (exceeded|violated)|exceeds? .*quota|Max instances must be", _QUOTA),
    # The image, and the container.
    _Row((), r"image .*not found|manifest unknown|failed to fetch|permission to read the image|readiness deadline exceeded", _IMAGE),
    _Row((), r"exec format error|invalid architecture|does not support.*platform|OCI image index", "build the image for linux/amd64, as one manifest and no index (no provenance), and deploy that digest"),
    _Row((), r"failed to start and (then )?listen|PORT environment variable", "the container has to listen on 0.0.0.0 at $PORT before its start-up probe gives up; what it printed says why it did not"),
    _Row((), r"probe.*(timeout|period)|timeout_?seconds.*period_?seconds", "a probe's timeout must be shorter than its period: mend the service's template in the infrastructure code"),
    # What is there, or is not.
    _Row((google_errors.AlreadyExists, google_errors.Conflict), r"revision", "a revision of that name is there with another content: run again, under another name"),
    _Row((google_errors.Aborted,), "", "another process changes this service; find it, then try again"),
    _Row((google_errors.NotFound,), r"revision", "check project, region and name; a revision that is gone serves no more: choose one that is there and ready"),
    _Row((google_errors.NotFound,), "", "check project, region and name; the service itself is made by the infrastructure code"),
    _Row((google_errors.InternalServerError,), r"revision|traffic", "Google answers so for traffic to a revision that is gone: read the state again, and choose one that is there"),
    # Who asks, and whether anybody answers.
    _Row((google_errors.Unauthenticated, sign_in_errors.GoogleAuthError), "", _SIGN_IN),
    _Row((google_errors.ServiceUnavailable, google_errors.DeadlineExceeded, google_errors.GatewayTimeout), "", "try again when the platform answers"),
    _Row((google_errors.InvalidArgument, google_errors.BadRequest), "", "the platform refuses the request itself; look at what was asked"),
)  # fmt: skip


def remedy_of(error: Exception) -> str:
    """What whoever reads the error can do."""
    return remedy_of_words(str(error), type(error)) or "look at the platform's own log"


def remedy_of_words(message: str, kind: type[Exception] = Exception) -> str:
    """The same of a message alone, as a revision's condition has it; empty where its words say nothing known."""
    for row in _ROWS:
        if row.kinds and not issubclass(kind, row.kinds):
            continue
        if not row.kinds and not row.words:
            continue
        if re.search(row.words, message, re.IGNORECASE):
            return row.remedy
    return ""
