"""What was changed at run time: a stack of updates in the database, and what has happened to it.

An update holds the new values of its keys; the newest value of a key wins, and undoing an update
takes it off the stack, values and all. The history stays, with secrets masked. Notifications tell
only that something changed, and where.

The values of secrets stand in the stack as they are, since every process must read them: it is
shown to no statement that acts for a user, but whoever may read the database's files, its backups
or its tables as their owner reads them. They leave the tables with the update that set them.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, Protocol, TypeAlias

from labkit.errors import InvalidSettings, Rejected, ServiceUnavailable, SettingFault
from labkit.json_values import JsonValue, json_value
from labkit.redaction import Redactor, Secret
from labkit.reference.configuration.models import FIXED
from labkit.reference.data.pool import Connection, Pool
from labkit.targets.configuration import SettingChange

_LONGEST_NAME: Final = 200

_LONGEST_VALUE_BYTES: Final = 16_384

Overrides: TypeAlias = Mapping[str, JsonValue]
"""The values that are in force, by key."""

CHANNEL: Final = "settings"
"""Where processes are told that settings changed; the payload is the environment's name."""

ADMIT: Final = "select set_config('labkit.settings', 'on', $1)"
"""Lets a connection, or its transaction when true, see what was set."""

_CURRENT: Final = """
    select distinct on (key) key, value::text
      from setting_values join setting_updates on id = update_id
     where environment = $1 order by key, update_id desc
"""

_LOCK: Final = "select pg_advisory_xact_lock(hashtext('labkit settings'), hashtext($1))"

_PUSH: Final = "insert into setting_updates (environment) values ($1) returning id"

_PUT: Final = "insert into setting_values (update_id, key, value) values ($1, $2, $3)"

_LAST: Final = "select max(id) from setting_updates where environment = $1"

_KEYS: Final = "select key from setting_values where update_id = $1 order by key"

_POP: Final = "delete from setting_updates where id = $1"

_NOTE: Final = """
    insert into setting_history (environment, key, who, before, after)
    values ($1, $2, $3, $4, $5)
"""

_HISTORY: Final = """
    select key, who, (extract(epoch from at) * 1000)::bigint, before, after
      from setting_history where environment = $1 order by position
"""


class Reader(Protocol):
    """A connection that can be asked."""

    async def fetch(self, query: str, *arguments: Any) -> Sequence[Any]:
        """The rows of a statement."""
        ...


class Shown(Protocol):
    """The settings of a platform, of all its services, as they may be shown."""

    def shown(self, key: str) -> JsonValue:
        """A value; secrets are masked."""
        ...


class Checked(Shown, Protocol):
    """The same, of overrides that hold."""

    @property
    def secrets(self) -> Sequence[Secret]:
        """What is masked."""
        ...


Check: TypeAlias = Callable[[Overrides], Checked]
"""What all settings are with these overrides; raises `InvalidSettings` where they cannot be."""


async def current(connection: Reader, environment: str) -> Overrides:
    """What is in force in an environment, of one moment."""
    rows = await connection.fetch(_CURRENT, environment)
    return {key: json.loads(value) for key, value in rows}


