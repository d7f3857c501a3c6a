"""From a name to a target: the only way by which the lab reaches a platform."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final, cast

from labkit.errors import TargetError
from labkit.sabotage import Sabotage
from labkit.targets.protocols import Capability, Described, Tables, TargetFactory


@contextlib.contextmanager
def importing_from(folder: Path) -> Iterator[None]:
    """Let modules be imported from a folder too while the block lasts, as a kernel there does."""
    before = list(sys.path)
    sys.path.append(str(folder))
    try:
        yield
    finally:
        sys.path[:] = before


def load_target(spec: str) -> TargetFactory:
    """The target class that `spec`, such as `labkit.reference:Platform`, names.

    Its module must be importable: nothing is added to `sys.path`, so a project's own folder has to
    be on it already, as Jupyter and papermill put the notebook's, or be installed.

    Raises `TargetError`, with the cause, when the spec is malformed, nothing is there, the module
    fails while it is imported, or what is found is not a target.
    """
    factory = _named(spec, "target")
    faults = _faults(factory)
    if faults:
        raise TargetError(f"{spec!r} is not a target: {'; '.join(faults)}")
    return cast(TargetFactory, factory)


def load_sabotages(spec: str) -> tuple[Sabotage, ...]:
    """The faulty platforms that a target brings: what its `sabotages`, a text, names.

    They are imported here and never with the target itself. Raises `TargetError` when the target
    cannot be loaded, names none, or what it names are not sabotages with names of their own.
    """
    named = getattr(load_target(spec), "sabotages", None)
    if not isinstance(named, str):
        raise TargetError(
            f"target {spec!r} brings no sabotages, against which checks could be proven: give it a"
            " text 'sabotages' such as 'package.module:SABOTAGES'"
        )
    found = _named(named, "list of sabotages")
    if not isinstance(found, tuple) or not all(isinstance(one, Sabotage) for one in found):
        raise TargetError(f"{named!r} of target {spec!r} is not a tuple of sabotages")
    names = [one.name for one in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise TargetError(f"{named!r} has {', '.join(twice)} more than once")
    return found


def require_sabotages(sabotages: Iterable[Sabotage]) -> None:
    """Load the faulty platforms, so that none turns out to be none while its trial runs.

    Raises `TargetError` with every sabotage whose platform cannot be loaded.
    """
    faults = []
    for one in sabotages:
        try:
            load_target(one.target)
        except TargetError as error:
            faults.append(f"sabotage {one.name}: {error}")
    if faults:
        raise TargetError("; ".join(faults))


_KEPT_BY: Final[Mapping[str, str]] = MappingProxyType(
    {
        "users": "data",
        "threads": "data",
        "messages": "data",
        "accounts": "data",
        "executions": "pipeline",
        "tool_calls": "pipeline",
        "notes": "pipeline",
        "execution_states": "lifecycle",
        "sessions": "contexts",
        "stages": "routing",
    }
)
"""The part by which each table is filled."""


def part_of(need: str) -> str:
    """The part that a need belongs to: a method's own, or the one that fills a table."""
    part, _, member = need.partition(".")
    return _KEPT_BY.get(member, part) if part == "tables" else part


def declared_gap(target: Described, needs: Iterable[str]) -> tuple[str, str] | None:
    """The first of the needs that the target declares as lacking, and why; None if there is none.

    What a target lacks without saying so shows only when it is touched.
    """
    lacks = {capability.value: why for capability, why in target.lacks.items()}
    for need in needs:
        part, _, member = need.partition(".")
        if part == "tables" and not getattr(target.tables, member, ""):
            return need, f"the target has no table for {member}"
        for lacking in (part, need):
            if lacking in lacks:
                return lacking, lacks[lacking]
    return None


def _named(spec: str, kind: str) -> object:
    """What `package.module:Name` names."""
    module, _, name = spec.partition(":")
    if not name.isidentifier() or not all(map(str.isidentifier, module.split("."))):
        raise TargetError(f"{kind} {spec!r} must have the form 'package.module:Class'")
    found = _import(f"{kind} {spec!r}", module)
    if not hasattr(found, name):
        raise TargetError(f"{kind} {spec!r} does not exist: module {module!r} has no {name!r}")
    return cast(object, getattr(found, name))


def _import(what: str, module: str) -> object:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{module}.".startswith(f"{error.name}."):
            raise TargetError(
                f"{what} cannot be loaded: there is no module {error.name!r}; install it "
                "or put its folder on PYTHONPATH"
            ) from error
        raise _failing(what, module, error) from error
    except Exception as error:
        raise _failing(what, module, error) from error


def _failing(what: str, module: str, error: Exception) -> TargetError:
    return TargetError(
        f"{what} cannot be loaded: importing {module!r} raised "
        f"{type(error).__name__}: {' '.join(str(error).split())}"
    )


def _faults(factory: object) -> list[str]:
    """What a target class must have and this one has not, each as a clause."""
    faults = []
    if not callable(factory):
        faults.append("it cannot be called with a lease")
    if not inspect.iscoroutinefunction(getattr(factory, "install", None)):
        faults.append("it has no coroutine 'install(lease)'")
    if not isinstance(getattr(factory, "name", None), str):
        faults.append("it has no text 'name'")
    if not isinstance(getattr(factory, "tables", None), Tables):
        faults.append("it has no 'tables' of type Tables")
    return faults + _faults_of_lacks(getattr(factory, "lacks", None))


def _faults_of_lacks(lacks: object) -> list[str]:
    if not isinstance(lacks, Mapping):
        return ["it has no mapping 'lacks' (an empty one lacks nothing)"]
    faults = []
    for capability, reason in lacks.items():
        if not isinstance(capability, Capability):
            faults.append(f"{capability!r} in 'lacks' is not a Capability")
        elif not isinstance(reason, str) or not reason.strip():
            faults.append(f"'lacks' gives no reason for {capability}")
    return faults
