"""The ratios to papermill's time as a picture, on the white ground that all of labkit's have."""

from __future__ import annotations

from benchmarks.contenders import PAPERMILL
from benchmarks.results import Comparison, Results, Spread
from labkit.display import Picture, figure_svg
from labkit.pictures.drawing import SERVER, drawing


def ratio_picture(results: Results) -> Picture:
    """A bar for each contender, as long as its time beside papermill's; a line for the spread."""
    rows = [
        *_rows("fixed", results.plain),
        *_rows("own", results.lab),
    ]
    figure, axes = drawing(rows=len(rows))
    names, spreads = zip(*rows, strict=True)
    medians = [spread.median for spread in spreads]
    below = [spread.median - spread.lower for spread in spreads]
    above = [spread.upper - spread.median for spread in spreads]
    axes.barh(names, medians, xerr=(below, above), color=SERVER, ecolor="black", capsize=2)
    axes.invert_yaxis()
    axes.set(xlabel="time ÷ papermill's", xlim=(0, max(1, *medians)))
    told = "; ".join(f"{name}: {spread.median:.2f}" for name, spread in rows)
    return figure_svg(
        figure,
        f"Times of the fixed and of the lab's own notebooks in relation to papermill's. {told}.",
    )


def _rows(of: str, comparison: Comparison) -> list[tuple[str, Spread]]:
    papermill = comparison.contender(PAPERMILL)
    others = (one for one in comparison.contenders if one is not papermill)
    return [(f"{of}: {one.name}", one.over(papermill)) for one in others]
