"""The report as JUnit XML: a case for each runtime and check, as CI servers read it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal
from xml.etree import ElementTree

from nin_onnx.printable import printable
from nin_onnx.runtimes.report import Report, processors
from nin_onnx.runtimes.rows import Row

__all__ = ["Case", "cases", "junit"]


@dataclass(frozen=True)
class Case:
    """One check of one runtime."""

    runtime: str
    check: str
    state: Literal["passed", "failure", "error", "skipped"] = "passed"
    message: str = ""


def junit(report: Report) -> str:
    """Return the whole file; each criterion that is unmet is a failed case of its own."""
    found = list(cases(report))
    counts = {f"{state}s" if state != "skipped" else state: sum(case.state == state for case in found) for state in STATES}
    numbers = {"tests": str(len(found)), **{name: str(count) for name, count in counts.items()}}
    suites = ElementTree.Element("testsuites", numbers)
    suite = ElementTree.SubElement(suites, "testsuite", {"name": f"nin-onnx eval {report.model.path.name}", **numbers})
    properties = ElementTree.SubElement(suite, "properties")
    facts = [("processor", line) for line in processors(report)]
    facts += [("8 bits", line) for line in (report.saturation.lines() if report.saturation else ())]
    for name, value in facts:
        ElementTree.SubElement(properties, "property", {"name": name, "value": printable(value)})
    for case in found:
        element = ElementTree.SubElement(suite, "testcase", {"classname": case.runtime, "name": case.check})
        if case.state != "passed":
            ElementTree.SubElement(element, case.state, {"message": printable(case.message)})
    ElementTree.indent(suites)
    return ElementTree.tostring(suites, encoding="unicode", xml_declaration=True) + "\n"


STATES = ("failure", "error", "skipped")


def cases(report: Report) -> Iterator[Case]:
    """Yield what was checked, runtime by runtime, then what is unmet beside that."""
    for row in report.rows:
        yield from _row_cases(row, report)
    for unmet in report.unmet:
        if unmet.check != "outcome":
            yield Case(unmet.runtime or "data set", unmet.check, "failure", unmet.message)


def _row_cases(row: Row, report: Report) -> Iterator[Case]:
    help_ = f": {row.install}" if row.install else ""
    if row.outcome == "skipped":
        yield Case(row.runtime, "runs", "failure" if row.named else "skipped", f"{row.reason}{help_}")
        return
    if row.outcome == "error":
        yield Case(row.runtime, "runs", "error", row.reason or "")
        return
    yield Case(row.runtime, "runs")
    problem = report.golden["problem"] or (row.parity and row.parity.problem)
    if row.parity:
        yield Case(row.runtime, "agrees", "failure", row.reason or problem) if problem else Case(row.runtime, "agrees")
    if report.dataset:
        sound = row.accuracy is not None
        yield Case(row.runtime, "decides") if sound else Case(row.runtime, "decides", "failure", row.reason or "")
