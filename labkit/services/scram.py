"""A password as PostgreSQL stores it, so that no statement or server log ever shows it plain."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from typing import Final

_ITERATIONS: Final = 4096


def scram_verifier(password: str) -> str:
    """The SCRAM-SHA-256 verifier of an ASCII password, after RFC 5802, with a random salt."""
    salt = secrets.token_bytes(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode("ascii"), salt, _ITERATIONS)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    stored_key = hashlib.sha256(client_key).digest()
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    salt_text, stored_text, server_text = (
        base64.b64encode(part).decode() for part in (salt, stored_key, server_key)
    )
    return f"SCRAM-SHA-256${_ITERATIONS}:{salt_text}${stored_text}:{server_text}"
