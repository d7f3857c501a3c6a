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
    left_ms: float
    """What it gave the key to live."""


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

    The axis begins at the first of all samples and moments; the words tell each key's own time.
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
            place = (moment.at_ms - began_ms, moment.left_ms)
            axes.plot(*place, mark, color=colour, markersize=7, zorder=4)
    axes.axhline(0, color=SPAN, linewidth=0.7, zorder=0)
    axes.set(xlabel="ms since the first mark", ylabel="ms left to live")
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
        last_ms = each.moments[-1].at_ms if each.moments else began_ms
        since = "its last mark" if each.moments else "the beginning"
        return f"was gone {each.gone_at_ms - last_ms:.0f} ms after {since}"
    was_there = any(sample.left_ms is not None for sample in each.samples)
    if was_there:
        return "was there to the end"
    return "had gone when it was first looked at" if each.moments else "was never there"


def _told(lifetimes: Sequence[Lifetime], began_ms: float) -> str:
    if not lifetimes:
        return "No key was looked at."
    told = [f"{each.key} {_end(each, began_ms)}" for each in lifetimes]
    return f"What {len(lifetimes)} keys had to live: {'; '.join(told)}."
