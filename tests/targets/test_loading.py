"""Targets are loaded by name, and refused with the reason when they are none."""

from dataclasses import fields
from pathlib import Path

import pytest

from labkit.errors import TargetError
from labkit.reference import Platform
from labkit.sabotage import Catch, Sabotage
from labkit.targets.loading import declared_gap, load_target, part_of, require_sabotages
from labkit.targets.protocols import Capability, Tables

MODULE = """
from labkit.targets.protocols import Capability, Tables

class Whole:
    name = "whole"
    lacks = {Capability.DATA: "it has no database"}
    tables = Tables("users", "threads", "messages", "executions", "accounts")

    @staticmethod
    async def install(lease): ...

class Partial(Whole):
    lacks = {**Whole.lacks, Capability.CACHE_EXTEND: "nobody asked"}

class Bare: ...

class Silent(Whole):
    lacks = {Capability.DATA: " "}

class Odd(Whole):
    lacks = {"magic": "nobody has it"}

class Blocking(Whole):
    def install(lease): ...

instance = object()
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project's folder, from which its modules can be imported."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "loadable_platform.py").write_text(MODULE)
    return tmp_path


def test_target_is_the_class_that_is_named() -> None:
    """A class of the lab and one of a project's own are found."""
    found: object = load_target("labkit.reference:Platform")
    assert found is Platform
    whole = load_target("loadable_platform:Whole")
    assert (whole.name, list(whole.lacks.values())) == ("whole", ["it has no database"])


def test_every_need_belongs_to_a_part() -> None:
    """Methods and parts belong to their part, and each table to the one that fills it."""
    parts = {capability.part for capability in Capability}
    assert {part_of(capability.value) for capability in Capability} == parts
    tables = [f"tables.{field.name}" for field in fields(Tables)]
    assert {part_of(table) for table in tables} < parts
    assert part_of("tables.stages") == "routing"


@pytest.mark.parametrize(
    ("needs", "gap"),
    [
        ((), None),
        (("cache.read", "tables.users"), None),
        (("data",), ("data", "it has no database")),
        (("cache.read", "data.threads"), ("data", "it has no database")),
        (("cache.extend", "data.threads"), ("cache.extend", "nobody asked")),
        (("tables.stages",), ("tables.stages", "the target has no table for stages")),
    ],
)
def test_first_gap_that_a_target_declares(
    needs: tuple[str, ...], gap: tuple[str, str] | None
) -> None:
    """A part, a method or a table that is not there is found with the reason."""
    assert declared_gap(load_target("loadable_platform:Partial"), needs) == gap


@pytest.mark.parametrize(
    "spec", ["", "labkit.reference", "labkit.reference:", ":Platform", "a..b:C", "a b:C", "a:C:D"]
)
def test_malformed_name_is_refused(spec: str) -> None:
    """What is not `package.module:Class` is told so, and nothing is imported."""
    with pytest.raises(TargetError, match="must have the form"):
        load_target(spec)


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ("absent_package:Platform", "there is no module 'absent_package'; install it"),
        ("absent_package.part:Platform", "there is no module 'absent_package'"),
        ("labkit.absent:Platform", "there is no module 'labkit.absent'"),
        ("loadable_platform:Absent", "module 'loadable_platform' has no 'Absent'"),
        ("loadable_platform:instance", "cannot be called with a lease"),
        ("loadable_platform:Bare", "no coroutine 'install.*no text 'name'.*'tables'.*'lacks'"),
        ("loadable_platform:Blocking", "no coroutine 'install"),
        ("loadable_platform:Silent", "'lacks' gives no reason for data"),
        ("loadable_platform:Odd", "'magic' in 'lacks' is not a Capability"),
    ],
)
def test_what_is_no_target_is_refused_with_the_reason(spec: str, reason: str) -> None:
    """A missing module or class, and a class that lacks a part of the seam, are told apart."""
    with pytest.raises(TargetError, match=reason):
        load_target(spec)


@pytest.mark.parametrize(
    ("source", "cause"),
    [
        ("import absent_dependency", ModuleNotFoundError),
        ("from labkit import absent", ImportError),
        ("1 / 0", ZeroDivisionError),
        ("def", SyntaxError),
    ],
)
def test_failing_module_is_refused_with_its_own_error(
    folder: Path, source: str, cause: type[Exception]
) -> None:
    """An error inside the target's module is named and kept, not taken for a missing target."""
    (folder / "failing_platform.py").write_text(source)
    with pytest.raises(
        TargetError, match=f"importing 'failing_platform' raised {cause.__name__}"
    ) as caught:
        load_target("failing_platform:Platform")
    assert type(caught.value.__cause__) is cause


def sabotage(name: str, target: str) -> Sabotage:
    """A sabotage whose platform is this."""
    must = (Catch("keeps", "lost"),)
    return Sabotage(name, "data", target, "It loses.", "It keeps.", "a loss", must)


def test_sabotages_without_a_platform_are_refused_by_name() -> None:
    """All at once: one without its module, one without its class, and one that is no target."""
    whole = sabotage("sound", "loadable_platform:Whole")
    require_sabotages([whole])
    absent = [
        sabotage("no-module", "absent_package:Faulty"),
        sabotage("no-class", "loadable_platform:Absent"),
        sabotage("no-target", "loadable_platform:Bare"),
    ]
    with pytest.raises(TargetError) as refused:
        require_sabotages([whole, *absent])
    told = str(refused.value).split("; sabotage ")
    assert len(told) == 3
    assert told[0].startswith("sabotage no-module: ")
    assert "there is no module 'absent_package'" in told[0]
    assert told[1].startswith("no-class: ")
    assert told[2].startswith("no-target: ")
