"""Whose data shows where: each user's data carries a token, and all that others see is searched.

A search that finds no foreign token proves nothing unless it finds the own ones: each user's own
token is the positive control of the channels where it must show.
"""

from __future__ import annotations

import base64
import enum
import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Final, Self

from labkit.judges.verdict import Verdict

_SHORTEST: Final = 16
_BITS: Final = 128
_BASE64: Final = "in base64"
_BEFORE: Final = 20
_AFTER: Final = 60


class Channel(enum.StrEnum):
    """The ways by which data can reach somebody."""

    READ = "read"
    """Answers to what the user asked for."""
    WRITE = "write"
    """What the user's own place holds, into which others may have written."""
    MODEL = "model"
    """The input of the model that works for the user."""
    EVENTS = "events"
    """What the user's connections received."""
    CACHE = "cache"
    """Keys and values that the user can reach."""


@dataclass(frozen=True)
class Canary:
    """A token that stands in the data of one user and nowhere else; 16 or more hex characters."""

    user: str
    token: str

    def __post_init__(self) -> None:
        if not re.fullmatch(f"[0-9a-f]{{{_SHORTEST},}}", self.token):
            raise ValueError(
                f"{self.token!r} is no canary's token: use {_SHORTEST} or more of 0-9 and a-f"
            )


def canary(user: str, chance: random.Random) -> Canary:
    """A user's canary of 32 characters, from the given source of randomness."""
    return Canary(user, f"{chance.getrandbits(_BITS):0{_BITS // 4}x}")


@dataclass(frozen=True)
class Sighting:
    """A text that a user could see."""

    user: str
    channel: Channel
    text: str


@dataclass(frozen=True)
class LeakageHistory:
    """All that was seen; who has no canary, such as a stranger without a token, may see, too."""

    canaries: tuple[Canary, ...]
    sightings: tuple[Sighting, ...]
    controls: frozenset[Channel]
    """The channels in which each user's own token must be found."""


class Finding(enum.StrEnum):
    """What was found of canaries in all that a user saw by a channel; the worst one wins."""

    FOREIGN = "another's canary"
    OWN = "own canary"
    SILENT = "no canary"
    NOTHING = "nothing seen"


@dataclass(frozen=True)
class LeakageMatrix:
    """Users by channels: whose canaries were found."""

    users: tuple[str, ...]
    channels: tuple[Channel, ...]
    controls: frozenset[tuple[str, Channel]]
    """The cells in which the own canary must be found."""
    found: Mapping[tuple[str, Channel], frozenset[str]]
    """The owners of the canaries that were found; no entry where nothing was seen."""

    def finding(self, user: str, channel: Channel) -> Finding:
        """What stands in one cell."""
        owners = self.found.get((user, channel))
        if owners is None:
            return Finding.NOTHING
        if owners - {user}:
            return Finding.FOREIGN
        return Finding.OWN if owners else Finding.SILENT

    def is_silent(self, user: str, channel: Channel) -> bool:
        """Whether the own canary must be found in the cell, and is not."""
        owners = self.found.get((user, channel), frozenset())
        return (user, channel) in self.controls and user not in owners

    def foreign(self, user: str, channel: Channel) -> frozenset[str]:
        """The others whose canaries the user could see by the channel."""
        return self.found.get((user, channel), frozenset()) - {user}


def leakage_matrix(history: LeakageHistory) -> LeakageMatrix:
    """Whose canaries were found, for each user and each channel that was looked at or must be."""
    return _matrix(history, tuple(_hits(history)))


def judge_leakage(history: LeakageHistory) -> Verdict:
    """Whether nobody could see another user's canary, in any of its forms.

    The forms are plain, upper case, reversed, hex and base64. Reason: `leak`, counted once for each
    seer, channel and owner; the worst is where most owners' canaries were seen. Unknown with
    `no-canary` (fewer than two users have one), `no-sighting`, `no-control` (no channel is named
    where own tokens must show) or `silent-control` (some user's own token is not found in one).
    """
    hits = tuple(_hits(history))
    matrix = _matrix(history, hits)
    leaks: dict[tuple[str, Channel, str], str] = {}
    for hit in hits:
        if hit.owner != hit.seer:
            leaks.setdefault((hit.seer, hit.channel, hit.owner), str(hit))
    if not leaks:
        return _missing_evidence(history, matrix) or Verdict.sound(
            f"{_judged(history)}: everybody's own canary is there, and no other."
        )
    user, channel, _ = max(leaks, key=lambda leak: len(matrix.foreign(leak[0], leak[1])))
    owners = sorted(matrix.foreign(user, channel))
    worst = f"by {channel}, {user} saw the canaries of {len(owners)}: {', '.join(owners)}"
    return Verdict.violated("leak", list(leaks.values()), worst=worst, judged=_judged(history))


