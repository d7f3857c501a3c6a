"""Registers that are read through a cache: what a read may return after a write is acknowledged.

All times are of one monotonic clock in one process, which makes "acknowledged before" sound. Only
what no correct cache can show is a violation, so that a write whose outcome is not known may be
seen, and need not be.
"""

from __future__ import annotations

import enum
import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from labkit.judges.verdict import Verdict

INITIAL: Final = 0
"""The version that every key has before its first write."""


class WriteOutcome(enum.StrEnum):
    """What a writer knows of its write."""

    ACKNOWLEDGED = "acknowledged"
    FAILED = "failed"
    """It certainly did not happen."""
    UNKNOWN = "unknown"
    """It may have happened, or may happen yet."""


@dataclass(frozen=True)
class RegisterWrite:
    """A write of one version of a key.

    A key's versions ascend, and its writes follow each other: the next begins when the last has
    returned. Writes of one key at the same time have no order by which a read could be judged.
    """

    writer: str
    key: str
    version: int
    """Above `INITIAL`, and once for each key."""
    invoked_s: float
    returned_s: float
    outcome: WriteOutcome = WriteOutcome.ACKNOWLEDGED


@dataclass(frozen=True)
class RegisterRead:
    """A read that was answered."""

    session: str
    key: str
    version: int | None
    """What it returned; None for something that is no version at all."""
    invoked_s: float
    returned_s: float
    is_hit: bool
    """Whether the cache had it."""


@dataclass(frozen=True)
class RegisterHistory:
    """What went on, in any order."""

    writes: Sequence[RegisterWrite]
    reads: Sequence[RegisterRead]


def judge_registers(history: RegisterHistory, *, sessions: bool = True) -> Verdict:
    """Whether no read is older than a write acknowledged before it began, or made up.

    With `sessions`, also whether no session sees a key go back. Reasons, the first that applies:
    `phantom-value` (a version that no write had begun to write, or that failed), `stale-read`
    (older than one acknowledged before the read began), `went-back` (older than what the same
    session had read before); and unknown with `no-read-after-write`. The worst stale read began
    longest after the acknowledgement that it ignores.
    """
    registers = _registers(history)
    reads = sorted(history.reads, key=lambda read: (read.invoked_s, read.returned_s))
    hits = sum(read.is_hit for read in reads)
    judged = f"{len(reads)} reads, {hits} of them hits, and {len(history.writes)} writes"
    if phantoms := [_told(read) for read in reads if not registers[read.key].can_show(read)]:
        return Verdict.violated("phantom-value", phantoms, judged=judged)
    if stale := stale_reads(history):
        worst = max(stale, key=lambda one: one[0].invoked_s - one[1].returned_s)
        texts = [_told_stale(*one) for one in stale]
        return Verdict.violated("stale-read", texts, worst=_told_stale(*worst), judged=judged)
    if sessions and (back := list(_went_back(reads, registers))):
        return Verdict.violated("went-back", back, judged=judged)
    after = sum(registers[read.key].due(read) is not None for read in reads)
    if not after:
        text = f"{judged}: no read began after a write of its key had been acknowledged."
        return Verdict.unknown("no-read-after-write", text)
    return Verdict.sound(f"{judged}: {after} reads began after an acknowledged write.")


def stale_reads(history: RegisterHistory) -> Sequence[tuple[RegisterRead, RegisterWrite]]:
    """Each stale read, in the order of time, with the acknowledged write that it ignores."""
    registers = _registers(history)
    reads = sorted(history.reads, key=lambda read: (read.invoked_s, read.returned_s))
    after = [(read, due) for read in reads if (due := registers[read.key].due(read)) is not None]
    return [(read, due) for read, due in after if registers[read.key].is_older(read, due)]


class _Register:
    """The writes of one key, arranged for being looked up."""

    def __init__(self, writes: Sequence[RegisterWrite]) -> None:
        possible = [write for write in writes if write.outcome is not WriteOutcome.FAILED]
        self._begun_s = {write.version: write.invoked_s for write in possible}
        self._begun_s[INITIAL] = -math.inf
        # Which may have happened after newer ones, so that they are never too old.
        self._late = {one.version for one in writes if one.outcome is WriteOutcome.UNKNOWN}
        acknowledged = [one for one in writes if one.outcome is WriteOutcome.ACKNOWLEDGED]
        ordered = sorted(acknowledged, key=lambda write: write.returned_s)
        self._returned_s = [write.returned_s for write in ordered]
        self._newest = list(accumulate(ordered, lambda *two: max(two, key=_version)))

    def can_show(self, read: RegisterRead) -> bool:
        """Whether a write that had begun can have brought about what was read."""
        is_value = read.version in self._begun_s
        return is_value and self._begun_s[_version(read)] <= read.returned_s

    def due(self, read: RegisterRead) -> RegisterWrite | None:
        """The newest write that was acknowledged before the read began; None if there is none."""
        before = bisect_left(self._returned_s, read.invoked_s)
        return self._newest[before - 1] if before else None

    def is_older(self, read: RegisterRead, than: RegisterRead | RegisterWrite) -> bool:
        """Whether it shows something older, and not a write that may have happened later."""
        return _version(read) < _version(than) and read.version not in self._late


def _registers(history: RegisterHistory) -> Mapping[str, _Register]:
    writes: dict[str, list[RegisterWrite]] = {read.key: [] for read in history.reads}
    for write in history.writes:
        writes.setdefault(write.key, []).append(write)
    return {key: _Register(of_key) for key, of_key in writes.items()}


def _went_back(reads: Sequence[RegisterRead], registers: Mapping[str, _Register]) -> Iterator[str]:
    """Reads that are older than one that had ended, in the same session, before they began."""
    earlier: dict[tuple[str, str], list[RegisterRead]] = defaultdict(list)
    for read in reads:
        of_key = earlier[read.session, read.key]
        ended = [other for other in of_key if other.returned_s <= read.invoked_s]
        newest = max(ended, key=_version, default=None)
        if newest is not None and registers[read.key].is_older(read, newest):
            yield f"{_told(read)}, after the same session had read version {newest.version}"
        # Of those that have ended only the newest matters from now on.
        lasting = [other for other in of_key if other not in ended]
        of_key[:] = [*lasting, *([newest] if newest else []), read]


def _version(one: RegisterRead | RegisterWrite) -> int:
    return INITIAL if one.version is None else one.version


def _told(read: RegisterRead) -> str:
    value = "no version" if read.version is None else f"version {read.version}"
    found = "hit" if read.is_hit else "miss"
    return f"{read.session} read {value} of {read.key} at {read.invoked_s:.3f} s ({found})"


def _told_stale(read: RegisterRead, due: RegisterWrite) -> str:
    late_ms = (read.invoked_s - due.returned_s) * 1000
    return f"{_told(read)}, {late_ms:.1f} ms after version {due.version} was acknowledged"
