"""The command line, mostly as a process of its own."""

import contextlib
import json
import os
import re
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from labkit import cli
from labkit.commands.lab import permitted
from labkit.errors import Denied, InfrastructureError, LabError, TargetError, UsageError
from labkit.services.endpoints import Services
from labkit.services.supervisor import down
from tests.command_line import (
    COMMAND,
    DEADLINE_S,
    FAILING,
    PASSING,
    TARGET,
    WAITING,
    labkit,
    labkit_here,
    variables,
    write_project,
)
from tests.services.owners import eventually

NOTHING_LISTENS = "postgresql://user:hunter2hunter2@127.0.0.1:1/db"


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    """Variables with which the command starts servers of its own; none is held afterwards."""
    cache = tmp_path_factory.mktemp("cache")
    yield variables(cache)
    down(cache)


@pytest.fixture(scope="module")
def given(own: Mapping[str, str], services: Services) -> Mapping[str, str]:
    """Variables with which the command uses the servers of the tests."""
    return {
        **own,
        "LABKIT_POSTGRES_URL": services.postgres.url.reveal(),
        "LABKIT_REDIS_URL": services.redis.url.reveal(),
    }


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


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["run", "-p", "sise", "2"], "Error: 'sise' from -p is declared by no notebook"),
        (["run", "-p", "size", "two"], "Error: size must be int"),
        (["run", "clam"], "Error: 'clam' is neither an area nor a notebook's path; did you mean"),
        (["run", "--environment", "production"], "Error: environment: production from"),
        (["run", "--deadline", "nan"], "Error: a deadline of nan s cannot be kept"),
        (["report", "yesterday"], "Error: 'yesterday' is neither a run in outputs nor the folder"),
        (["init", "."], "Error: . has notebooks, params already, and nothing was changed"),
    ],
)
def test_a_wrong_call_is_told_in_one_sentence(
    arguments: list[str], told: str, tmp_path: Path
) -> None:
    """It exits with 2 before anything was started or written."""
    project = write_project(tmp_path, calm=PASSING)
    ended = labkit_here(*arguments, folder=project)
    assert ended.exit_code == 2
    assert ended.stderr.startswith(told)
    assert len(ended.stderr.splitlines()) == 1
    assert not ended.stdout
    assert not (project / "outputs").exists()


@pytest.mark.parametrize("arguments", [["--debug", "run", "clam"], ["run", "--debug", "clam"]])
def test_debug_shows_where_an_error_was_raised(arguments: list[str], tmp_path: Path) -> None:
    """It is accepted before and after the command's name."""
    ended = labkit_here(*arguments, folder=write_project(tmp_path, calm=PASSING))
    assert ended.exit_code == 2
    assert "Traceback" in ended.stderr
    assert ended.stderr.splitlines()[-1].startswith("Error: 'clam'")


def test_an_error_shows_no_secret(tmp_path: Path, own: Mapping[str, str]) -> None:
    """A value that the environment holds as a secret is masked, also in a traceback."""
    environment = {**own, "SOME_TOKEN": "tok-8c41f2aa90"}
    project = write_project(tmp_path, calm=PASSING)
    ended = labkit("run", "tok-8c41f2aa90", "--debug", folder=project, environment=environment)
    assert ended.returncode == 2
    assert "is neither an area" in ended.stderr
    assert "tok-8c41f2aa90" not in ended.stderr


def test_list_tells_people_and_programs_the_same(tmp_path: Path) -> None:
    """Areas, business value, parameters, checks and claims stand in both forms."""
    project = write_project(tmp_path, calm=PASSING)
    shown = labkit_here("list", folder=project / "notebooks")
    assert shown.exit_code == 0, shown.stderr
    for told in ("calm  The calm", "segment", "everybody", "size: int", "it_holds", "One is one"):
        assert told in shown.stdout
    [area] = json.loads(labkit_here("list", "--json", folder=project).stdout)["areas"]
    assert area == {
        "name": "calm",
        "title": "The calm",
        "source": "notebooks/calm.ipynb",
        "business_value": {
            "segment": "everybody",
            "business_goal": "peace",
            "value_impact": "",
            "strategic_impact": "",
        },
        "parameters": [
            {"name": "environment", "type": "str", "default": "test"},
            {"name": "target", "type": "str", "default": TARGET},
            {"name": "size", "type": "int", "default": 1},
        ],
        "checks": [{"name": "it_holds", "claim": "One is one", "needs": []}],
    }


