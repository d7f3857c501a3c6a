"""What a check needs of a target is read from its source, through names and functions."""

from __future__ import annotations

import ast
import textwrap

import pytest

from labkit.needs import PARTS, read_cells
from labkit.targets.protocols import Capability

SETUP = """
lab = await Lab.open("area")
witness, tables = lab.witness, lab.tables
data, run = lab.data, lab.pipeline.run
other = 1

async def converse(user):
    await data.create_user(user)
    await twice(user)

async def twice(user):
    await lab.contexts.revoke(user, "s")
    await converse(user)
"""


def needs(body: str, *, setup: str = SETUP, receiver: str = "lab", before: str = "") -> list[str]:
    """The needs of a check with this body, in a cell of its own behind the set-up."""
    check = f'async with {receiver}.check("name", "claim") as check:\n'
    cell = parse(before + check + textwrap.indent(body.strip(), "    "))
    reading = read_cells([parse(setup), cell], [receiver])
    return list(reading.needs_of(cell.body[-1], cell))


def parse(source: str) -> ast.Module:
    """A cell."""
    return ast.parse(source, mode="exec", type_comments=False)


def test_parts_are_those_of_the_seam() -> None:
    """A part that the seam knows is known here, and no other."""
    assert set(PARTS) == {capability.part for capability in Capability}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("await lab.data.create_user(u)", ["data.create_user"]),
        ("lab.data.threads(lab.cache.read(u, 'k'))", ["data.threads", "cache.read"]),
        ("await lab.data.threads(u)\nawait lab.data.threads(u)", ["data.threads"]),
        ("lab.data.pool_size.bit_length()", ["data.pool_size"]),
        ("await witness.count(lab.tables.threads)", ["tables.threads"]),
        ("await witness.count(tables.users)", ["tables.users"]),
        ("await data.add_message(u, t, 'x')", ["data.add_message"]),
        ("async for event in run(u, t, 'x'): pass", ["pipeline.run"]),
        ("own = lab.routing\nawait own.send(u)", ["routing.send"]),
        ("send = lab.routing.send\nawait send(u)", ["routing.send"]),
        ("await open_bank(lab.data, witness)", ["data"]),
        ("await open_bank(data, tables.accounts)", ["data", "tables.accounts"]),
        ("show(lab.data)\nlab.data.threads(u)", ["data.threads"]),
        (
            "async with lab.connect(u) as socket: pass",
            ["sockets.doors", "sockets.token", "sockets.headers", "sockets.read"],
        ),
        ("lab.connect(u, door=d, token=t, login=Login.FIRST_FRAME)", ["sockets.read"]),
        ("other.connect(u)", []),
        (
            "async with lab.contexts.open(u) as own:\n    await own.remember('k', 'v', ttl_ms=1)",
            ["contexts.open", "contexts.remember"],
        ),
        ("async with lab.data.transaction(u) as own: own.execute('')", ["data.transaction"]),
        ("async with lab.hostage(u) as hostage: pass", ["data.transaction"]),
        ("await asyncio.gather(*map(converse, us))", ["data.create_user", "contexts.revoke"]),
        ("async def inner(): await lab.cache.read(u, 'k')\nawait inner()", ["cache.read"]),
        ("lab.note(lab.random, lab.seed, other)\nself.lab.data.threads(u)", []),
        ("data = {}\ndata.update(a=1)", []),
    ],
)
def test_what_a_body_touches(body: str, expected: list[str]) -> None:
    """Chains, names, tables, parts handed on and functions are followed; nothing else is."""
    assert sorted(needs(body)) == sorted(expected)


def test_a_lab_of_another_name_is_known_by_its_checks() -> None:
    """What opens a check is a lab, whatever it is called."""
    assert needs("await bench.data.threads(u)", receiver="bench") == ["data.threads"]
    assert needs("await bench.data.threads(u)") == []


def test_a_name_given_in_the_cell_of_the_check_counts() -> None:
    """A cell may give a part a name in front of its check, or take one away."""
    assert needs("await own.read(u)", before="own = lab.cache\n") == ["cache.read"]
    assert needs("data.read(u)", before="data = open('file')\n") == []


def test_another_check_in_the_cell_is_another_matter() -> None:
    """Only what stands in the check's own block, or is called from it, is needed by it."""
    first = 'async with lab.check("first", "claim") as check:\n    await lab.cache.read(u)\n'
    assert needs("await lab.data.threads(u)", before=first) == ["data.threads"]
