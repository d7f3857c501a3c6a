"""The platform as a target: what it declares, opens and closes."""

import asyncio
import hashlib
import hmac
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import astuple, replace
from pathlib import Path
from types import MappingProxyType

import pytest

from labkit.errors import Denied, InfrastructureError, Rejected, ServiceUnavailable
from labkit.events import Event, EventType
from labkit.json_values import JsonValue
from labkit.judges.isolation import judge_isolation
from labkit.redaction import Secret
from labkit.reference import InKernel, Parts, Platform
from labkit.reference.assembly import assemble
from labkit.reference.data.pool import Pool
from labkit.reference.execution.agents import (
    Agent,
    Agents,
    Answer,
    Desk,
    Prompt,
    Tool,
    ToolUse,
)
from labkit.reference.execution.executions import Run
from labkit.reference.execution.turns import Turns
from labkit.reference.processes.servers import Processes
from labkit.reference.wire.tokens import Tokens
from labkit.schedules import isolation_table
from labkit.services.endpoints import Lease
from labkit.targets.loading import load_target
from labkit.targets.pipeline import ExecutionState
from labkit.witness import Witness
from tests.reference.stage import asynchronous, new_user, opened, witness
from tests.reference.test_service import health
from tests.services.owners import eventually, is_running


def test_platform_is_found_by_its_name_and_lacks_nothing() -> None:
    """The name in the documentation leads to a target with every part of the seam."""
    found: object = load_target("labkit.reference:Platform")
    assert found is Platform
    assert Platform.name == "reference"
    assert Platform.lacks == {}
    assert load_target("labkit.reference:InKernel") is InKernel


@asynchronous
async def test_declared_tables_are_where_the_rows_lie(installed: Lease) -> None:
    """The owner of the database finds each of the tables under its declared name."""
    tables = Platform.tables
    async with witness(installed) as owner:
        for name in astuple(tables):
            assert await owner.fetchval("select to_regclass($1)", name) == name


@asynchronous
async def test_closed_platform_leaves_no_connection_and_no_task(installed: Lease) -> None:
    """Its backends go, also when the block raised."""
    backends: list[int] = []
    async with Witness(installed) as looking:
        with pytest.raises(KeyError):
            await fail_inside(installed, backends)
        assert [await looking.gone(pid) for pid in backends] == [True]
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def fail_inside(lease: Lease, backends: list[int]) -> None:
    """Work on an open platform, then raise."""
    async with opened(lease) as data, data.transaction("anyone") as transaction:
        backends += [pid for (pid,) in await transaction.fetch("select pg_backend_pid()")]
        raise KeyError


@asynchronous
async def test_failed_open_says_why_and_leaves_nothing(installed: Lease) -> None:
    """A platform that cannot log in is not entered, and its password is not told."""
    wrong = installed.platform_url.reveal().replace(installed.platform_role, "nobody_labkit")
    platform = Platform(replace(installed, platform_url=Secret(wrong)))
    with pytest.raises(ServiceUnavailable, match="PostgreSQL refuses the platform"):
        await platform.__aenter__()
    assert asyncio.all_tasks() == {asyncio.current_task()}


def test_replaced_part_is_the_one_that_is_assembled(installed: Lease) -> None:
    """One part is exchanged, the others stay as they are."""

    class Other(Pool):
        """Another pool."""

    parts = replace(Parts(), pool=Other)
    assert type(assemble(installed, parts).pool) is Other
    assert type(assemble(installed, parts).store) is Platform.parts.store


@asynchronous
async def test_isolation_levels_of_the_platform_are_postgresqls_own(copied: Lease) -> None:
    """Through the platform's transactions, all thirty cells are as published for PostgreSQL."""
    async with opened(copied) as data, Witness(copied) as looking:
        table = await isolation_table(data, looking, user=await new_user(data))
    verdict = judge_isolation(table)
    assert verdict.valid, verdict


@asynchronous
async def test_data_alone_starts_no_process(installed: Lease) -> None:
    """What needs the database and the cache only does without server processes."""
    async with Platform(installed) as target:
        user = await new_user(target.data)
        thread = await target.data.create_thread(user, "mine")
        await target.lifecycle.create(user, thread)
        await target.cache.write(user, "key", "value", ttl_ms=1_000)
        await target.routing.messages(user, thread)
        async with target.contexts.open(user) as context:
            await context.threads()
        assert processes_of(target).pids == []


