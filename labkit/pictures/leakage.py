"""Who could see whose canary, and by which channel."""

from __future__ import annotations

from typing import Final

from labkit.judges.leakage import Channel, Finding, LeakageMatrix
from labkit.tables import Cell, Table, Tone

_SEARCHED: Final = (
    "Each user's data carries a random token, the canary. What others see is searched for it: "
    "plain, in upper case, reversed, in hex and in base64."
)


def leakage_table(matrix: LeakageMatrix) -> Table:
    """Users by channels: the own canary, another's, or none, where own ones must show or not."""
    return Table(
        caption="Whose canary each user could see",
        columns=("user", *matrix.channels),
        rows=tuple(
            (user, *(_cell(matrix, user, channel) for channel in matrix.channels))
            for user in matrix.users
        ),
        notes=(_SEARCHED, _controls(matrix)),
    )


def _cell(matrix: LeakageMatrix, user: str, channel: Channel) -> Cell:
    if others := sorted(matrix.foreign(user, channel)):
        return Cell(f"✗ canary of {_few(others)}", Tone.BAD)
    finding = matrix.finding(user, channel)
    if matrix.is_silent(user, channel):
        return Cell(f"? {finding}, own one expected", Tone.BAD)
    if finding is Finding.OWN:
        return Cell(f"✓ {finding}", Tone.GOOD)
    return Cell(finding.value, Tone.NEUTRAL if finding is Finding.SILENT else Tone.MUTED)


def _few(names: list[str]) -> str:
    """The first three names, and how many more there are."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def _controls(matrix: LeakageMatrix) -> str:
    silent = sum(matrix.is_silent(user, channel) for user, channel in matrix.controls)
    found = f"{len(matrix.controls) - silent} of {len(matrix.controls)}"
    return f"Own canaries were found in {found} cells in which they must be."
