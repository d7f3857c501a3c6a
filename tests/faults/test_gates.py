"""What is held stays held until it is released, and then comes whole and in order."""

from __future__ import annotations

import asyncio

import pytest

from labkit.errors import UsageError
from labkit.faults.flow import Direction
from labkit.judges.verdict import Verdict
from tests.faults.stage import LONG_S, SHORT_S, client_of, proxied
from tests.reference.stage import asynchronous


@asynchronous
async def test_a_gate_holds_from_the_pattern_on() -> None:
    """What came before the pattern passes; the rest comes after the release, unchanged."""
    async with proxied() as proxy, client_of(proxy) as client:
        gate = proxy.hold(Direction.DOWNSTREAM, when=b"secret")
        await client.send(b"before, secret, after")
        assert await client.receive(8) == b"before, "
        assert await gate.held(deadline_s=LONG_S)
        await client.send(b" and more")
        assert await client.hears_nothing()
        before = gate.released
        gate.release()
        assert (before, gate.released) == (False, True)
        assert await client.receive(22) == b"secret, after and more"
        assert gate.verdict() == Verdict.sound(
            "held 13 bytes of what the server sent, on 1 connection"
        )


@asynchronous
async def test_a_whole_gate_holds_what_came_with_the_pattern() -> None:
    """Not a byte of the piece passes in which it ends; what came before has passed."""
    async with proxied() as proxy, client_of(proxy) as client:
        gate = proxy.hold(Direction.DOWNSTREAM, when=b"secret", whole=True)
        assert await client.asks(b"before") == b"before"
        await client.send(b"header, secret, after")
        assert await gate.held(deadline_s=LONG_S)
        assert await client.hears_nothing()
        gate.release()
        assert await client.receive(21) == b"header, secret, after"


@asynchronous
async def test_a_gate_without_a_pattern_holds_everything() -> None:
    """Requests do not reach the server, the end of the stream neither, until the release."""
    async with proxied() as proxy, client_of(proxy) as client:
        gate = proxy.hold(Direction.UPSTREAM)
        await client.send(b"one")
        assert await gate.held(deadline_s=LONG_S)
        await client.send(b"two")
        client.writer.write_eof()
        assert await client.hears_nothing()
        gate.release()
        assert await client.receive(7) == b"onetwo"
        assert gate.verdict().detail == "held 3 bytes of what the client sent, on 1 connection"


@asynchronous
async def test_a_gate_holds_an_end_that_comes_alone() -> None:
    """It is an end after the release too."""
    async with proxied() as proxy, client_of(proxy) as client:
        gate = proxy.hold(Direction.DOWNSTREAM)
        client.writer.write_eof()
        assert await gate.held(deadline_s=LONG_S)
        assert await client.hears_nothing()
        gate.release()
        assert await client.receive(1) == b""


@pytest.mark.parametrize("split", range(1, 6))
@asynchronous
async def test_a_pattern_is_found_though_it_is_split(split: int) -> None:
    """Its first bytes have passed when the others come; these are held."""
    async with proxied() as proxy, client_of(proxy) as client:
        gate = proxy.hold(Direction.UPSTREAM, when=b"secret")
        first, second = b"a secret!"[: split + 2], b"a secret!"[split + 2 :]
        assert await client.asks(first) == first
        await client.send(second)
        assert await gate.held(deadline_s=LONG_S)
        assert await client.hears_nothing()
        gate.release()
        assert await client.receive(len(second)) == second


@asynchronous
async def test_a_pattern_of_one_byte_is_found() -> None:
    """No byte of it can have come before."""
    async with proxied() as proxy, client_of(proxy) as client:
        gate = proxy.hold(Direction.UPSTREAM, when=b"!")
        assert await client.asks(b"go") == b"go"
        await client.send(b"!")
        assert await gate.held(deadline_s=LONG_S)
        assert await client.hears_nothing()


@asynchronous
async def test_a_gate_that_holds_nothing_says_so() -> None:
    """The wait ends with False, and the verdict is unknown."""
    async with proxied() as proxy, client_of(proxy) as client:
        gate = proxy.hold(Direction.DOWNSTREAM, when=b"never")
        assert await client.asks(b"something else") == b"something else"
        assert not await gate.held(deadline_s=SHORT_S)
        assert gate.verdict() == Verdict.unknown(
            "fault-not-applied", "gate downstream: nothing came that it could act on"
        )


@asynchronous
async def test_a_gate_holds_only_where_the_pattern_came() -> None:
    """Other connections and the other direction flow on."""
    async with proxied() as proxy, client_of(proxy) as held, client_of(proxy) as free:
        gate = proxy.hold(Direction.DOWNSTREAM, when=b"A")
        await held.send(b"A")
        assert await gate.held(deadline_s=LONG_S)
        assert await free.asks(b"B") == b"B"
        gate.release()
        assert await held.receive(1) == b"A"


@asynchronous
async def test_a_gate_concerns_later_connections_too() -> None:
    """It stands in the proxy, not in a connection."""
    async with proxied() as proxy:
        gate = proxy.hold(Direction.UPSTREAM, when=b"late")
        async with client_of(proxy) as client:
            await client.send(b"late")
            assert await gate.held(deadline_s=LONG_S)
            assert await client.hears_nothing()


@asynchronous
async def test_a_release_comes_before_the_pattern() -> None:
    """A gate that is open already holds nothing."""
    async with proxied() as proxy, client_of(proxy) as client:
        gate = proxy.hold(Direction.DOWNSTREAM, when=b"A")
        gate.release()
        assert await client.asks(b"A") == b"A"
        assert gate.verdict().valid is None


@asynchronous
async def test_two_gates_force_an_order() -> None:
    """The reply that came first reaches its client last."""
    async with proxied() as proxy, client_of(proxy) as first, client_of(proxy) as second:
        gates = [proxy.hold(Direction.DOWNSTREAM, when=name) for name in (b"first", b"second")]
        order = list[bytes]()

        async def ask(client_number: int, text: bytes) -> None:
            order.append(await (first, second)[client_number].asks(text))

        async with asyncio.TaskGroup() as group:
            one = group.create_task(ask(0, b"first"))
            assert await gates[0].held(deadline_s=LONG_S)
            two = group.create_task(ask(1, b"second"))
            assert await gates[1].held(deadline_s=LONG_S)
            gates[1].release()
            await asyncio.wait_for(two, LONG_S)
            gates[0].release()
            await asyncio.wait_for(one, LONG_S)
        assert order == [b"second", b"first"]


@asynchronous
async def test_a_tap_tells_what_has_passed() -> None:
    """It tells nothing while a gate holds the bytes, and tells once they have gone."""
    async with proxied() as proxy, client_of(proxy) as client:
        tap = proxy.tap(Direction.UPSTREAM, b"request")
        gate = proxy.hold(Direction.UPSTREAM, when=b"quest")
        await client.send(b"a request")
        assert await gate.held(deadline_s=LONG_S)
        assert not await tap.seen(deadline_s=SHORT_S)
        gate.release()
        assert await tap.seen(deadline_s=LONG_S)
        assert await client.receive(9) == b"a request"


@asynchronous
async def test_a_pattern_has_bytes() -> None:
    """An empty one would be everywhere."""
    async with proxied() as proxy:
        with pytest.raises(UsageError, match="at least one byte"):
            proxy.tap(Direction.UPSTREAM, b"")
        async with client_of(proxy) as client:
            assert await client.asks(b"still here") == b"still here"
        with pytest.raises(UsageError, match="at least one byte"):
            proxy.hold(Direction.UPSTREAM, when=b"")
