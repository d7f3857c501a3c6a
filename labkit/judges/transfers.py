"""The bank: whatever is transferred, the total stays, and nothing acknowledged is lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from labkit.judges.verdict import Verdict


@dataclass(frozen=True)
class Transfer:
    """A transfer that the platform acknowledged as done."""

    source: str
    destination: str
    amount: int
    acknowledged_at_s: float
    """On the clock that the snapshots are taken by."""


@dataclass(frozen=True)
class Snapshot:
    """All accounts at one moment, as the witness read them in one statement."""

    taken_at_s: float
    total: int
    lowest: int
    """The lowest balance of any account."""


@dataclass(frozen=True)
class BankHistory:
    """What went on between a first and a last look at all balances."""

    initial: Mapping[str, int]
    transfers: tuple[Transfer, ...]
    snapshots: tuple[Snapshot, ...]
    final: Mapping[str, int]


def judge_transfers(history: BankHistory) -> Verdict:
    """Whether the total never changed, no balance was negative, and each transfer counts once.

    Reasons, the first that applies: `total-changed`, `negative-balance`, `transfer-lost` (taking
    back acknowledged transfers explains the final balances), `transfer-phantom` (it does not); and
    unknown with `no-transfer` or `no-snapshot` where nothing was acknowledged, or no snapshot lies
    between the first and the last acknowledgement.
    """
    return (
        _changed_total(history)
        or _negative_balance(history)
        or _misapplied_transfers(history)
        or _missing_evidence(history)
        or Verdict.sound(
            f"{len(history.transfers)} transfers applied once each; "
            f"the total was {sum(history.initial.values())} in {len(history.snapshots)} snapshots."
        )
    )


def _looks(history: BankHistory) -> Iterator[tuple[str, int, int]]:
    """Every look at the accounts: when, the total, the lowest balance."""
    for snapshot in history.snapshots:
        yield f"at {snapshot.taken_at_s:.3f} s", snapshot.total, snapshot.lowest
    if history.final:
        yield "at the end", sum(history.final.values()), min(history.final.values())


def _changed_total(history: BankHistory) -> Verdict | None:
    expected = sum(history.initial.values())
    off = [
        (abs(total - expected), f"{when} the total is {total}, not {expected}")
        for when, total, _ in _looks(history)
        if total != expected
    ]
    if not off:
        return None
    return Verdict.violated("total-changed", [text for _, text in off], worst=max(off)[1])


def _negative_balance(history: BankHistory) -> Verdict | None:
    below = [
        (lowest, f"{when} a balance is {lowest}")
        for when, _, lowest in _looks(history)
        if lowest < 0
    ]
    if not below:
        return None
    return Verdict.violated("negative-balance", [text for _, text in below], worst=min(below)[1])


def _misapplied_transfers(history: BankHistory) -> Verdict | None:
    surplus = Counter(history.final)
    surplus.subtract(history.initial)
    for transfer in history.transfers:
        _take_back(surplus, transfer)
    lost = [transfer for transfer in history.transfers if _explains(surplus, transfer)]
    if lost:
        texts = [f"{one.source} → {one.destination}: {one.amount}" for one in lost]
        return Verdict.violated("transfer-lost", texts)
    odd = [f"{name} ends {by:+d} off" for name, by in sorted(surplus.items()) if by]
    return Verdict.violated("transfer-phantom", odd) if odd else None


def _take_back(balances: Counter[str], transfer: Transfer) -> None:
    balances[transfer.source] += transfer.amount
    balances[transfer.destination] -= transfer.amount


def _explains(surplus: Counter[str], lost: Transfer) -> bool:
    """Whether the loss of this transfer explains part of the surplus; if so, it is settled."""
    fits = surplus[lost.source] >= lost.amount and surplus[lost.destination] <= -lost.amount
    if fits:
        surplus[lost.source] -= lost.amount
        surplus[lost.destination] += lost.amount
    return fits


def _missing_evidence(history: BankHistory) -> Verdict | None:
    if not history.transfers:
        return Verdict.unknown("no-transfer", "No transfer was acknowledged.")
    times = [transfer.acknowledged_at_s for transfer in history.transfers]
    if not any(min(times) < snapshot.taken_at_s < max(times) for snapshot in history.snapshots):
        text = "No snapshot was taken between the first and the last acknowledged transfer."
        return Verdict.unknown("no-snapshot", text)
    return None
