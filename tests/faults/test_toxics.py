"""Each toxic does what its name says, counts it, and lets go when it is removed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from labkit.errors import UsageError
from labkit.faults.flow import Direction
from labkit.faults.toxics import (
    Bandwidth,
    Latency,
    LimitData,
    ResetPeer,
    Slicer,
    SlowClose,
    Timeout,
    Toxic,
)
from labkit.judges.verdict import Verdict
from tests.faults.stage import LONG_S, client_of, ended, proxied
from tests.reference.stage import asynchronous

HOUR_MS = 3_600_000


class Stopwatch:
    """Seconds since it was made, on the loop's clock."""

    def __init__(self) -> None:
        self._started = asyncio.get_running_loop().time()

    @property
    def seconds(self) -> float:
        """How many until now."""
        return asyncio.get_running_loop().time() - self._started


@asynchronous
async def test_latency_delays_what_passes() -> None:
    """A reply takes at least the delay; two delays add up."""
    async with proxied() as proxy, client_of(proxy) as client:
        toxics = [proxy.add(Latency(150), Direction.DOWNSTREAM) for _ in range(2)]
        watch = Stopwatch()
        assert await client.asks(b"hello") == b"hello"
        assert watch.seconds >= 0.3
        for toxic in toxics:
            assert toxic.verdict() == Verdict.sound("latency downstream: 5 bytes on 1 connection")


@asynchronous
async def test_latency_does_not_limit_the_rate() -> None:
    """Chunks that come in a row travel in a row: the delay is paid once, not by each."""
    async with proxied() as proxy, client_of(proxy) as client:
        toxic = proxy.add(Latency(1_000), Direction.UPSTREAM)
        watch = Stopwatch()
        for _ in range(30):
            await client.send(b"small")
            await asyncio.sleep(0.001)
        assert await client.receive(150) == b"small" * 30
        assert 1 <= watch.seconds < 12
        assert toxic.affected_bytes == 150


@asynchronous
async def test_jitter_does_not_reorder() -> None:
    """Chunks with different delays come in their order."""
    async with proxied() as proxy, client_of(proxy) as client:
        proxy.add(Latency(10, jitter_ms=10), Direction.UPSTREAM)
        sent = [f"{number:04}".encode() for number in range(50)]
        for text in sent:
            await client.send(text)
            await asyncio.sleep(0)
        assert await client.receive(200) == b"".join(sent)


@asynchronous
async def test_bandwidth_limits_the_rate() -> None:
    """100 kilobytes at 200 per second take half a second, and all of them come."""
    async with proxied() as proxy, client_of(proxy) as client:
        toxic = proxy.add(Bandwidth(rate=200_000), Direction.UPSTREAM)
        watch = Stopwatch()
        data = bytes(range(250)) * 400
        assert await client.asks(data) == data
        assert watch.seconds >= 0.5
        assert toxic.verdict() == Verdict.sound("bandwidth upstream: 100,000 bytes on 1 connection")


@asynchronous
async def test_slow_close_delays_the_end_alone() -> None:
    """Bytes come at once, the end later."""
    async with proxied() as proxy, client_of(proxy) as client:
        toxic = proxy.add(SlowClose(300), Direction.UPSTREAM)
        assert await client.asks(b"hello") == b"hello"
        assert toxic.verdict().valid is None
        watch = Stopwatch()
        client.writer.write_eof()
        assert await client.receive(1) == b""
        assert watch.seconds >= 0.3
        assert toxic.verdict() == Verdict.sound("slow_close upstream: 0 bytes on 1 connection")


@asynchronous
async def test_a_timeout_closes_an_idle_connection() -> None:
    """After the time, and not before, the client reads the end."""
    async with proxied() as proxy, client_of(proxy) as client:
        assert await client.asks(b"hello") == b"hello"
        watch = Stopwatch()
        toxic = proxy.add(Timeout(200), Direction.DOWNSTREAM)
        assert await client.receive(1) == b""
        assert watch.seconds >= 0.2
        assert toxic.verdict() == Verdict.sound("timeout downstream: 0 bytes on 1 connection")
        await ended(proxy)


