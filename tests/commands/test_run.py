"""A run exits with the code of what happened, and leads to its report whatever ends it."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.command_line import (
    COMMAND,
    DEADLINE_S,
    FAILING,
    LACKING,
    PASSING,
    WAITING,
    labkit,
    labkit_here,
    write_project,
)

NOTHING_LISTENS = "postgresql://user:hunter2hunter2@127.0.0.1:1/db"


def test_folder_in_the_place_of_latest_is_refused_before_anything_starts(tmp_path: Path) -> None:
    """Whatever the run had found would be lost by it."""
    project = write_project(tmp_path, calm=PASSING)
    (project / "outputs" / "latest").mkdir(parents=True)
    refused = labkit_here("run", "calm", "--cold", folder=project)
    assert refused.exit_code == 2
    assert "latest is a folder of its own: move it away" in refused.output
    assert [path.name for path in (project / "outputs").iterdir()] == ["latest"]


def test_a_green_run_exits_with_0_and_leads_to_its_report(
    tmp_path: Path, own: Mapping[str, str]
) -> None:
    """On servers and with a target of its own, the last line names verdict and page."""
    project = write_project(tmp_path, calm=PASSING)
    (project / "mine.py").write_text(
        "from labkit.reference import Platform\n\nclass Mine(Platform):\n    name = 'mine'\n"
    )
    ended = labkit(*("run", "calm", "--target", "mine:Mine"), folder=project, environment=own)
    assert ended.returncode == 0, ended.stderr
    results = json.loads((project / "outputs" / "latest" / "results.json").read_text())
    assert results["target"] == "mine"
    verdict, page = ended.stdout.strip().split(" · ")
    assert verdict == "1 of 1 check passed"
    assert re.fullmatch(r"outputs/run_[0-9a-z]{26}/index\.html", page)
    assert (project / page).is_file()
    assert "✓ passed it_holds" in ended.stderr
    assert "papermill" not in ended.stderr.lower()


def test_a_red_run_exits_with_1_and_tells_each_red_check_in_a_line(
    tmp_path: Path, given: Mapping[str, str]
) -> None:
    """The line holds name, outcome, reason and detail; the report can be rebuilt by any name."""
    project = write_project(tmp_path / "my project", calm=PASSING, wild=FAILING)
    ended = labkit(
        *("run", "wild", "-p", "size", "-5", "--output-root", "../out"),
        folder=project,
        environment=given,
    )
    assert ended.returncode == 1, ended.stderr
    red, verdict = ended.stdout.splitlines()
    assert red.startswith("✗ failed wild / it_fails (not-two) ")
    assert verdict.startswith("1 check failed: it_fails · ../out/run_")
    run = (tmp_path / "out" / "latest").resolve()
    page = (run / "index.html").read_bytes()
    (project / "outputs").symlink_to(tmp_path / "out")
    for folder, name in (
        (project, "latest"),
        (project, run.name),
        (project, str(run)),
        (tmp_path, f"out/{run.name}/"),
    ):
        (run / "index.html").unlink()
        rebuilt = labkit_here("report", name, folder=folder)
        assert rebuilt.exit_code == 0, rebuilt.stderr
        told, rebuilt_page = rebuilt.stdout.splitlines()
        assert told == red
        assert (folder / rebuilt_page.split(" · ")[1]).samefile(run / "index.html")
        assert (run / "index.html").read_bytes() == page


def test_a_run_that_is_told_to_end_exits_with_4_and_reports(
    tmp_path: Path, given: Mapping[str, str]
) -> None:
    """SIGTERM in the middle of a check leaves a report that says so."""
    project = write_project(tmp_path, patient=WAITING)
    os.mkfifo(project / "began")
    began = os.open(project / "began", os.O_RDONLY | os.O_NONBLOCK)
    with subprocess.Popen(
        [*COMMAND, "run"],
        cwd=project,
        env=dict(given),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        assert select.select([began], [], [], DEADLINE_S)[0]
        running.send_signal(signal.SIGTERM)
        out, err = running.communicate(timeout=DEADLINE_S)
    os.close(began)
    assert running.returncode == 4, err
    assert "The run was asked to stop (SIGTERM) · outputs/run_" in out
    assert "Traceback" not in err


SIGNALLED_AT_ITS_END = """
import asyncio, os, signal
from pathlib import Path
from labkit.batch.plan import make_plan
from labkit.batch.run import RunSettings, run_plan
from labkit.environment import IsolatedEnvironment
from labkit.ids import RunID
from labkit.journal import RunEnded
from labkit.project import find_project
from labkit.services.places import default_cache

