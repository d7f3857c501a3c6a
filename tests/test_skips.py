"""A body that met gaps alone is skipped; whatever else went wrong is not hidden by one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from labkit.errors import ServiceUnavailable
from labkit.skips import SkipCheck, or_skip, skip_in

CACHE = SkipCheck("cache", "it forgets")
DATA = SkipCheck("data", "it trusts", in_area=True)


def group(*errors: BaseException) -> BaseException:
    """What a task group raises."""
    return BaseExceptionGroup("of a group", errors)


@pytest.mark.parametrize(
    ("error", "found"),
    [
        (None, None),
        (LookupError(), None),
        (CACHE, CACHE),
        (group(CACHE), CACHE),
        (group(group(CACHE), CACHE), CACHE),
        (group(CACHE, DATA), DATA),
        (group(CACHE, LookupError()), None),
        (group(group(LookupError()), CACHE), None),
    ],
)
def test_a_skip_is_one_when_nothing_else_went_wrong(
    error: BaseException | None, found: SkipCheck | None
) -> None:
    """Alone or from several tasks; one in an area that the target has comes first."""
    assert skip_in(error) is found


def test_it_says_what_is_lacking_and_why() -> None:
    """The capability and the target's reason stand in its text; no `except Exception` hides it."""
    assert str(CACHE) == "the target lacks cache: it forgets"
    assert not isinstance(CACHE, Exception)


@pytest.mark.parametrize(("starts", "raised"), [(False, SkipCheck), (True, ServiceUnavailable)])
def test_only_a_server_that_does_not_start_is_a_skip(
    starts: bool, raised: type[BaseException]
) -> None:
    """One that goes away while it is used is an error."""

    @asynccontextmanager
    async def starting() -> AsyncIterator[str]:
        if not starts:
            raise ServiceUnavailable("no program")
        yield "server"

    async def run() -> None:
        async with or_skip(starting()) as server:
            raise ServiceUnavailable(f"{server} is gone")

    with pytest.raises(raised, match="no program" if not starts else "server is gone"):
        asyncio.run(run())
