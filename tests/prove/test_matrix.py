"""The matrix tells what each trial shows, and passes only where all is as it must be."""

from __future__ import annotations

from dataclasses import replace

import pytest

from labkit.prove.matrix import Mark, Matrix
from labkit.records import Outcome
from labkit.reports.results import Problem
from tests.prove.proofs import (
    CLEAN,
    FORGETS,
    LOST,
    MISCOUNTS,
    PASSED,
    Ends,
    matrix,
    proof,
    sabotage,
)

FORGOTTEN: Ends = {"keeps": LOST, "counts": PASSED}
MISCOUNTED: Ends = {"keeps": PASSED, "counts": LOST}
SOUND = {"": [CLEAN], "forgets": [FORGOTTEN], "miscounts": [MISCOUNTED]}


def sentences(found: Matrix) -> list[str]:
    """Why a proof does not pass."""
    return [flaw.sentence for flaw in found.flaws]


def mark(found: Matrix, check: str, sabotage: str) -> Mark:
    """What is shown of a check under a sabotage."""
    return next(
        cell.mark
        for (row, name), cell in found.cells.items()
        if (row.check, name) == (check, sabotage)
    )


def test_proof_without_exception_passes() -> None:
    """All is caught by what must catch it, nothing else is red, and the clean platform is green."""
    found = matrix(proof(SOUND))
    assert found.passes
    assert [row.check for row in found.rows] == ["keeps", "counts"]
    assert mark(found, "keeps", "forgets") is Mark.CAUGHT
    assert mark(found, "counts", "forgets") is Mark.GREEN
    assert [one.name for one in found.catches(found.rows[0])] == ["forgets"]


@pytest.mark.parametrize(
    ("ended", "expected", "told"),
    [
        (PASSED, Mark.MISSED, "keeps misses forgets: it is passed, not failed (lost)"),
        ((Outcome.FAILED, "changed"), Mark.WRONG_REASON, "failed (changed), not failed (lost)"),
        ((Outcome.BROKEN, "exception"), Mark.WRONG_REASON, "wrong reason: broken (exception)"),
        ((Outcome.BROKEN, "lost"), Mark.WRONG_REASON, "broken (lost), not failed (lost)"),
        ((Outcome.SKIPPED, "lacks"), Mark.UNKNOWN, "tells nothing under forgets: skipped"),
        ((Outcome.UNKNOWN, "never-ran"), Mark.UNKNOWN, "tells nothing under forgets: unknown"),
    ],
)
def test_only_the_expected_failure_catches(
    ended: tuple[Outcome, str], expected: Mark, told: str
) -> None:
    """A crash, a deadline, another reason, a skip and silence are told as what they are."""
    found = matrix(proof({**SOUND, "forgets": [{"keeps": ended, "counts": PASSED}]}))
    assert mark(found, "keeps", "forgets") is expected
    [sentence] = sentences(found)
    assert told in sentence


@pytest.mark.parametrize(
    ("ended", "expected"),
    [
        (LOST, Mark.ALSO_RED),
        ((Outcome.BROKEN, "deadline"), Mark.ALSO_RED),
        ((Outcome.UNKNOWN, "never-ran"), Mark.UNKNOWN),
    ],
)
def test_nothing_else_may_turn_red(ended: tuple[Outcome, str], expected: Mark) -> None:
    """A check that a sabotage does not concern has to stay green, and to have run."""
    found = matrix(proof({**SOUND, "miscounts": [{"keeps": ended, "counts": LOST}]}))
    assert mark(found, "keeps", "miscounts") is expected
    [sentence] = sentences(found)
    assert "keeps" in sentence
    assert "miscounts" in sentence


def test_checks_further_down_may_turn_red() -> None:
    """Those in the sabotage's `may` list are no exception, red or green."""
    found = matrix(proof({**SOUND, "forgets": [{"keeps": LOST, "counts": LOST}]}))
    assert mark(found, "counts", "forgets") is Mark.DOWNSTREAM
    assert found.passes


