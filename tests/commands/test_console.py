"""Where commands write may go away; the command goes on, and writes to nowhere."""

from __future__ import annotations

import errno
import os
import pty
from pathlib import Path

import pytest

from labkit.commands.console import SteadyConsole


def test_a_terminal_that_was_closed_is_written_to_no_more() -> None:
    """What a run prints after that is lost; it is no error, and not of the run's folder."""
    terminal, end = pty.openpty()
    with os.fdopen(end, "w") as file:
        console = SteadyConsole(file=file)
        console.print("somebody reads this")
        os.close(terminal)
        console.print("and nobody this")
        console.print("nor this")
        assert console.quiet
        file.write("what others write is led to nowhere too\n")


def test_a_file_that_cannot_be_written_is_an_error_as_ever() -> None:
    """A full disk is not silence."""
    with pytest.raises(OSError) as full, Path("/dev/full").open("w", buffering=1) as file:
        SteadyConsole(file=file).print("no room for this")
    assert full.value.errno == errno.ENOSPC
