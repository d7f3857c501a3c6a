"""The platform as a target: what it declares, opens and closes."""

import asyncio
from dataclasses import replace

import pytest

from labkit.errors import ServiceUnavailable
from labkit.judges.isolation import judge_isolation
from labkit.redaction import Secret
from labkit.reference import Parts, Platform
from labkit.reference.platform import assemble
from labkit.reference.pool import Pool
from labkit.schedules import isolation_table
from labkit.services.endpoints import Lease
from labkit.targets.loading import load_target
from labkit.targets.protocols import Capability
from labkit.witness import Witness
from tests.reference.stage import asynchronous, new_user, opened, witness


def test_platform_is_found_by_its_name_and_lacks_nothing() -> None:
    """The name in the documentation leads to a target that every check can run on."""
    found: object = load_target("labkit.reference:Platform")
    assert found is Platform
    assert Platform.name == "reference"
    assert not set(Platform.lacks) & set(Capability)


@asynchronous
async def test_declared_tables_are_where_the_rows_lie(installed: Lease) -> None:
    """The owner of the database finds each of the tables under its declared name."""
    tables = Platform.tables
    async with witness(installed) as owner:
        for name in (
            tables.users,
            tables.threads,
            tables.messages,
            tables.executions,
            tables.accounts,
        ):
            assert await owner.fetchval("select to_regclass($1)", name) == name


@asynchronous
async def test_closed_platform_leaves_no_connection_and_no_task(installed: Lease) -> None:
    """Its backends go, also when the block raised."""
    backends: list[int] = []
    async with Witness(installed) as looking:
        with pytest.raises(KeyError):
            await fail_inside(installed, backends)
        assert [await looking.gone(pid) for pid in backends] == [True]
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def fail_inside(lease: Lease, backends: list[int]) -> None:
    """Work on an open platform, then raise."""
    async with opened(lease) as data, data.transaction("anyone") as transaction:
        backends += [pid for (pid,) in await transaction.fetch("select pg_backend_pid()")]
        raise KeyError


@asynchronous
async def test_failed_open_says_why_and_leaves_nothing(installed: Lease) -> None:
    """A platform that cannot log in is not entered, and its password is not told."""
    wrong = installed.platform_url.reveal().replace(installed.platform_role, "nobody_labkit")
    platform = Platform(replace(installed, platform_url=Secret(wrong)))
    with pytest.raises(ServiceUnavailable, match="PostgreSQL refuses the platform"):
        await platform.__aenter__()
    assert asyncio.all_tasks() == {asyncio.current_task()}


def test_replaced_part_is_the_one_that_is_assembled(installed: Lease) -> None:
    """One part is exchanged, the others stay as they are."""

    class Other(Pool):
        """Another pool."""

    parts = replace(Parts(), pool=Other)
    assert type(assemble(installed, parts).pool) is Other
    assert type(assemble(installed, parts).store) is Platform.parts.store


@asynchronous
async def test_isolation_levels_of_the_platform_are_postgresqls_own(copied: Lease) -> None:
    """Through the platform's transactions, all thirty cells are as published for PostgreSQL."""
    async with opened(copied) as data, Witness(copied) as looking:
        table = await isolation_table(data, looking, user=await new_user(data))
    verdict = judge_isolation(table)
    assert verdict.valid, verdict
