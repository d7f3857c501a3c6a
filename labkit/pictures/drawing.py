"""What all figures share: size, colours that most eyes can tell apart, a white ground.

The ground is white in light and dark pages alike, since a picture inside a page cannot know which
it is. Figures are so small that their texts can still be read where a narrow page shrinks them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SERVER: Final = "#0072b2"
CLIENT: Final = "#d55e00"
FAULT: Final = "#b00020"
SPAN: Final = "#d9dde3"

_WIDTH_IN: Final = 6.0
_AROUND_IN: Final = 1.0
_ROW_IN: Final = 0.27


def drawing(*, rows: int) -> tuple[Figure, Axes]:
    """A figure as high as its rows need, with one pair of axes."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - only who draws pays for the import

    height_in = _AROUND_IN + _ROW_IN * max(rows, 2)
    figure = Figure(figsize=(_WIDTH_IN, height_in), layout="constrained", facecolor="white")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    return figure, axes