def watch(entry):
    if isinstance(entry, RunEnded):
        os.kill(os.getpid(), signal.SIGTERM)

here = find_project(Path.cwd())
plan = make_plan(here, (), run=RunID.new(), environment="test", deadline_s=60.0)
settings = IsolatedEnvironment.of_process().as_mapping()
where = RunSettings(here.outputs, settings, default_cache(settings), (), here.root)
folder, result = asyncio.run(run_plan(plan, where, watch))
print(result.exit_code, (folder / "index.html").is_file())
"""


def test_a_signal_at_the_end_of_a_run_does_not_cost_its_report(
    tmp_path: Path, given: Mapping[str, str]
) -> None:
    """When all notebooks have ended, SIGTERM finds nothing to end, and the report is written."""
    ended = subprocess.run(
        [sys.executable, "-c", SIGNALLED_AT_ITS_END],
        cwd=write_project(tmp_path, calm=PASSING),
        env=dict(given),
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_S,
    )
    assert ended.stdout.strip() == "0 True", ended.stderr


def test_a_run_goes_on_when_nobody_reads_its_progress(
    tmp_path: Path, given: Mapping[str, str]
) -> None:
    """With both of its pipes broken, it ends green and its report is there."""
    project = write_project(tmp_path, calm=PASSING)
    reading, writing = os.pipe()
    os.close(reading)
    ended = subprocess.run(
        [*COMMAND, "run"],
        cwd=project,
        env=dict(given),
        stdout=writing,
        stderr=writing,
        check=False,
        timeout=DEADLINE_S,
    )
    os.close(writing)
    assert ended.returncode == 0
    results = json.loads((project / "outputs" / "latest" / "results.json").read_text())
    assert results["exit_code"] == 0


def test_a_given_server_that_does_not_answer_is_infrastructure(
    tmp_path: Path, own: Mapping[str, str]
) -> None:
    """The run exits with 3, says why, and shows no password."""
    project = write_project(tmp_path, calm=PASSING)
    environment = {**own, "LABKIT_POSTGRES_URL": NOTHING_LISTENS}
    ended = labkit("run", folder=project, environment=environment)
    assert ended.returncode == 3
    assert "127.0.0.1:1" in ended.stdout
    assert "hunter2" not in ended.stdout + ended.stderr


def test_an_error_shows_no_secret(tmp_path: Path, own: Mapping[str, str]) -> None:
    """A value that the environment holds as a secret is masked, also in a traceback."""
    environment = {**own, "SOME_TOKEN": "tok-8c41f2aa90"}
    project = write_project(tmp_path, calm=PASSING)
    ended = labkit("run", "tok-8c41f2aa90", "--debug", folder=project, environment=environment)
    assert ended.returncode == 2
    assert "is neither an area" in ended.stderr
    assert "tok-8c41f2aa90" not in ended.stderr


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ("nowhere_to_be_found:Mine", "there is no module 'nowhere_to_be_found'"),
        ("own_platform:Absent", "module 'own_platform' has no 'Absent'"),
        ("own_platform", "must have the form"),
        ("own_platform:Odd", "'magic' in 'lacks' is not a Capability"),
    ],
)
@pytest.mark.parametrize("way", ["--target", "-p", "-f", "params"])
def test_run_refuses_what_is_no_target(
    spec: str, why: str, way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one line, before a server or a notebook is started, in whatever way it was given."""
    project = write_project(tmp_path, calm=PASSING)
    odd = LACKING + '\nclass Odd(Mine):\n    lacks = {"magic": "nobody has it"}\n'
    (project / "own_platform.py").write_text(odd)
    monkeypatch.setenv("LABKIT_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delitem(sys.modules, "own_platform", raising=False)
    places = list(sys.path)
    file = project / ("params/test.yaml" if way == "params" else "mine.yaml")
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"target: '{spec}'\n")
    options = {
        "--target": ("--target", spec),
        "-p": ("-p", "target", spec),
        "-f": ("-f", str(file)),
        "params": (),
    }
    ended = labkit_here("run", *options[way], folder=project)
    assert (ended.exit_code, ended.stdout) == (2, "")
    assert ended.stderr.startswith("Error: ")
    assert ended.stderr.count("\n") == 1
    assert why in ended.stderr
    assert not (project / "outputs").exists()
    assert not (tmp_path / "cache").exists()
    assert sys.path == places
