"""The six by six transitions as a reader gets them."""

from __future__ import annotations

from itertools import product
from typing import Final

import pytest

from labkit.judges.transitions import LEGAL, Attempt, ExecutionState
from labkit.pictures.transitions import transition_table
from labkit.tables import Cell, Tone

CREATED, ACTIVE, FAILED = ExecutionState.CREATED, ExecutionState.ACTIVE, ExecutionState.FAILED
GOOD: Final = tuple(
    Attempt(source, target, accepted=legal, stored=target if legal else source)
    for source, target in product(ExecutionState, repeat=2)
    for legal in [target in LEGAL[source]]
)


def test_all_pairs_stand_in_their_rows_and_columns() -> None:
    """Nine cells are accepted, all others refused and marked as illegal."""
    table = transition_table(GOOD)
    cells = {
        (row[0], column): cell
        for row in table.rows
        for column, cell in zip(table.columns[1:], row[1:], strict=True)
    }

    assert cells == {
        (one.source.value, one.target.value): Cell("✓ accepted", Tone.GOOD)
        if one.accepted
        else Cell("refused, illegal", Tone.MUTED)
        for one in GOOD
    }
    assert table.notes == ("36 of 36 pairs were tried, 0 of them went wrong.",)


@pytest.mark.parametrize(
    ("attempt", "text"),
    [
        (Attempt(CREATED, FAILED, accepted=True, stored=FAILED), "✗ accepted, illegal"),
        (Attempt(CREATED, ACTIVE, accepted=False, stored=CREATED), "✗ refused, legal"),
        (Attempt(CREATED, ACTIVE, accepted=False, stored=ACTIVE), "✗ refused, row is active"),
        (Attempt(CREATED, FAILED, accepted=False, stored=FAILED), "✗ refused, row is failed"),
        (Attempt(CREATED, ACTIVE, accepted=True, stored=CREATED), "✗ accepted, row is created"),
    ],
)
def test_what_went_wrong_stands_out(attempt: Attempt, text: str) -> None:
    """The cell says what was answered and what is wrong with it, also beside a good attempt."""
    table = transition_table((attempt, *GOOD))
    [bad] = [
        cell for row in table.rows for cell in row if isinstance(cell, Cell) if "✗" in cell.text
    ]

    assert bad == Cell(text, Tone.BAD)
    assert table.notes == ("36 of 36 pairs were tried, 1 of them went wrong.",)


def test_what_was_not_tried_stands_out() -> None:
    """A hole in the table is bad."""
    table = transition_table(GOOD[1:])

    assert table.rows[0][1] == Cell("? not tried", Tone.BAD)
    assert table.notes == ("35 of 36 pairs were tried, 0 of them went wrong.",)
