"""How long events are under way, beside the bare ping of the same socket."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from labkit.display import Picture, figure_svg
from labkit.pictures.drawing import CLIENT, SERVER, SPAN, drawing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SHARES: Final = (50, 95, 99)
_LEAST_MS: Final = 0.01


@dataclass(frozen=True)
class Percentiles:
    """The times, in milliseconds, that half, 95 % and 99 % of all stay below or reach."""

    count: int
    p50_ms: float
    p95_ms: float
    p99_ms: float

    @classmethod
    def of(cls, times_ms: Sequence[float]) -> Self:
        """By nearest rank: each is one of the times; NaN where there are none."""
        ordered = sorted(times_ms)
        p50, p95, p99 = (_nearest(ordered, share) for share in _SHARES)
        return cls(len(ordered), p50, p95, p99)

    def __str__(self) -> str:
        told = f"p50 {self.p50_ms:.2f}, p95 {self.p95_ms:.2f}, p99 {self.p99_ms:.2f} ms"
        return f"{told} (n = {self.count})" if self.count else "none"


def latency_picture(events_ms: Sequence[float], pings_ms: Sequence[float]) -> Picture:
    """The part of events and of pings that took no longer than so many milliseconds.

    Times below 0.01 ms, which only clocks can make, are drawn as that.
    """
    figure, axes = drawing(rows=7)
    told = []
    for name, times, colour in (("events", events_ms, CLIENT), ("bare ping", pings_ms, SERVER)):
        told.append(f"{name}: {Percentiles.of(times)}")
        if times:
            axes.ecdf([max(one, _LEAST_MS) for one in times], color=colour, label=told[-1])
            axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False)
    for share in _SHARES:
        axes.axhline(share / 100, color=SPAN, linewidth=0.7, zorder=0)
    _scale(axes)
    axes.set(xlabel="ms", ylabel="% took at most")
    return figure_svg(figure, "Latencies of " + "; ".join(told) + ".")


def _scale(axes: Axes) -> None:
    """Both axes so that the slowest ones, the few that matter, have room."""
    from matplotlib.ticker import LogLocator, NullLocator  # noqa: PLC0415 - only who draws pays

    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_yscale("logit")
    axes.set_ylim(0.04, 0.995)
    axes.set_yticks([share / 100 for share in _SHARES], [str(share) for share in _SHARES])
    axes.yaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_locator(NullLocator())


def _nearest(ordered: Sequence[float], share: int) -> float:
    return ordered[math.ceil(share * len(ordered) / 100) - 1] if ordered else math.nan
