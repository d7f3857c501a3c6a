"""What stands between a check and the target: the seam, seen from the lab's side.

A connection or task that the platform opens while a check calls it belongs to the platform, which
may keep it. So everything that is reached through a guard runs unwatched, down to the objects that
a block of the target's yields. A guard also notes what the check touches, its needs, and tells a
gap that the target declared (`SkipCheck`) from one that it did not (`NotDeclared`).
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, Final, TypeVar, cast

from labkit.checks import Check
from labkit.errors import NotDeclared
from labkit.hygiene import unwatched
from labkit.skips import SkipCheck
from labkit.targets.loading import part_of
from labkit.targets.protocols import Capability, Target, capability_at, need_at

_T = TypeVar("_T")

_PLAIN: Final = (str, bytes, int, float, bool, tuple, list, dict, frozenset, set, type(None))


def guarded_block(block: AbstractAsyncContextManager[_T]) -> AbstractAsyncContextManager[_T]:
    """The lab's own block, entered and left unwatched; its body belongs to who writes it."""
    return cast(AbstractAsyncContextManager[_T], _Block(block))


class Seam:
    """A target as the checks of one lab see it.

    `running` gives the check whose body runs, if one does.
    """

    def __init__(self, target: Target, running: Callable[[], Check | None]) -> None:
        self._target = target
        self._running = running

    def part(self, part: Capability) -> Any:
        """A part of the target, with every call, await, step and block of it unwatched.

        Inside a check a part that is not there raises at once, outside of one at the first touch
        of a method: `SkipCheck` where the target declares it, else `NotDeclared`.
        """
        if self._running() is not None:
            if part in self._target.lacks:
                self._note(part.value)
            self._found(part)
        return _Guard(self, part.value, functools.partial(self._found, part))

    def tables(self) -> Any:
        """The target's tables; looking at one that it does not have skips the check."""
        return _Tables(self)

    def require(self, part: Capability, method: str) -> object:
        """Note that a method is touched, and give it; raises as touching it does."""
        need = f"{part}.{method}"
        self._note(need)
        found = self._found(part)
        self._skip_if_lacking(need)
        return self.member(found, method, need)

    def within(self, whole: object, name: str, path: str) -> object:
        """A member of what a block yields; one that can be declared as lacking is a need too."""
        need = need_at(path)
        if need in set(Capability):
            self._note(need)
            self._skip_if_lacking(need)
        return self.member(whole, name, path)

    def member(self, whole: object, name: str, path: str) -> object:
        """A member of an object of the target's; raises `NotDeclared` where there is none."""
        with self.declared(path):
            try:
                found = getattr(whole, name)
            except AttributeError as error:
                raise NotImplementedError(str(error)) from error
            if found is None:
                raise NotImplementedError(f"{path} is None")
        return found

    def table(self, name: str) -> str:
        """The name of one of the target's tables."""
        need = f"tables.{name}"
        self._note(need)
        found = getattr(self._target.tables, name)
        if not found:
            why = f"the target has no table for {name}"
            raise SkipCheck(need, why, in_area=self._has(part_of(need)))
        return str(found)

    @contextlib.contextmanager
    def declared(self, path: str) -> Iterator[None]:
        """Tell a gap that shows inside the block as what it is: one that was not declared."""
        try:
            yield
        except NotDeclared:
            raise
        except NotImplementedError as error:
            raise NotDeclared(
                f"target {self._target.name} lacks {path} but does not declare it; name "
                f"{capability_at(path)} in the target's `lacks`, with the reason"
            ) from error

    def ends_with_check(self, close: Callable[[], Awaitable[object]]) -> None:
        """Have something closed at the end of the check that runs, if one does."""
        check = self._running()
        if check is not None:
            check.closes(close)

    def _note(self, need: str) -> None:
        check = self._running()
        if check is not None:
            check.needs(need)

    def _found(self, part: Capability) -> object:
        """The part itself."""
        self._skip_if_lacking(part.value)
        return self.member(self._target, part.value, part.value)

    def _skip_if_lacking(self, need: str) -> None:
        lacking = {capability.value: why for capability, why in self._target.lacks.items()}
        if need in lacking:
            raise SkipCheck(need, lacking[need], in_area=self._has(part_of(need)))

    def _has(self, part: str) -> bool:
        """Whether the target has a part, whatever it declares."""
        try:
            return getattr(self._target, part, None) is not None
        except NotImplementedError:
            return False


