"""For whom the platform acts: a plain value that is passed along, never looked up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from labkit.errors import Rejected

LONGEST_USER: Final = 200
"""How many characters a user's id may have: it must fit into an index and into a header's token."""


@dataclass(frozen=True, slots=True)
class UserContext:
    """The user of one request; raises `Rejected` for an id that no user can have.

    That is one that is no text, an empty one, one of more than 200 characters, and one that holds a
    NUL or half of a surrogate pair.
    """

    user: str

    def __post_init__(self) -> None:
        given: object = self.user
        if not isinstance(given, str):
            raise Rejected(f"a user's id must be a text, not {given!r:.120}")
        if len(self.user) > LONGEST_USER:
            raise Rejected(
                f"a user's id must be a text of at most {LONGEST_USER} characters, not of "
                f"{len(self.user):,}"
            )
        if not self.user or "\0" in self.user or not _is_encodable(self.user):
            raise Rejected(
                "a user's id must be a text that is not empty, without NUL or half of a surrogate "
                f"pair, not {self.user!r}"
            )


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
