"""Embedded servers: they answer, they are private, and they are gone with their owner."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import subprocess
from pathlib import Path

import asyncpg
import pytest
from redis.asyncio import Redis

from labkit.errors import ServiceUnavailable
from labkit.services.embedded import crashable_postgres, embedded_services
from labkit.services.endpoints import Origin, Services
from labkit.services.keeper_process import _children_of, _processes
from tests.services.owners import (
    eventually,
    folder_in,
    folder_of,
    is_running,
    kill,
    none_runs,
    owner,
    postmaster_of,
)

OWNER = """
import asyncio, json, os, sys
from pathlib import Path
from labkit.services.embedded import embedded_services
async def main():
    async with embedded_services(Path(sys.argv[1]), environment=os.environ) as services:
        print(json.dumps(services.postgres.url.reveal()), flush=True)
        await asyncio.sleep(60)
asyncio.run(main())
"""


# Other than backends of sessions that were closed, which may end a while later.
STAYING = """
SELECT count(*) FROM pg_stat_activity
WHERE backend_type NOT IN ('client backend', 'autovacuum worker') OR pid = pg_backend_pid()
"""


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for all tests here, so that `initdb` runs once."""
    return tmp_path_factory.mktemp("cache")


async def redis_pid(services: Services) -> int:
    """The process of the embedded Redis."""
    async with Redis.from_url(services.redis.url.reveal()) as redis:
        return int((await redis.info("server"))["process_id"])


def test_servers_answer_and_leave_nothing(cache: Path) -> None:
    """Both servers answer inside the block; after it no process and no folder is left."""

    async def scenario() -> None:
        async with embedded_services(cache, environment=os.environ) as services:
            folder = folder_of(services)
            pids = [postmaster_of(folder), await redis_pid(services)]
            children = _children_of(pids[0])  # with a backend, perhaps, that is about to end
            connection = await asyncpg.connect(services.postgres.url.reveal())
            assert await connection.fetchval("SELECT 6 * 7") == 42
            await connection.close()
            assert all(map(is_running, pids))
        assert none_runs(pids + children)
        assert not folder.exists()

    asyncio.run(scenario())


def test_an_error_in_the_block_stops_the_servers(cache: Path) -> None:
    """An error that leaves the block comes through, and the servers are stopped all the same."""
    folders = []

    async def scenario() -> None:
        async with embedded_services(cache, environment=os.environ) as services:
            folders.append(folder_of(services))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        asyncio.run(scenario())
    assert not folders[0].exists()


def test_servers_are_named_as_what_they_are(cache: Path) -> None:
    """The versions are those that the servers tell, and Valkey is not called Redis."""

    async def scenario() -> None:
        async with embedded_services(cache, environment=os.environ) as services:
            connection = await asyncpg.connect(services.postgres.url.reveal())
            told = await connection.fetchval("SHOW server_version")
            await connection.close()
            async with Redis.from_url(services.redis.url.reveal()) as redis:
                facts = await redis.info("server")
        assert services.postgres.version.product == "PostgreSQL"
        assert told.startswith(services.postgres.version.version)
        assert (services.redis.version.product == "Valkey") == ("valkey_version" in facts)
        assert services.redis.version.version in {
            facts.get("valkey_version"),
            facts["redis_version"],
        }
        assert {services.postgres.version.origin, services.redis.version.origin} == {
            Origin.EMBEDDED
        }

    asyncio.run(scenario())


def test_settings_are_durable_and_private(cache: Path) -> None:
    """The server writes durably, listens on no address, and wants a password on its socket."""
    wanted = {
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        "listen_addresses": "",
        "server_encoding": "UTF8",
    }

    async def scenario() -> None:
        async with embedded_services(cache, environment=os.environ) as services:
            url = services.postgres.url.reveal()
            connection = await asyncpg.connect(url)
            found = {name: await connection.fetchval(f"SHOW {name}") for name in wanted}
            await connection.close()
            assert wanted == found
            assert folder_of(services).stat().st_mode & 0o777 == 0o700
            with pytest.raises(asyncpg.InvalidPasswordError):
                await asyncpg.connect(url, password="another")
            initial = (folder_of(services) / "cluster/password").read_text()
            with pytest.raises(asyncpg.InvalidPasswordError):
                await asyncpg.connect(url, password=initial)

    asyncio.run(scenario())


def test_secrets_are_not_in_any_argument_list(cache: Path) -> None:
    """What `ps` shows to everybody has neither password in it."""

    async def scenario() -> None:
        async with embedded_services(cache, environment=os.environ) as services:
            folder = folder_of(services)
            pids = [postmaster_of(folder), await redis_pid(services), os.getpid()]
            pids += [pid for parent in pids for pid in _children_of(parent)]
            shown = "".join(map(arguments_of, pids))
            assert str(folder) in shown
            for server in (services.postgres, services.redis):
                assert server.url.reveal().split(":")[2].split("@")[0] not in shown

    asyncio.run(scenario())


