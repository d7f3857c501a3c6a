"""PostgreSQL and Redis of the lab's own, from start to a first answer, for as long as a block runs.

Both listen on a socket in a private folder, with a random password, and belong to a keeper, so that
they are gone when this process is gone, whatever ended it.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, TypeVar

from labkit.errors import ServiceUnavailable
from labkit.services.beside import beside
from labkit.services.binaries import (
    Account,
    Programs,
    find_postgres,
    find_redis,
    server_account,
)
from labkit.services.cluster import (
    POSTGRES,
    SUPERUSER,
    postgres_command,
    provide_cluster,
    server_version,
)
from labkit.services.connect import postgres_session
from labkit.services.endpoints import Origin, Server, Services
from labkit.services.keeper import Keeper, ServerCommand, keep
from labkit.services.scram import scram_verifier
from labkit.services.urls import Host, PostgresUrl, RedisUrl
from labkit.services.versions import greet_redis, postgres_version

_START_DEADLINE_S: Final = 30.0
_PAUSE_S: Final = 0.004
"""Between two looks at a server that is starting: it has no event to wait for."""

_PORT: Final = 5432
"""A part of the socket's name; the client would otherwise take it from PGPORT."""

_REDIS: Final = "redis"
_T = TypeVar("_T")


@dataclass(frozen=True)
class Launch:
    """What it takes to start a server: the programs, in a keeper's hands, and a deadline."""

    keeper: Keeper
    account: Account | None
    deadline_s: float

    async def reachable(self, programs: Programs) -> Programs:
        """The programs themselves, or a copy where the servers' user cannot come to them."""
        if self.account is None or programs.are_open_to(self.account):
            return programs
        folder = self.keeper.folder / f"programs-{programs.server}"
        return await beside(programs.copied, folder, self.account)

    async def first_answer(self, name: str, ask: Callable[[], Awaitable[_T]]) -> _T:
        """What a starting server answers first; `ServiceUnavailable` with its log if nothing."""
        try:
            async with asyncio.timeout(self.deadline_s):
                while True:
                    with contextlib.suppress(ServiceUnavailable):
                        return await ask()
                    await self.keeper.ensure_alive(name)
                    await asyncio.sleep(_PAUSE_S)
        except TimeoutError as error:
            text = f"{name} did not answer within {self.deadline_s} s"
            raise ServiceUnavailable(f"{text}: {self.keeper.last_words(name)}") from error


@asynccontextmanager
async def _launch(*programs: Programs, deadline_s: float) -> AsyncIterator[Launch]:
    account = server_account()
    must_copy = not all(each.are_open_to(account) for each in programs)
    async with keep(account=account, executable=must_copy, ahead=True) as keeper:
        yield Launch(keeper, account, deadline_s)


@asynccontextmanager
async def embedded_services(
    cache: Path, *, environment: Mapping[str, str], deadline_s: float = _START_DEADLINE_S
) -> AsyncIterator[Services]:
    """A PostgreSQL and a Redis that answer, started side by side, gone when the block is left.

    An initialised cluster is taken from `cache`, or put there; `environment` says where programs
    are looked for (`PATH`). Raises `ServiceUnavailable` when a server cannot be found, started, or
    does not answer within `deadline_s` seconds, with the last lines of its log.
    """
    postgres, redis = find_postgres(environment), find_redis(environment)
    async with (
        _version_of(postgres) as version,
        _launch(postgres, redis, deadline_s=deadline_s) as launch,
    ):
        try:
            async with asyncio.TaskGroup() as group:
                # Redis first: the keeper does one thing at a time, and initdb takes it longer.
                starting_redis = group.create_task(_start_redis(launch, redis))
                starting_postgres = group.create_task(
                    _start_postgres(launch, postgres, version, cache)
                )
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None
        yield Services(starting_postgres.result()[0], starting_redis.result())


@asynccontextmanager
async def embedded_postgres(
    cache: Path, *, environment: Mapping[str, str], deadline_s: float = _START_DEADLINE_S
) -> AsyncIterator[Server]:
    """A PostgreSQL alone; takes and raises as `embedded_services`."""
    async with crashable_postgres(cache, environment=environment, deadline_s=deadline_s) as own:
        yield own.server


@asynccontextmanager
async def embedded_redis(
    *, environment: Mapping[str, str], deadline_s: float = _START_DEADLINE_S
) -> AsyncIterator[Server]:
    """A Redis alone; takes and raises as `embedded_services`."""
    programs = find_redis(environment)
    async with _launch(programs, deadline_s=deadline_s) as launch:
        yield await _start_redis(launch, programs)


