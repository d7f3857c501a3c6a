"""A program of the lab's is the same to who starts it, forked or not."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from labkit.warm.programs import COVERAGE, DOOR, Program, launcher, start_program
from tests.services.owners import eventually, is_running
from tests.warm.stage import Warm

ECHO = """
import os, sys
print(os.environ["SHADE"], os.getcwd(), flush=True)
for line in sys.stdin:
    if line == "fail\\n":
        raise SystemExit("its last words")
    print(line.upper(), end="", flush=True)
"""


@pytest.fixture(params=["forked", "started"])
def folder(
    request: pytest.FixtureRequest, warm: Warm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A folder with a program, `labkit_echo`, in a process that has a warm one near, or none."""
    (tmp_path / "labkit_echo.py").write_text(ECHO)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SHADE", "blue")
    if request.param == "forked":
        monkeypatch.setenv(DOOR, str(warm.door))
    return tmp_path


def with_program(work: Callable[[Program, Callable[[], bytes]], Coroutine[Any, Any, None]]) -> None:
    """Work with the program and a look at its standard error."""

    async def go() -> None:
        with tempfile.TemporaryFile() as errors:
            program = await start_program("labkit_echo", errors=errors)
            try:
                await work(program, lambda: os.pread(errors.fileno(), 1_000, 0))
            finally:
                assert program.stdin is not None
                program.stdin.close()
                async with asyncio.timeout(30):
                    await program.wait()
        assert eventually(lambda: not is_running(program.pid))

    asyncio.run(go())


def test_it_is_asked_and_answers_in_its_starters_place(folder: Path) -> None:
    """Environment, working folder and imports are those of who starts it; its end is told."""

    async def work(program: Program, _errors: Callable[[], bytes]) -> None:
        assert program.stdin is not None
        assert program.stdout is not None
        assert await program.stdout.readline() == f"blue {folder}\n".encode()
        program.stdin.write(b"one\n")
        assert await program.stdout.readline() == b"ONE\n"
        assert os.getpgid(program.pid) == os.getsid(program.pid) == program.pid
        assert program.returncode is None
        program.stdin.write(b"fail\n")
        assert await program.wait() == 1
        assert program.returncode == 1

    with_program(work)


def test_its_last_words_are_in_the_file(folder: Path) -> None:
    """What it complains of is there when it has ended, and not on its standard output."""
    assert (folder / "labkit_echo.py").exists()

    async def work(program: Program, errors: Callable[[], bytes]) -> None:
        assert program.stdin is not None
        assert program.stdout is not None
        program.stdin.write(b"fail\n")
        assert (await program.stdout.read()).count(b"\n") == 1
        assert await program.wait() == 1
        assert errors() == b"its last words\n"

    with_program(work)


def test_one_that_is_killed_says_so(folder: Path) -> None:
    """As `subprocess` does: by the number of the signal."""
    assert (folder / "labkit_echo.py").exists()

    async def work(program: Program, _errors: Callable[[], bytes]) -> None:
        os.kill(program.pid, 9)
        assert await program.wait() == -9

    with_program(work)


def test_a_door_that_nobody_opens_is_a_reason_to_start_cold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The program runs, and why it was not forked is logged."""
    (tmp_path / "labkit_echo.py").write_text(ECHO)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    monkeypatch.setenv("SHADE", "blue")
    monkeypatch.setenv(DOOR, str(tmp_path / "nobody"))

    async def work(program: Program, _errors: Callable[[], bytes]) -> None:
        assert program.stdout is not None
        assert (await program.stdout.readline()).startswith(b"blue ")

    with_program(work)
    assert "labkit_echo starts cold: the warm process at " in caplog.text


def test_coverage_is_measured_where_the_environment_says_so() -> None:
    """The interpreter is told to run coverage.py, and that to run the module."""
    assert launcher("shop", {}) == ("-m", "shop")
    measured = ("-m", "coverage", "run", "--rcfile=settings.ini", "-m", "shop")
    assert launcher("shop", {COVERAGE: "settings.ini"}) == measured
