"""How often each way of caching ends stale, of all orders in which it can be interleaved."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from labkit.judges.stale_sets import (
    KNOWN,
    SOURCE,
    Counts,
    StaleSetHistory,
    StaleSetTable,
    counted,
)
from labkit.tables import Cell, Table, Tone

_KEY: Final = (
    "R is a reader, W a writer of the same row. Of their steps get, set and del go to the cache, "
    "and db to the database; the reader's set puts what it read into the cache. All orders of the "
    "steps are counted, with a cold and with a warm cache."
)
_KNOWN: Final = "What is known follows from the rules of each strategy, and was counted before."
_TURNS: Final = (
    "A step of the platform's is all that it sends to one server before it asks the other, and has "
    "that server's name."
)


def stale_set_picture(table: StaleSetTable) -> Table:
    """Strategies by counts: the textbook's beside what is known of them, then the platform."""
    textbook = tuple(
        _row(strategy.value, table.textbook.get(strategy, ()), known)
        for strategy, known in KNOWN.items()
    )
    notes = [_KEY, _KNOWN, _TURNS, f"Of the race and of {SOURCE}."]
    if len(table.target) < table.possible:
        notes.append(f"Of the platform's orders {len(table.target)} of {table.possible} were run.")
    if forbidden := sum(bool(history.obstacle) for history in table.target):
        notes.append(
            f"Of the platform's orders {forbidden} could not be kept to the end, since one actor "
            "waited for what the other held."
        )
    return Table(
        caption="What is stale in the cache once a write is acknowledged and all have finished",
        columns=("strategy", "orders", "stale", "known to be stale", "first stale order"),
        rows=(*textbook, _target_row(table)),
        notes=tuple(notes),
    )


def _row(name: str, histories: Sequence[StaleSetHistory], known: Counts) -> tuple[Cell | str, ...]:
    found = counted(histories)
    shown = Cell(str(found.stale)) if found == known else Cell(f"? {found.stale}", Tone.BAD)
    return name, str(found.interleavings), shown, str(known), _first(histories)


def _target_row(table: StaleSetTable) -> tuple[Cell | str, ...]:
    found = counted(table.target)
    if found.stale:
        shown = Cell(f"✗ {found.stale}", Tone.BAD)
    elif found.interleavings:
        shown = Cell("✓ 0", Tone.GOOD)
    else:
        shown = Cell("? nothing was run", Tone.BAD)
    name = f"the platform: {table.target_name}"
    return name, str(found.interleavings), shown, "must be 0", _first(table.target)


def _first(histories: Sequence[StaleSetHistory]) -> str:
    return next((str(history) for history in histories if history.is_stale), "")
