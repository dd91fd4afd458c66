"""Keys: how they are drawn, what is stored of them, how they are compared.

Secrets are 256 random bits. The database holds their plain SHA-256. Slow,
salted hashes (bcrypt, argon2) exist because passwords can be guessed: they make
each guess dear. Nobody guesses 256 random bits, at any price per try, and two
keys are never equal, so neither slowness nor salt would add anything, while
half a second of hashing per request would be a way to stall the gateway.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets

_SECRET_BYTES = 32
_PUBLIC_BYTES = 16
_PUBLIC_KEY = re.compile(r"pk_[A-Za-z0-9_-]{22}", re.ASCII)

NO_SUCH_KEY = "pk_"
"""Looked up in place of text that cannot be a public key, so that the work stays the same."""

NO_SUCH_DIGEST = "0" * 64
"""Compared when there is no stored digest; no text is known that has it."""


def new_public_key() -> str:
    return "pk_" + secrets.token_urlsafe(_PUBLIC_BYTES)


def new_secret_key() -> str:
    return "sk_" + secrets.token_urlsafe(_SECRET_BYTES)


def new_api_key() -> str:
    return "ek_" + secrets.token_urlsafe(_SECRET_BYTES)


def digest(secret: str) -> str:
    """Return what is stored of a secret; any text has a digest, even one that is not valid Unicode."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def matches(secret: str, stored: str) -> bool:
    """Compare in time that depends on neither of the two."""
    return hmac.compare_digest(digest(secret), stored)


def lookup_key(public_key: str) -> str:
    """Return ``public_key`` if it can be one; hostile text never reaches the database."""
    return public_key if _PUBLIC_KEY.fullmatch(public_key) else NO_SUCH_KEY
