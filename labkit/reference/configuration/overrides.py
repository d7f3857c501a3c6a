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

from labkit.errors import InvalidSettings, Rejected, SettingFault
from labkit.json_values import JsonValue, json_value
from labkit.reference.configuration.models import FIXED
from labkit.reference.pool import Connection, Pool
from labkit.targets.configuration import SettingChange

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


Check: TypeAlias = Callable[[Overrides], Shown]
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
        """Put an update on the stack; raises `InvalidSettings`, with nothing changed."""
        _require_name(who)
        if not changes:
            raise Rejected("an update changes at least one key")
        async with self._alone(environment) as connection:
            before = await current(connection, environment)
            after = _checked(before, changes, check)
            update = await connection.fetchval(_PUSH, environment)
            for key, value in changes.items():
                await connection.execute(_PUT, update, key, value)
            found = _found(before, check)
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
        async with self._pool.connection() as connection, connection.transaction():
            await connection.execute(ADMIT, True)  # noqa: FBT003 - it is the statement's argument
            yield connection

    @asynccontextmanager
    async def _alone(self, environment: str) -> AsyncIterator[Connection]:
        """The same, while nobody else changes this environment's settings."""
        async with self._admitted() as connection:
            await connection.execute(_LOCK, environment)
            yield connection


def _require_name(who: str) -> None:
    if not who or not who.isprintable():
        raise Rejected(f"{who!r:.80} is nobody who could change settings: give a name")


class _Unreadable:
    def shown(self, _key: str) -> JsonValue:
        return None


def _found(overrides: Overrides, check: Check) -> Shown:
    """What a change found: unreadable where it was not valid, which the change may put right."""
    try:
        return check(overrides)
    except InvalidSettings:
        return _Unreadable()


def _checked(before: Overrides, changes: Overrides, check: Check) -> Shown:
    """All settings with the changes; raises `InvalidSettings` with all that is wrong."""
    faults = [fault for key, value in changes.items() for fault in _cannot_be_kept(key, value)]
    told = {fault.key for fault in faults}
    try:
        after = check({**before, **changes})
    except InvalidSettings as error:
        faults += [fault for fault in error.faults if fault.key not in told]
    if faults:
        raise InvalidSettings(faults)
    return after


def _cannot_be_kept(key: str, value: JsonValue) -> Sequence[SettingFault]:
    """What is wrong with a change, whatever the setting is."""
    if key in FIXED:
        return [SettingFault(key, "is fixed while services run: start them anew", "update")]
    try:
        json_value(value)
    except ValueError as error:
        return [SettingFault(f"{key:.80}", str(error), "update")]
    if "\\u0000" in json.dumps(value):
        return [SettingFault(f"{key:.80}", "holds the character NUL", "update")]
    return []
