"""A stopwatch adds up where time went, whatever ended it."""

from __future__ import annotations

import pytest

from labkit.batch.stopwatch import Stopwatch
from labkit.journal import Phase


def test_a_phase_adds_up_and_stands_in_its_order() -> None:
    """What comes again counts on; phases that were never entered are left out."""
    watch = Stopwatch()
    for phase in (Phase.CELLS, Phase.KERNEL, Phase.CELLS):
        with watch.during(phase):
            pass
    first = watch.spent
    with watch.during(Phase.CELLS):
        sum(range(1000))
    assert [one.phase for one in watch.spent] == [Phase.KERNEL, Phase.CELLS]
    assert watch.spent[0] == first[0]
    assert watch.spent[1].seconds > first[1].seconds


def test_time_that_ends_by_an_error_counts() -> None:
    """A kernel that never came took its time all the same."""
    watch = Stopwatch()
    with pytest.raises(TimeoutError), watch.during(Phase.KERNEL):
        raise TimeoutError
    [spent] = watch.spent
    assert spent.seconds > 0
