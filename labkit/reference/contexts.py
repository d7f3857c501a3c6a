"""For whom the platform acts: a plain value that is passed along, never looked up."""

from __future__ import annotations

from dataclasses import dataclass

from labkit.errors import Rejected


@dataclass(frozen=True, slots=True)
class UserContext:
    """The user of one request; raises `Rejected` when the id is empty or holds a NUL."""

    user: str

    def __post_init__(self) -> None:
        if not self.user or "\0" in self.user:
            raise Rejected(f"a user's id must be a text without NUL, not {self.user!r}")
