"""A run's events as they happened at the server, and as they arrived at a client."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from labkit.display import Picture, figure_svg
from labkit.events import Event, EventType
from labkit.pictures.drawing import CLIENT, FAULT, SERVER, SPAN, drawing

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

_TOOL_ENDS: Final = frozenset({EventType.TOOL_COMPLETED, EventType.TOOL_FAILED})
_FAILED: Final = frozenset({EventType.TOOL_FAILED, EventType.AGENT_FAILED})


@dataclass(frozen=True)
class Arrival:
    """An event as a client received it."""

    event: Event
    at_ms: float
    """When it came, in milliseconds since the epoch, by the client's clock."""


@dataclass(frozen=True)
class Cut:
    """What ended a connection while the run went on."""

    name: str
    """Such as `reset` or `silence`."""
    at_ms: float
    """When it was made, in milliseconds since the epoch, by the client's clock."""


def timeline(arrivals: Sequence[Arrival], cut: Cut | None = None) -> Picture:
    """One row for each `seq` of a run: when it happened, when it arrived, how long tools ran.

    An event that arrived twice has two marks; a `seq` that never came has an empty row. Events
    without `seq` are left out; with no others, the picture is empty and says so. A `cut` is a line
    across all rows.
    """
    rows: dict[int, list[Arrival]] = {}
    for arrival in arrivals:
        if arrival.event.seq is not None:
            rows.setdefault(arrival.event.seq, []).append(arrival)
    places = range(min(rows, default=0), max(rows, default=-1) + 1)
    began = min((one.event.ts for received in rows.values() for one in received), default=0)
    figure, axes = drawing(rows=len(places))
    for place in places:
        _draw_row(axes, place, rows.get(place, []), began)
    _draw_tools(axes, rows, began)
    if cut is not None and rows:
        axes.axvline(cut.at_ms - began, color=FAULT, linestyle="--", linewidth=1.2, zorder=1)
    axes.set_yticks(list(places), [_label(place, rows) for place in places])
    for place, text in zip(places, axes.get_yticklabels(), strict=True):
        if place not in rows or rows[place][0].event.type in _FAILED:
            text.set_color(FAULT)
    axes.set_ylim(places.stop - 0.4, places.start - 0.6)
    axes.set_xlabel("ms since the first event")
    _draw_legend(axes, cut)
    return figure_svg(figure, "; ".join(_told(rows, places, cut, began)) + ".")


def _label(place: int, rows: Mapping[int, Sequence[Arrival]]) -> str:
    return f"{rows[place][0].event.type}  {place}" if place in rows else f"never arrived  {place}"


def _draw_row(axes: Axes, place: int, received: Sequence[Arrival], began: int) -> None:
    axes.axhline(place, color=SPAN, linewidth=0.5, zorder=0)
    for one in received:
        happened, arrived = one.event.ts - began, one.at_ms - began
        axes.plot([happened, arrived], [place, place], color=CLIENT, linewidth=1.2, zorder=2)
        axes.plot(happened, place, "o", color=SERVER, markersize=6, zorder=3)
        axes.plot(arrived, place, "D", color=CLIENT, markersize=5, markerfacecolor="w", zorder=4)


def _draw_tools(axes: Axes, rows: Mapping[int, Sequence[Arrival]], began: int) -> None:
    """A bar from the start of each tool call to its end, on the row of the start."""
    events = [received[0].event for received in rows.values()]
    ends = {event.call: event for event in events if event.type in _TOOL_ENDS}
    for event in events:
        if event.type is EventType.TOOL_EXECUTING and event.seq is not None and event.call in ends:
            ran = ends[event.call].ts - event.ts
            axes.barh(event.seq, ran, left=event.ts - began, height=0.55, color=SPAN, zorder=1)


def _draw_legend(axes: Axes, cut: Cut | None) -> None:
    from matplotlib.lines import Line2D  # noqa: PLC0415 - only who draws pays for the import
    from matplotlib.patches import Patch  # noqa: PLC0415

    handles: list[Artist] = [
        Line2D([], [], color=SERVER, marker="o", linestyle="", label="happened (server)"),
        Line2D([], [], color=CLIENT, marker="D", mfc="w", label="arrived (client)"),
        Patch(color=SPAN, label="tool runs"),
    ]
    if cut is not None:
        handles.append(Line2D([], [], color=FAULT, linestyle="--", label=cut.name))
    axes.legend(
        handles=handles,
        loc="lower center",
        bbox_to_anchor=(0.5, 1.0),
        ncols=3 if cut is None else 2,
        columnspacing=1.2,
        handletextpad=0.4,
        frameon=False,
    )


def _told(
    rows: Mapping[int, Sequence[Arrival]], places: range, cut: Cut | None, began: float
) -> Iterator[str]:
    """What the picture shows, in parts of a sentence."""
    if not rows:
        yield "No event of a run arrived"
        return
    delays = [one.at_ms - one.event.ts for received in rows.values() for one in received]
    yield f"{len(rows)} events of a run, each with the time at which it happened and arrived"
    if cut is not None:
        yield f"the {cut.name} came {cut.at_ms - began:.1f} ms after the first event"
    yield f"the slowest was under way for {max(delays):.1f} ms"
    if missing := len(places) - len(rows):
        yield f"{missing} never arrived"
    if repeated := len(delays) - len(rows):
        yield f"{repeated} arrived again"
