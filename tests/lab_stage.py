"""What the tests of labs share: targets with gaps, a lease handed over, a check that passes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import pytest

from labkit.lab import Lab
from labkit.redaction import Secret
from labkit.reference import Platform
from labkit.reference.data.store import Store
from labkit.services.endpoints import Lease, secrets_of
from labkit.services.handover import VARIABLE, Handover, write_handover
from labkit.targets.protocols import Capability
from labkit.witness import Witness


class WithoutData(Platform):
    """A platform that says that it has no data access."""

    lacks: ClassVar[Mapping[Capability, str]] = {Capability.DATA: "it keeps nothing"}


class SilentlyWithoutData(Platform):
    """A platform that lacks data access and does not say so."""

    @property
    def data(self) -> Store:
        """Nothing."""
        raise NotImplementedError("not yet")


def spec(platform: type[Platform]) -> str:
    """The name by which a target is loaded."""
    return f"{platform.__module__}:{platform.__name__}"


def hand_over(
    lease: Lease, folder: Path, monkeypatch: pytest.MonkeyPatch, *secrets: Secret
) -> Lease:
    """The lease, which this process is given as a kernel is, with more secrets beside its own."""
    file = folder / "handover.json"
    write_handover(file, Handover(lease, (*secrets_of(lease), *secrets)))
    monkeypatch.setenv(VARIABLE, str(file))
    return lease


async def connections(lease: Lease) -> int:
    """How many connections the platform has to the leased database."""
    async with Witness(lease) as witness:
        return len(await witness.backends(lease.platform_role))


async def passing(lab: Lab, name: str = "it_holds") -> None:
    """A check that passes."""
    async with lab.check(name, "One is one") as check:
        check.equal(1, 1, "one", reason="not-one")