def arguments_of(pid: int) -> str:
    """What a list of processes shows of one."""
    if Path("/proc/self").exists():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
            return Path(f"/proc/{pid}/cmdline").read_text()
        return ""
    command = ["/bin/ps", "-o", "args=", "-p", str(pid)]
    return subprocess.run(command, capture_output=True, check=False, text=True).stdout


def test_servers_do_not_run_as_root(cache: Path) -> None:
    """A file that PostgreSQL writes never belongs to root, whoever runs the lab."""

    async def scenario() -> None:
        async with embedded_services(cache, environment=os.environ) as services:
            written = folder_of(services) / "cluster/written"
            connection = await asyncpg.connect(services.postgres.url.reveal())
            await connection.execute(f"COPY (SELECT 1) TO '{written}'")
            await connection.close()
            assert written.stat().st_uid == folder_of(services).stat().st_uid != 0
            assert (folder_of(services) / "redis.sock").stat().st_uid != 0

    asyncio.run(scenario())


def test_servers_vanish_with_a_killed_owner(cache: Path) -> None:
    """An owner that is killed with SIGKILL leaves no server and no folder behind."""
    with owner(OWNER, str(cache)) as (process, url):
        folder = folder_in(url)
        postmaster = postmaster_of(folder)
        pids = [postmaster, *_children_of(postmaster), *_children_of(process.pid)]
        kill(process.pid)
        assert eventually(lambda: none_runs(pids) and not folder.exists())


def test_a_killed_keeper_is_cleaned_up_after(cache: Path) -> None:
    """A keeper that is killed takes its servers along, and the next one deletes its folder.

    That may be the keeper of somebody else, who is still deleting then.
    """

    async def scenario() -> None:
        with owner(OWNER, str(cache)) as (_, url):
            folder = folder_in(url)
            postmaster = postmaster_of(folder)
            pids = [postmaster, *_children_of(postmaster)]
            key = int((folder / "cluster/data/postmaster.pid").read_text().split()[-3])
            assert has_shared_memory(key)
            kill(dict(_processes())[postmaster])
            assert eventually(lambda: none_runs(pids))
            async with embedded_services(cache, environment=os.environ) as services:
                assert eventually(lambda: not folder.exists())
                assert folder_of(services).exists()
                assert eventually(lambda: not has_shared_memory(key))

    asyncio.run(scenario())


def has_shared_memory(key: int) -> bool:
    """Whether the system knows a segment of this key."""
    return int(ctypes.CDLL(None).shmget(ctypes.c_int(key), 0, 0)) != -1


def test_a_crash_keeps_what_was_acknowledged(cache: Path) -> None:
    """A commit that was acknowledged is there after a crash; an open transaction is not."""

    async def scenario() -> None:
        async with crashable_postgres(cache, environment=os.environ) as postgres:
            url = postgres.server.url.reveal()
            before = await postgres.started_at()
            connection = await asyncpg.connect(url)
            await connection.execute("CREATE TABLE kept (value int)")
            await connection.execute("INSERT INTO kept VALUES (1)")
            await connection.execute("BEGIN; INSERT INTO kept VALUES (2)")
            folder = folder_in(url)
            postmaster = postmaster_of(folder)
            pids = [postmaster, *_children_of(postmaster)]
            staying = await connection.fetchval(STAYING)
            assert await postgres.crash() >= 1 + staying
            assert none_runs(pids)
            connection.terminate()
            with pytest.raises(ServiceUnavailable, match="ended before"):
                await postgres.crash()
            await postgres.restart()
            assert await postgres.started_at() > before
            connection = await asyncpg.connect(url)
            assert [tuple(row) for row in await connection.fetch("TABLE kept")] == [(1,)]
            await connection.close()
        assert not folder.exists()

    asyncio.run(scenario())


def test_a_server_that_ends_tells_why(cache: Path) -> None:
    """A server that ends instead of answering is reported with its status and its last words."""

    async def scenario() -> None:
        async with crashable_postgres(cache, environment=os.environ) as postgres:
            await postgres.crash()
            folder = folder_in(postgres.server.url.reveal())
            (folder / "cluster/data/PG_VERSION").write_text("7\n")
            with pytest.raises(ServiceUnavailable, match=r"postgres ended .* database files"):
                await postgres.restart()

    asyncio.run(scenario())


def test_a_deadline_that_passes_is_reported(cache: Path) -> None:
    """A server that has not answered by the deadline is named, and nothing of it is left."""

    async def scenario() -> None:
        async with embedded_services(cache, environment=os.environ, deadline_s=0.0):
            raise AssertionError

    with pytest.raises(ServiceUnavailable, match=r"did not answer within 0\.0 s"):
        asyncio.run(scenario())
