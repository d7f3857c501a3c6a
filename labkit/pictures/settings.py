"""What settings are in each environment, and where each value came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from labkit.tables import Cell, Table, Tone
from labkit.targets.configuration import SettingView

_ABSENT: Final = Cell("—", Tone.MUTED)
_LONGEST_CHARS: Final = 32


def settings_table(caption: str, columns: Mapping[str, Sequence[SettingView]]) -> Table:
    """Settings by columns, such as environments: each value, and its source below it.

    What came from a default is muted. Long values are cut in the middle, so that several columns
    fit beside each other.
    """
    keys = dict.fromkeys(view.key for views in columns.values() for view in views)
    cells = {(view.key, name): _cell(view) for name, views in columns.items() for view in views}
    return Table(
        caption=caption,
        columns=("setting", *columns),
        rows=tuple((key, *(cells.get((key, name), _ABSENT) for name in columns)) for key in keys),
        notes=("Below each value stands its source: default < file < environment < override.",),
    )


def _cell(view: SettingView) -> Cell:
    tone = Tone.MUTED if view.source == "default" else Tone.NEUTRAL
    return Cell(f"{_cut(str(view.value))}\n({view.source})", tone)


def _cut(text: str) -> str:
    half = _LONGEST_CHARS // 2
    return text if len(text) <= _LONGEST_CHARS else f"{text[:half]}…{text[-half + 1 :]}"
