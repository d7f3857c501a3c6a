"""Follows keys until they are gone, as the server itself tells what they have left to live."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Final

from labkit.pictures.lifetimes import Sample
from labkit.witness import Witness

EVERY_S: Final = 0.02
"""How long to wait between two looks, in seconds; Redis tells of an expiry late, if at all."""


async def follow_lifetimes(
    witness: Witness, keys: Mapping[str, str], *, deadline_s: float, every_s: float = EVERY_S
) -> Mapping[str, Sequence[Sample]]:
    """What each key had left to live, by its label, looked at until all are gone.

    `keys` are names of the lease's keys by label. Times are milliseconds of the monotonic clock, as
    `monotonic_ms` gives them. It ends after `deadline_s` seconds at the latest, whatever is left.
    """
    samples: dict[str, list[Sample]] = {label: [] for label in keys}
    give_up_at = time.monotonic() + deadline_s
    while True:
        for label, key in keys.items():
            left_ms = await witness.left_ms(key)
            samples[label].append(Sample(monotonic_ms(), left_ms))
        is_over = all(taken[-1].left_ms is None for taken in samples.values())
        if is_over or time.monotonic() >= give_up_at:
            return samples
        await asyncio.sleep(every_s)


def monotonic_ms() -> float:
    """The monotonic clock, in milliseconds."""
    return time.monotonic() * 1000
