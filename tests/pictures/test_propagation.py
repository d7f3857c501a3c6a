"""How soon each process works with what was updated."""

from __future__ import annotations

from labkit.pictures.drawing import SERVER
from labkit.pictures.propagation import propagation_picture
from tests.pictures.svg import marks, texts

TIMES = {"backend 1": [10.0, 20.0, 60.0], "auth": [30.0]}


def test_each_update_is_a_mark_in_its_processs_row() -> None:
    """Further to the right, the later."""
    found = marks(propagation_picture(TIMES, bound_ms=5000), f"fill: {SERVER}")
    rows: dict[float, list[float]] = {}
    for x, y in found:
        rows.setdefault(y, []).append(x)
    first, second = (rows[y] for y in sorted(rows))
    assert (len(first), len(second)) == (3, 1)
    assert first[0] < first[1] < second[0] < first[2]


def test_names_and_medians_can_be_read() -> None:
    """And the words below tell the slowest and the bound."""
    picture = propagation_picture(TIMES, bound_ms=5000)
    shown = texts(picture)
    assert {"backend 1", "auth", "median 20.0 ms", "median 30.0 ms"} <= set(shown)
    assert picture.words == (
        "4 times at which 2 processes worked with an update: the slowest after 60.0 ms, "
        "where 5000 ms are allowed."
    )


def test_the_bound_is_drawn_when_it_is_near() -> None:
    """Far away, it would press all marks together."""
    near, far = (propagation_picture(TIMES, bound_ms=bound) for bound in (100, 5000))
    assert "stroke-dasharray" in near.svg
    assert "stroke-dasharray" not in far.svg


def test_no_time_says_so() -> None:
    """A process that no update reached has an empty row."""
    assert propagation_picture({"auth": []}, bound_ms=5).words == (
        "No update reached a process; the bound is 5 ms."
    )
