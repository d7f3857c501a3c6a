"""What a verdict says about itself."""

from labkit.judges.verdict import Verdict


def test_a_violation_counts_and_shows_its_first_and_worst() -> None:
    """A violated promise tells how often it was broken, first where, and where worst."""
    verdict = Verdict.violated("lost", ["one", "two", "three"], worst="two", judged="5 writes")

    assert (verdict.valid, verdict.reason, verdict.count) == (False, "lost", 3)
    assert (verdict.first, verdict.worst) == ("one", "two")
    assert verdict.detail == "5 writes; 3 violations; the first: one; the worst: two"


def test_the_first_violation_stands_for_the_worst() -> None:
    """Where no order of badness is known, the first violation is also the worst."""
    verdict = Verdict.violated("lost", ["one"])

    assert verdict == Verdict.violated("lost", ["one"], worst="one")
    assert (verdict.worst, verdict.detail) == ("one", "1 violation; the first: one")


def test_unknown_is_neither_valid_nor_invalid() -> None:
    """A history without evidence has a reason, and no verdict."""
    verdict = Verdict.unknown("no-transfer", "No transfer was acknowledged.")

    assert verdict.valid is None
    assert verdict.reason == "no-transfer"


def test_a_sound_history_has_no_reason() -> None:
    """A history that keeps its promise says how much of it was looked at, and nothing else."""
    assert Verdict.sound("3 looks").reason == ""
    assert Verdict.sound("3 looks").valid is True
