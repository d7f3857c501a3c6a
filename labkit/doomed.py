"""A process of the platform's own, killed between a commit and what it would do to the cache.

Run as a program (`python -m labkit.doomed`), it is that process: it reads one line of JSON, where
and as whom to work, and says that it has opened the target; then it reads which thread to rename.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from labkit.detoured import Detours, detours
from labkit.faults.flow import NOT_APPLIED
from labkit.faults.processes import Victim, victim_program
from labkit.faults.turnstile import ServerName
from labkit.judges.verdict import Verdict
from labkit.services.endpoints import Lease
from labkit.services.handover import lease_from_json, lease_to_json
from labkit.targets.loading import load_target
from labkit.witness import Witness, table_name

READY_S: Final = 20.0
"""How long the process may take to open the target, and then for each turn, in seconds."""

_KILLED: Final = -9
_TITLE: Final = "select title from {table} where id = $1"


@dataclass(frozen=True)
class DoomedRename:
    """The process, and how far it has come."""

    process: Victim
    ways: Detours
    user: str
    thread: str
    title: str
    is_due: bool
    """Whether its commit has reached the database, and its next request to Redis is held."""

    async def kill(self) -> Verdict:
        """Kill it there, so that what is held never reaches Redis.

        Unknown with `fault-not-applied` where it was not held between the two, or did not die by
        SIGKILL.
        """
        status = await self.process.kill()
        for way in (self.ways.redis, self.ways.postgres):
            await way.cut()
        told = (
            f"process {self.process.pid} ended with {status}; its commit was "
            f"{'there, and its next request to Redis held' if self.is_due else 'not there alone'}"
        )
        if self.is_due and status == _KILLED:
            return Verdict.sound(told)
        return Verdict.unknown(NOT_APPLIED, told)


@contextlib.asynccontextmanager
async def doomed_rename(
    lease: Lease,
    target: str,
    *,
    user: str,
    thread: str,
    title: str,
    witness: Witness,
    table: str,
    random: Random,
    ready_s: float = READY_S,
) -> AsyncIterator[DoomedRename]:
    """A process that has opened the target (`package.module:Class`) and renames a thread.

    Inside the block it is held where `title` stands in `table`, as the witness sees, and it asks
    Redis for something; or it is through, having asked for nothing more. Raises
    `InfrastructureError` when it does not come so far, and `TargetError` when it gets stuck.
    """
    async with detours(lease, random=random) as ways:
        # Never disarmed: when the block is left the connections are cut before what is held passes.
        turns = ways.turnstile()
        orders = {"lease": lease_to_json(ways.lease), "target": target, "user": user}
        async with victim_program("labkit.doomed") as process:
            await process.tell(json.dumps(orders))
            await process.line(deadline_s=ready_s)
            turns.arm()
            await process.tell(json.dumps({"thread": thread, "title": title}))
            renaming = asyncio.create_task(process.line(deadline_s=ready_s))
            try:
                is_due = False
                while not is_due and (server := await turns.held(renaming, deadline_s=ready_s)):
                    stored = await witness.value(_TITLE.format(table=table_name(table)), thread)
                    is_due = server is ServerName.REDIS and stored == title
                    if not is_due:
                        turns.let_pass()
                if not is_due:
                    await renaming
                yield DoomedRename(process, ways, user, thread, title, is_due)
            finally:
                await _give_up(renaming)


async def _give_up(renaming: asyncio.Task[str]) -> None:
    """Wait no longer for a process that was killed; that it said nothing is no error then."""
    renaming.cancel()
    await asyncio.wait([renaming])
    if not renaming.cancelled():
        renaming.exception()


async def _rename(orders: Mapping[str, Any]) -> None:
    factory, lease = load_target(orders["target"]), lease_from_json(orders["lease"])
    async with factory(lease) as target:
        print("ready", flush=True)  # noqa: T201 - the answer of this program
        order = json.loads(await asyncio.to_thread(sys.stdin.readline))
        await target.data.rename_thread(orders["user"], order["thread"], order["title"])
        print("renamed", flush=True)  # noqa: T201
        await asyncio.to_thread(sys.stdin.read)
        raise SystemExit("nobody is left to be killed for")


if __name__ == "__main__":
    asyncio.run(_rename(json.loads(sys.stdin.readline())))
