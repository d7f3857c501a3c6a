"""A sabotage says of itself what a proof needs, and is refused where it contradicts itself."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from labkit.errors import TargetError
from labkit.sabotage import Catch, Sabotage


class Forgets:
    """It forgets what it was told.

    More of it is not for the matrix.
    """


def sabotage(
    name: str = "forgets", must: Mapping[str, str] | None = None, may: tuple[str, ...] = ()
) -> Sabotage:
    """A sabotage of memory."""
    return Sabotage.of(
        Forgets,
        name,
        area="memory",
        promise="What was told is known.",
        stands_for="a lost write",
        must={"remembers": "lost"} if must is None else must,
        may=may,
    )


def test_class_gives_target_and_fault() -> None:
    """Its name can be loaded by a kernel, and its docstring's first line is what is wrong."""
    made = sabotage()
    assert made.target == f"{__name__}:Forgets"
    assert made.fault == "It forgets what it was told."
    assert made.must == (Catch("remembers", "lost"),)


def test_only_what_must_catch_it_has_a_reason() -> None:
    """A check that may turn red is expected to give none."""
    made = sabotage(may=("recalls",))
    assert made.expected("remembers") == "lost"
    assert made.expected("recalls") is None
    assert made.expected("counts") is None


@pytest.mark.parametrize(
    ("name", "must", "may", "told"),
    [
        ("Forgets!", {"remembers": "lost"}, (), "'Forgets!'"),
        ("2", {"remembers": "lost"}, (), "lower-case words"),
        ("forgets", {}, (), "no check that must catch it"),
        ("forgets", {"remembers": "lost"}, ("remembers",), "names remembers twice"),
    ],
)
def test_contradictions_are_refused(
    name: str, must: Mapping[str, str], may: tuple[str, ...], told: str
) -> None:
    """A name that no file can carry, nothing that must turn red, a check in both lists."""
    with pytest.raises(TargetError, match=told):
        sabotage(name, must, may)