def guarded_target(target: Target, running: Callable[[], Check | None]) -> Target:
    """A target with its parts as the lab has them: guarded, and a gap in them skips or breaks."""
    return cast(Target, _Parts(target, Seam(target, running)))


class _Parts:
    def __init__(self, target: Target, seam: Seam) -> None:
        self._target = target
        self._seam = seam

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if name == "tables":
            return self._seam.tables()
        is_part = name in {capability.part for capability in Capability}
        return self._seam.part(Capability(name)) if is_part else getattr(self._target, name)


class _Tables:
    def __init__(self, seam: Seam) -> None:
        self._seam = seam

    def __getattr__(self, name: str) -> str:
        if name.startswith("_"):
            raise AttributeError(name)
        return self._seam.table(name)


class _Guarded:
    """An object that a block of the target's yields: the same to look at, unwatched in its doings.

    Writing to it, comparing and hashing it is writing to, comparing and hashing that object.
    """

    __slots__ = ("_labkit_path", "_labkit_seam", "_labkit_whole")

    def __init__(self, seam: Seam, path: str, whole: Callable[[], object]) -> None:
        object.__setattr__(self, "_labkit_seam", seam)
        object.__setattr__(self, "_labkit_path", path)
        object.__setattr__(self, "_labkit_whole", whole)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        found = self._labkit_member(name)
        path = f"{self._labkit_path}.{name}"
        return (
            functools.partial(_call, self._labkit_seam, path, found) if callable(found) else found
        )

    def _labkit_member(self, name: str) -> object:
        path = f"{self._labkit_path}.{name}"
        found: object = self._labkit_seam.within(self._labkit_whole(), name, path)
        return found

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self._labkit_whole(), name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._labkit_whole(), name)

    def __eq__(self, other: object) -> bool:
        whole = other._labkit_whole() if isinstance(other, _Guarded) else other
        return bool(self._labkit_whole() == whole)

    def __hash__(self) -> int:
        return hash(self._labkit_whole())

    def __repr__(self) -> str:
        return repr(self._labkit_whole())


class _Guard(_Guarded):
    """A part of the target: what is touched of it is a need of the check."""

    __slots__ = ()

    def _labkit_member(self, name: str) -> object:
        found: object = self._labkit_seam.require(Capability(self._labkit_path), name)
        return found


def _call(
    seam: Seam, path: str, member: Callable[..., Any], *arguments: Any, **options: Any
) -> Any:
    with unwatched(), seam.declared(path):
        made = member(*arguments, **options)
    if isinstance(made, AbstractAsyncContextManager):
        return _Block(made, seam, path)
    if isinstance(made, Awaitable):
        return _awaited(seam, path, made)
    if isinstance(made, AsyncIterator):
        return _Steps(seam, path, made)
    return made


async def _awaited(seam: Seam, path: str, made: Awaitable[Any]) -> Any:
    with unwatched(), seam.declared(path):
        return await made


class _Steps:
    """An iterator of the target's; it is closed with the check, however far the check went."""

    def __init__(self, seam: Seam, path: str, steps: AsyncIterator[Any]) -> None:
        self._seam = seam
        self._path = path
        self._steps = steps
        seam.ends_with_check(self.aclose)

    def __aiter__(self) -> _Steps:
        return self

    async def __anext__(self) -> Any:
        with unwatched(), self._seam.declared(self._path):
            return await self._steps.__anext__()

    async def aclose(self) -> None:
        close = getattr(self._steps, "aclose", None)
        if close is not None:
            with unwatched():
                await close()


class _Block:
    def __init__(
        self,
        block: AbstractAsyncContextManager[Any],
        seam: Seam | None = None,
        path: str = "",
    ) -> None:
        self._block = block
        self._seam = seam
        self._path = path

    async def __aenter__(self) -> Any:
        with unwatched():
            if self._seam is None:
                return await self._block.__aenter__()
            with self._seam.declared(self._path):
                made = await self._block.__aenter__()
        return made if isinstance(made, _PLAIN) else _Guarded(self._seam, self._path, lambda: made)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        with unwatched():
            return await self._block.__aexit__(kind, error, trace)
