"""The URLs of servers, taken apart strictly and put together again in one form.

A driver may read an odd URL otherwise than whoever judged its hosts. So only what is understood
here is accepted, and drivers are given the text that was put together from the parts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

from labkit.redaction import Secret

_POSTGRES_OPTIONS: Final = frozenset(
    {
        "application_name",
        "sslcert",
        "sslcrl",
        "sslkey",
        "sslmode",
        "sslnegotiation",
        "sslrootcert",
        "target_session_attrs",
    }
)
_POSTGRES_PARTS: Final = frozenset({"host", "port", "user", "password", "dbname"})
_REDIS_OPTIONS: Final = frozenset(
    {"ssl_ca_certs", "ssl_cert_reqs", "ssl_certfile", "ssl_check_hostname", "ssl_keyfile"}
)
_HOST: Final = re.compile(
    r"\[(?P<six>[^\[\]]+)\](?::(?P<six_port>\d+))?|(?P<name>[^:\[\]]*)(?::(?P<port>\d+))?"
)
_HOST_NAME: Final = re.compile(r"/[^\0]*|[0-9A-Za-z._-]+|[0-9A-Fa-f:.]+(?:%[0-9A-Za-z._-]+)?")


@dataclass(frozen=True)
class Host:
    """Where a server listens: a name, an address, or the folder or file of a unix socket."""

    name: str
    port: int | None = None

    @property
    def is_socket(self) -> bool:
        """Whether it is a path in the file system."""
        return self.name.startswith("/")

    @property
    def text(self) -> str:
        """The host as it stands in a URL."""
        name = quote(self.name, safe=":")
        bracketed = f"[{name}]" if ":" in name else name
        return bracketed if self.port is None else f"{bracketed}:{self.port}"

    @property
    def shown(self) -> str:
        """The host for a reader."""
        return unquote(self.text)


@dataclass(frozen=True)
class PostgresUrl:
    """A PostgreSQL server, a database on it and who logs in; `None` is the driver's default."""

    hosts: tuple[Host, ...] = ()
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    database: str | None = None
    options: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, text: str) -> PostgresUrl:
        """The parts of `text`; raises `ValueError` with the fault, which never tells a secret."""
        split = _split(text, schemes=("postgresql", "postgres"))
        login, _, netloc = split.netloc.rpartition("@")
        user, password = _login(login)
        query = _query(split, known=_POSTGRES_OPTIONS | _POSTGRES_PARTS)
        if netloc and "host" in query:
            raise ValueError("it names its host twice, before the path and as ?host=")
        return cls(
            hosts=_hosts(
                netloc or query.get("host", ""), query.get("port", ""), decode=bool(netloc)
            ),
            user=user or query.get("user"),
            password=password or query.get("password"),
            database=unquote(split.path.removeprefix("/")) or query.get("dbname"),
            options=tuple(item for item in query.items() if item[0] in _POSTGRES_OPTIONS),
        )

    @property
    def address(self) -> str:
        """Where the server is, for a reader."""
        return ", ".join(host.shown for host in self.hosts) or "the driver's default address"

    def login(self, user: str, password: str, database: str) -> PostgresUrl:
        """The same server for another user and database."""
        return replace(self, user=user, password=password, database=database)

    @property
    def secret(self) -> Secret:
        """The text that a driver takes."""
        sockets = any(host.is_socket for host in self.hosts)
        in_query = [("host", self.hosts[0].name)] if sockets and len(self.hosts) == 1 else []
        if in_query and self.hosts[0].port is not None:
            in_query.append(("port", str(self.hosts[0].port)))
        netloc = "" if in_query else ",".join(host.text for host in self.hosts)
        query = urlencode([*in_query, *self.options], quote_via=quote)
        login = _login_text(self.user, self.password)
        path = f"/{quote(self.database or '', safe='')}"
        return Secret(f"postgresql://{login}{netloc}{path}{'?' if query else ''}{query}")


