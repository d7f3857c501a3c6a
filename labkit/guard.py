"""What stands between a check and the target: the target's own doings are not the check's.

A connection or task that the platform opens while a check calls it belongs to the platform, which
may keep it. So everything that is reached through a guard runs unwatched.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, TypeVar, cast

from labkit.hygiene import unwatched

_T = TypeVar("_T")


def guarded(part: _T) -> _T:
    """The part of a target, with every call, await and block of it unwatched."""
    return cast(_T, _Guard(part))


def guarded_block(block: AbstractAsyncContextManager[_T]) -> AbstractAsyncContextManager[_T]:
    """The block, entered and left unwatched; its body belongs to who writes it."""
    return cast(AbstractAsyncContextManager[_T], _Block(block))


class _Guard:
    def __init__(self, part: object) -> None:
        self._part = part

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._part, name)
        return functools.partial(_call, member) if callable(member) else member


def _call(member: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    with unwatched():
        made = member(*arguments, **options)
    if isinstance(made, AbstractAsyncContextManager):
        return _Block(made)
    if isinstance(made, Awaitable):
        return _awaited(made)
    return made


async def _awaited(made: Awaitable[Any]) -> Any:
    with unwatched():
        return await made


class _Block:
    def __init__(self, block: AbstractAsyncContextManager[Any]) -> None:
        self._block = block

    async def __aenter__(self) -> Any:
        with unwatched():
            return await self._block.__aenter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        with unwatched():
            return await self._block.__aexit__(kind, error, trace)
