"""Area 5 of the seam: what a platform caches, for one user, with a time to live."""

from __future__ import annotations

from typing import Protocol


class Cache(Protocol):
    """Texts under keys, each user's own; a key is any text."""

    async def read(self, user: str, key: str) -> str | None:
        """The text under the key, or None when there is none or it has expired."""
        ...

    async def write(self, user: str, key: str, value: str, *, ttl_ms: int) -> None:
        """Keep a text for a time, in milliseconds; `Rejected` for a time below 1."""
        ...

    async def ttl_ms(self, user: str, key: str) -> int | None:
        """How long the text will be kept, in milliseconds, or None when there is none."""
        ...

    async def extend(self, user: str, key: str, *, ttl_ms: int) -> bool:
        """Keep a text for a new time from now on; False when there is none, which stays so."""
        ...

    async def increment(self, user: str, key: str, *, ttl_ms: int) -> int:
        """Add one to a counter, which begins at 0, exactly once; the new value."""
        ...

    async def invalidate(self, user: str, key: str) -> bool:
        """Forget one key; whether there was something to forget."""
        ...

    async def invalidate_all(self, user: str) -> int:
        """Forget all that is kept for the user, and nothing of another; how many keys it was."""
        ...

    def prefix(self, user: str) -> str:
        """What all of the user's keys in the leased Redis start with, for the witness."""
        ...
