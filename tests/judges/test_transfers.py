"""Hand-written histories of a bank, good and bad, one for each reason."""

from dataclasses import replace

import pytest

from labkit.judges.transfers import BankHistory, Snapshot, Transfer, judge_transfers
from labkit.judges.verdict import Verdict

GOOD = BankHistory(
    initial={"a": 10, "b": 10, "c": 10},
    transfers=(Transfer("a", "b", 4, 1.0), Transfer("b", "c", 3, 2.0), Transfer("a", "b", 4, 3.0)),
    snapshots=(Snapshot(0.5, 30, 10), Snapshot(1.5, 30, 6), Snapshot(2.5, 30, 6)),
    final={"a": 2, "b": 15, "c": 13},
)


def test_a_bank_that_keeps_its_money_is_sound() -> None:
    """Constant totals, no debt and every transfer applied once: the history is valid."""
    verdict = judge_transfers(GOOD)

    assert verdict.valid is True
    assert verdict.detail == ("3 transfers applied once each; the total was 30 in 3 snapshots.")


def test_a_total_that_changes_in_between_is_seen() -> None:
    """A snapshot with money in flight is wrong, even when the end is right again."""
    looks = (Snapshot(1.5, 26, 6), Snapshot(1.7, 20, 6), Snapshot(2.5, 30, 6))
    verdict = judge_transfers(replace(GOOD, snapshots=looks))

    assert (verdict.valid, verdict.reason, verdict.count) == (False, "total-changed", 2)
    assert verdict.first == "at 1.500 s the total is 26, not 30"
    assert verdict.worst == "at 1.700 s the total is 20, not 30"


def test_a_total_that_changes_at_the_end_is_seen() -> None:
    """Money that appears after the last snapshot is wrong, too."""
    verdict = judge_transfers(replace(GOOD, final={"a": 2, "b": 19, "c": 13}))

    assert (verdict.reason, verdict.first) == (
        "total-changed",
        "at the end the total is 34, not 30",
    )


def test_an_account_that_vanishes_changes_the_total() -> None:
    """A final look that misses an account does not pass for a smaller bank."""
    verdict = judge_transfers(replace(GOOD, final={"a": 2, "b": 15}))

    assert verdict.reason == "total-changed"


def test_a_negative_balance_is_seen() -> None:
    """An account that owes is wrong, although the total is right."""
    looks = (Snapshot(1.5, 30, -1), Snapshot(1.7, 30, -5), Snapshot(2.5, 30, -2))
    verdict = judge_transfers(replace(GOOD, snapshots=looks))

    assert (verdict.valid, verdict.reason, verdict.count) == (False, "negative-balance", 3)
    assert verdict.worst == "at 1.700 s a balance is -5"


def test_an_empty_account_owes_nothing() -> None:
    """A balance of zero is right."""
    looks = (Snapshot(1.5, 30, 0), *GOOD.snapshots)

    assert judge_transfers(replace(GOOD, snapshots=looks)).valid is True


def test_an_acknowledged_transfer_that_is_missing_is_lost() -> None:
    """Final balances that lack one acknowledged transfer name it."""
    verdict = judge_transfers(replace(GOOD, final={"a": 2, "b": 18, "c": 10}))

    assert (verdict.valid, verdict.reason, verdict.count) == (False, "transfer-lost", 1)
    assert verdict.first == "b → c: 3"


def test_one_of_two_equal_transfers_can_be_lost() -> None:
    """Where two transfers are alike, the loss of one of them is counted once."""
    verdict = judge_transfers(replace(GOOD, final={"a": 6, "b": 11, "c": 13}))

    assert (verdict.reason, verdict.count) == ("transfer-lost", 1)


@pytest.mark.parametrize(
    ("lost", "final"),
    [
        (2, {"a": 10, "b": 7, "c": 13}),
        (1, {"a": 6, "b": 7, "c": 17}),
        (1, {"a": 10, "b": 11, "c": 9}),
    ],
    ids=["both", "what else b lacks went to c", "what else a keeps came from c"],
)
def test_a_loss_explains_the_balances_once(lost: int, final: dict[str, int]) -> None:
    """Of two equal transfers as many are lost as both of their accounts can tell."""
    verdict = judge_transfers(replace(GOOD, final=final))

    assert (verdict.reason, verdict.count) == ("transfer-lost", lost)
    assert verdict.first == "a → b: 4"


def test_a_transfer_that_only_one_of_its_accounts_lacks_is_not_lost() -> None:
    """What a gave, b has, and a took it from c: that is no loss of the transfer."""
    verdict = judge_transfers(replace(GOOD, final={"a": 6, "b": 15, "c": 9}))

    assert (verdict.reason, verdict.count) == ("transfer-phantom", 2)
    assert (verdict.first, verdict.worst) == ("a ends +4 off", "a ends +4 off")


def test_a_transfer_that_was_applied_twice_is_a_phantom() -> None:
    """More money moved than was acknowledged: the accounts that are off are named."""
    verdict = judge_transfers(replace(GOOD, final={"a": 2, "b": 12, "c": 16}))

    assert (verdict.valid, verdict.reason, verdict.count) == (False, "transfer-phantom", 2)
    assert verdict.first == "b ends -3 off"


def test_a_transfer_that_nobody_asked_for_is_a_phantom() -> None:
    """Money that moved between accounts with no transfer is found."""
    verdict = judge_transfers(replace(GOOD, final={"a": 2, "b": 16, "c": 12}))

    assert verdict.reason == "transfer-phantom"


def test_no_acknowledged_transfer_is_unknown() -> None:
    """A bank in which nothing moved proves nothing."""
    idle = replace(GOOD, transfers=(), final=GOOD.initial)

    assert judge_transfers(idle) == Verdict.unknown("no-transfer", "No transfer was acknowledged.")


@pytest.mark.parametrize("times_s", [(), (0.5, 3.5), (1.0, 3.0)])
def test_no_snapshot_between_the_transfers_is_unknown(times_s: tuple[float, ...]) -> None:
    """Looks up to the first and from the last transfer on prove nothing of what lies between."""
    looks = tuple(Snapshot(at_s, 30, 2) for at_s in times_s)

    assert judge_transfers(replace(GOOD, snapshots=looks)) == Verdict.unknown(
        "no-snapshot",
        "No snapshot was taken between the first and the last acknowledged transfer.",
    )


def test_an_empty_history_is_unknown() -> None:
    """Nothing at all is no evidence."""
    assert judge_transfers(BankHistory({}, (), (), {})).valid is None


def test_what_is_wrong_outweighs_what_is_missing() -> None:
    """A lost transfer is told even where no snapshot was taken."""
    verdict = judge_transfers(replace(GOOD, snapshots=(), final={"a": 2, "b": 18, "c": 10}))

    assert verdict.reason == "transfer-lost"