def processes_of(target: Platform) -> Processes:
    """The server processes of a platform."""
    assert isinstance(target.service, Processes)
    return target.service


async def told(target: Platform, user: str, thread: str, text: str) -> list[EventType]:
    """What kinds of events a run has."""
    return [event.type async for event in target.pipeline.run(user, thread, text)]


@asynchronous
async def test_every_verb_runs_on_every_process(installed: Lease) -> None:
    """Six runs on each of two processes, and each ends as it must, told once."""
    async with Platform(installed) as target:
        user = await new_user(target.data)
        thread = await target.data.create_thread(user, "mine")
        for verb in ("lookup", "explode", "slow 0.1", "recall", "modeldown", "hello"):
            fails = verb in {"explode", "modeldown"}
            end = EventType.AGENT_FAILED if fails else EventType.AGENT_COMPLETED
            for _ in processes_of(target).pids or range(2):
                assert (await told(target, user, thread, verb))[-1] is end
        assert len(await target.pipeline.runs(user, thread)) == 12


@asynchronous
async def test_every_door_is_healthy_and_one_relay_leads(installed: Lease) -> None:
    """Each process answers for itself; of all of them one publishes."""
    async with Platform(installed) as target:
        doors = await target.sockets.doors()
        async with asyncio.timeout(15):
            reports: list[dict[str, object]] = []
            while [one["status"] for one in reports] != ["ok", "ok"] or not any(
                one["relay"] == "leads" for one in reports
            ):
                reports = [await health(door) for door in doors]
        assert sorted(str(one["relay"]) for one in reports) == ["leads", "waits"]


async def wait_for_file(_desk: Desk, path: str) -> str:
    """A tool that takes until there is a file."""
    assert await asyncio.to_thread(eventually, Path(path).exists)
    return "it is there"


class Waiting:
    """An agent that waits for the file that its message names."""

    tools: Mapping[str, Tool] = MappingProxyType({"wait": wait_for_file})

    async def decide(self, prompt: Prompt) -> ToolUse | Answer:
        """To call the tool once."""
        return Answer("done", 1) if prompt.results else ToolUse("wait", prompt.text, 1)


class WaitingAgents(Agents):
    """Whoever is named waits."""

    def find(self, _name: str) -> Agent:
        """The one that waits."""
        return Waiting()


class Waits(Platform):
    """A platform whose runs wait for a file in the middle of a tool."""

    parts = Parts(agents=WaitingAgents)


@asynchronous
async def test_a_run_whose_process_was_killed_goes_on_at_the_other(
    installed: Lease, tmp_path: Path
) -> None:
    """Nothing of it is told twice, nothing is missing, and it ends as if nothing had been."""
    go = tmp_path / "go"
    async with Waits(installed) as target:
        user = await new_user(target.data)
        thread = await target.data.create_thread(user, "mine")
        events = target.pipeline.run(user, thread, str(go))
        before = [await anext(events)]
        while before[-1].type is not EventType.TOOL_EXECUTING:
            before.append(await anext(events))
        await processes_of(target).kill(0)
        go.touch()
        with pytest.raises(ServiceUnavailable, match="closed the connection"):
            await anext(events)
        run = str(before[0].run)
        async with asyncio.timeout(15):
            after = await resumed(target, user, run)
        assert after[-1].type is EventType.AGENT_COMPLETED
        assert [event.seq for event in before + after] == list(range(len(before + after)))
        whole = [event async for event in target.notifications.attach(user, run)]
        assert whole == before + after


@asynchronous
async def test_a_platform_that_closes_suspends_what_still_runs(installed: Lease) -> None:
    """Its processes stop in order: whoever listens is told, and the next platform can go on."""
    async with Platform(installed) as target:
        user = await new_user(target.data)
        thread = await target.data.create_thread(user, "mine")
        events = target.pipeline.run(user, thread, "slow 15")
        while (await anext(events)).type is not EventType.TOOL_EXECUTING:
            pass
        await processes_of(target).close()
        with pytest.raises(ServiceUnavailable, match="1001"):
            await anext(events)
        [stored] = await target.pipeline.runs(user, thread)
        assert stored.state is ExecutionState.SUSPENDED


