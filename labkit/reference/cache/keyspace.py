"""Where the platform's keys lie in Redis: each user's under a prefix of that user's own."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from urllib.parse import quote


class Kind(enum.StrEnum):
    """What a key of a user's holds."""

    CACHE = "cache"
    TITLES = "titles"
    EVENTS = "events"
    DROPPED = "dropped"
    QUALITY = "quality"


@dataclass(frozen=True, slots=True)
class KeySpace:
    """The keys below one prefix, such as that of a lease.

    Ids and names are any text. They are escaped, so that no two of them give one key, none reaches
    into another's prefix, and a pattern made of a prefix means exactly what begins with it.
    """

    prefix: str

    def of_user(self, user: str) -> str:
        """What all keys of the user begin with, and no key of another."""
        return f"{self.prefix}user:{_escaped(user)}:"

    def key(self, user: str, kind: Kind) -> str:
        """The user's key where there is one of the kind."""
        return f"{self.of_user(user)}{kind}"

    def of_kind(self, user: str, kind: Kind) -> str:
        """What the user's keys begin with where there are many of the kind."""
        return f"{self.key(user, kind)}:"

    def named(self, user: str, kind: Kind, name: str) -> str:
        """The user's key of this name where there are many of the kind."""
        return f"{self.of_kind(user, kind)}{_escaped(name)}"


def _escaped(text: str) -> str:
    """The text with nothing left in it but letters, digits, `_.-~` and `%` with two digits."""
    return quote(text, safe="", errors="surrogatepass")