LACKING = """
from labkit.targets.protocols import Capability, Tables

class Mine:
    name = "mine"
    lacks = {Capability.CACHE: "it caches nothing", Capability.CONTEXTS_REVOKE: "nobody asked"}
    tables = Tables("users", "threads", "messages", "executions", "")
    data = cache = object()

    @staticmethod
    async def install(lease): ...
"""


def needing(body: str, more: str = "") -> str:
    """A check that does this with its target."""
    return f'async with lab.check("it_needs", "It needs something"{more}) as check:\n    {body}'


def test_list_tells_what_a_target_would_skip(tmp_path: Path, own: Mapping[str, str]) -> None:
    """Declared gaps are told with their reasons, in both forms; nothing is started for it."""
    project = write_project(
        tmp_path,
        cached=needing("await lab.cache.read('u', 'k')"),
        isolated=needing("await lab.cache.read('u', 'k')", ", isolation=True"),
        rich=needing("await lab.witness.count(lab.tables.accounts)"),
        whole=needing("await lab.data.threads('u')"),
        hidden=needing("await lab.routing.send(await lab.cache.read('u', 'k'))"),
        partly=needing("await lab.contexts.revoke('u', 's')"),
        apart=needing("await lab.contexts.revoke('u', 's')", ", isolation=True"),
    )
    (project / "mine.py").write_text(LACKING)
    arguments = ("list", "--target", "mine:Mine")
    shown = labkit(*arguments, folder=project, environment=own)
    assert shown.returncode == 0, shown.stderr
    assert "needs data.threads" in shown.stdout
    assert "? unknown mine does not declare that it lacks routing, and its class" in shown.stdout
    assert "○ skipped mine lacks cache: it caches nothing\n" in shown.stdout
    assert "✗✗ broken mine lacks cache: it caches nothing. Isolation is not" in shown.stdout
    told = json.loads(labkit(*arguments, "--json", folder=project, environment=own).stdout)
    checks = {area["name"]: area["checks"][0] for area in told["areas"]}
    assert {name: check["outlook"]["outcome"] for name, check in checks.items()} == {
        "cached": "skipped",
        "isolated": "broken",
        "rich": "skipped",
        "whole": None,
        "hidden": "unknown",
        "partly": "unknown",
        "apart": "broken",
    }
    assert checks["rich"]["outlook"]["why"].endswith("the target has no table for accounts")
    assert checks["whole"]["needs"] == ["data.threads"]


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


def test_list_refuses_what_is_no_target(tmp_path: Path) -> None:
    """A target that cannot be loaded is a wrong call, before anything is listed."""
    project = write_project(tmp_path, calm=PASSING)
    ended = labkit_here("list", "--target", "mine", folder=project)
    assert (ended.exit_code, ended.stdout) == (2, "")
    assert "must have the form 'package.module:Class'" in ended.stderr


def test_list_tells_of_a_broken_notebook_after_the_others(tmp_path: Path) -> None:
    """What can be read is listed; what cannot is an error."""
    project = write_project(tmp_path, calm=PASSING)
    (project / "notebooks" / "broken.ipynb").write_text("{")
    ended = labkit_here("list", "--json", folder=project)
    assert ended.exit_code == 2
    assert [area["name"] for area in json.loads(ended.stdout)["areas"]] == ["calm"]
    assert "broken.ipynb is not a notebook" in ended.stderr


