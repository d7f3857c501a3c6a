"""Runs the real command in processes of its own, on projects that tests write."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from click.testing import CliRunner, Result
from nbformat import NotebookNode

from labkit.cli import door
from tests.notebook_files import code, markdown, write

COMMAND: Final = (sys.executable, "-P", "-m", "labkit")
"""As the installed command: without the working folder among the places to import from."""
DEADLINE_S: Final = 180
TARGET: Final = "labkit.reference:Platform"

PASSING: Final = (
    'async with lab.check("it_holds", "One is one") as check:\n'
    '    check.equal(1, 1, "one", reason="not-one")'
)
FAILING: Final = (
    'async with lab.check("it_fails", "One is two") as check:\n'
    '    check.equal(1, 2, "one", reason="not-two")'
)
WAITING: Final = (
    'async with lab.check("it_waits", "Nobody ends it") as check:\n'
    "    import asyncio\n"
    '    open("began", "w").write("yes")\n'
    "    await asyncio.Event().wait()"
)
"""Writes to the pipe `began` in the project and waits."""

LACKING: Final = """
from labkit.targets.protocols import Capability, Tables

class Mine:
    name = "mine"
    lacks = {Capability.CACHE: "it caches nothing", Capability.CONTEXTS_REVOKE: "nobody asked"}
    tables = Tables("users", "threads", "messages", "executions", "")
    data = cache = object()

    @staticmethod
    async def install(lease): ...
"""
"""A module with a target that says what it lacks."""


def variables(cache: Path, **more: str) -> dict[str, str]:
    """The variables here without settings of labkit, with a cache and `more`."""
    inherited = {name: text for name, text in os.environ.items() if not name.startswith("LABKIT_")}
    return {**inherited, "LABKIT_CACHE_DIR": str(cache), **more}


def labkit(
    *arguments: str, folder: Path, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """The command's exit code and what it wrote, once it has ended."""
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=folder,
        env=dict(environment),
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_S,
    )


def labkit_here(*arguments: str, folder: Path) -> Result:
    """The same in this process, for what needs neither signals, variables nor servers."""
    with contextlib.chdir(folder):
        return CliRunner().invoke(door, arguments, prog_name="labkit")


def write_project(root: Path, **checks: str) -> Path:
    """A project with a notebook for each keyword, which holds this one check."""
    (root / "notebooks").mkdir(parents=True)
    (root / "params").mkdir()
    (root / "params" / "test.yaml").write_text("environment: test\nsize: 3\n")
    for name, check in checks.items():
        write(root / "notebooks" / f"{name}.ipynb", *_cells(name, check))
    return root


def _cells(name: str, check: str) -> list[NotebookNode]:
    return [
        markdown(f"# The {name}"),
        markdown("- **Segment:** everybody\n- **Business goal:** peace", "business-value"),
        code(f'environment: str = "test"\ntarget: str = "{TARGET}"\nsize: int = 1', "parameters"),
        code(
            "from labkit.lab import Lab\n"
            f'lab = await Lab.open("{name}", environment=environment, target=target)'
        ),
        code(check),
        code("await lab.close()"),
    ]
