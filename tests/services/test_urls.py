"""URLs of servers are read strictly and written in one form."""

from __future__ import annotations

import pytest

from labkit.services.urls import Host, PostgresUrl, RedisUrl


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("postgres://u:p@h/d", "postgresql://u:p@h/d"),
        ("postgresql:///d", "postgresql:///d"),
        ("postgresql://u:a%40b@H:5433/d%2Fe", "postgresql://u:a%40b@H:5433/d%2Fe"),
        ("postgresql://a@b@h/d", "postgresql://a%40b@h/d"),
        ("postgresql://h1:1,h2:2/d", "postgresql://h1:1,h2:2/d"),
        ("postgresql://[fe80::1%25eth0]/d", "postgresql://[fe80::1%25eth0]/d"),
        ("postgresql:///d?host=/run/x&port=5432", "postgresql:///d?host=%2Frun%2Fx&port=5432"),
        ("postgresql://u@%2Frun%2Fx/d", "postgresql://u@/d?host=%2Frun%2Fx"),
        ("postgresql:///?host=h1,h2&port=7&user=u&dbname=d", "postgresql://u@h1:7,h2:7/d"),
        ("postgresql://h/d?sslmode=require", "postgresql://h/d?sslmode=require"),
    ],
)
def test_a_postgres_url_is_written_from_its_parts(text: str, written: str) -> None:
    """What a driver is given is put together from what was understood, and reads back equal."""
    url = PostgresUrl.parse(text)
    assert url.secret.reveal() == written
    assert PostgresUrl.parse(written) == url


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("redis://h", "redis://h/0"),
        ("redis://:p%2F@h:1/3", "redis://:p%2F@h:1/3"),
        ("rediss://u:p@[::1]:2?db=4", "rediss://u:p@[::1]:2/4"),
        ("unix:///run/redis.sock?db=1", "unix:///run/redis.sock?db=1"),
        ("unix://u:p@/run/redis.sock", "unix://u:p@/run/redis.sock?db=0"),
        ("redis:///2", "redis://localhost/2"),
    ],
)
def test_a_redis_url_is_written_from_its_parts(text: str, written: str) -> None:
    """The same for Redis, over TCP, TLS and a socket."""
    url = RedisUrl.parse(text)
    assert url.secret.reveal() == written
    assert RedisUrl.parse(written) == url


@pytest.mark.parametrize(
    "text",
    [
        "mysql://h/d",
        "postgresql:h/d",
        "postgresql://u:hunter2x@h/d?hostaddr=8.8.8.8",
        "postgresql://u:hunter2x@h/d?service=prod",
        "postgresql://u:hunter2x@h/d?host=elsewhere",
        "postgresql://u:hunter2x@h/d?sslmode=a&sslmode=b",
        "postgresql://u:hunter2x@h/d?sslmode",
        "postgresql://u:hunter2x@h:0/d",
        "postgresql://u:hunter2x@h:99999/d",
        "postgresql://u:hunter2x@h:x/d",
        "postgresql://u:hunter2x@h1:1,h2/d?port=2",
        "postgresql://u:hunter2x@[::1/d",
        "postgresql://u:hunter2x@h1:1,[::1]:2/d",
        "postgresql://u:hunter2x@[::1]:1,h2/d",
        "postgresql://u:hunter2x@/d?host=h1,[::1]",
        "postgresql://u:hunter2x@evil%2C127.0.0.1/d",
        "postgresql://u:hunter2x@h/d#x",
        "postgresql://u:hunter2x/@h/d",
        "postgresql://u:?hunter2x=1@h/d",
        "postgresql://u:hunter2x@h /d",
        "postgresql://u:hunter2x@h\n/d",
        "postgresql://u:hunter2x@\u210c\u2100.example/d",
    ],
)
def test_a_malformed_postgres_url_is_refused_without_its_password(text: str) -> None:
    """What a driver might read in another way is refused, and the fault tells no secret."""
    with pytest.raises(ValueError, match=r"\bits?\b|stands") as caught:
        PostgresUrl.parse(text)
    assert "hunter2x" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    "text",
    [
        "http://h",
        "redis://h/zero",
        "redis://h1,h2",
        "redis:///0?host=evil.example",
        "redis://h?username=u",
        "unix://h/run/redis.sock",
        "unix://",
    ],
)
def test_a_malformed_redis_url_is_refused(text: str) -> None:
    """Options that would lead the driver elsewhere are refused as well."""
    with pytest.raises(ValueError, match=r"."):
        RedisUrl.parse(text)


def test_a_url_for_another_login_keeps_the_server() -> None:
    """Only user, password and database change."""
    url = PostgresUrl.parse("postgresql://root:x@h:1/d?sslmode=require").login("u", "p", "e")
    assert url.hosts == (Host("h", 1),)
    assert url.secret.reveal() == "postgresql://u:p@h:1/e?sslmode=require"


def test_a_url_prints_no_password() -> None:
    """The parts can be shown, in a traceback for one."""
    assert "hunter2x" not in repr(PostgresUrl.parse("postgresql://u:hunter2x@h/d"))
    assert "hunter2x" not in repr(RedisUrl.parse("redis://u:hunter2x@h"))
