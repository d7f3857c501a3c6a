"""Settings from environment variables, read and changed in isolation.

Every setting of the lab is read through an `IsolatedEnvironment`: a snapshot, so that what is set
or deleted in it never reaches the process, with the source of each value. Values are texts and stay
what they are: `$(rm)`, `${X}` and `~` mean nothing here.
"""

from __future__ import annotations

import os
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Self

from labkit.errors import SettingError
from labkit.redaction import MASK, Redactor, Secret, names_secret, secrets_in

Callback = Callable[[str, str | None, str | None], None]
"""Called with the key, its value before and its value now; None stands for not set."""


@dataclass(frozen=True)
class _Setting:
    value: str
    source: str


@dataclass(frozen=True)
class _State:
    """All that leaving the environment's block restores."""

    settings: Mapping[str, _Setting]
    protected: frozenset[str]
    callbacks: tuple[Callback, ...]


class IsolatedEnvironment:
    """A copy of some environment variables, each with its source.

    As a context manager it undoes everything that happened in its block, nested blocks as well:
    leaving restores values, sources, protections and callbacks exactly, and calls no callback.

    Keys and values must be texts that a process's environment can hold; otherwise `SettingError`.
    """

    def __init__(self, mapping: Mapping[str, str], source: str = "process") -> None:
        settings = {key: _checked(key, value, source) for key, value in mapping.items()}
        self._state = _State(settings, protected=frozenset(), callbacks=())
        self._entered: list[_State] = []

    @classmethod
    def of_process(cls) -> Self:
        """A copy of this process's environment as it is now."""
        return cls(os.environ)

    def __enter__(self) -> Self:
        self._entered.append(self._state)
        return self

    def __exit__(self, *exception: object) -> None:
        self._state = self._entered.pop()

    def get(self, key: str) -> str | None:
        """The value, or None when it is not set."""
        setting = self._state.settings.get(key)
        return setting.value if setting else None

    def require(self, key: str) -> str:
        """The value; raises `SettingError` when it is not set or empty."""
        value = self.get(key)
        if not value:
            found = "not set" if value is None else f"empty in its source, {self.source_of(key)}"
            raise SettingError(f"the setting {key} is {found}: export {key}=… before the start")
        return value

    def source_of(self, key: str) -> str | None:
        """Where the value came from, or None when it is not set."""
        setting = self._state.settings.get(key)
        return setting.source if setting else None

    def set(self, key: str, value: str, *, source: str) -> None:
        """Set a value and tell the callbacks if it differs.

        Raises `SettingError`, with nothing changed, when the key is protected or key or value
        cannot stand in an environment; an `ExceptionGroup` when callbacks failed: see `on_change`.
        """
        self._change(key, _checked(key, value, source))

    def delete(self, key: str) -> None:
        """Delete a value, if it is set, and tell the callbacks; raises as `set` does."""
        self._change(key, None)

    def protect(self, key: str) -> None:
        """Refuse to set or delete the key until the block in which it was protected is left."""
        self._state = replace(self._state, protected=self._state.protected | {key})

    def on_change(self, callback: Callback) -> None:
        """Call back after each change, until the block in which this was asked for is left.

        A change stands even if callbacks fail: all of them are called, so that none misses it, and
        then what they raised is raised as one `ExceptionGroup`.
        """
        self._state = replace(self._state, callbacks=(*self._state.callbacks, callback))

    def as_mapping(self) -> dict[str, str]:
        """The values as a plain dict of the caller's own, for a child process."""
        return {key: setting.value for key, setting in self._state.settings.items()}

    def masked(self, secrets: Iterable[Secret] = ()) -> Mapping[str, str]:
        """The values for display.

        Masked are whole values under names of secrets, and, wherever they stand, the `secrets`
        given here and those that the environment itself holds.
        """
        values = self.as_mapping()
        redactor = Redactor([*secrets, *secrets_in(values)])
        return types.MappingProxyType(
            {
                key: MASK if names_secret(key) and value else redactor.text(value)
                for key, value in values.items()
            }
        )

    def _change(self, key: str, setting: _Setting | None) -> None:
        if key in self._state.protected:
            raise SettingError(f"the setting {key} is protected: change it before it is protected")
        old = self.get(key)
        settings = dict(self._state.settings)
        if setting:
            settings[key] = setting
        else:
            settings.pop(key, None)
        self._state = replace(self._state, settings=settings)
        new = self.get(key)
        if old != new:
            self._tell(key, old, new)

    def _tell(self, key: str, old: str | None, new: str | None) -> None:
        errors = []
        for callback in self._state.callbacks:
            try:
                callback(key, old, new)
            except Exception as error:  # noqa: BLE001 -- raised below, after the others' turn
                errors.append(error)
        if errors:
            raise ExceptionGroup(f"callbacks failed on the change of {key}, which stands", errors)


def _checked(key: object, value: object, source: str) -> _Setting:
    if not isinstance(key, str) or not key or not {"=", "\0"}.isdisjoint(key):
        raise SettingError(f"{key!r:.80} is no name of a setting: use a text without '=' and NUL")
    if not isinstance(value, str) or "\0" in value:
        found = "text with NUL" if isinstance(value, str) else type(value).__name__
        raise SettingError(f"the setting {key} from {source} must be text without NUL, not {found}")
    return _Setting(value, source)