def test_services_are_held_between_commands(tmp_path: Path, own: Mapping[str, str]) -> None:
    """`up`, `status` and `down` agree with each other, and show neither password nor URL."""
    steps = [("status", 3), ("up", 0), ("up", 0), ("status", 0), ("down", 0), ("status", 3)]
    told = []
    for step, code in steps:
        ended = labkit("services", step, folder=tmp_path, environment=own)
        assert ended.returncode == code, ended.stderr
        told.append(ended.stdout)
    assert [text.split()[0] for text in told] == [
        "down:",
        "started",
        "already",
        "up",
        "ended",
        "down:",
    ]
    assert "(shared)" in told[1]
    assert "://" not in "".join(told)


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
def lab_running(folder: Path, own: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    """`labkit lab` on a project, a program of ours in JupyterLab's place, once that is ready."""
    project = write_project(folder / "project", calm=PASSING)
    (folder / "jupyterlab").mkdir()
    (folder / "jupyterlab" / "__init__.py").touch()
    (folder / "jupyterlab" / "__main__.py").write_text(JUPYTERLAB)
    with subprocess.Popen(
        # As a shell starts what ends with `&` in a script.
        ["/bin/sh", "-c", 'trap "" INT; exec "$@"', "sh", *COMMAND, "lab", "--no-browser", "-x"],
        cwd=project,
        env={**own, "PYTHONPATH": str(folder), "SEEN": str(folder / "seen.json")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "ready\n"
        yield running


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


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("a"), 2),
        (TargetError("a"), 2),
        (InfrastructureError("a"), 3),
        (Denied("a"), 1),
        (LabError("a"), 1),
        (KeyboardInterrupt(), 4),
        (ZeroDivisionError("a"), 3),
    ],
)
def test_each_kind_of_error_has_its_exit_code(error: BaseException, code: int) -> None:
    """What a command raises becomes one line that begins with `Error:`."""

    @click.command("fails")
    def fails() -> None:
        raise error

    door = type(cli.door)("door", commands=[fails])
    ended = CliRunner().invoke(door, ["fails"])
    assert ended.exit_code == code
    assert ended.stderr.startswith("Error: ")
    assert ended.stderr.count("\n") == 1


def test_the_overview_of_the_commands_is_not_cut_off() -> None:
    """On 80 columns each command has one line, and it ends as a sentence; `-h` works for each."""
    shown = CliRunner().invoke(cli.door, ["--help"], terminal_width=80).stdout
    lines = shown.partition("Commands:\n")[2].splitlines()
    assert [line.split()[0] for line in lines] == sorted(cli.door.commands)
    assert [line for line in lines if not re.search(r"\w\.$", line)] == []
    for name in cli.door.commands:
        helped = CliRunner().invoke(cli.door, [name, "-h"])
        assert (helped.exit_code, helped.stdout[:6]) == (0, "Usage:")


@pytest.mark.parametrize("path", ["/usr/bin:/bin", None])
def test_init_tells_what_to_do_next(path: str | None, tmp_path: Path) -> None:
    """The printed line works as it stands, whether `labkit` is found by its name or not."""
    script = tmp_path / "bin" / "labkit"
    script.parent.mkdir()
    script.write_text(f"#!{sys.executable}\nfrom labkit.cli import main\nmain()\n")
    script.chmod(0o755)
    environment = variables(tmp_path / "cache", PATH=path or f"{script.parent}:/usr/bin:/bin")
    called = subprocess.run(
        [script.relative_to(tmp_path), "init", "my lab"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=DEADLINE_S,
    )
    line = called.stdout.splitlines()[-1].strip()
    name = str(script) if path else "labkit"
    assert line == f"cd 'my lab' && {name} run"
    ended = subprocess.run(
        ["/bin/sh", "-c", f"{line} no_such_area"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_S,
    )
    assert ended.stderr.startswith("Error: 'no_such_area' is neither an area"), ended.stderr


@pytest.mark.parametrize("arguments", [["--version"], ["run", "--help"], ["run", "--nonsense"]])
def test_what_does_no_work_imports_nothing_for_it(arguments: list[str]) -> None:
    """papermill, IPython, matplotlib and the drivers stay out until a command needs them."""
    script = (
        "import sys\nfrom labkit.cli import main\n"
        "try: main()\n"
        "except SystemExit: print(*sys.modules)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        capture_output=True,
        text=True,
        check=True,
        timeout=DEADLINE_S,
    )
    loaded = set(ended.stdout.splitlines()[-1].split())
    assert "labkit.cli" in loaded
    assert not loaded & {"papermill", "IPython", "matplotlib", "asyncpg", "redis", "rich"}
