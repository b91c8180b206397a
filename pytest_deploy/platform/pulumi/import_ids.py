"""The ids by which pulumi-gcp finds what exists, from what was asked for: so that an interrupted creation is found again.

Source: the section "Import" of each resource's page of pulumi-gcp, the longest form. What is not here has an id that Google
gives (an alert policy, a notification channel): a person looks it up.
"""

from __future__ import annotations

import string
from collections.abc import Mapping
from typing import Any, Final

from pytest_deploy.platform.infrastructure import PendingOperation
from pytest_deploy.platform.pulumi.state import is_special

_IN_LOCATION: Final = "projects/{project}/locations/{location}"
_IDS: Final[Mapping[str, str]] = {
    "gcp:cloudrunv2/service:Service": _IN_LOCATION + "/services/{name}",
    "gcp:artifactregistry/repository:Repository": _IN_LOCATION + "/repositories/{repositoryId}",
    "gcp:kms/keyRing:KeyRing": _IN_LOCATION + "/keyRings/{name}",
    "gcp:kms/cryptoKey:CryptoKey": "{keyRing}/cryptoKeys/{name}",
    "gcp:secretmanager/secret:Secret": "projects/{project}/secrets/{secretId}",
    "gcp:serviceaccount/account:Account": "projects/{project}/serviceAccounts/{accountId}@{project}.iam.gserviceaccount.com",
    "gcp:sql/databaseInstance:DatabaseInstance": "projects/{project}/instances/{name}",
    "gcp:sql/database:Database": "projects/{project}/instances/{instance}/databases/{name}",
    "gcp:sql/user:User": "{project}/{instance}/{name}",
    "gcp:storage/bucket:Bucket": "{project}/{name}",
    "gcp:projects/service:Service": "{project}/{service}",
    # Members of IAM policies: the resource, the role, the member and, where there is one, the condition's title.
    "gcp:projects/iAMMember:IAMMember": "{project} {role} {member}{condition}",
    "gcp:serviceaccount/iAMMember:IAMMember": "{serviceAccountId} {role} {member}{condition}",
    "gcp:storage/bucketIAMMember:BucketIAMMember": "b/{bucket} {role} {member}{condition}",
    "gcp:kms/cryptoKeyIAMMember:CryptoKeyIAMMember": "{cryptoKeyId} {role} {member}{condition}",
    "gcp:artifactregistry/repositoryIamMember:RepositoryIamMember": (
        _IN_LOCATION + "/repositories/{repository} {role} {member}{condition}"
    ),
    "gcp:cloudrunv2/serviceIamMember:ServiceIamMember": _IN_LOCATION + "/services/{name} {role} {member}{condition}",
}


def import_id(operation: PendingOperation) -> str | None:
    """The id of what was being made; None where what was asked for does not tell it."""
    template = _IDS.get(operation.type)
    if template is None:
        return None
    values = {
        name: value
        for name, value in operation.inputs.items()
        if isinstance(value, str) and value and not is_special(value)
    }
    values["condition"] = _title(operation.inputs.get("condition"))
    needed = {field for _, field, _, _ in string.Formatter().parse(template) if field}
    return template.format_map(values) if needed <= values.keys() else None


def _title(condition: Any) -> str:
    title = condition.get("title") if isinstance(condition, dict) else None
    return f" {title}" if isinstance(title, str) else ""
