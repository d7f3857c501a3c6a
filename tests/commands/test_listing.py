"""The list tells what there is and what a target would skip, to people and programs the same."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from tests.command_line import LACKING, PASSING, TARGET, labkit, labkit_here, write_project


def test_list_tells_people_and_programs_the_same(tmp_path: Path) -> None:
    """Areas, business value, parameters, checks and claims stand in both forms."""
    project = write_project(tmp_path, calm=PASSING)
    shown = labkit_here("list", folder=project / "notebooks")
    assert shown.exit_code == 0, shown.stderr
    for told in ("calm  The calm", "segment", "everybody", "size: int", "it_holds", "One is one"):
        assert told in shown.stdout
    [area] = json.loads(labkit_here("list", "--json", folder=project).stdout)["areas"]
    assert area == {
        "name": "calm",
        "title": "The calm",
        "source": "notebooks/calm.ipynb",
        "business_value": {
            "segment": "everybody",
            "business_goal": "peace",
            "value_impact": "",
            "strategic_impact": "",
        },
        "parameters": [
            {"name": "environment", "type": "str", "default": "test"},
            {"name": "target", "type": "str", "default": TARGET},
            {"name": "size", "type": "int", "default": 1},
        ],
        "checks": [{"name": "it_holds", "claim": "One is one", "needs": []}],
    }


def needing(body: str, more: str = "") -> str:
    """A check that does this with its target."""
    return f'async with lab.check("it_needs", "It needs something"{more}) as check:\n    {body}'


def test_list_tells_what_a_target_would_skip(tmp_path: Path, own: Mapping[str, str]) -> None:
    """Declared gaps are told with their reasons, in both forms; nothing is started for it."""
    project = write_project(
        tmp_path,
        cached=needing("await lab.cache.read('u', 'k')"),
        isolated=needing("await lab.cache.read('u', 'k')", ", isolation=True"),
        rich=needing("await lab.witness.count(lab.tables.accounts)"),
        whole=needing("await lab.data.threads('u')"),
        many=needing("await lab.data.threads(await lab.contexts.user(await lab.data.users()))"),
        hidden=needing("await lab.routing.send(await lab.cache.read('u', 'k'))"),
        partly=needing("await lab.contexts.revoke('u', 's')"),
        apart=needing("await lab.contexts.revoke('u', 's')", ", isolation=True"),
    )
    (project / "mine.py").write_text(LACKING)
    arguments = ("list", "--target", "mine:Mine")
    shown = labkit(*arguments, folder=project, environment=own)
    assert shown.returncode == 0, shown.stderr
    assert "needs data.threads\n" in shown.stdout
    assert "needs data (threads, users), contexts.user\n" in shown.stdout
    assert "? unknown mine does not declare that it lacks routing, and its class" in shown.stdout
    assert "○ skipped mine lacks cache: it caches nothing\n" in shown.stdout
    assert "✗✗ broken mine lacks cache: it caches nothing. Isolation is not" in shown.stdout
    told = json.loads(labkit(*arguments, "--json", folder=project, environment=own).stdout)
    checks = {area["name"]: area["checks"][0] for area in told["areas"]}
    assert {name: check["outlook"]["outcome"] for name, check in checks.items()} == {
        "cached": "skipped",
        "isolated": "broken",
        "rich": "skipped",
        "whole": None,
        "many": "unknown",
        "hidden": "unknown",
        "partly": "unknown",
        "apart": "broken",
    }
    assert checks["rich"]["outlook"]["why"].endswith("the target has no table for accounts")
    assert checks["whole"]["needs"] == ["data.threads"]


def test_list_with_a_target_reads_a_table_that_there_is_not(
    tmp_path: Path, own: Mapping[str, str]
) -> None:
    """It is the notebook that would tell; the list says what it can."""
    misspelt = PASSING.replace("1, 1", "lab.tables.thread, 1")
    project = write_project(tmp_path, calm=misspelt)
    (project / "mine.py").write_text(LACKING)
    ended = labkit("list", "--target", "mine:Mine", folder=project, environment=own)
    assert ended.returncode == 0, ended.stderr
    assert "the target has no table for thread" in ended.stdout


def test_list_refuses_what_is_no_target(tmp_path: Path) -> None:
    """A target that cannot be loaded is a wrong call, before anything is listed."""
    project = write_project(tmp_path, calm=PASSING)
    ended = labkit_here("list", "--target", "mine", folder=project)
    assert (ended.exit_code, ended.stdout) == (2, "")
    assert "must have the form 'package.module:Class'" in ended.stderr


def test_list_tells_of_a_broken_notebook_after_the_others(tmp_path: Path) -> None:
    """What can be read is listed; what cannot is an error."""
    project = write_project(tmp_path, calm=PASSING)
    (project / "notebooks" / "broken.ipynb").write_text("{")
    ended = labkit_here("list", "--json", folder=project)
    assert ended.exit_code == 2
    assert [area["name"] for area in json.loads(ended.stdout)["areas"]] == ["calm"]
    assert "broken.ipynb is not a notebook" in ended.stderr
