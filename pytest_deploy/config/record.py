"""Who signs the environment's record."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pytest_deploy.config.terms import Section, complaint

KEY_VERSION = r"^projects/[^/\s]+/locations/[^/\s]+/keyRings/[^/\s]+/cryptoKeys/[^/\s]+/cryptoKeyVersions/[1-9][0-9]*$"
"""One version, so that what signs changes by `keys rotate` alone."""


class Record(Section):
    """The log's key (Ed25519): a file of this machine, or a version of a key in Cloud KMS that nobody can copy."""

    signer: Literal["file", "kms"] = "file"
    """file (.deploy/keys/, mode 0600) or kms (Cloud KMS, EC_SIGN_ED25519)"""
    key: Annotated[str, Field(pattern=KEY_VERSION)] | None = None
    """kms: the key's version in full, projects/P/locations/L/keyRings/R/cryptoKeys/K/cryptoKeyVersions/N; else null"""

    @model_validator(mode="after")
    def _belongs_together(self) -> Self:
        if self.signer == "kms" and self.key is None:
            raise complaint(
                "Cloud KMS needs to know which key signs", "give key: projects/…/cryptoKeyVersions/N", at="key"
            )
        if self.signer == "file" and self.key is not None:
            raise complaint("a key in Cloud KMS is named, and a file signs", "set signer: kms, or key: null", at="key")
        return self