@asynchronous
async def test_until_its_time_a_timeout_drops_what_comes() -> None:
    """Nothing passes, and what is lost is counted."""
    async with proxied() as proxy, client_of(proxy) as client:
        toxic = proxy.add(Timeout(HOUR_MS), Direction.DOWNSTREAM)
        await client.send(b"lost")
        assert await toxic.applied(deadline_s=LONG_S)
        assert await client.hears_nothing()
        assert toxic.verdict() == Verdict.sound("timeout downstream: 4 bytes on 1 connection")


@asynchronous
async def test_a_timeout_of_zero_is_silence_until_it_is_removed() -> None:
    """Connections that lost something are closed then; the others flow on."""
    async with proxied() as proxy, client_of(proxy) as holed, client_of(proxy) as whole:
        assert await whole.asks(b"hello") == b"hello"
        toxic = proxy.add(Timeout(0), Direction.UPSTREAM)
        await holed.send(b"lost")
        assert await toxic.applied(deadline_s=LONG_S)
        assert await holed.hears_nothing()
        proxy.remove(toxic)
        assert await holed.receive(1) == b""
        assert await whole.asks(b"again") == b"again"
        assert toxic.affected_connections == 1


@asynchronous
async def test_a_timeout_that_is_removed_in_time_closes_nothing() -> None:
    """The connection flows on after the time."""
    async with proxied() as proxy, client_of(proxy) as client:
        assert await client.asks(b"hello") == b"hello"
        toxic = proxy.add(Timeout(50), Direction.UPSTREAM)
        proxy.remove(toxic)
        assert await client.hears_nothing()
        assert await client.asks(b"again") == b"again"
        assert toxic.verdict().valid is None


