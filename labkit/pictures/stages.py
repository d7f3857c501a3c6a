"""The way of one message through a platform, stage by stage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from labkit.display import Picture, figure_svg
from labkit.pictures.drawing import FAULT, SERVER, drawing


@dataclass(frozen=True)
class StageTime:
    """When a message reached a stage."""

    stage: str
    at_ms: float
    """In milliseconds since the epoch, by the one clock that all stages are told by."""


def stages_picture(stages: Sequence[StageTime]) -> Picture:
    """One row for each stage, in the order given: a bar from the stage before it to its own time.

    A stage that was reached before the one above it is drawn in red.
    """
    figure, axes = drawing(rows=len(stages))
    began = min((one.at_ms for one in stages), default=0.0)
    until = max((one.at_ms for one in stages), default=0.0) - began
    before = stages[0].at_ms if stages else 0.0
    for row, one in enumerate(stages):
        took = one.at_ms - before
        colour = FAULT if took < 0 else SERVER
        axes.barh(row, took, left=before - began, height=0.55, color=colour, zorder=2)
        axes.plot(one.at_ms - began, row, "|", color=colour, markersize=11, zorder=3)
        axes.annotate(
            f"{took:+.1f} ms" if row else "0 ms",
            (max(before, one.at_ms) - began, row),
            xytext=(7, 0),
            textcoords="offset points",
            va="center",
            color=colour,
        )
        before = one.at_ms
    axes.set_yticks(range(len(stages)), [one.stage for one in stages])
    axes.set_ylim(len(stages) - 0.4, -0.6)
    axes.set_xlim(-0.01 * until, max(1.18 * until, 1.0))
    axes.set_xlabel("ms since the first stage")
    return figure_svg(figure, _words(stages, until))


def _words(stages: Sequence[StageTime], until: float) -> str:
    if not stages:
        return "No stage was reached."
    names = " → ".join(one.stage for one in stages)
    return f"The stages of a message: {names}, in {until:.1f} ms."
