"""Writes the result of a comparison as text and as JUnit XML."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from benchmarks.report.tables.formats import dagger, markdown

if TYPE_CHECKING:
    from benchmarks.report.compare import ArmComparison, RunComparison

# The maximum number of lines on changes of the configuration. Hundreds of packages can change.
MAX_CHANGES = 40
_SUITE = "rlm-eval compare"


def text(compared: RunComparison) -> str:
    """Return a table of methods, the changes of the configuration, and a last line with the verdict."""
    import pandas as pd

    rows = [
        {
            "benchmark": arm.benchmark,
            "method": arm.method,
            "n": str(arm.counts) if arm.counts.epochs > 1 else arm.counts.n,
            "base": 100 * arm.base_score,
            "new": 100 * arm.new_score,
            "difference [95% interval]": difference(arm),
            "p": arm.score.p,
            "cost new/base": cost(arm),
            "verdict": "; ".join(failures(arm)) or ("same answers" if arm.identical else "no regression"),
        }
        for arm in compared.arms
    ]
    parts = [markdown(pd.DataFrame(rows))]
    parts += [f"note: {note}\n" for note in compared.notes]
    if any(arm.score.scope != "population" for arm in compared.arms):
        parts.append("† one or two context windows: the interval holds for these only\n")
    shown = compared.changes[:MAX_CHANGES]
    parts.append("changed:\n" if shown else "changed: nothing that determines the results\n")
    parts += [f"  {line}\n" for line in shown]
    if len(compared.changes) > len(shown):
        parts.append(f"  ... and {len(compared.changes) - len(shown)} more\n")
    failed = sum(bool(failures(arm)) for arm in compared.arms)
    outcome = f"regression in {failed} of {len(compared.arms)}" if failed else "no regression"
    return "".join(parts) + f"verdict: {outcome} ({_rule(compared)})\n"


def junit(compared: RunComparison) -> str:
    """Return JUnit XML with one test case for each benchmark, method and check (score, and cost if it is limited)."""
    cases = []
    for arm in compared.arms:
        cases.append((arm, "score", arm.score_failure, difference(arm)))
        if compared.rule.max_cost_rise is not None:
            cases.append((arm, "cost", arm.cost_failure, cost(arm)))
    failed = sum(bool(failure) for _, _, failure, _ in cases)
    suite = ElementTree.Element("testsuite", name=_SUITE, tests=str(len(cases)), failures=str(failed), errors="0")
    for arm, check, failure, figures in cases:
        case = ElementTree.SubElement(
            suite, "testcase", classname=_xml(arm.benchmark), name=_xml(f"{arm.method} {check}")
        )
        if failure:
            ElementTree.SubElement(case, "failure", message=_xml(failure)).text = _xml(figures)
        else:
            ElementTree.SubElement(case, "system-out").text = _xml(figures)
    return _document(suite)


def junit_not_comparable(message: str) -> str:
    """Return JUnit XML of runs that cannot be compared: one test case with an error."""
    suite = ElementTree.Element("testsuite", name=_SUITE, tests="1", failures="0", errors="1")
    case = ElementTree.SubElement(suite, "testcase", classname=_SUITE, name="comparable")
    ElementTree.SubElement(case, "error", message=_xml(message))
    return _document(suite)


def failures(arm: ArmComparison) -> list[str]:
    """Return the failed checks of an arm, one line each."""
    return [failure for failure in (arm.score_failure, arm.cost_failure) if failure]


def difference(arm: ArmComparison) -> str:
    """Format the difference in points with its interval."""
    found = arm.score
    return f"{100 * found.difference:+.1f}{dagger(found.scope)} [{100 * found.low:+.1f}, {100 * found.high:+.1f}]"


def cost(arm: ArmComparison) -> str:
    """Format the ratio of mean costs with its interval; an empty text if it is unknown or the runs were free."""
    if math.isnan(arm.cost_ratio):
        return ""
    return f"{arm.cost_ratio:.2f} [{arm.cost_low:.2f}, {arm.cost_high:.2f}]"


def _rule(compared: RunComparison) -> str:
    rule = compared.rule
    if rule.max_drop is None:
        corrected = f", corrected for {len(compared.arms)} comparisons (Holm)" if len(compared.arms) > 1 else ""
        return f"one-sided test at alpha = {rule.alpha:g}{corrected}"
    if rule.strict:
        return f"non-inferiority at max_drop = {rule.max_drop:g}, alpha = {rule.alpha:g}"
    return f"max_drop = {rule.max_drop:g}"


def _document(suite: ElementTree.Element) -> str:
    ElementTree.indent(suite)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(suite, encoding="unicode") + "\n"


def _xml(text: str) -> str:
    """Remove the characters that XML does not allow."""
    return re.sub(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", text)
