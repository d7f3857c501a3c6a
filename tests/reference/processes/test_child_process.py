"""A process is asked in turns, and what it answers to nobody goes to nobody else."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from labkit.errors import InfrastructureError, Rejected, ServiceUnavailable
from labkit.reference.processes.child_process import ChildProcess, ProcessLimits, has_ended
from tests.reference.stage import asynchronous
from tests.reference.works import until
from tests.services.owners import eventually, is_running

ECHO = """
import json, sys
from labkit.reference.processes.owner import Owner

owner = Owner.met()
owner.told({"first": owner.first})
for line in sys.stdin:
    asked = json.loads(line)
    if asked["ask"] == "die":
        raise SystemExit("its last words")
    if asked["ask"] == "wait":
        open(asked["until"]).read()
    print("a log")
    owner.told({"id": asked["id"], "answer": asked})
"""


@asynccontextmanager
async def echo(
    folder: Path, monkeypatch: pytest.MonkeyPatch, limits: ProcessLimits | None = None
) -> AsyncIterator[ChildProcess]:
    """A process that answers with what it was asked."""
    (folder / "labkit_echo.py").write_text(ECHO)
    monkeypatch.setattr(sys, "path", [*sys.path, str(folder)])
    process = await ChildProcess.start("labkit_echo", "hello", name="the echo", limits=limits)
    try:
        yield process
    finally:
        await process.stop()
        assert not is_running(process.pid)


def test_questions_at_once_get_their_own_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it was told first, and each question, come back; what it prints is a log."""

    @asynchronous
    async def ask() -> None:
        async with echo(tmp_path, monkeypatch) as process:
            assert process.ready == {"first": "hello\n"}
            names = [str(number) for number in range(5)]
            answers = await asyncio.gather(*(process.ask("name", name=name) for name in names))
            assert [answer["name"] for answer in answers] == names
            assert process.last_words.count("a log") == 5

    ask()


def test_an_answer_that_nobody_waits_for_goes_to_nobody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who is cancelled, or waits too long, leaves the next one's answer alone."""

    @asynchronous
    async def ask() -> None:
        held = tmp_path / "held"
        await (await asyncio.create_subprocess_exec("mkfifo", held)).wait()
        async with echo(tmp_path, monkeypatch, ProcessLimits(answer_s=60)) as process:
            hasty = asyncio.create_task(process.ask("wait", until=str(held)))
            patient = asyncio.create_task(process.ask("name", name="patient"))
            await asyncio.sleep(0)
            hasty.cancel()
            await asyncio.to_thread(held.write_text, "go on")
            assert (await patient)["name"] == "patient"

    ask()


def test_no_answer_in_time_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the name of the process."""

    @asynchronous
    async def ask() -> None:
        held = tmp_path / "held"
        await (await asyncio.create_subprocess_exec("mkfifo", held)).wait()
        limits = ProcessLimits(answer_s=0.05, stop_s=0.05)
        async with echo(tmp_path, monkeypatch, limits) as process:
            with pytest.raises(
                ServiceUnavailable, match=r"the echo .* did not answer within 0\.05"
            ):
                await process.ask("wait", until=str(held))

    ask()


def test_one_that_dies_of_a_question_is_told_with_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also to who asks later."""

    @asynchronous
    async def ask() -> None:
        async with echo(tmp_path, monkeypatch) as process:
            for _ in range(2):
                with pytest.raises(ServiceUnavailable, match="status 1: its last words"):
                    await process.ask("die")

    ask()


@asynchronous
async def test_a_module_that_is_not_there_does_not_start() -> None:
    """What Python says of it is told."""
    with pytest.raises(InfrastructureError, match=r"a ghost .* did not start: .*No module named"):
        await ChildProcess.start("labkit_ghost", "", name="a ghost")


def test_each_of_many_who_ask_one_that_stands_still_waits_no_longer_than_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their time counts from their question on, not from the one before; then it answers again."""

    @asynchronous
    async def ask() -> None:
        async with echo(tmp_path, monkeypatch, ProcessLimits(answer_s=1.0)) as process:
            os.kill(process.pid, signal.SIGSTOP)
            try:
                asked = [asyncio.create_task(process.ask("name")) for _ in range(4)]
                await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
                # One after the other would take each of them another second.
                _, waiting = await asyncio.wait(asked, timeout=0.5)
            finally:
                os.kill(process.pid, signal.SIGCONT)
            assert not waiting
            told = [one.exception() for one in asked]
            assert ["did not answer within 1 s" in str(one) for one in told] == [True] * 4
            assert {type(one) for one in told} == {ServiceUnavailable}

            async def answered() -> object:
                with suppress(ServiceUnavailable):  # it has four to answer before
                    return (await process.ask("name", name="again"))["name"]
                return None

            assert await until(answered) == "again"

    ask()


def test_an_answer_that_is_too_long_is_told_and_loses_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next question is answered, and the process stops in order."""

    @asynchronous
    async def ask() -> None:
        async with echo(tmp_path, monkeypatch) as process:
            with pytest.raises(Rejected, match="has no answer: it said what cannot be read"):
                await process.ask("name", name="x" * 3_000_000)
            assert (await process.ask("name", name="next"))["name"] == "next"
            await process.stop()
            assert not process.own_death

    ask()


def test_one_that_says_more_than_anybody_reads_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its pipe is read to its end, so that it can come to its own."""

    @asynchronous
    async def ask() -> None:
        async with echo(tmp_path, monkeypatch) as process:
            asked = asyncio.create_task(process.ask("name", name="x" * 5_000_000))
            await asyncio.sleep(0)
            asked.cancel()
        assert "is killed" not in caplog.text

    ask()


def test_a_death_is_seen_before_and_after_it_is_reaped() -> None:
    """Whoever asks need not be who reaps it; what lives has not ended, whose child it may be."""
    with subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"]) as process:
        assert not has_ended(process.pid)
        process.kill()
        assert eventually(lambda: has_ended(process.pid))
    assert has_ended(process.pid)
    assert not has_ended(os.getppid())
