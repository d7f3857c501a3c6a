"""The notebook of configuration is given many secrets, and its run shows none."""

from __future__ import annotations

from pathlib import Path

import pytest

from labkit.file_scan import scan
from labkit.records import Outcome
from labkit.redaction import Redactor, Secret
from labkit.reference import Platform
from labkit.services.endpoints import Services
from tests.batch.runs import run, variables
from tests.notebooks.stage import notebook_path
from tests.targets.remembering import VARIABLE, Remembering, RememberingAndTelling

NOTEBOOK = notebook_path("configuration")


@pytest.mark.parametrize(
    ("target", "failed"), [(Remembering, set()), (RememberingAndTelling, {"secret-told"})]
)
def test_no_file_of_a_run_holds_a_secrets_value(
    services: Services, tmp_path: Path, target: type[Platform], failed: set[str]
) -> None:
    """Neither as it is nor quoted, escaped or encoded; not even when every error tells them."""
    noted = tmp_path / "secrets"
    (tmp_path / "run").mkdir()
    ran = run(
        tmp_path / "run",
        NOTEBOOK,
        environment=variables(services, **{VARIABLE: str(noted)}),
        deadline_s=240.0,
        texts=(("target", f"{target.__module__}:{target.__name__}"),),
    )
    checks = ran.notebook(NOTEBOOK.stem).checks
    assert {one.reason for one in checks if one.outcome is not Outcome.PASSED} == failed

    secrets = sorted(set(noted.read_text().splitlines()))
    assert len(secrets) > 10
    assert [ran.files_with(secret) for secret in secrets if ran.files_with(secret)] == []
    redactor = Redactor(map(Secret, secrets))
    files = [path for path in ran.folder.rglob("*") if path.is_file()]
    assert files
    assert [path.name for path in files if scan(path, redactor)] == []
