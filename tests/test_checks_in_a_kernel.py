"""In a real kernel a check ends with its deadline or an interrupt, and the kernel lives on."""

import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

PATIENCE_S = 60.0
OPENING = """
import asyncio, json, time
from labkit.checks import Check, Surroundings
from labkit.records import record_to_json

def new_check(deadline_s):
    return Check("name", "claim", deadline_s=deadline_s, surroundings=Surroundings(
        emit=lambda record: print(json.dumps(record_to_json(record)), flush=True),
        show=print, redact=str, wall_clock=time.time))
"""
AWAITING = "await asyncio.sleep(60)"
BLOCKING = "time.sleep(60)"
PASSING = "check.equal(1, 1, 'one', reason='other')"


class Kernel:
    """A running kernel that executes one cell at a time."""

    def __init__(self, manager: KernelManager, client: BlockingKernelClient) -> None:
        self._manager = manager
        self._client = client

    def run(self, code: str, *, interrupt: bool = False) -> tuple[list[dict[str, Any]], str]:
        """The records that a cell prints, and the error's name that it ends with.

        With `interrupt`, SIGINT is sent when the start of a check is read.
        """
        request = self._client.execute(code)
        printed = error = ""  # a line may come in pieces
        for kind, content in self._messages(request):
            if kind == "stream":
                printed += content["text"]
                if interrupt and "\n" in printed:
                    self._manager.interrupt_kernel()
                    interrupt = False
            elif kind == "error":
                error = content["ename"]
        return [json.loads(line) for line in printed.splitlines()], error

    def run_check(
        self, body: str, deadline_s: float, *, interrupt: bool = False
    ) -> tuple[str, str]:
        """The reason of a check with this body, and the error that its cell ends with."""
        code = f"async with new_check({deadline_s}) as check:\n    {body}"
        (started, ended), error = self.run(code, interrupt=interrupt)
        assert started["kind"] == "check-started"
        assert ended["kind"] == "check"
        return f"{ended['outcome']} {ended['reason']}", error

    def _messages(self, request: str) -> Iterator[tuple[str, dict[str, Any]]]:
        give_up = time.monotonic() + PATIENCE_S
        while True:
            message = self._client.get_iopub_msg(timeout=give_up - time.monotonic())
            if message["parent_header"].get("msg_id") != request:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind == "status" and content["execution_state"] == "idle":
                return
            yield kind, content


@contextmanager
def kernel() -> Iterator[Kernel]:
    """A kernel of this Python on sockets of its own, shut down at the end."""
    with tempfile.TemporaryDirectory(prefix="lk-") as folder:
        manager = KernelManager(transport="ipc", ip=f"{folder}/k")
        manager.connection_file = f"{folder}/kernel.json"
        manager.start_kernel()
        try:
            client = manager.client()
            client.start_channels()
            try:
                client.wait_for_ready(timeout=PATIENCE_S)
                yield Kernel(manager, client)
            finally:
                client.stop_channels()
        finally:
            manager.shutdown_kernel(now=True)


def test_checks_end_and_the_kernel_lives_on() -> None:
    """Deadline and SIGINT end awaits and blocking code alike; an interrupt also ends the cell."""
    with kernel() as started:
        assert started.run(OPENING) == ([], "")
        for body in (AWAITING, BLOCKING):
            assert started.run_check(body, 0.1) == ("broken deadline", "")
            interrupted = started.run_check(body, 60.0, interrupt=True)
            assert interrupted == ("broken interrupted", "KeyboardInterrupt")
            assert started.run_check(PASSING, 60.0) == ("passed ", "")
        assert started.run("1 / 0") == ([], "ZeroDivisionError")
        assert started.run(AWAITING.replace("60", "0")) == ([], "")