def test_skip_is_told_from_green() -> None:
    """Who looked at nothing was not there, on the clean platform or against a sabotage."""
    skipped: Ends = {"keeps": LOST, "counts": (Outcome.SKIPPED, "lacks")}
    clean: Ends = {"keeps": PASSED, "counts": (Outcome.SKIPPED, "lacks")}
    found = matrix(proof({"": [clean], "forgets": [skipped]}, [FORGETS]))
    assert mark(found, "counts", "") is Mark.SKIPPED
    assert mark(found, "counts", "forgets") is Mark.SKIPPED
    assert found.passes


def test_run_that_did_not_come_to_its_end_proves_nothing() -> None:
    """However its trials ended; what stood in its way is all that it tells."""
    problem = Problem(Outcome.UNKNOWN, "cancelled", "the run was ended early by SIGTERM")
    found = matrix(replace(proof(SOUND), problems=(problem,)))
    assert not found.passes
    assert not found.is_complete
    assert sentences(found) == [problem.detail]


def test_clean_platform_has_to_be_green() -> None:
    """Whatever a check that is red on it catches, it proves nothing."""
    found = matrix(proof({**SOUND, "": [{"keeps": LOST, "counts": PASSED}]}))
    assert sentences(found) == [
        "keeps is not green on the platform without sabotage: failed (lost)"
    ]


def test_check_that_nothing_must_turn_red_is_told() -> None:
    """It is proven by no sabotage, unless the platform lets it skip."""
    trials = {"": [CLEAN], "forgets": [FORGOTTEN]}
    [sentence] = sentences(matrix(proof(trials, [FORGETS])))
    assert "counts of memory catches nothing" in sentence
    skipped: Ends = {"keeps": PASSED, "counts": (Outcome.SKIPPED, "lacks")}
    assert matrix(proof({**trials, "": [skipped]}, [FORGETS])).passes


def test_check_of_a_sabotage_that_is_not_tried_now_is_not_told() -> None:
    """Who tries one sabotage alone learns of that one alone."""
    assert matrix(proof({"": [CLEAN], "forgets": [FORGOTTEN]}, is_whole=False)).passes


def test_check_that_no_notebook_declares_is_told_where_all_take_part() -> None:
    """A misspelt name would never be caught; in a part of the project it may be absent."""
    odd = sabotage("odd", {"keeps": "lost", "weeps": "lost"})
    trials = {**SOUND, "odd": [FORGOTTEN]}
    told = "odd must be caught by weeps, which no notebook declares"
    assert sentences(matrix(proof(trials, [FORGETS, MISCOUNTS, odd]))) == [told]
    assert matrix(proof(trials, [FORGETS, MISCOUNTS, odd], is_whole=False)).passes
    never = sabotage("never", {"weeps": "lost"})
    told = "never must be caught by weeps, which no notebook declares"
    assert sentences(matrix(proof(SOUND, [FORGETS, MISCOUNTS, never]))) == [told]
    elsewhere = replace(never, area="another")
    assert matrix(proof(SOUND, [FORGETS, MISCOUNTS, elsewhere])).passes


def test_one_trial_of_many_is_enough_for_an_exception() -> None:
    """A cell shows its worst trial, and how many were as they must be."""
    missed: Ends = {"keeps": PASSED, "counts": PASSED}
    found = matrix(proof({**SOUND, "forgets": [FORGOTTEN, missed, FORGOTTEN]}))
    cell = next(one for one in found.cells.values() if one.mark is Mark.MISSED)
    assert (cell.caught, len(cell.shown), cell.worst.trial) == (2, 3, "memory--forgets--2")
    assert sentences(found)[0].endswith("2 of 3 trials are as they must be")
    assert found.catches(found.rows[0]) == ()


def test_notebook_with_a_problem_of_its_own_is_told() -> None:
    """That its checks ended as they must does not excuse a cell that raised outside of them."""
    problem = Problem(Outcome.BROKEN, "cell-error", "cell 9 raised KeyError")
    found = matrix(proof(SOUND, (FORGETS, MISCOUNTS), problem))
    assert "memory without sabotage is broken: cell 9 raised KeyError" in sentences(found)
    assert "memory under forgets is broken: cell 9 raised KeyError" in sentences(found)
