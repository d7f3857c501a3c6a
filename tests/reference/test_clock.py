"""Clocks of events: they are right from the start, and go on when the machine's is set back."""

from __future__ import annotations

import pytest

from labkit.reference import clock as module
from labkit.reference.clock import SteadyClock

_NOW_S = 1_700_000_000


class Machine:
    """Its clocks, which stand still but for one second, before the reading of this number."""

    def __init__(self, interrupted: int) -> None:
        self.wall_s = _NOW_S
        self._monotonic_s = 0
        self._left = interrupted

    def time_ns(self) -> int:
        """The wall clock."""
        self._read()
        return self.wall_s * 1_000_000_000

    def monotonic_ns(self) -> int:
        """The monotonic one."""
        self._read()
        return self._monotonic_s * 1_000_000_000

    def _read(self) -> None:
        self._left -= 1
        if self._left == 0:
            self.wall_s += 1
            self._monotonic_s += 1


@pytest.mark.parametrize("interrupted", range(1, 8))
def test_a_clock_whose_making_was_interrupted_is_right(
    monkeypatch: pytest.MonkeyPatch, interrupted: int
) -> None:
    """Whichever two readings the process is interrupted between."""
    machine = Machine(interrupted)
    monkeypatch.setattr(module, "time", machine)
    assert SteadyClock()() == machine.wall_s * 1_000


def test_a_clock_goes_on_when_the_machines_is_set_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time stamps of one process never go back."""
    machine = Machine(interrupted=0)
    monkeypatch.setattr(module, "time", machine)
    clock = SteadyClock()
    machine.wall_s -= 3_600
    assert clock() == _NOW_S * 1_000
