"""A process of the platform's own, caught in the middle of a transaction, to be killed there.

Run as a program (`python -m labkit.hostage`), it is that process: it reads one line of JSON, whom
to be and where, writes within a transaction, says so in one line of JSON, and then holds still.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from labkit.faults.processes import Victim, victim_program
from labkit.judges.verdict import Verdict
from labkit.services.endpoints import Lease
from labkit.services.handover import lease_from_json, lease_to_json
from labkit.targets.loading import load_target
from labkit.witness import Witness

READY_S: Final = 20.0
"""How long the process may take to be in the middle of its transaction, in seconds."""

_KILLED: Final = -9


@dataclass(frozen=True)
class Hostage:
    """The process, and what its transaction has written so far."""

    process: Victim
    backend_pid: int
    """The server's process at the other end of its connection."""
    user: str
    thread: str
    message: str

    async def kill(self, witness: Witness) -> Verdict:
        """Kill it in mid-transaction, and make sure of it.

        Unknown with `fault-not-applied` where it was not idle in its transaction, did not die by
        SIGKILL, or the server still keeps its connection.
        """
        backends = await witness.backends(witness.lease.platform_role)
        states = [backend.state for backend in backends if backend.pid == self.backend_pid]
        status = await self.process.kill()
        gone = await witness.gone(self.backend_pid)
        told = (
            f"process {self.process.pid} ended with {status}; its backend {self.backend_pid} was "
            f"{' '.join(states) or 'not there'} and {'is gone' if gone else 'is still there'}"
        )
        if states == ["idle in transaction"] and status == _KILLED and gone:
            return Verdict.sound(told)
        return Verdict.unknown("fault-not-applied", told)


@contextlib.asynccontextmanager
async def hostage(
    lease: Lease, target: str, *, user: str, ready_s: float = READY_S
) -> AsyncIterator[Hostage]:
    """A process that has opened the target (`package.module:Class`) on the lease.

    Inside the block it holds a transaction in which it has registered `user`, created a thread of
    that user and added a message. Raises `InfrastructureError` when it does not come so far.
    """
    orders = {"lease": lease_to_json(lease), "target": target, "user": user}
    async with victim_program("labkit.hostage") as process:
        await process.tell(json.dumps(orders))
        held = json.loads(await process.line(deadline_s=ready_s))
        yield Hostage(process, user=user, **held)


async def _hold(orders: Mapping[str, Any]) -> None:
    user, factory = orders["user"], load_target(orders["target"])
    lease = lease_from_json(orders["lease"])
    async with factory(lease) as target, target.data.transaction(user) as transaction:
        await transaction.create_user(user)
        thread = await transaction.create_thread("held")
        message = await transaction.add_message(thread, "held")
        backend_pid = (await transaction.fetch("select pg_backend_pid()"))[0][0]
        held = {"backend_pid": backend_pid, "thread": thread, "message": message}
        print(json.dumps(held), flush=True)  # noqa: T201 - the answer of this program
        await asyncio.to_thread(sys.stdin.read)
        raise SystemExit("nobody is left to hold this transaction for")


if __name__ == "__main__":
    asyncio.run(_hold(json.loads(sys.stdin.readline())))
