"""Servers that stay up between runs, for interactive work: `labkit services up`, `status`, `down`.

`up` starts a supervisor, a process of its own that holds embedded servers and is their owner; it
ends by `down`, or when nobody has used the servers for a long time. What it holds stands in a state
file that its user alone can read, for it contains passwords. The supervisor keeps that very file
locked, so a state is true as long as its lock is held; a process id alone would prove nothing, for
the system uses them again.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import labkit
from labkit.environment import IsolatedEnvironment
from labkit.errors import InfrastructureError, ServiceUnavailable
from labkit.records import ServiceVersion, from_json
from labkit.redaction import Secret
from labkit.services.connect import (
    PostgresConnection,
    RedisConnection,
    postgres_session,
    redis_session,
)
from labkit.services.embedded import embedded_services
from labkit.services.endpoints import Origin, Server, Services
from labkit.services.urls import PostgresUrl, RedisUrl

DEFAULT_IDLE_S: Final = 8 * 3600.0
"""How long nobody may use the servers before their supervisor ends."""

_UP_DEADLINE_S: Final = 180.0
"""Longer than `initdb`, and the servers' first answers after it, may take."""
_DOWN_DEADLINE_S: Final = 20.0
_LOCK_PATIENCE_S: Final = 1.0
"""Readers hold the lock for moments; a supervisor that starts waits that long for them."""

_LONGEST_PAUSE_S: Final = 60.0
_PAUSE_S: Final = 0.02
_STARTED: Final = "started"
_ANOTHER: Final = "another"
_BOOTSTRAP: Final = (
    "import sys; sys.path.append(sys.argv[1]);"
    "from labkit.services.supervisor import main; main(*sys.argv[2:])"
)


@dataclass(frozen=True)
class Holding:
    """What a living supervisor holds."""

    services: Services
    pid: int
    started_at: float
    """Seconds since the epoch."""
    used_at: float
    """When the servers were last seen in use, in seconds since the epoch."""
    idle_s: float
    """After how many seconds without use the supervisor ends."""


@dataclass(frozen=True)
class Raised:
    """The answer to `up`: what is held, and whether this call started it."""

    holding: Holding
    started: bool


def shared_services(cache: Path) -> Services | None:
    """The servers that a living supervisor holds; None when there is none."""
    holding = status(cache)
    return holding.services if holding else None


def status(cache: Path) -> Holding | None:
    """What a living supervisor holds, or None; the state that a dead one left is removed.

    Raises `ServiceUnavailable` when that cannot be read.
    """
    state, lock = _paths(cache)
    try:
        file = state.open()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unusable(cache, error) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _holding(json.load(file), os.fstat(file.fileno()).st_mtime)
    with _locked(lock, patience_s=0) as nobody_starts:
        if nobody_starts:
            state.unlink(missing_ok=True)
    return None


def up(cache: Path, *, environment: Mapping[str, str], idle_s: float = DEFAULT_IDLE_S) -> Raised:
    """Start a supervisor unless there is one, and wait until its servers answer.

    Of several calls at once, one starts it and the others report it. Raises `ServiceUnavailable`
    when the servers do not start.
    """
    deadline = time.monotonic() + _UP_DEADLINE_S
    holding, started = status(cache), False
    while holding is None:
        started = _start_supervisor(cache, environment, idle_s)
        time.sleep(0 if started else _PAUSE_S)
        holding = status(cache)
        if holding is None and time.monotonic() >= deadline:
            raise _too_late(cache)
    return Raised(holding, started)


def down(cache: Path) -> bool:
    """End the supervisor and wait until its servers are gone; False when there was none.

    Raises `InfrastructureError` when it does not end.
    """
    holding = status(cache)
    if holding is None:
        return False
    os.kill(holding.pid, signal.SIGTERM)
    with _locked(_paths(cache)[1], patience_s=_DOWN_DEADLINE_S) as gone:
        if gone:
            return True
    text = f"the supervisor, process {holding.pid}, did not end within {_DOWN_DEADLINE_S:.0f} s"
    raise InfrastructureError(f"{text}; see {_paths(cache)[0].with_name('log')}")


def _paths(cache: Path) -> tuple[Path, Path]:
    """The state, and the lock that a supervisor holds from before its start to after its end."""
    return cache / "shared" / "state.json", cache / "shared" / "lock"


@contextmanager
def _locked(path: Path, *, patience_s: float) -> Iterator[bool]:
    """Hold a lock, or learn that another process still holds it after `patience_s` seconds."""
    deadline = time.monotonic() + patience_s
    with path.open("a") as file:
        while not (mine := _try_lock(file.fileno())) and time.monotonic() < deadline:
            time.sleep(_PAUSE_S)
        yield mine


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _unusable(cache: Path, error: OSError) -> ServiceUnavailable:
    text = f"the lab's cache {cache} cannot be used: {error.strerror}"
    return ServiceUnavailable(f"{text}; name another folder in LABKIT_CACHE_DIR")


def _too_late(cache: Path) -> ServiceUnavailable:
    text = f"the shared services did not start within {_UP_DEADLINE_S:.0f} s"
    return ServiceUnavailable(f"{text}; see {_paths(cache)[0].with_name('log')}")


