"""What the README says is so."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click
import pytest

from labkit.cli import door
from labkit.records import Outcome
from labkit.targets.loading import load_target
from tests import notebook_files
from tests.command_line import labkit, labkit_here, variables

ROOT: Final = Path(__file__).parent.parent
README: Final = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES: Final = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def _line_after(marker: str) -> str:
    """The only line of the block that follows the marker."""
    [line] = re.findall(rf"^<!-- {marker} -->\n```sh\n(.*)\n```$", README, re.MULTILINE)
    return str(line)


def _table(head: str) -> list[str]:
    """The first cells of the table whose head begins so."""
    [rows] = re.findall(rf"^\| {head} \|.*\n\|[-|]+\n((?:\|.*\n)+)", README, re.MULTILINE)
    return [row.split("|")[1].strip() for row in rows.splitlines()]


def _commands() -> Iterator[tuple[str, ...]]:
    """The words after each `labkit`, in the blocks of commands and in running text."""
    text_alone = re.sub(r"^```.*?^```$", "", README, flags=re.MULTILINE | re.DOTALL)
    running = re.findall(r"`([^`\n]+)`", text_alone)
    for text in (*_blocks("sh"), *running):
        for words in re.findall(r"(?<![\w/.-])(?:\.venv/bin/)?labkit((?: +[\w-]+)*)", text):
            if words:
                yield tuple(words.split())


@pytest.mark.parametrize("marker", ["run command", "test command"])
def test_a_command_names_files_that_exist(marker: str) -> None:
    """One line sets up from a lock and the checkout, and ends with what it promises."""
    line = _line_after(marker)
    [lock] = re.findall(r"--require-hashes -r (\S+)", line)
    assert (ROOT / lock).is_file()
    assert line.startswith("python3 -m venv .venv && ")
    last = {"run command": "labkit run", "test command": "pytest -q -n 3 --dist worksteal"}[marker]
    assert line.endswith(f" && .venv/bin/{last}")


@pytest.mark.parametrize("words", sorted(set(_commands())), ids=" ".join)
def test_each_command_exists_with_its_options(words: tuple[str, ...]) -> None:
    """Whoever types what the README shows is not told that there is no such command."""
    command: click.Command = door
    rest = list(words)
    while rest and isinstance(command, click.Group):
        name = rest.pop(0)
        assert name in command.commands
        command = command.commands[name]
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in rest if word.startswith("-")} <= known


def test_commands_are_found_in_the_text() -> None:
    """The search for commands is not blind: it sees a block, running text, options and groups."""
    assert {("run",), ("doctor",), ("services", "down"), ("run", "AREA", "-p", "users", "20")} <= {
        *_commands()
    }


@pytest.mark.parametrize("page", PAGES)
def test_each_link_leads_to_a_file(page: str) -> None:
    """The pages' links and pictures within the repository are there."""
    links = re.findall(r"\]\(([^)#]+)\)", (ROOT / page).read_text(encoding="utf-8"))
    inside = [link for link in links if not link.startswith("https://")]
    assert [link for link in inside if not (ROOT / link).is_file()] == []


def test_the_exit_codes_are_those_of_the_command() -> None:
    """The table has the codes of `labkit --help` in its order, and begins with its words."""
    help_text = " ".join((door.help or "").split())
    told = re.findall(r"(\d) ([a-z ]+)", help_text.partition("Exit codes: ")[2])
    assert [code for code, _ in told] == _table("exit code") == list("012345")
    for code, words in told:
        assert f"\n| {code} | {words}" in README


def test_the_outcomes_are_those_of_the_records() -> None:
    """The table has every outcome that a check can have, once."""
    assert sorted(_table("outcome")) == sorted(Outcome)


def _ci(folder: Path, readme: str) -> subprocess.CompletedProcess[str]:
    """What `.ci/run` does in a folder that has this README and nothing else."""
    (folder / ".ci").mkdir()
    script = shutil.copy(ROOT / ".ci" / "run", folder / ".ci")
    (folder / "README.md").write_text(readme, encoding="utf-8")
    return subprocess.run(
        ["/usr/bin/env", "bash", script], capture_output=True, text=True, check=False, timeout=30
    )


def test_ci_does_not_pass_without_a_test_command(tmp_path: Path) -> None:
    """`.ci/run` takes the command from the README; one that it cannot find is an error."""
    ran = _ci(tmp_path, README.replace("<!-- test command -->", ""))
    assert ran.returncode == 1
    assert "README.md has no test command" in ran.stderr


def test_ci_stops_at_a_red_step_with_its_code(tmp_path: Path) -> None:
    """`.ci/run` runs the README's line as it stands; nothing after it hides that it failed."""
    ran = _ci(tmp_path, README.replace(_line_after("test command"), "echo pytest && exit 7"))
    assert (ran.returncode, ran.stdout.splitlines()[-1]) == (7, "pytest")


def test_the_example_is_a_check_that_passes(tmp_path: Path) -> None:
    """The cells that the README shows run as they stand there, in a project laid out by `init`."""
    parameters, opening, check, _ = _blocks("python")
    assert labkit_here("init", "mine", folder=tmp_path).exit_code == 0
    area = tmp_path / "mine" / "notebooks" / "my_area.ipynb"
    tagged = notebook_files.code(parameters, "parameters")
    cells = (opening, check, "await lab.close()")
    notebook_files.write(area, tagged, *map(notebook_files.code, cells))
    ran = labkit(
        *("run", "my_area"), folder=tmp_path / "mine", environment=variables(tmp_path / "cache")
    )
    assert (ran.returncode, ran.stderr.count("✓ passed title_survives")) == (0, 1), ran


def test_the_outline_of_a_platform_is_a_target(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The class that the README outlines is loaded as one, and says what it lacks."""
    *_, outline = _blocks("python")
    (tmp_path / "outlined_platform.py").write_text(outline, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    target = load_target("outlined_platform:Platform")
    assert (target.name, list(target.lacks)) == ("ours", ["cache"])
