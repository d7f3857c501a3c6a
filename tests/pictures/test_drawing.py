"""What all figures share."""

from __future__ import annotations

from labkit.display import figure_svg
from labkit.pictures.drawing import drawing


def test_a_figure_has_a_white_ground_in_every_page() -> None:
    """Dark pages see a light picture, and never dark texts on a dark ground."""
    figure, _ = drawing(rows=3)

    assert 'style="fill: #ffffff"' in figure_svg(figure, "Nothing yet.").svg


def test_a_figure_is_as_high_as_its_rows_need() -> None:
    """Each row has the same height, and even an empty figure shows its axes."""
    heights = [drawing(rows=rows)[0].get_figheight() for rows in (0, 2, 12, 22)]

    assert heights[0] == heights[1]
    assert round(heights[2] - heights[1], 6) == round(heights[3] - heights[2], 6) > 0


def test_figures_are_narrow_enough_for_a_small_page() -> None:
    """At half its size a figure's texts still have five points."""
    figure, axes = drawing(rows=3)
    size = axes.xaxis.label.get_fontsize()

    assert isinstance(size, float)
    assert figure.get_figwidth() <= 6
    assert size >= 10
