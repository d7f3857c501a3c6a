"""Connections of the lab's own, and drivers' errors as ours."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest
from asyncpg import exceptions as postgres_exceptions
from redis import exceptions as redis_exceptions

from labkit.errors import InfrastructureError, LeaseError, ServiceUnavailable
from labkit.services.connect import (
    POSTGRES_FAMILIES,
    REDIS_FAMILIES,
    Families,
    connect_postgres,
    connect_redis,
    postgres_session,
    redis_session,
    translated,
)
from labkit.services.endpoints import Services
from labkit.services.urls import Host, PostgresUrl, RedisUrl


def _raised_by(module: object) -> list[type[Exception]]:
    """Every error that a driver makes public; warnings are not raised."""
    return [
        kind
        for kind in vars(module).values()
        if isinstance(kind, type)
        and issubclass(kind, Exception)
        and not issubclass(kind, Warning)
        and not kind.__name__.endswith("Message")
    ]


@pytest.mark.parametrize(
    ("module", "families", "elsewhere"),
    [
        (postgres_exceptions, POSTGRES_FAMILIES, ()),
        (
            redis_exceptions,
            REDIS_FAMILIES,
            # Of clusters, forks and policies for many servers: one connection raises none.
            (
                redis_exceptions.RedisClusterException,
                redis_exceptions.ChildDeadlockedError,
                redis_exceptions.IncorrectPolicyType,
            ),
        ),
    ],
)
def test_every_error_of_a_driver_belongs_to_a_family(
    module: object, families: Families, elsewhere: tuple[type[Exception], ...]
) -> None:
    """A new kind of error in a new version of a driver does not go unnoticed."""
    kinds = _raised_by(module)
    assert len(kinds) > 20
    known = (*families, *elsewhere)
    assert [kind for kind in kinds if not issubclass(kind, known)] == []


@pytest.mark.parametrize(
    ("families", "error", "made"),
    [
        (POSTGRES_FAMILIES, ConnectionRefusedError("refused"), ServiceUnavailable),
        (POSTGRES_FAMILIES, TimeoutError(), ServiceUnavailable),
        (POSTGRES_FAMILIES, asyncpg.InterfaceError("closed"), ServiceUnavailable),
        (POSTGRES_FAMILIES, asyncpg.CannotConnectNowError("starting"), ServiceUnavailable),
        (POSTGRES_FAMILIES, asyncpg.TooManyConnectionsError("full"), ServiceUnavailable),
        (POSTGRES_FAMILIES, asyncpg.InvalidPasswordError("no"), LeaseError),
        (POSTGRES_FAMILIES, asyncpg.InsufficientPrivilegeError("no"), LeaseError),
        (REDIS_FAMILIES, redis_exceptions.ConnectionError("gone"), ServiceUnavailable),
        (REDIS_FAMILIES, redis_exceptions.BusyLoadingError("loading"), ServiceUnavailable),
        (REDIS_FAMILIES, redis_exceptions.TimeoutError("late"), ServiceUnavailable),
        (REDIS_FAMILIES, redis_exceptions.AuthenticationError("no"), LeaseError),
        (REDIS_FAMILIES, redis_exceptions.NoPermissionError("no"), LeaseError),
    ],
)
def test_the_most_specific_family_wins(
    families: Families, error: Exception, made: type[InfrastructureError]
) -> None:
    """What says that a server is away differs from what says that it refuses."""
    with pytest.raises(made, match=r"cannot count: .") as caught, translated(families, "count"):
        raise error
    assert caught.type is made
    assert caught.value.__cause__ is error


def test_an_error_of_ours_or_of_others_passes_untouched() -> None:
    """Only drivers' errors are translated, although `ServiceUnavailable` is an `OSError` too."""
    ours = ServiceUnavailable("ours")
    with pytest.raises(ServiceUnavailable, match=r"^ours$"), translated(POSTGRES_FAMILIES, "count"):
        raise ours
    with pytest.raises(ZeroDivisionError), translated(POSTGRES_FAMILIES, "count"):
        raise ZeroDivisionError


def test_a_server_that_is_not_there_is_unavailable() -> None:
    """The message says where it was looked for and what to do, of a port as of a socket."""
    advice = "nobody listens there; if LABKIT_{0}_URL gives it, start it, correct LABKIT_{0}_URL"
    port, folder = Host("127.0.0.1", 1), Host("/nowhere", 5432)
    for nowhere, where in ((port, "127.0.0.1:1"), (folder, "/nowhere:5432")):
        with pytest.raises(ServiceUnavailable) as caught:
            asyncio.run(connect_postgres(PostgresUrl((nowhere,)), name="test"))
        told = f"cannot log in to PostgreSQL at {where}: {advice.format('POSTGRES')}"
        assert str(caught.value).startswith(told)
        assert isinstance(caught.value.__cause__, OSError)
    for nowhere, where in ((port, "127.0.0.1:1"), (Host("/nowhere"), "/nowhere")):
        with pytest.raises(ServiceUnavailable) as caught:
            asyncio.run(connect_redis(RedisUrl(nowhere), name="test"))
        told = f"cannot log in to Redis at {where}: {advice.format('REDIS')}"
        assert str(caught.value).startswith(told)


def test_a_wrong_password_is_a_refusal_and_does_not_show(services: Services) -> None:
    """Also over a socket, where redis-py takes it for a lost connection."""
    url = RedisUrl.parse(services.redis.url.reveal()).login("nobody", "hunter2x")
    with pytest.raises(LeaseError, match="invalid username-password") as caught:
        asyncio.run(connect_redis(url, name="test"))
    assert "hunter2x" not in str(caught.value)


def test_a_session_tells_what_it_could_not_do(services: Services) -> None:
    """The server's own words follow."""

    async def ask() -> None:
        url = PostgresUrl.parse(services.postgres.url.reveal())
        with pytest.raises(LeaseError, match=r"cannot count sheep at .*syntax error"):
            async with postgres_session(url, doing="count sheep") as session:
                await session.execute("COUNT SHEEP")
        redis_url = RedisUrl.parse(services.redis.url.reveal())
        with pytest.raises(LeaseError, match=r"cannot count goats at .*unknown command"):
            async with redis_session(redis_url, doing="count goats") as session_of_redis:
                await session_of_redis.command("COUNT", "GOATS")

    asyncio.run(ask())


def test_a_connection_shows_its_name_and_is_never_idle_for_too_long(services: Services) -> None:
    """A server that ends idle sessions would otherwise end the mark of a lease."""

    async def ask() -> tuple[str, str]:
        url = PostgresUrl.parse(services.postgres.url.reveal())
        connection = await connect_postgres(url, name="labkit-test")
        try:
            name = await connection.fetchval("SHOW application_name")
            return name, await connection.fetchval("SHOW idle_session_timeout")
        finally:
            connection.terminate()

    assert asyncio.run(ask()) == ("labkit-test", "0")
