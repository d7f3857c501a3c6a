"""The prover itself is proven: it exposes checks that are worth nothing, and passes one that is.

`labkit prove` runs as it is installed, on a project with a platform of its own.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from nbformat import NotebookNode

from labkit.services.endpoints import Services
from labkit.services.given import POSTGRES_URL, REDIS_URL
from tests.batch.runs import notebook
from tests.command_line import labkit, variables, write_project
from tests.notebook_files import code

PLATFORM: Final = '''
from labkit.reference.platform import InKernel
from labkit.sabotage import Sabotage

class Sound(InKernel):
    """It knows what it was told."""
    sabotages = "own_platform:SABOTAGES"

class Forgets(Sound):
    """It forgets what it was told."""

SABOTAGES = (
    Sabotage.of(
        Forgets, "forgets", area="memory", promise="What was told is known.",
        stands_for="a lost write",
        must=dict.fromkeys(
            ["notices", "passes_always", "fails_always", "crashes", "hangs", "dies"], "lost"
        ),
    ),
)
'''

CLAIM: Final = 'check.equal("Forgets" in target, False, "forgotten", reason="lost")'
CHECKS: Final[Mapping[str, str]] = {
    "notices": CLAIM,
    "passes_always": 'check.equal(1, 1, "one", reason="lost")',
    "fails_always": 'check.equal(1, 2, "one", reason="lost")',
    "crashes": f'{CLAIM}\n    if "Forgets" in target:\n        raise KeyError("lost")',
    "hangs": f'{CLAIM}\n    if "Forgets" in target:\n        import asyncio\n'
    "        await asyncio.Event().wait()",
    "forgotten": CLAIM,
    "dies": f'{CLAIM}\n    if "Forgets" in target:\n        import os\n        os._exit(1)',
}
"""A check that is worth something, and others that are not, each in its own way."""

EXCEPTIONS: Final = {
    "passes_always": "passes_always misses forgets: it is passed, not failed (lost)",
    "fails_always": "fails_always is not green on the platform without sabotage: failed (lost)",
    "crashes": "crashes is red under forgets for the wrong reason: broken (exception)",
    "hangs": "hangs is red under forgets for the wrong reason: broken (deadline)",
    "dies": "dies is red under forgets for the wrong reason: broken (kernel-died)",
    "forgotten": "forgotten of worthless catches nothing: no sabotage must turn it red",
}


def checked(name: str) -> NotebookNode:
    """A cell with one of the checks; one alone is to meet its deadline."""
    deadline = '1.0 if "Forgets" in target else 60.0' if name == "hangs" else "60.0"
    opened = f'async with lab.check("{name}", "It is known", deadline_s={deadline}) as check:'
    return code(f"{opened}\n    {CHECKS[name]}")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a notebook for the worthy check, and one for all others."""
    root = write_project(tmp_path_factory.mktemp("proven"))
    (root / "params" / "test.yaml").write_text("target: own_platform:Sound\n")
    (root / "own_platform.py").write_text(PLATFORM)
    worthy, *worthless = map(checked, CHECKS)
    notebook(root / "notebooks/worthy.ipynb", worthy)
    notebook(root / "notebooks/worthless.ipynb", *worthless)
    return root


@pytest.fixture(scope="module")
def environment(services: Services, project: Path) -> Mapping[str, str]:
    """The variables for the command."""
    given = {
        POSTGRES_URL: services.postgres.url.reveal(),
        REDIS_URL: services.redis.url.reveal(),
    }
    return variables(project / "cache", **given)


@dataclass(frozen=True)
class Proof:
    """How a proof ended, and the folder of its run; `latest` leads there until the next one."""

    ended: subprocess.CompletedProcess[str]
    folder: Path


@pytest.fixture(scope="module")
def proven(project: Path, environment: Mapping[str, str]) -> Proof:
    """A proof of all of them."""
    ended = labkit("prove", folder=project, environment=environment)
    return Proof(ended, (project / "outputs/latest").resolve())


def test_worthless_checks_are_exposed(proven: Proof) -> None:
    """Each as what it is, in a sentence; no other sentence is told of any."""
    assert proven.ended.returncode == 1, proven.ended.stderr
    found = json.loads((proven.folder / "proof.json").read_text())
    sentences = [flaw["sentence"] for flaw in found["exceptions"]]
    for check, told in EXCEPTIONS.items():
        assert [one for one in sentences if one.startswith(told)], (check, sentences)
        assert told in proven.ended.stdout
    assert not [one for one in sentences if one.startswith("notices")]
    assert re.search(
        r"exceptions: this proves less than it has to .*proof\.html", proven.ended.stdout
    )