@asynccontextmanager
async def _version_of(programs: Programs) -> AsyncIterator[Awaitable[str]]:
    """What a PostgreSQL says of its version, asked while the keeper starts."""
    asking = asyncio.create_task(asyncio.to_thread(server_version, programs))
    try:
        yield asking
    finally:
        # Who left early by an error has no use for another one.
        await asyncio.gather(asking, return_exceptions=True)


async def _start_postgres(
    launch: Launch, programs: Programs, version: Awaitable[str], cache: Path
) -> tuple[Server, ServerCommand]:
    """The server, with a superuser's password that is this run's alone, and how it was started."""
    keeper = launch.keeper
    programs = await launch.reachable(programs)
    providing = provide_cluster(keeper, programs, await version, launch.account, cache)
    async with providing as cluster:
        command = postgres_command(keeper, programs, cluster)
        await keeper.start(command)
        first = PostgresUrl((Host(str(keeper.folder), _PORT),)).login(
            SUPERUSER, cluster.initial_password, "postgres"
        )
        url = first.login(SUPERUSER, secrets.token_hex(24), "postgres")
        server = await launch.first_answer(POSTGRES, lambda: _taken_over(first, url))
    return server, command


async def _taken_over(old: PostgresUrl, new: PostgresUrl) -> Server:
    """The server, with a new password for who was logged in with the old one."""
    verifier = scram_verifier(new.password or "")
    async with postgres_session(old, doing="take over the server") as session:
        await session.execute(f"ALTER ROLE {SUPERUSER} PASSWORD '{verifier}'")
        return Server(new.secret, await postgres_version(session, Origin.EMBEDDED))


async def _start_redis(launch: Launch, programs: Programs) -> Server:
    programs = await launch.reachable(programs)
    password = secrets.token_hex(24)
    socket = launch.keeper.folder / "redis.sock"
    url = RedisUrl(Host(str(socket))).login("default", password)
    await launch.keeper.start(_redis_command(programs, socket, password))
    return await launch.first_answer(_REDIS, lambda: greet_redis(url, Origin.EMBEDDED))


def _redis_command(programs: Programs, socket: Path, password: str) -> ServerCommand:
    """A server that keeps nothing; its settings, and thereby the password, come by its input."""
    settings = [
        "port 0",
        f'unixsocket "{socket}"',
        "unixsocketperm 700",
        f"requirepass {password}",
        'save ""',
        "appendonly no",
        f'dir "{socket.parent}"',
    ]
    argv = (str(programs.server_path), "-")
    return ServerCommand(_REDIS, argv, signal.SIGTERM, "\n".join([*settings, ""]))


class CrashablePostgres:
    """A PostgreSQL that can be killed and brought back on the same data."""

    def __init__(self, launch: Launch, server: Server, command: ServerCommand) -> None:
        self._launch = launch
        self._command = command
        self.server = server

    async def crash(self) -> int:
        """Kill all processes of the server with SIGKILL before any can flush; how many there were.

        All are stopped first, so that none sees another die. Raises `ServiceUnavailable` when
        there was none to kill, or one is still there afterwards.
        """
        pids = await self._launch.keeper.crash(POSTGRES)
        if not pids:
            raise ServiceUnavailable("there is no PostgreSQL to crash: it has ended before")
        return len(pids)

    async def restart(self) -> None:
        """Start the server again and wait until it has recovered and answers."""
        await self._launch.keeper.start(self._command)
        await self._launch.first_answer(POSTGRES, self.started_at)

    async def started_at(self) -> datetime:
        """When the server says that it was started; another after each restart."""
        url = PostgresUrl.parse(self.server.url.reveal())
        async with postgres_session(url, doing="ask for the server's start") as session:
            started: datetime = await session.fetchval("SELECT pg_postmaster_start_time()")
            return started


@asynccontextmanager
async def crashable_postgres(
    cache: Path, *, environment: Mapping[str, str], deadline_s: float = _START_DEADLINE_S
) -> AsyncIterator[CrashablePostgres]:
    """A PostgreSQL of the block's own, to be killed; takes and raises as `embedded_services`."""
    programs = find_postgres(environment)
    async with _version_of(programs) as version, _launch(programs, deadline_s=deadline_s) as launch:
        server, command = await _start_postgres(launch, programs, version, cache)
        yield CrashablePostgres(launch, server, command)
