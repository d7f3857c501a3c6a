"""The table of stale sets shows what was found beside what is known, and where it went wrong."""

from __future__ import annotations

from dataclasses import replace

from labkit.judges.stale_sets import Strategy
from labkit.pictures.stale_sets import stale_set_picture
from labkit.tables import Cell, Table, Tone
from tests.judges.test_stale_sets import FORBIDDEN, GOOD, STALE


def row(table: Table, name: str) -> list[tuple[str, Tone]]:
    """The cells of a row, after its name."""
    (found,) = [row for row in table.rows if str(row[0]).endswith(name)]
    cells = [cell if isinstance(cell, Cell) else Cell(cell) for cell in found[1:]]
    return [(cell.text, cell.tone) for cell in cells]


def test_a_sound_platform_stands_below_the_textbook() -> None:
    """Each strategy has its counts and the first order in which it went wrong."""
    table = stale_set_picture(GOOD)
    assert [str(row[0]) for row in table.rows][:-1] == list(Strategy)
    assert row(table, "write, then delete") == [
        ("20", Tone.NEUTRAL),
        ("1", Tone.NEUTRAL),
        ("1 of 20", Tone.NEUTRAL),
        ("R:get R:db W:db W:del R:set", Tone.NEUTRAL),
    ]
    assert row(table, "revoked by the delete")[1] == ("0", Tone.NEUTRAL)
    assert row(table, "the platform: platform") == [
        ("3", Tone.NEUTRAL),
        ("✓ 0", Tone.GOOD),
        ("must be 0", Tone.NEUTRAL),
        ("", Tone.NEUTRAL),
    ]
    assert "Of the platform's orders 1 could not be kept to the end" in table.text()


def test_a_stale_platform_stands_out() -> None:
    """With its count and its first order, by tone and by mark."""
    table = stale_set_picture(replace(GOOD, target=(STALE, FORBIDDEN), possible=6))
    assert row(table, "platform: platform")[1:] == [
        ("✗ 1", Tone.BAD),
        ("must be 0", Tone.NEUTRAL),
        ("R:get R:db W:db W:del R:set", Tone.NEUTRAL),
    ]
    assert "Of the platform's orders 2 of 6 were run" in table.text()


def test_what_is_not_as_known_stands_out() -> None:
    """A control that was silent, and a platform that was not looked at."""
    table = stale_set_picture(replace(GOOD, textbook={}, target=()))
    assert row(table, "no invalidation")[1] == ("? 0", Tone.BAD)
    assert row(table, "platform: platform")[1] == ("? nothing was run", Tone.BAD)
