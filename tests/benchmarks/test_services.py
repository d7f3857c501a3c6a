"""Servers and leases are timed on real ones."""

import asyncio
import os

from benchmarks.services import BACK, COLD, COPY, LEASE, WARM, time_services


def test_everything_is_timed_so_many_times() -> None:
    """The start with an empty cache and with a filled one; leases, and one given back."""
    timed = asyncio.run(time_services(times=2, environment=os.environ))
    assert [one.name for one in timed] == [COLD, WARM, LEASE, COPY, BACK]
    assert [len(one.seconds) for one in timed] == [2] * 5
    assert min(second for one in timed for second in one.seconds) > 0
