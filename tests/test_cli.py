"""The command line: its help, its exit codes, and the sentence in which it tells an error."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from labkit import cli
from labkit.errors import Denied, InfrastructureError, LabError, TargetError, UsageError
from tests.command_line import DEADLINE_S, PASSING, labkit_here, variables, write_project


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
