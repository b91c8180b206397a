"""Who administers a resource of Google Cloud, by the IAM policy on it: who may delete, end it, or change who may.

A role that is not known here counts as one that administers: a project's own role may hold any permission. What is granted on the
project, the folder or the organisation above is inherited, and stands in no policy of the resource.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

VERSION: Final = 3
"""Of the policy that is asked for: an earlier one gives a role under a condition another name."""
ADMINISTER: Final = frozenset(
    {
        "roles/owner",
        "roles/editor",
        "roles/iam.securityAdmin",
        "roles/storage.admin",
        "roles/storage.objectAdmin",
        "roles/storage.objectUser",
        "roles/storage.legacyBucketOwner",
        "roles/storage.legacyBucketWriter",
        "roles/storage.legacyObjectOwner",
        "roles/cloudkms.admin",
    }
)
"""Each may delete, or change who may."""
NEITHER: Final = frozenset(
    {
        "roles/viewer",
        "roles/browser",
        "roles/iam.securityReviewer",
        "roles/storage.bucketViewer",
        "roles/storage.objectViewer",
        "roles/storage.objectCreator",
        "roles/storage.legacyBucketReader",
        "roles/storage.legacyObjectReader",
        "roles/cloudkms.viewer",
        "roles/cloudkms.publicKeyViewer",
        "roles/cloudkms.verifier",
        "roles/cloudkms.signer",
        "roles/cloudkms.signerVerifier",
    }
)
"""None of these may delete, or change who may: they read, create, or sign."""


@dataclass(frozen=True)
class Binding:
    """One line of an IAM policy; a condition that it holds under is not judged: it counts."""

    role: str
    members: Iterable[str]


def administrators(bindings: Iterable[Binding]) -> dict[str, tuple[str, ...]]:
    """The members of an IAM policy who may delete or change who may, each with the roles by which they may."""
    found: dict[str, list[str]] = {}
    for binding in bindings:
        if binding.role in NEITHER:
            continue
        for member in binding.members:
            found.setdefault(member, []).append(binding.role)
    return {member: tuple(sorted(set(roles))) for member, roles in sorted(found.items())}


def together(*policies: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """What several policies say, of a resource and of what it lies in."""
    members = sorted({member for policy in policies for member in policy})
    return {
        member: tuple(sorted({role for policy in policies for role in policy.get(member, ())})) for member in members
    }
