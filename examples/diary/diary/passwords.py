"""Passwords are kept as salted scrypt hashes, `scrypt$N$r$p$salt$hash`; session tokens as SHA-256 of random bytes."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from functools import cache

# 16 MiB and about 0.2 s a guess: one of the equivalent settings of OWASP's password storage cheat sheet.
_COST, _BLOCK, _LANES = 2**14, 8, 5
_MEMORY_LIMIT = 64 * 2**20


def hash_password(password: str, *, cost: int = _COST) -> str:
    """A new hash with a salt of its own; equal passwords hash differently. A lower cost serves tests alone."""
    salt = secrets.token_bytes(16)
    digest = _scrypt(password, salt, cost, _BLOCK, _LANES)
    return f"scrypt${cost}${_BLOCK}${_LANES}${_text(salt)}${_text(digest)}"


def password_fits(password: str, stored: str | None) -> bool:
    """Whether the password is the hashed one, compared in constant time.

    None stands for an account that does not exist: the answer is no, after the same work. Raises ValueError where
    `stored` is not a hash of this module.
    """
    scheme, cost, block, lanes, salt, expected = (stored or _decoy()).split("$")
    if scheme != "scrypt":
        raise ValueError(f"a password hash of scheme {scheme!r} is not known here")
    digest = _scrypt(password, base64.b64decode(salt), int(cost), int(block), int(lanes))
    return hmac.compare_digest(digest, base64.b64decode(expected)) and stored is not None


def new_token() -> str:
    """256 random bits, safe in a header."""
    return secrets.token_urlsafe(32)


def token_hash(token: str) -> bytes:
    """What is stored of a token: 32 bytes. Unsalted, because the token is random already."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _scrypt(password: str, salt: bytes, cost: int, block: int, lanes: int) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=cost, r=block, p=lanes, maxmem=_MEMORY_LIMIT, dklen=32)


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")


@cache
def _decoy() -> str:
    """The hash of a password that nobody knows."""
    return hash_password(secrets.token_urlsafe(32))