def test_proof_leaves_pages_of_all_trials(proven: Proof) -> None:
    """Every link of the matrix leads to a page, and to the check on it."""
    text = (proven.folder / "proof.html").read_text()
    links = re.findall(r'<td[^>]*><a href="([^"#]*)#([^"]*)"', text)
    assert len(links) == 14
    for page, anchor in links:
        assert f'id="{anchor}"' in (proven.folder / page).read_text()
    assert "It forgets what it was told." in (proven.folder / "worthy--forgets.html").read_text()
    assert not (proven.folder / "junit.xml").exists()


def test_proof_can_be_built_again(
    proven: Proof, project: Path, environment: Mapping[str, str]
) -> None:
    """`labkit report` makes the same page from the run's folder, and tells the same."""
    page = proven.folder / "proof.html"
    before = page.read_bytes()
    page.unlink()
    again = labkit("report", proven.folder.name, folder=project, environment=environment)
    assert page.read_bytes() == before
    assert again.stdout + "kept in notebooks/proven.json\n" == proven.ended.stdout


def test_worthy_check_is_proven_and_known_for_it(
    proven: Proof, project: Path, environment: Mapping[str, str]
) -> None:
    """The proof passes, counts on, and the next run's report says what the check catches."""
    assert proven.ended.returncode == 1
    alone = labkit("prove", "worthy", "--repeat", "2", folder=project, environment=environment)
    assert alone.returncode == 0, alone.stdout
    assert "1 sabotage, caught by every check that must; nothing else is red" in alone.stdout
    proven_file = project / "notebooks" / "proven.json"
    kept = {one["check"]: one for one in json.loads(proven_file.read_text())}
    assert set(kept) == {"notices", "fails_always"}
    assert (kept["notices"]["caught"], kept["notices"]["trials"]) == (3, 3)
    ran = labkit("run", "worthy", folder=project, environment=environment)
    assert ran.returncode == 0, ran.stdout
    page = (project / "outputs/latest/worthy.html").read_text()
    assert re.search(r"known to catch: .*<code>forgets</code>", page)
    assert "last shown" in page


def test_proof_in_which_a_secret_was_found_says_so(
    project: Path, environment: Mapping[str, str]
) -> None:
    """Also where that was in the journal, which is withheld with all that was tried."""
    betraying = {**environment, "DB_PASSWORD": "passes_always"}
    ended = labkit("prove", "worthless", "--repeat", "1", folder=project, environment=betraying)
    assert ended.returncode == 5, ended.stderr
    assert "journal.ndjson" in ended.stdout
    assert "labkit itself failed" not in ended.stderr


def test_sabotages_are_listed(project: Path, environment: Mapping[str, str]) -> None:
    """What is at fault, what must catch it; nothing is executed."""
    listed = labkit("prove", "worthy", "--list", folder=project, environment=environment)
    assert listed.returncode == 0, listed.stderr
    assert "forgets  memory" in listed.stdout
    assert "It forgets what it was told." in listed.stdout
    assert "notices (lost)" in listed.stdout


def test_platform_without_sabotages_is_refused(
    project: Path, environment: Mapping[str, str]
) -> None:
    """With what it lacks, and what to give."""
    (project / "bare.py").write_text(PLATFORM.replace('"own_platform:SABOTAGES"', "None"))
    refused = labkit("prove", "--target", "bare:Sound", folder=project, environment=environment)
    assert refused.returncode == 2
    assert "brings no sabotages" in refused.stderr


def test_sabotage_without_a_class_is_refused_before_anything_starts(
    project: Path, environment: Mapping[str, str]
) -> None:
    """By its name; no run is made for it."""
    absent = PLATFORM.replace("own_platform", "torn") + (
        'import dataclasses\nSABOTAGES = (dataclasses.replace(SABOTAGES[0], target="torn:Gone"),)\n'
    )
    (project / "torn.py").write_text(absent)
    before = {path.name for path in (project / "outputs").glob("*")}
    refused = labkit("prove", "--target", "torn:Sound", folder=project, environment=environment)
    assert refused.returncode == 2, refused.stderr
    assert "sabotage forgets: target 'torn:Gone' does not exist" in refused.stderr
    assert {path.name for path in (project / "outputs").glob("*")} == before