async def resumed(target: Platform, user: str, run: str) -> list[Event]:
    """What follows in a run, once the database has noticed that its process is gone."""
    while True:
        try:
            return [event async for event in target.pipeline.resume(user, run)]
        except Rejected:
            await asyncio.sleep(0.05)


@asynchronous
async def test_contexts_and_routing_speak_to_the_processes_too(installed: Lease) -> None:
    """A run that a context starts and a message that is sent by its id are run and told."""
    async with Platform(installed) as target:
        user = await new_user(target.data)
        async with target.contexts.open(user) as context:
            thread = await context.create_thread("mine")
            run = await context.submit(thread, "hello")
            assert [one.run for one in await context.runs()] == [run]
        sent = await target.routing.send(user, thread, "hello", message="m1")
        assert await target.routing.send(user, thread, "hello", message="m1") == sent
        for one in (run, sent):
            events = [event async for event in target.notifications.attach(user, one)]
            assert events[-1].type is EventType.AGENT_COMPLETED
        quality: dict[str, JsonValue] = {"type": "validation", "passed": True, "flags": []}
        assert await target.routing.report(user, quality) == "validation"


class OtherEnds(Turns):
    """The steps of runs, with another answer."""

    async def finish(self, run: Run, answer: Answer) -> None:
        """End with words that no agent said."""
        await super().finish(run, replace(answer, text="a replaced part was here"))


class Echo:
    """An agent that says what it is told."""

    tools: Mapping[str, Tool] = MappingProxyType({})

    async def decide(self, prompt: Prompt) -> Answer:
        """The same words."""
        return Answer(prompt.text, tokens=1)


class MoreAgents(Agents):
    """The usual agents and one more."""

    def __init__(self, agents: Mapping[str, Agent]) -> None:
        super().__init__({**agents, "echo": Echo()})


class Replaced(Platform):
    """A platform with other parts."""

    parts = Parts(turns=OtherEnds, agents=MoreAgents)


@asynchronous
async def test_a_replaced_part_works_in_the_server_processes(installed: Lease) -> None:
    """They are told by name what they are made of."""
    async with Replaced(installed) as target:
        user = await new_user(target.data)
        thread = await target.data.create_thread(user, "mine")
        await told(target, user, thread, "hello")
        assert (await target.pipeline.history(user, thread))[-1].text == "a replaced part was here"
        further = target.pipeline.run(user, thread, "hello", agent="echo")
        assert [event async for event in further][-1].type is EventType.AGENT_COMPLETED


@asynchronous
async def test_a_platform_without_a_name_of_its_own_says_why_it_cannot_serve(
    installed: Lease,
) -> None:
    """A class inside of a function cannot be imported by another process."""

    class Local(Platform):
        """Nobody can name it."""

    async with Local(installed) as target:
        with pytest.raises(InfrastructureError, match=r"package\.module:Class"):
            await target.sockets.doors()


def test_the_key_of_its_tokens_is_a_secret_of_each_platform(installed: Lease) -> None:
    """Two platforms on one lease do not take each other's tokens, and the lab is told the key."""
    first, second = Platform(installed), Platform(installed)
    assert first.secrets != second.secrets
    key, _ = first.secrets
    token = first.sockets.token("u1").reveal()
    assert Tokens(key).verify(token) == "u1"
    with pytest.raises(Denied):
        Tokens(second.secrets[0]).verify(token)


def test_pydantic_is_loaded_only_for_who_asks_for_settings() -> None:
    """Neither a platform nor its server processes pay for it."""
    source = """
import sys, labkit.reference.__main__
assert not {"pydantic", "pydantic_settings"} & set(sys.modules)
import labkit.reference.configuration.__main__
assert {"pydantic", "pydantic_settings"} <= set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", source], check=True, timeout=60)


@asynchronous
async def test_services_run_with_a_secret_that_the_lab_is_told(installed: Lease) -> None:
    """They prove that they have it; once the platform is closed, none of them is left."""
    async with Platform(installed) as target:
        _, secret = target.secrets
        [(pid, proof)] = (await target.configuration.proofs("auth", "api_secret", "x")).items()
        assert proof == hmac.new(secret.reveal().encode(), b"x", hashlib.sha256).hexdigest()
        assert is_running(pid)
    assert not is_running(pid)
