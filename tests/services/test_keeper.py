"""The keeper: it ends with its owner, and carries out the will of one that was killed."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from labkit.errors import ServiceUnavailable
from labkit.services import keeper as module
from labkit.services.binaries import server_account
from labkit.services.keeper import ServerCommand, Will, keep
from tests.services.owners import eventually, is_running, kill, owner

OWNER = """
import asyncio, json, os, sys
from labkit.services.keeper import Will, keep
program = "import sys, pathlib; pathlib.Path(sys.argv[1]).write_text(sys.stdin.read())"
async def main():
    will = Will((sys.executable, "-c", program, sys.argv[1]), stdin="the last wish")
    async with keep(will=will) as keeper:
        print(json.dumps(str(keeper.folder)), flush=True)
        await asyncio.to_thread(sys.stdin.readline)
asyncio.run(main())
"""
SLEEPER = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);" + SLEEPER


def python(name: str, source: str) -> ServerCommand:
    """A server that is a few lines of Python, where everybody can run them."""
    return ServerCommand(name, (sys.executable, "-I", "-S", "-c", source), signal.SIGTERM)


def test_the_will_of_a_killed_owner_is_carried_out(tmp_path: Path) -> None:
    """An owner killed with SIGKILL has its will carried out, with its text as input."""
    wish = tmp_path / "wish"
    with owner(OWNER, str(wish)) as (process, folder):
        kill(process.pid)
        assert eventually(lambda: wish.exists() and wish.read_text() == "the last wish")
        assert eventually(lambda: not Path(folder).exists())


def test_an_owner_that_leaves_in_order_has_no_will(tmp_path: Path) -> None:
    """An owner that says goodbye cleans up by itself, so its will is not carried out."""
    with owner(OWNER, str(tmp_path / "wish")) as (process, folder):
        process.communicate("end\n")
        assert process.returncode == 0
        assert not Path(folder).exists()
    assert not (tmp_path / "wish").exists()


def test_an_error_leaves_in_order(tmp_path: Path) -> None:
    """A block left by an error still says goodbye."""
    will = Will((sys.executable, "-c", f"open({str(tmp_path / 'wish')!r}, 'w')"))

    async def scenario() -> None:
        async with keep(will=will):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        asyncio.run(scenario())
    assert not (tmp_path / "wish").exists()


def test_a_cancelled_owner_leaves_nothing() -> None:
    """A block that is cancelled waits until its keeper is gone."""

    async def scenario() -> Path:
        entered: asyncio.Future[Path] = asyncio.get_running_loop().create_future()

        async def hold() -> None:
            async with keep() as keeper:
                entered.set_result(keeper.folder)
                await asyncio.Event().wait()

        task = asyncio.create_task(hold())
        folder = await entered
        task.cancel()
        await asyncio.wait([task])
        return folder

    assert not asyncio.run(scenario()).exists()


def test_a_server_that_resists_is_killed() -> None:
    """A server that ignores its signal is killed after the deadline, and the folder deleted."""

    async def scenario() -> tuple[int, Path]:
        async with keep() as keeper:
            await keeper.start(python("stubborn", STUBBORN))
            log = keeper.folder / "stubborn.log"
            while not log.read_text().strip():
                await keeper.ensure_alive("stubborn")
            return int(log.read_text()), keeper.folder

    pid, folder = asyncio.run(scenario())
    assert not is_running(pid)
    assert not folder.exists()


def test_a_command_that_fails_tells_why() -> None:
    """A command's status and last words are in the error, and the keeper goes on."""
    failing = [sys.executable, "-I", "-S", "-c", "import sys; sys.exit('no such luck')"]

    async def scenario() -> None:
        async with keep() as keeper:
            with pytest.raises(ServiceUnavailable, match=r"status 1: no such luck"):
                await keeper.run(failing)
            with pytest.raises(ServiceUnavailable, match="FileNotFoundError"):
                await keeper.run(["/there/is/no/such/program"])
            await keeper.run([sys.executable, "-I", "-S", "-c", "pass"])

    asyncio.run(scenario())


def test_a_keeper_that_cannot_be_started_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its folder is not left behind."""
    monkeypatch.setattr(module, "scratch_folders", lambda *, executable: [tmp_path])  # noqa: ARG005
    monkeypatch.setattr(sys, "executable", str(tmp_path / "nothing"))

    async def start() -> None:
        async with keep():
            raise AssertionError("it was started")

    with pytest.raises(ServiceUnavailable, match=r"cannot be started: .*No such file"):
        asyncio.run(start())
    assert list(tmp_path.iterdir()) == []


def test_a_cancelled_order_does_not_shift_the_answers() -> None:
    """The answer to an order that nobody waits for any more is not taken for the next one's."""

    async def scenario() -> None:
        async with keep() as keeper:
            slow = asyncio.create_task(
                keeper.run([sys.executable, "-I", "-S", "-c", "import sys; sys.exit(3)"])
            )
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            slow.cancel()
            await asyncio.wait([slow])
            assert slow.cancelled()
            await keeper.run([sys.executable, "-I", "-S", "-c", "pass"])

    asyncio.run(scenario())


def test_servers_run_as_the_account() -> None:
    """A server runs as the account that was asked for, in a folder that is that account's."""
    account = server_account()

    async def scenario() -> None:
        async with keep(account=account) as keeper:
            await keeper.run(["/bin/sh", "-c", "id -u > who"])
            who = int((keeper.folder / "who").read_text())
            assert who == keeper.folder.stat().st_uid == (account.uid if account else os.getuid())

    asyncio.run(scenario())
