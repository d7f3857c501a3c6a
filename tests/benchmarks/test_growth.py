"""Many executions and many checks are measured as what they are."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from benchmarks.__main__ import urls_of
from benchmarks.growth import checks, footprint, growth
from labkit.errors import InfrastructureError
from labkit.services.endpoints import Services
from tests.command_line import variables


def test_executions_take_time_memory_and_descriptors(green: Path) -> None:
    """Of the driver and of the warm process, before and after; kernels count in the processor's."""
    grown = asyncio.run(growth(green, 2, environment=os.environ))
    assert grown.executions == 2
    assert grown.seconds > 0
    assert grown.processor_s > 0
    for before, after in (grown.driver, grown.warm):
        for one in (before, after):
            assert one.resident_bytes >= one.proportional_bytes > 1_000_000
            assert one.descriptors > 3
    assert grown.driver[0] != grown.warm[0]


def test_executions_of_a_red_notebook_are_not_measured(red: Path) -> None:
    """The error tells what the cell raised."""
    with pytest.raises(InfrastructureError, match="ValueError"):
        asyncio.run(growth(red, 2, environment=os.environ))


def test_a_footprint_is_that_of_the_process() -> None:
    """A descriptor more is one more, and it is found by its pid."""
    before = footprint(os.getpid())
    with Path(sys.executable).open("rb"):
        assert footprint(os.getpid()).descriptors == before.descriptors + 1


def test_checks_are_timed_from_their_cells(services: Services, tmp_path: Path) -> None:
    """A notebook of so many checks is run by the command, and all are green."""
    timed = asyncio.run(checks(3, environment=variables(tmp_path / "cache", **urls_of(services))))
    assert timed.checks == 3
    assert timed.cells_s > 0
