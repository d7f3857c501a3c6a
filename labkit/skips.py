"""A check whose target lacks something is skipped: how that comes out of its body."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import TypeVar

from labkit.errors import ServiceUnavailable

_T = TypeVar("_T")


class SkipCheck(BaseException):
    """The body touched what the target declared as lacking; no `except Exception` hides that.

    `in_area` says that the target has the part that this belongs to, whatever it declares.
    """

    def __init__(self, capability: str, why: str, *, in_area: bool = False) -> None:
        super().__init__(f"the target lacks {capability}: {why}")
        self.capability = capability
        self.in_area = in_area


def skip_in(error: BaseException | None) -> SkipCheck | None:
    """The skip that ended a body, also when several come out of a task group; else None.

    Of several, one that belongs to a part which the target has comes first.
    """
    skips = list(_leaves(error))
    found = sorted((one for one in skips if isinstance(one, SkipCheck)), key=_is_elsewhere)
    return found[0] if found and len(found) == len(skips) else None


@asynccontextmanager
async def or_skip(starting: AbstractAsyncContextManager[_T]) -> AsyncIterator[_T]:
    """A server of a check's own, or the check is skipped with the reason why there is none."""
    async with AsyncExitStack() as stack:
        try:
            server = await stack.enter_async_context(starting)
        except ServiceUnavailable as error:
            raise SkipCheck("a server of the check's own", str(error)) from error
        yield server


def _leaves(error: BaseException | None) -> Iterator[BaseException | None]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def _is_elsewhere(skip: SkipCheck) -> bool:
    return not skip.in_area