def _start_supervisor(cache: Path, environment: Mapping[str, str], idle_s: float) -> bool:
    """Start a supervisor; True when its servers answer, False when another was first.

    It leaves its parent at once and keeps the pipe open until it has something to say, so that
    waiting for the pipe's end is waiting for its start.
    """
    folder = _paths(cache)[0].parent
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        log = os.open(folder / "log", os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
    except OSError as error:
        raise _unusable(cache, error) from error
    root = str(Path(labkit.__file__).parents[1])
    argv = [sys.executable, "-c", _BOOTSTRAP, root, str(cache.absolute()), str(idle_s)]
    try:
        told = subprocess.run(
            argv,
            env=dict(environment),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            check=False,
            timeout=_UP_DEADLINE_S,
        ).stdout
    except subprocess.TimeoutExpired as error:
        raise _too_late(cache) from error
    finally:
        os.close(log)
    if told in {_STARTED, _ANOTHER}:
        return told == _STARTED
    text = f"the shared services did not start; see {folder / 'log'}"
    raise ServiceUnavailable(f"{text}: {told}" if told else text)


def main(cache_path: str, idle_s: str) -> None:
    """Be the supervisor: leave the parent, hold the servers, say `started`, end when told to."""
    if os.fork():
        os._exit(0)
    os.setsid()
    cache = Path(cache_path)
    with _locked(_paths(cache)[1], patience_s=_LOCK_PATIENCE_S) as mine:
        if not mine:
            _tell(_ANOTHER)
            return
        os.ftruncate(2, 0)  # the log of the last one is of no more use
        try:
            asyncio.run(_hold(cache, float(idle_s)))
        except InfrastructureError as error:
            _tell(str(error))
            raise


def _tell(text: str) -> None:
    """Say the one thing that the starter waits for, and close the pipe to it."""
    os.write(1, text.encode())
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)


async def _hold(cache: Path, idle_s: float) -> None:
    told_to_end = asyncio.Event()
    for ending in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(ending, told_to_end.set)
    environment = IsolatedEnvironment.of_process().as_mapping()
    async with embedded_services(cache, environment=environment) as services:
        with _published(_paths(cache)[0], services, idle_s) as state:
            _tell(_STARTED)
            await _until_unused(services, state, idle_s, told_to_end)


@contextmanager
def _published(path: Path, services: Services, idle_s: float) -> Iterator[int]:
    """The state file while the block runs, locked from before it can be seen; its descriptor."""
    staged = path.with_suffix(".new")
    staged.unlink(missing_ok=True)
    descriptor = os.open(staged, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        os.write(descriptor, json.dumps(_state(services, idle_s)).encode())
        staged.rename(path)
        yield descriptor
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


async def _until_unused(
    services: Services, state: int, idle_s: float, told_to_end: asyncio.Event
) -> None:
    """Wait until told to end, or until the servers saw no client but this one for `idle_s`.

    The state file's time of change is when they were last seen in use.
    """
    postgres_url = PostgresUrl.parse(services.postgres.url.reveal())
    redis_url = RedisUrl.parse(services.redis.url.reveal())
    pause_s = min(_LONGEST_PAUSE_S, idle_s / 10)
    async with (
        postgres_session(postgres_url, doing="watch the clients") as postgres,
        redis_session(redis_url, doing="watch the clients") as redis,
    ):
        seen, used_at = await _use(postgres, redis), time.monotonic()
        while time.monotonic() - used_at < idle_s and not told_to_end.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(told_to_end.wait(), pause_s)
            now = await _use(postgres, redis)
            if now != seen or now.clients:
                used_at = time.monotonic()
                os.utime(state)
            seen = now


@dataclass(frozen=True)
class _Use:
    clients: int
    """How many others are connected."""
    connections: int
    """How many connections there have ever been."""


async def _use(postgres: PostgresConnection, redis: RedisConnection) -> _Use:
    row = await postgres.fetchrow(
        "SELECT (SELECT count(*) FROM pg_stat_activity"
        " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()),"
        " (SELECT sum(sessions)::bigint FROM pg_stat_database)"
    )
    told = "".join([await redis.command("INFO", part) for part in ("clients", "stats")])
    facts = dict(line.split(":", 1) for line in told.splitlines() if ":" in line)
    clients, sessions = row or (0, 0)
    return _Use(
        clients + int(facts["connected_clients"]) - 1,
        sessions + int(facts["total_connections_received"]),
    )


def _state(services: Services, idle_s: float) -> dict[str, Any]:
    servers = {"postgres": services.postgres, "redis": services.redis}
    return {
        "pid": os.getpid(),
        "started_at": time.time(),
        "idle_s": idle_s,
        "servers": {name: _server_state(server) for name, server in servers.items()},
    }


def _server_state(server: Server) -> dict[str, Any]:
    shared = replace(server.version, origin=Origin.SHARED)
    return {"url": server.url.reveal(), "version": asdict(shared)}


def _holding(state: Mapping[str, Any], used_at: float) -> Holding:
    servers = {
        name: Server(Secret(server["url"]), from_json(ServiceVersion, server["version"]))
        for name, server in state["servers"].items()
    }
    services = Services(servers["postgres"], servers["redis"])
    return Holding(services, state["pid"], state["started_at"], used_at, state["idle_s"])
