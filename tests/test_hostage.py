"""A process of the reference platform, killed in the middle of its transaction."""

from __future__ import annotations

import asyncio

import pytest

from labkit.errors import InfrastructureError
from labkit.hostage import hostage
from labkit.ids import UserID
from labkit.reference import Platform
from labkit.services.endpoints import Lease
from labkit.witness import Witness

TARGET = "labkit.reference:Platform"


async def rows_of(witness: Witness, user: str) -> int:
    """How many rows of the user anybody but the user's own transaction can see."""
    tables = Platform.tables
    return (
        await witness.count(tables.users, "id = $1", user)
        + await witness.count(tables.threads, "user_id = $1", user)
        + await witness.count(tables.messages, "user_id = $1", user)
    )


def test_a_hostage_is_killed_in_mid_transaction(lease: Lease) -> None:
    """It has written in a transaction that is still open; killed, it leaves no backend."""

    async def run() -> None:
        await Platform.install(lease)
        user = UserID.new()
        async with Witness(lease) as witness, hostage(lease, TARGET, user=user) as held:
            (backend,) = await witness.backends(lease.platform_role)
            assert (backend.pid, backend.state) == (held.backend_pid, "idle in transaction")
            assert held.thread
            assert held.message

            verdict = await held.kill(witness)
            assert verdict.valid is True
            assert "ended with -9" in verdict.detail
            assert await witness.backends(lease.platform_role) == []
            assert await rows_of(witness, user) == 0

    asyncio.run(run())


def test_a_fault_that_was_not_applied_is_unknown(lease: Lease) -> None:
    """A hostage that had ended before it was killed proves nothing of a kill in mid-transaction."""

    async def run() -> None:
        await Platform.install(lease)
        async with (
            Witness(lease) as witness,
            hostage(lease, TARGET, user=UserID.new()) as held,
        ):
            await held.process.kill()
            assert await witness.gone(held.backend_pid)
            verdict = await held.kill(witness)
            assert (verdict.valid, verdict.reason) == (None, "fault-not-applied")
            assert "was not there" in verdict.detail

    asyncio.run(run())


def test_a_hostage_that_cannot_be_taken_says_why(lease: Lease) -> None:
    """A target that does not exist is told, with the child's own words and without a password."""

    async def run() -> None:
        with pytest.raises(InfrastructureError, match="nobody") as raised:
            async with hostage(lease, "nobody.here:Platform", user=UserID.new()):
                pytest.fail("there is nothing to hold")
        assert lease.platform_url.reveal() not in str(raised.value)

    asyncio.run(run())
