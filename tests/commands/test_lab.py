"""JupyterLab has its servers for as long as it runs, and none outlives it."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import pytest

from labkit.commands.lab import permitted
from tests.command_line import COMMAND, DEADLINE_S, PASSING, labkit, write_project
from tests.services.owners import eventually

JUPYTERLAB = """
import json, os, signal, sys
from pathlib import Path
from labkit.environment import IsolatedEnvironment
from labkit.services.places import default_cache
from labkit.services.supervisor import status
signal.signal(signal.SIGINT, signal.SIG_IGN)  # it would ask whether it shall end
signal.signal(signal.SIGHUP, signal.SIG_IGN)
signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended when it was told to"))
holding = status(default_cache(IsolatedEnvironment.of_process().as_mapping()))
seen = {"folder": os.getcwd(), "arguments": sys.argv[1:], "path": sys.path, "up": bool(holding)}
Path(os.environ["SEEN"]).write_text(json.dumps(seen))
print("ready", flush=True)
signal.pause()
"""


@contextlib.contextmanager
def lab_running(
    folder: Path, own: Mapping[str, str], *, deaf_to: str = "INT"
) -> Iterator[subprocess.Popen[str]]:
    """`labkit lab` on a project, a program of ours in JupyterLab's place, once that is ready."""
    project = write_project(folder / "project", calm=PASSING)
    (folder / "jupyterlab").mkdir()
    (folder / "jupyterlab" / "__init__.py").touch()
    (folder / "jupyterlab" / "__main__.py").write_text(JUPYTERLAB)
    with subprocess.Popen(
        # As a shell starts what ends with `&` in a script.
        [
            "/bin/sh",
            "-c",
            f'trap "" {deaf_to}; exec "$@"',
            "sh",
            *COMMAND,
            "lab",
            "--no-browser",
            "-x",
        ],
        cwd=project,
        env={**own, "PYTHONPATH": str(folder), "SEEN": str(folder / "seen.json")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell cannot hear again what it was started deaf to, as tests under nohup are.
        preexec_fn=partial(signal.signal, signal.SIGHUP, signal.SIG_DFL),  # noqa: PLW1509
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "ready\n"
        try:
            yield running
        finally:
            running.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_lab_holds_services_for_as_long_as_jupyterlab_runs(
    number: signal.Signals, tmp_path: Path, own: Mapping[str, str]
) -> None:
    """A program in JupyterLab's place gets folder, arguments, import path, servers and SIGTERM."""
    with lab_running(tmp_path, own) as running:
        running.send_signal(number)
        _, err = running.communicate(timeout=DEADLINE_S)
    assert running.returncode == 0, err
    assert "ended when it was told to" in err
    found = json.loads((tmp_path / "seen.json").read_text())
    assert found["folder"] == str(tmp_path / "project" / "notebooks")
    assert found["arguments"][:2] == ["--no-browser", "-x"]
    assert str(tmp_path / "project") in found["path"]
    assert found["up"]
    assert labkit("services", "status", folder=tmp_path, environment=own).returncode == 3


def test_lab_under_nohup_does_not_hear_its_terminal_close(
    tmp_path: Path, own: Mapping[str, str]
) -> None:
    """Whoever started it so meant it to stay, with its servers."""
    with lab_running(tmp_path, own, deaf_to="INT HUP") as running:
        running.send_signal(signal.SIGHUP)
        assert labkit("services", "status", folder=tmp_path, environment=own).returncode == 0
        assert running.poll() is None
        running.send_signal(signal.SIGTERM)
        _, err = running.communicate(timeout=DEADLINE_S)
    assert "ended when it was told to" in err


@pytest.mark.parametrize(
    ("user", "given", "passed"),
    [
        (0, ["--no-browser"], ["--no-browser", "--allow-root"]),
        (0, ["--allow-root"], ["--allow-root"]),
        (1000, ["--no-browser"], ["--no-browser"]),
    ],
)
def test_lab_lets_root_work_too(user: int, given: list[str], passed: list[str]) -> None:
    """JupyterLab refuses to run as root unless it is told once that it may."""
    assert permitted(given, user=user) == passed


def test_lab_takes_its_services_along_when_it_is_killed(
    tmp_path: Path, own: Mapping[str, str]
) -> None:
    """Whoever kills `labkit lab` with SIGKILL need not end the servers that it started."""
    with lab_running(tmp_path, own) as running:
        running.kill()
        running.wait(DEADLINE_S)
    assert eventually(
        lambda: labkit("services", "status", folder=tmp_path, environment=own).returncode == 3
    )