@dataclass(frozen=True)
class RedisUrl:
    """A Redis server, the number of a database on it and who logs in."""

    host: Host = Host("localhost")
    tls: bool = False
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    database: int = 0
    options: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, text: str) -> RedisUrl:
        """The parts of `text`; raises `ValueError` with the fault, which never tells a secret."""
        split = _split(text, schemes=("redis", "rediss", "unix"))
        login, _, netloc = split.netloc.rpartition("@")
        user, password = _login(login)
        query = _query(split, known=_REDIS_OPTIONS | {"db"})
        is_socket = split.scheme == "unix"
        if is_socket and (netloc or not split.path):
            raise ValueError("a unix:// URL is unix:///path/of/the.sock, with no host")
        hosts = (Host(unquote(split.path)),) if is_socket else _hosts(netloc, "", decode=True)
        if len(hosts) > 1:
            raise ValueError("it names several hosts, and the lab needs one Redis server")
        database = query.get("db") or ("" if is_socket else split.path.strip("/")) or "0"
        if not database.isascii() or not database.isdigit():
            raise ValueError("the database of a Redis URL is a number, such as /0")
        return cls(
            host=hosts[0] if hosts else Host("localhost"),
            tls=split.scheme == "rediss",
            user=user,
            password=password,
            database=int(database),
            options=tuple(item for item in query.items() if item[0] in _REDIS_OPTIONS),
        )

    @property
    def address(self) -> str:
        """Where the server is, for a reader."""
        return self.host.shown

    def login(self, user: str, password: str) -> RedisUrl:
        """The same server and database for another user."""
        return replace(self, user=user, password=password)

    @property
    def secret(self) -> Secret:
        """The text that a driver takes."""
        login = _login_text(self.user, self.password)
        if self.host.is_socket:
            query = urlencode([("db", str(self.database)), *self.options], quote_via=quote)
            return Secret(f"unix://{login}{quote(self.host.name)}?{query}")
        query = urlencode(self.options, quote_via=quote)
        scheme = "rediss" if self.tls else "redis"
        end = f"/{self.database}{'?' if query else ''}{query}"
        return Secret(f"{scheme}://{login}{self.host.text}{end}")


def _split(text: str, *, schemes: tuple[str, ...]) -> SplitResult:
    if not text.isprintable() or " " in text:
        raise ValueError("it holds a space, a line break or another control character")
    try:
        split = urlsplit(text)
    except ValueError:
        # The parser's own message quotes the login.
        raise ValueError("its host or port is not readable") from None
    if split.scheme not in schemes or not text[len(split.scheme) :].startswith("://"):
        raise ValueError(f"it must begin with {' or '.join(f'{scheme}://' for scheme in schemes)}")
    if "#" in text:
        raise ValueError("it holds a '#', which must be written %23")
    if "@" in split.path + split.query:
        raise ValueError(
            "an '@' stands after its host: write '/', '?' and '@' of a password as %xx"
        )
    return split


def _query(split: SplitResult, *, known: frozenset[str]) -> Mapping[str, str]:
    try:
        pairs = parse_qsl(split.query, keep_blank_values=True, strict_parsing=bool(split.query))
    except ValueError:
        raise ValueError("what follows its '?' is not a list of name=value") from None
    names = [name for name, _ in pairs]
    unknown = sorted(set(names) - known)
    if unknown:
        raise ValueError(f"{unknown[0]!r} after its '?' is none of {', '.join(sorted(known))}")
    if len(set(names)) < len(names):
        raise ValueError("a name stands twice after its '?'")
    return dict(pairs)


def _login(text: str) -> tuple[str | None, str | None]:
    user, _, password = text.partition(":")
    return unquote(user) or None, unquote(password) or None


def _login_text(user: str | None, password: str | None) -> str:
    if user is None and password is None:
        return ""
    secret = "" if password is None else f":{quote(password, safe='')}"
    return f"{quote(user or '', safe='')}{secret}@"


def _hosts(text: str, ports: str, *, decode: bool) -> tuple[Host, ...]:
    if not text:
        return ()
    hosts = [_host(part, decode=decode) for part in text.split(",")]
    if len(hosts) > 1 and any(":" in host.name for host in hosts):
        # Pythons with the stricter parser of URLs, and so drivers on them, do not read such a list.
        raise ValueError("an IPv6 address cannot stand among several hosts; give its name")
    if not ports:
        return tuple(hosts)
    numbers = [_port(port) for port in ports.split(",")]
    if len(numbers) == 1:
        numbers *= len(hosts)
    if len(numbers) != len(hosts) or any(host.port is not None for host in hosts):
        raise ValueError("its ports and hosts do not pair up")
    return tuple(replace(host, port=port) for host, port in zip(hosts, numbers, strict=True))


def _host(text: str, *, decode: bool) -> Host:
    if text.startswith("/"):
        return Host(text)
    match = _HOST.fullmatch(text)
    if match is None:
        raise ValueError("its host or port is not readable")
    name = match["six"] or match["name"] or ""
    name = unquote(name) if decode else name
    if not _HOST_NAME.fullmatch(name):
        raise ValueError(f"its host {name!r} is neither a name, an address nor a path")
    port = match["six_port"] or match["port"]
    return Host(name, None if port is None else _port(port))


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 65536:
        raise ValueError("its port is not a number from 1 to 65535")
    return int(text)
