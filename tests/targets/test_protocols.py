"""What a target can declare as lacking is all that the seam asks for, and nothing else."""

from __future__ import annotations

import typing

import pytest

from labkit.targets.contexts import Context
from labkit.targets.protocols import Capability, Described, Target, capability_at, need_at


def members(protocol: type) -> set[str]:
    """What a Protocol asks for."""
    return {name for name in vars(protocol) if not name.startswith("_")}


def asked_for() -> set[str]:
    """The parts of a target, and all that the Protocols of these ask for."""
    found: set[str] = set()
    for part in members(Target) - members(Described):
        protocol = typing.get_type_hints(getattr(Target, part).fget)["return"]
        found |= {part, *(f"{part}.{name}" for name in members(protocol))}
    return found | {f"contexts.{name}" for name in members(Context)}


def test_every_member_of_the_seam_can_be_declared_as_lacking() -> None:
    """No method, property or part is forgotten, and none is invented."""
    assert len(asked_for()) > 60
    assert {capability.value for capability in Capability} == asked_for()


@pytest.mark.parametrize(
    ("path", "need", "capability"),
    [
        ("cache", "cache", Capability.CACHE),
        ("data.pool_size", "data.pool_size", Capability.DATA_POOL_SIZE),
        ("cache.invented", "cache.invented", Capability.CACHE),
        ("contexts.open", "contexts.open", Capability.CONTEXTS_OPEN),
        ("contexts.open.remember", "contexts.remember", Capability.CONTEXTS_REMEMBER),
        ("contexts.open.invented", "contexts.invented", Capability.CONTEXTS),
        (
            "data.transaction.create_user",
            "data.transaction.create_user",
            Capability.DATA_TRANSACTION,
        ),
    ],
)
def test_a_path_leads_to_the_finest_capability(
    path: str, need: str, capability: Capability
) -> None:
    """A context's own methods are capabilities; what another block yields belongs to its method."""
    assert (need_at(path), capability_at(path)) == (need, capability)
