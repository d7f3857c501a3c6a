"""How long keys were still going to live, looked at again and again until they were gone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from labkit.display import Picture, figure_svg
from labkit.pictures.drawing import FAULT, SPAN, drawing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LINES: Final = ("-", "--", "-.", ":")
_COLOURS: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#8c6d00")
_MARKS: Final = ("v", "^", "s", "P", "*", "h")
_GONE: Final = "gone"


@dataclass(frozen=True)
class Sample:
    """What a key still had to live at one moment."""

    at_ms: float
    """On a clock of the check's own."""
    left_ms: float | None
    """What the server said; None when there was no such key."""


@dataclass(frozen=True)
class Moment:
    """Something that was done to a key."""

    name: str
    """Such as `set` or `extend`."""
    at_ms: float


@dataclass(frozen=True)
class Lifetime:
    """One key, sampled in the order of time."""

    key: str
    samples: Sequence[Sample]
    moments: Sequence[Moment] = ()

    @property
    def gone_at_ms(self) -> float | None:
        """When it was first seen to be gone, having been there; None if it never was."""
        pairs = zip(self.samples, self.samples[1:], strict=False)
        gone = (now for last, now in pairs if last.left_ms is not None and now.left_ms is None)
        return next((sample.at_ms for sample in gone), None)


def lifetime_picture(lifetimes: Sequence[Lifetime]) -> Picture:
    """A line for each key: what it had to live; marked where something was done, or it was gone.

    Times are told from the first of all samples and moments on.
    """
    sampled_ms = [one.at_ms for each in lifetimes for one in each.samples]
    done_ms = [one.at_ms for each in lifetimes for one in each.moments]
    began_ms = min([*sampled_ms, *done_ms], default=0.0)
    figure, axes = drawing(rows=9)
    names = list(dict.fromkeys(one.name for each in lifetimes for one in each.moments))
    for number, each in enumerate(lifetimes):
        _draw(axes, each, number, began_ms)
        for moment in each.moments:
            mark = _MARKS[names.index(moment.name) % len(_MARKS)]
            colour = _COLOURS[number % len(_COLOURS)]
            left_ms = _left_at(each, moment.at_ms)
            axes.plot(moment.at_ms - began_ms, left_ms, mark, color=colour, markersize=7, zorder=4)
    axes.axhline(0, color=SPAN, linewidth=0.7, zorder=0)
    axes.set(xlabel="ms", ylabel="ms left to live")
    _draw_legend(axes, lifetimes, names)
    return figure_svg(figure, _told(lifetimes, began_ms))


def _draw(axes: Axes, each: Lifetime, number: int, began_ms: float) -> None:
    """The line breaks where the key was not there."""
    axes.plot(
        [sample.at_ms - began_ms for sample in each.samples],
        [float("nan") if one.left_ms is None else one.left_ms for one in each.samples],
        _LINES[number % len(_LINES)],
        color=_COLOURS[number % len(_COLOURS)],
        marker=".",
        markersize=3,
        linewidth=1.2,
        label=each.key,
    )
    if each.gone_at_ms is not None:
        axes.plot(each.gone_at_ms - began_ms, 0, "x", color=FAULT, markersize=8, zorder=4)


def _left_at(each: Lifetime, at_ms: float) -> float:
    """What the key had to live when it was looked at next after a moment; 0 if it had nothing."""
    after = (one.left_ms for one in each.samples if one.at_ms >= at_ms)
    return next(after, None) or 0.0


def _draw_legend(axes: Axes, lifetimes: Sequence[Lifetime], names: Sequence[str]) -> None:
    from matplotlib.lines import Line2D  # noqa: PLC0415 - only who draws pays for the import

    handles, _ = axes.get_legend_handles_labels()
    for place, name in enumerate(names):
        mark = _MARKS[place % len(_MARKS)]
        handles.append(Line2D([], [], marker=mark, color="#555555", linestyle="", label=name))
    if any(each.gone_at_ms is not None for each in lifetimes):
        handles.append(Line2D([], [], marker="x", color=FAULT, linestyle="", label=_GONE))
    if handles:
        axes.legend(
            handles=handles, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4, frameon=False
        )


def _end(each: Lifetime, began_ms: float) -> str:
    if each.gone_at_ms is not None:
        return f"was gone after {each.gone_at_ms - began_ms:.0f} ms"
    was_there = any(sample.left_ms is not None for sample in each.samples)
    return "was there to the end" if was_there else "was never there"


def _told(lifetimes: Sequence[Lifetime], began_ms: float) -> str:
    if not lifetimes:
        return "No key was looked at."
    told = [f"{each.key} {_end(each, began_ms)}" for each in lifetimes]
    return f"What {len(lifetimes)} keys had to live: {'; '.join(told)}."