class OverrideStore:
    """Changes overrides, one update at a time, each in whole or not at all."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def read(self, environment: str) -> Overrides:
        """What is in force in an environment."""
        async with self._admitted() as connection:
            return await current(connection, environment)

    async def update(
        self, environment: str, who: str, changes: Mapping[str, JsonValue], check: Check
    ) -> None:
        """Put an update on the stack; raises `InvalidSettings`, with nothing changed.

        Raises `ServiceUnavailable` when others' changes take too long, here and below.
        """
        _require_name(who)
        _require_keys(changes)
        async with self._alone(environment) as connection:
            before = await current(connection, environment)
            found = _found(before, check)
            after = _checked(before, changes, check, Redactor(found.secrets))
            update = await connection.fetchval(_PUSH, environment)
            for key, value in changes.items():
                await connection.execute(_PUT, update, key, value)
            await self._note(connection, environment, who, list(changes), found, after)

    async def roll_back(self, environment: str, who: str, check: Check) -> None:
        """Take the last update off the stack; raises `Rejected` where there is none."""
        _require_name(who)
        async with self._alone(environment) as connection:
            last = await connection.fetchval(_LAST, environment)
            if last is None:
                raise Rejected(f"no update of {environment!r} is left that could be undone")
            before = await current(connection, environment)
            keys = [key for (key,) in await connection.fetch(_KEYS, last)]
            await self.pop(connection, last, keys)
            after = await current(connection, environment)
            found = _found(before, check)
            await self._note(connection, environment, who, keys, found, check(after))

    async def pop(self, connection: Connection, update: int, keys: Sequence[str]) -> None:  # noqa: ARG002
        """Take an update away, with the values of all its keys."""
        await connection.execute(_POP, update)

    async def history(self, environment: str) -> Sequence[SettingChange]:
        """All that has happened, oldest first."""
        async with self._admitted() as connection:
            return [SettingChange(*row) for row in await connection.fetch(_HISTORY, environment)]

    async def _note(
        self,
        connection: Connection,
        environment: str,
        who: str,
        keys: Sequence[str],
        before: Shown,
        after: Shown,
    ) -> None:
        for key in keys:
            await connection.execute(
                _NOTE, environment, key, who, before.shown(key), after.shown(key)
            )
        await connection.execute("select pg_notify($1, $2)", CHANNEL, environment)

    @asynccontextmanager
    async def _admitted(self) -> AsyncIterator[Connection]:
        """A transaction that sees what was set."""
        try:
            async with self._pool.connection() as connection, connection.transaction():
                await connection.execute(ADMIT, True)  # noqa: FBT003 - it is the statement's argument
                yield connection
        except TimeoutError as error:
            raise ServiceUnavailable(
                f"the settings could not be had within {self._pool.limits.command_s:g} s: "
                "look for a change of them that does not end"
            ) from error

    @asynccontextmanager
    async def _alone(self, environment: str) -> AsyncIterator[Connection]:
        """The same, while nobody else changes this environment's settings."""
        async with self._admitted() as connection:
            await connection.execute(_LOCK, environment)
            yield connection


def _require_name(who: object) -> None:
    # It is not quoted: what is no name may be anything.
    if not isinstance(who, str) or not who.isprintable() or not 0 < len(who) <= _LONGEST_NAME:
        raise Rejected(
            "this is nobody who could change settings: give a name, in 1 to "
            f"{_LONGEST_NAME} printable characters"
        )


def _require_keys(changes: Mapping[str, JsonValue]) -> None:
    if not changes:
        raise Rejected("an update changes at least one key")
    for key in changes:
        if not isinstance(key, str):
            raise Rejected(f"the keys of an update are texts, and one is a {type(key).__name__}")


class _Unreadable:
    secrets: Sequence[Secret] = ()

    def shown(self, _key: str) -> JsonValue:
        return None


def _found(overrides: Overrides, check: Check) -> Checked:
    """What a change found: unreadable where it was not valid, which the change may put right."""
    try:
        return check(overrides)
    except InvalidSettings:
        return _Unreadable()


def _checked(before: Overrides, changes: Overrides, check: Check, redactor: Redactor) -> Shown:
    """All settings with the changes; raises `InvalidSettings` with all that is wrong."""
    reasons = {key: _cannot_be_kept(key, value) for key, value in changes.items()}
    bad = {key: reason for key, reason in reasons.items() if reason}
    # No setting can be null: what cannot even be looked at is a fault of its key all the same.
    after = {**before, **changes, **dict.fromkeys(bad)}
    try:
        checked = check(after)
    except InvalidSettings as error:
        faults = [_retold(fault, bad, redactor) for fault in error.faults]
        raise InvalidSettings(tuple(dict.fromkeys(faults))) from None
    if bad:
        raise AssertionError("a setting took null for a value")
    return checked


def _retold(fault: SettingFault, bad: Mapping[str, str], redactor: Redactor) -> SettingFault:
    """A fault with the better reason that may be known, without the secrets that were in force."""
    reason = bad.get(fault.key, fault.reason)
    source = "update" if fault.key in bad else fault.source
    return SettingFault(redactor.text(fault.key), redactor.text(reason), redactor.text(source))


def _cannot_be_kept(key: str, value: JsonValue) -> str:
    """What is wrong with a change, whatever the setting is; empty if nothing is."""
    if key in FIXED:
        return "is fixed while services run: start them anew"
    try:
        text = json.dumps(json_value(value))
    except ValueError as error:
        return str(error)
    except RecursionError:
        return "is nested too deeply"
    if len(text) > _LONGEST_VALUE_BYTES:
        return f"is longer than {_LONGEST_VALUE_BYTES:,} bytes of JSON"
    return "holds the character NUL" if "\\u0000" in text else ""
