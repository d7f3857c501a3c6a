"""Clusters are initialised once and copied later, whoever is killed meanwhile."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from labkit.errors import ServiceUnavailable
from labkit.services.archive import unpack
from labkit.services.binaries import Programs, find_postgres, server_account
from labkit.services.cluster import Cluster, _turn_to_put, provide_cluster, server_version
from labkit.services.keeper import keep
from tests.services.owners import eventually, owner

INITIALISER = """
import asyncio, json, sys
from pathlib import Path
from labkit.services.archive import unpack
from labkit.services.binaries import find_postgres, server_account
from labkit.services.cluster import provide_cluster, server_version
from labkit.services.keeper import keep
async def main():
    account, programs = server_account(), find_postgres({})
    version = server_version(programs)
    async with keep(account=account) as keeper:
        print(json.dumps(str(keeper.folder)), flush=True)
        async with provide_cluster(keeper, programs, version, account, Path(sys.argv[1])):
            pass
asyncio.run(main())
"""


def provided(cache: Path) -> tuple[str, str, int]:
    """A cluster's version, initial password and mode, made or copied in a keeper's folder."""

    async def scenario() -> tuple[str, str, int]:
        account, programs = server_account(), find_postgres({})
        version = server_version(programs)
        async with keep(account=account) as keeper:
            async with provide_cluster(keeper, programs, version, account, cache) as cluster:
                pass
            return (
                (cluster.data / "PG_VERSION").read_text(),
                cluster.initial_password,
                cluster.data.stat().st_mode & 0o777,
            )

    return asyncio.run(scenario())


def kept_in(cache: Path) -> list[Path]:
    """The archives in the cache of clusters."""
    return sorted((cache / "clusters").glob("*.tar"))


def test_a_cluster_is_initialised_once(tmp_path: Path) -> None:
    """The second cluster is a copy of the first: it has the same password, and mode 0700."""
    first, second = provided(tmp_path), provided(tmp_path)
    assert first == second
    assert first[2] == 0o700
    [kept] = kept_in(tmp_path)
    list(unpack(kept, tmp_path))
    cluster = Cluster(tmp_path / "cluster")
    assert (cluster.folder / "password").stat().st_mode & 0o777 == 0o600
    assert cluster.initial_password == first[1]


def test_a_copied_cluster_is_whole_when_its_block_is_left(tmp_path: Path) -> None:
    """Its templates, which follow while a server may start, are there with all their files."""
    provided(tmp_path)
    [kept] = kept_in(tmp_path)
    list(unpack(kept, tmp_path))

    async def scenario() -> None:
        account, programs = server_account(), find_postgres({})
        version = server_version(programs)
        async with keep(account=account) as keeper:
            async with provide_cluster(keeper, programs, version, account, tmp_path) as cluster:
                assert (cluster.data / "PG_VERSION").exists()
            assert names_in(cluster.folder) == names_in(tmp_path / "cluster")

    asyncio.run(scenario())


def names_in(folder: Path) -> set[Path]:
    """The paths of all that lies in a folder."""
    return {path.relative_to(folder) for path in folder.rglob("*")}


def test_first_starters_do_not_clash(tmp_path: Path) -> None:
    """Several who initialise at once all get a cluster, and one of them is kept."""

    async def scenario() -> None:
        account, programs = server_account(), find_postgres({})
        version = server_version(programs)

        async def start() -> None:
            async with keep(account=account) as keeper:
                async with provide_cluster(keeper, programs, version, account, tmp_path) as cluster:
                    pass
                assert (cluster.data / "PG_VERSION").exists()

        await asyncio.gather(start(), start())

    asyncio.run(scenario())
    assert len(kept_in(tmp_path)) == 1


def test_half_a_copy_is_never_used(tmp_path: Path) -> None:
    """What a killed process left half-copied in the cache is removed, not taken for a cluster."""
    provided(tmp_path)
    [kept] = kept_in(tmp_path)
    kept.rename(kept.with_name(f"{kept.name}.partial-0123"))
    provided(tmp_path)
    assert kept_in(tmp_path) == [kept]


def test_a_damaged_cluster_is_named_with_what_to_do(tmp_path: Path) -> None:
    """It does not heal by itself, and is nobody's data."""
    provided(tmp_path)
    [kept] = kept_in(tmp_path)
    kept.write_bytes(kept.read_bytes()[:1_000_000])
    with pytest.raises(ServiceUnavailable, match=f"unexpected end.*if {kept} is damaged, delete"):
        provided(tmp_path)


def test_a_copy_that_does_not_become_whole_is_removed(tmp_path: Path) -> None:
    """It would fill a disk that is full already."""
    with _turn_to_put(tmp_path / "kept") as mine:
        assert mine
        (tmp_path / "kept.partial-0123").touch()
    assert [path.name for path in tmp_path.iterdir()] == ["kept.lock"]


def test_a_starter_killed_at_any_moment_breaks_nothing(tmp_path: Path) -> None:
    """After a process was killed while it initialised, the next one gets a whole cluster."""
    with owner(INITIALISER, str(tmp_path)) as (process, folder):
        base = Path(folder) / "cluster/data/base"
        assert eventually(lambda: base.exists() or process.poll() is not None)
        process.kill()
        assert eventually(lambda: not Path(folder).exists())
    assert provided(tmp_path)[2] == 0o700


def test_a_wrong_program_is_named(tmp_path: Path) -> None:
    """A program that is no PostgreSQL, or does not run, is named with what to do."""
    other = tmp_path / "postgres"
    other.write_text("#!/bin/sh\necho something else\n")
    other.chmod(0o755)
    with pytest.raises(ServiceUnavailable, match="calls itself 'something else"):
        server_version(Programs(tmp_path, "postgres"))
    other.chmod(0o644)
    with pytest.raises(ServiceUnavailable, match=r"no PostgreSQL server that runs here.*reinstall"):
        server_version(Programs(tmp_path, "postgres"))


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """A cache that is in the way is an error that names the setting."""
    (tmp_path / "file").touch()
    with pytest.raises(ServiceUnavailable, match="LABKIT_CACHE_DIR"):
        provided(tmp_path / "file")
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]
