"""What child processes need."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from labkit.usage import Usage, usage_of_children, usage_table

BUSY = """
import sys, time
taken = bytearray(60_000_000)
while time.process_time() < 0.3:
    pass
del taken
print("done", flush=True)
sys.stdin.read()
"""


@contextmanager
def child(*arguments: str) -> Iterator[int]:
    """A process that has said a word and waits for its end."""
    process = subprocess.Popen(
        [sys.executable, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid


def test_a_childs_peak_and_time_are_known() -> None:
    """Memory that it had and gave back counts, and so does the time that it worked."""
    with child("-c", BUSY) as pid:
        [usage] = [one for one in usage_of_children() if one.pid == pid]
    assert 60_000_000 < usage.peak_bytes < 200_000_000
    assert 0.25 <= usage.processor_s < 10
    assert usage.command == Path(sys.executable).name


def test_a_module_is_known_by_its_name() -> None:
    """Whatever arguments it has, they are not told."""
    with child("-m", "timeit", "-n1", "-r1", "-s", "print(flush=True)", "input('secret')") as pid:
        told = usage_of_children()
    assert [one.command for one in told if one.pid == pid] == ["-m timeit"]
    assert "secret" not in str(told)


def test_what_has_ended_and_what_is_no_child_is_left_out() -> None:
    """Neither a dead child nor this process itself is among them."""
    with child("-c", BUSY) as pid:
        pass
    assert not {pid, os.getpid(), os.getppid()} & {one.pid for one in usage_of_children()}


def test_a_table_has_a_row_for_each_process() -> None:
    """In megabytes and seconds; without any it says why."""
    table = usage_table([Usage(7, "-m served", 51_600_000, 1.25)], "the servers")
    assert table.caption == "the servers"
    assert table.rows == (("-m served", "7", "52 MB", "1.2 s"),)
    assert table.notes == ()
    assert usage_table([], "the servers").notes == ("this system does not tell what processes use",)
