"""`junit.xml`: one test case per check, as CI systems read it."""

from __future__ import annotations

import io

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite
from junitparser.junitparser import Attr, FinalResult

from labkit.records import Expectation, Outcome
from labkit.reports.repeats import steadiness
from labkit.reports.results import CheckResult, NotebookResult, Problem, RunResult
from labkit.reports.texts import capped, counted, gist, one_line, verdict


class _Case(TestCase):
    """A test case that names its file, as pytest's do."""

    file = Attr()


def junit_xml(run: RunResult) -> bytes:
    """The run as JUnit XML: failed is a failure, broken and unknown are errors.

    What no check tells, such as a notebook that could not import, has a test case of its own, so
    that the file is never green where the run is not.
    """
    suites = [_suite(run, notebook) for notebook in run.notebooks]
    told = any((suite.failures or 0) + (suite.errors or 0) for suite in suites)
    if run.problems or not (run.is_green or told):
        suites.append(_suite_of_the_run(run))
    xml = JUnitXml("labkit")
    for suite in suites:
        xml.add_testsuite(suite)
    return to_bytes(xml)


def to_bytes(xml: JUnitXml) -> bytes:
    """The file's content; the same whichever XML library is installed."""
    file = io.BytesIO()
    xml.write(file, pretty=True)
    return file.getvalue()


def _suite(run: RunResult, notebook: NotebookResult) -> TestSuite:
    suite = TestSuite(f"labkit.{notebook.name}")
    for name, value in _properties(run, notebook):
        suite.add_property(name, one_line(value))
    cases = [_case(notebook, check.name, check.seconds, _told(check)) for check in notebook.checks]
    if notebook.problems:
        cases.append(_case(notebook, _free_name(notebook), 0.0, _error(notebook.problems)))
    suite.add_testcases(cases)
    return suite


def _properties(run: RunResult, notebook: NotebookResult) -> list[tuple[str, str]]:
    found = [("run", run.run), ("environment", run.environment), ("labkit", run.labkit)]
    if notebook.opened:
        found += [("target", notebook.opened.target), ("seed", str(notebook.opened.seed))]
    for one in steadiness(run):
        if one.notebook == notebook.repeats:
            found.append((f"repeats of {one.check}", one.sentence))
    for service in run.services:
        found.append((service.service, f"{service.product} {service.version} ({service.origin})"))
    return found


def _case(
    notebook: NotebookResult, name: str, seconds: float, told: FinalResult | None
) -> TestCase:
    case = _Case(one_line(name), f"labkit.{notebook.name}", round(max(seconds, 0.0), 3))
    case.file = one_line(notebook.source)
    if told is not None:
        case.result = told
    return case


def _told(check: CheckResult) -> FinalResult | None:
    """What stands inside a check's test case; nothing when it passed."""
    message = ": ".join(part for part in (one_line(check.reason), gist(check.detail)) if part)
    told: FinalResult
    match check.outcome:
        case Outcome.PASSED:
            return None
        case Outcome.SKIPPED:
            told = Skipped(message, "skipped")
        case Outcome.DESELECTED:
            told = Skipped("deselected", "deselected")
        case Outcome.FAILED:
            told = Failure(message, one_line(check.reason))
        case Outcome.BROKEN | Outcome.UNKNOWN:
            told = Error(message, one_line(check.reason))
    told.text = _text(check)
    return told


def _text(check: CheckResult) -> str:
    lines = [f"{check.outcome}: {check.claim}", f"reason: {check.reason}", check.detail]
    failing = check.failing
    if failing:
        lines += [
            f"{len(failing)} of {counted(len(check.expectations), 'expectation')} did not hold"
        ]
        lines += ["the first:", *_fact(failing[0])]
    return capped("\n".join(line for line in lines if line))


def _fact(fact: Expectation) -> list[str]:
    told = {"": fact.label, "expected": fact.expected, "actual": fact.actual, "reason": fact.reason}
    return [f"  {name}: {text}" if name else f"  {text}" for name, text in told.items()]


def _error(problems: tuple[Problem, ...]) -> Error:
    error = Error(one_line(problems[0].detail), problems[0].reason)
    error.text = capped("\n".join(f"{problem.reason}: {problem.detail}" for problem in problems))
    return error


def _free_name(notebook: NotebookResult) -> str:
    """`notebook`, unless a check is called so: names must be unique."""
    taken = {check.name for check in notebook.checks}
    return "notebook" if "notebook" not in taken else "notebook (as a whole)"


def _suite_of_the_run(run: RunResult) -> TestSuite:
    suite = TestSuite("labkit")
    case = TestCase("run", "labkit", 0.0)
    nothing = Problem(run.outcome, "not-green", verdict(run))
    case.result = _error(run.problems or (nothing,))
    suite.add_testcases([case])
    return suite
