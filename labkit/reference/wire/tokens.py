"""Tokens that say who a client is, signed by the platform."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Final

from labkit.errors import Denied, SettingError
from labkit.redaction import Secret

SHORTEST_KEY_BYTES: Final = 32

_LONGEST_TOKEN: Final = 4_096
"""In characters; a longer one is not even decoded."""


class Tokens:
    """Issues and verifies tokens under one key: `<user and expiry>.<HMAC-SHA256 of it>`.

    `clock` gives seconds since the epoch. Raises `SettingError` for a key that is too short.
    """

    def __init__(self, key: Secret, clock: Callable[[], float] = time.time) -> None:
        self._key = key.reveal().encode()
        if len(self._key) < SHORTEST_KEY_BYTES:
            raise SettingError(
                f"the token key has {len(self._key)} bytes: give it at least {SHORTEST_KEY_BYTES}"
            )
        self._clock = clock

    def issue(self, user: str, lifetime_s: float) -> Secret:
        """A token of the user's that is good for a time from now on, in seconds."""
        said = json.dumps([user, self._clock() + lifetime_s]).encode()
        return Secret(f"{_to_text(said)}.{_to_text(self._signature(said))}")

    def verify(self, text: str) -> str:
        """The user whose token it is; `Denied` when it is forged, broken or expired."""
        try:
            said, signature = map(_to_bytes, text[: _LONGEST_TOKEN + 1].split("."))
        except ValueError:
            raise Denied("the token is not valid") from None
        if not self.is_signed(said, signature):
            raise Denied("the token is not valid")
        user, expires_at = _claims(said)
        if expires_at <= self._clock():
            raise Denied("the token has expired")
        return user

    def is_signed(self, said: bytes, signature: bytes) -> bool:
        """Whether the signature is the platform's own for this; takes as long for each answer."""
        return hmac.compare_digest(signature, self._signature(said))

    def _signature(self, said: bytes) -> bytes:
        return hmac.digest(self._key, said, hashlib.sha256)


def _claims(said: bytes) -> tuple[str, float]:
    try:
        user, expires_at = json.loads(said)
        return str(user), float(expires_at)
    except (ValueError, TypeError):
        raise Denied("the token is not valid") from None


def _to_text(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


def _to_bytes(text: str) -> bytes:
    value = base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
    if _to_text(value) != text:
        raise ValueError("not the one way to write it")
    return value
