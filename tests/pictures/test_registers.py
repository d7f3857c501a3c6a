"""Reads and writes of keys, drawn so that hits, misses and stale reads can be told apart."""

from __future__ import annotations

from typing import Final

from labkit.judges.registers import RegisterHistory, RegisterRead, RegisterWrite
from labkit.pictures.drawing import CLIENT, FAULT, SERVER, SPAN
from labkit.pictures.registers import MOST_KEYS, MOST_READS, register_picture
from tests.pictures.svg import bars, marks, texts

HIT: Final = f"fill: {SERVER}"
MISS: Final = f"fill: #ffffff; stroke: {CLIENT}"
STALE: Final = f"fill: {FAULT}"


def read(key: str, version: int, at_s: float, *, is_hit: bool = True) -> RegisterRead:
    """A read that took a millisecond."""
    return RegisterRead("s", key, version, at_s, at_s + 0.001, is_hit)


WRITES: Final = (RegisterWrite("w", "a", 1, 10.000, 10.020), RegisterWrite("w", "b", 1, 10.0, 10.1))


def test_each_key_has_a_row_of_reads_and_writes() -> None:
    """Hits and misses have marks of their own, writes are bars with their versions."""
    reads = (read("a", 0, 10.010), read("a", 1, 10.030, is_hit=False), read("b", 0, 10.050))
    picture = register_picture(RegisterHistory(WRITES, reads))
    assert {"a", "b", "1", "hit", "miss", "write", "ms since the first call"} <= set(texts(picture))
    # One of each stands in the legend.
    assert (len(marks(picture, HIT)), len(marks(picture, MISS))) == (3, 2)
    (short, long) = sorted(right - left for left, right in bars(picture, SPAN))[:2]
    assert long > 4 * short
    assert picture.words == (
        "2 writes, 2 reads that the cache had and 1 that it had not; 0 were stale. "
        "Above each write stands its version."
    )


def test_a_stale_read_is_crossed() -> None:
    """Where it stands, and in the words."""
    reads = (read("a", 1, 10.030), read("a", 0, 10.040))
    picture = register_picture(RegisterHistory(WRITES, reads))
    assert len(marks(picture, STALE)) == 2
    assert "; 1 were stale." in picture.words


def test_very_many_are_cut_and_the_picture_says_so() -> None:
    """The first reads are drawn, and stale ones with their keys however late they come."""
    many = [read(f"k{number % 40:02}", 0, 10 + number / 1000) for number in range(4_000)]
    late = (RegisterWrite("w", "z", 1, 10.0, 10.1), read("z", 0, 20.0))
    picture = register_picture(RegisterHistory([late[0]], [*many, late[1]]))
    cut = ["Only the first 1,000 of 2,301 reads are drawn.", "Only 24 of 41 keys are drawn."]
    assert set(cut) <= set(texts(picture))
    assert picture.words.endswith(" ".join(cut))
    assert len(marks(picture, HIT)) == MOST_READS + 1
    assert len(marks(picture, STALE)) == 2
    assert "z" in texts(picture)
    assert sum(text.startswith("k") for text in texts(picture)) == MOST_KEYS - 1


def test_nothing_gives_an_empty_picture_that_says_so() -> None:
    """There is no row, and no error."""
    assert register_picture(RegisterHistory((), ())).words == "Nothing was read or written."