@dataclass(frozen=True)
class _Hit:
    """A canary in a text that somebody saw."""

    seer: str
    channel: Channel
    owner: str
    form: str
    excerpt: str

    def __str__(self) -> str:
        saw = f"by {self.channel}, {self.seer} saw the canary of {self.owner}"
        return f"{saw}, {self.form}: {self.excerpt!r}"


def _hits(history: LeakageHistory) -> Iterator[_Hit]:
    sought = [(one.user, tuple(_forms(one.token))) for one in history.canaries]
    for seen in history.sightings:
        texts = _Searched.of(seen.text)
        for owner, forms in sought:
            for form, fragment in forms:
                if excerpt := texts.around(form, fragment):
                    yield _Hit(seen.user, seen.channel, owner, form, excerpt)
                    break


def _matrix(history: LeakageHistory, hits: tuple[_Hit, ...]) -> LeakageMatrix:
    found: dict[tuple[str, Channel], set[str]] = {
        (seen.user, seen.channel): set() for seen in history.sightings
    }
    for hit in hits:
        found[hit.seer, hit.channel].add(hit.owner)
    owners = [one.user for one in history.canaries]
    used = history.controls.union(channel for _, channel in found)
    return LeakageMatrix(
        users=tuple(dict.fromkeys((*owners, *(user for user, _ in found)))),
        channels=tuple(channel for channel in Channel if channel in used),
        controls=frozenset(product(owners, history.controls)),
        found={cell: frozenset(owners) for cell, owners in found.items()},
    )


def _missing_evidence(history: LeakageHistory, matrix: LeakageMatrix) -> Verdict | None:
    if len({one.user for one in history.canaries}) < 2:
        return Verdict.unknown("no-canary", "Fewer than two users have a canary.")
    if not history.sightings:
        return Verdict.unknown("no-sighting", "Nobody looked at anything.")
    if not history.controls:
        return Verdict.unknown("no-control", "No channel is named where own canaries must show.")
    cells = product(matrix.users, matrix.channels)
    silent = [f"{user} by {channel}" for user, channel in cells if matrix.is_silent(user, channel)]
    if not silent:
        return None
    text = f"{len(silent)} controls are silent: the first own canary not found is {silent[0]}."
    return Verdict.unknown("silent-control", text)


def _judged(history: LeakageHistory) -> str:
    users = {one.user for one in history.canaries}
    return f"{len(history.sightings)} texts searched for the canaries of {len(users)} users"


@dataclass(frozen=True)
class _Searched:
    """A text as it is searched: without case, and as base64 in one line.

    Base64 has two alphabets, which do not differ in what a token of hex characters can become.
    """

    caseless: str
    base64: str

    @classmethod
    def of(cls, text: str) -> Self:
        return cls(text.lower(), "".join(text.split()))

    def around(self, form: str, fragment: str) -> str:
        """The text around a fragment; empty where it is not found."""
        text = self.base64 if form == _BASE64 else self.caseless
        place = text.find(fragment)
        return "" if place < 0 else text[max(0, place - _BEFORE) : place + _AFTER]


def _forms(token: str) -> Iterator[tuple[str, str]]:
    """The forms of a token and how each looks in a text that is searched."""
    yield "plain", token
    yield "reversed", token[::-1]
    for cased in (token, token.upper()):
        yield "in hex", cased.encode().hex()
        for shift in range(3):
            yield _BASE64, _base64_core(cased.encode(), shift)


def _base64_core(token: bytes, shift: int) -> str:
    """What is the same in every base64 with the token `shift` bytes into a group of three."""
    encoded = base64.b64encode(bytes(shift) + token).decode()
    first, last = -(-shift * 8 // 6), (shift + len(token)) * 8 // 6
    return encoded[first:last]