@asynchronous
async def test_silence_hides_even_a_reset_of_the_server() -> None:
    """A client cannot learn over a dead line that the other side has given up."""

    async def abort(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.transport.abort()

    async with proxied(abort) as proxy, client_of(proxy) as client:
        toxic = proxy.add(Timeout(0), Direction.DOWNSTREAM)
        await client.send(b"x" * 1_000)
        assert await toxic.applied(deadline_s=LONG_S)
        assert await client.hears_nothing()
        assert toxic.affected_connections == 1


@asynchronous
async def test_reset_peer_resets_at_the_first_chunk() -> None:
    """An idle connection lives; the reply that comes is lost in a reset."""
    async with proxied() as proxy, client_of(proxy) as client, client_of(proxy) as idle:
        toxic = proxy.add(ResetPeer(), Direction.DOWNSTREAM)
        await client.send(b"hello")
        with pytest.raises(ConnectionResetError):
            await client.receive(1)
        proxy.remove(toxic)
        assert await idle.asks(b"alive") == b"alive"
        assert toxic.verdict() == Verdict.sound("reset_peer downstream: 5 bytes on 1 connection")


@asynchronous
async def test_reset_peer_waits_for_its_time() -> None:
    """The reset comes that long after the first chunk."""
    async with proxied() as proxy, client_of(proxy) as client:
        proxy.add(ResetPeer(timeout_ms=200), Direction.UPSTREAM)
        watch = Stopwatch()
        await client.send(b"hello")
        with pytest.raises(ConnectionResetError):
            await client.receive(1)
        assert watch.seconds >= 0.2


@asynchronous
async def test_a_slicer_cuts_what_passes() -> None:
    """The server reads pieces of about the size, which make the same whole."""
    pieces = list[int]()

    async def measure(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            pieces.append(len(data))
            writer.write(data)

    async with proxied(measure) as proxy, client_of(proxy) as client:
        toxic = proxy.add(Slicer(100, size_variation=20, delay_ms=20), Direction.UPSTREAM)
        data = bytes(range(250)) * 4
        assert await client.asks(data) == data
        assert len(pieces) > 1
        assert sum(pieces) == 1_000
        assert toxic.affected_bytes >= 800


@asynchronous
async def test_a_slicer_leaves_small_chunks_alone() -> None:
    """Then it has done nothing."""
    async with proxied() as proxy, client_of(proxy) as client:
        toxic = proxy.add(Slicer(100), Direction.UPSTREAM)
        assert await client.asks(b"small") == b"small"
        assert toxic.verdict().valid is None


@asynchronous
async def test_limit_data_closes_after_its_bytes() -> None:
    """The client gets exactly so many, over several replies, and then the end."""
    async with proxied() as proxy, client_of(proxy) as client:
        toxic = proxy.add(LimitData(12), Direction.DOWNSTREAM)
        assert await client.asks(b"hello") == b"hello"
        assert toxic.verdict().valid is None
        assert await client.asks(b"hello again") == b"hello a"
        assert toxic.verdict() == Verdict.sound("limit_data downstream: 12 bytes on 1 connection")
        await ended(proxy)


WAITING: list[tuple[Callable[[], Toxic], bytes]] = [
    (lambda: Latency(HOUR_MS), b""),
    (lambda: Bandwidth(0.01), b""),
    (lambda: SlowClose(HOUR_MS), b"waiting"),
    (lambda: ResetPeer(HOUR_MS), b""),
    (lambda: Slicer(1, delay_ms=HOUR_MS), b"w"),
]
"""Toxics, and what they let pass at once."""


@pytest.mark.parametrize(("make", "passes"), WAITING)
@asynchronous
async def test_a_toxic_that_is_removed_lets_go_at_once(
    make: Callable[[], Toxic], passes: bytes
) -> None:
    """What waited in it passes, whole and in order; so does the end."""
    async with proxied() as proxy, client_of(proxy) as client:
        toxic = proxy.add(make(), Direction.UPSTREAM)
        await client.send(b"waiting")
        client.writer.write_eof()
        assert await client.receive(len(passes)) == passes
        assert await client.hears_nothing()
        proxy.remove(toxic)
        proxy.remove(toxic)
        assert passes + await client.receive(8) == b"waiting"


@asynchronous
async def test_a_toxic_that_met_no_traffic_is_unknown() -> None:
    """Nothing came, so nothing was tested."""
    async with proxied() as proxy, client_of(proxy) as client:
        toxic = proxy.add(Latency(10), Direction.DOWNSTREAM)
        await client.send(b"")
        assert toxic.verdict() == Verdict.unknown(
            "fault-not-applied", "latency downstream: nothing came that it could act on"
        )


@asynchronous
async def test_a_toxic_that_comes_later_gets_what_waits_in_an_earlier_one() -> None:
    """Silence that is added while a chunk is delayed swallows that chunk."""
    async with proxied() as proxy, client_of(proxy) as client:
        delay = proxy.add(Latency(HOUR_MS), Direction.UPSTREAM)
        await client.send(b"delayed")
        await client.hears_nothing()
        silence = proxy.add(Timeout(0), Direction.UPSTREAM)
        proxy.remove(delay)
        assert await client.hears_nothing()
        assert await silence.applied(deadline_s=LONG_S)
        assert silence.affected_bytes == 7


WRONG: list[tuple[Callable[[], Toxic], str]] = [
    (lambda: Latency(0), "above 0"),
    (lambda: Latency(5, -1), "not be below 0"),
    (lambda: Bandwidth(0), "rate must be above 0"),
    (lambda: SlowClose(0), "delay_ms must be above 0"),
    (lambda: Timeout(-1), "timeout_ms must not be below 0"),
    (lambda: ResetPeer(-1), "timeout_ms must not be below 0"),
    (lambda: Slicer(10, 10), "below average_size"),
    (lambda: Slicer(10, 1, -1), "delay_ms must not be below 0"),
    (lambda: LimitData(-1), "limit_bytes must not be below 0"),
]


@pytest.mark.parametrize(("make", "text"), WRONG)
def test_a_number_that_makes_no_sense_is_refused(make: Callable[[], Toxic], text: str) -> None:
    """At the call, not in the middle of a check."""
    with pytest.raises(UsageError, match=text):
        make()
