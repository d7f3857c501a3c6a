"""A kernel's process goes with the process that started it, at once."""

import os
import subprocess
import sys

from tests.services.owners import eventually, is_running

CHILD = """
import os, sys
from labkit.batch.kernel_process import die_with
die_with(int(sys.argv[1]))
print(os.getpid(), flush=True)
sys.stdin.read()
"""

PARENT = f"""
import os, signal, subprocess, sys
subprocess.Popen([sys.executable, "-c", {CHILD!r}, str(os.getpid())])
signal.pause()
"""


def test_a_kernel_is_killed_with_its_driver() -> None:
    """SIGKILL to the parent ends the child, which has no other reason to end."""
    with subprocess.Popen(
        [sys.executable, "-c", PARENT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert is_running(child)
        parent.kill()
        assert eventually(lambda: not is_running(child))


def test_a_kernel_whose_driver_is_gone_does_not_start() -> None:
    """A driver that died before the kernel could ask for the signal sends none."""
    ended = subprocess.run(
        [sys.executable, "-m", "labkit.batch.kernel_process", "1", "-f", "nowhere.json"],
        capture_output=True,
        check=False,
        timeout=30,
    )
    assert ended.returncode == 1
    assert ended.stderr == b""


def test_a_kernel_starts_for_its_own_driver() -> None:
    """Everything behind the parent's number is ipykernel's own."""
    asked = [sys.executable, "-m", "labkit.batch.kernel_process", str(os.getpid()), "--help"]
    told = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=30)
    assert "IPython" in told.stdout
