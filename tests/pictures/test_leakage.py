"""The leakage matrix as a reader gets it."""

from __future__ import annotations

from typing import Final

from labkit.judges.leakage import (
    Canary,
    Channel,
    LeakageHistory,
    LeakageMatrix,
    Sighting,
    leakage_matrix,
)
from labkit.pictures.leakage import leakage_table
from labkit.tables import Cell, Tone

TOKENS: Final = {f"user-{number}": f"{number}" * 16 for number in range(6)}


def seen(*sightings: tuple[str, Channel, str]) -> LeakageMatrix:
    """The matrix of what users 0 and 1, and whoever else looks, have seen."""
    return leakage_matrix(
        LeakageHistory(
            canaries=tuple(Canary(user, token) for user, token in TOKENS.items())[:2],
            sightings=tuple(Sighting(*one) for one in sightings),
            controls=frozenset({Channel.READ}),
        )
    )


def test_every_finding_has_its_cell() -> None:
    """The own canary is good, another's and a silent control are bad, the rest says what it is."""
    matrix = seen(
        ("user-0", Channel.READ, TOKENS["user-0"]),
        ("user-0", Channel.CACHE, TOKENS["user-0"] + TOKENS["user-1"]),
        ("user-1", Channel.READ, "hello"),
        ("mallory", Channel.READ, "refused"),
    )
    table = leakage_table(matrix)

    assert table.columns == ("user", "read", "cache")
    assert table.rows == (
        (
            "user-0",
            Cell("✓ own canary", Tone.GOOD),
            Cell("✗ canary of user-1", Tone.BAD),
        ),
        (
            "user-1",
            Cell("? no canary, own one expected", Tone.BAD),
            Cell("nothing seen", Tone.MUTED),
        ),
        (
            "mallory",
            Cell("no canary"),
            Cell("nothing seen", Tone.MUTED),
        ),
    )
    assert table.notes[-1] == "Own canaries were found in 1 of 2 cells in which they must be."


def test_a_control_that_nobody_looked_at_is_bad() -> None:
    """Where the own canary must be and nothing was seen at all, the cell says both."""
    [(_, cell), _] = leakage_table(seen()).rows

    assert cell == Cell("? nothing seen, own one expected", Tone.BAD)


def test_many_owners_are_cut_short() -> None:
    """Three are named, the others counted."""
    matrix = leakage_matrix(
        LeakageHistory(
            canaries=tuple(Canary(user, token) for user, token in TOKENS.items()),
            sightings=(Sighting("user-0", Channel.READ, " ".join(TOKENS.values())),),
            controls=frozenset(),
        )
    )
    [(_, cell), *_] = leakage_table(matrix).rows

    assert cell == Cell("✗ canary of user-1, user-2, user-3 and 2 more", Tone.BAD)
