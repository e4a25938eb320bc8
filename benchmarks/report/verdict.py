"""The verdict of a comparison as text and as JUnit XML."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from benchmarks.report.tables.formats import dagger, markdown

if TYPE_CHECKING:
    from benchmarks.report.compare import Arm, Verdict

# Lines on changes of the configuration that are shown; packages can make hundreds.
MAX_CHANGES = 40
_SUITE = "rlm-eval compare"


def text(verdict: Verdict) -> str:
    """A table of methods, what changed, and one last line with the verdict."""
    import pandas as pd

    rows = [
        {
            "benchmark": arm.benchmark,
            "method": arm.method,
            "n": arm.score.n,
            "base": 100 * arm.base_score,
            "new": 100 * arm.new_score,
            "difference [95% interval]": difference(arm),
            "p": arm.score.p,
            "cost new/base": cost(arm),
            "verdict": "; ".join(failures(arm)) or ("same answers" if arm.identical else "no regression"),
        }
        for arm in verdict.arms
    ]
    parts = [markdown(pd.DataFrame(rows))]
    parts += [f"note: {note}\n" for note in verdict.notes]
    if any(arm.score.scope != "population" for arm in verdict.arms):
        parts.append("† one or two context windows: the interval holds for these only\n")
    shown = verdict.changes[:MAX_CHANGES]
    parts.append("changed:\n" if shown else "changed: nothing that determines the results\n")
    parts += [f"  {line}\n" for line in shown]
    if len(verdict.changes) > len(shown):
        parts.append(f"  ... and {len(verdict.changes) - len(shown)} more\n")
    failed = sum(bool(failures(arm)) for arm in verdict.arms)
    outcome = f"regression in {failed} of {len(verdict.arms)}" if failed else "no regression"
    return "".join(parts) + f"verdict: {outcome} ({_test(verdict)})\n"


def junit(verdict: Verdict) -> str:
    """JUnit XML: a test case a benchmark, method and check (score, and cost if it was asked for)."""
    cases = []
    for arm in verdict.arms:
        cases.append((arm, "score", arm.score_failure, difference(arm)))
        if verdict.max_cost_rise is not None:
            cases.append((arm, "cost", arm.cost_failure, cost(arm)))
    failed = sum(bool(failure) for _, _, failure, _ in cases)
    suite = ElementTree.Element("testsuite", name=_SUITE, tests=str(len(cases)), failures=str(failed), errors="0")
    for arm, check, failure, said in cases:
        case = ElementTree.SubElement(
            suite, "testcase", classname=_xml(arm.benchmark), name=_xml(f"{arm.method} {check}")
        )
        if failure:
            ElementTree.SubElement(case, "failure", message=_xml(failure)).text = _xml(said)
        else:
            ElementTree.SubElement(case, "system-out").text = _xml(said)
    return _document(suite)


def junit_not_comparable(message: str) -> str:
    """JUnit XML of runs that could not be compared: one test case with an error."""
    suite = ElementTree.Element("testsuite", name=_SUITE, tests="1", failures="0", errors="1")
    case = ElementTree.SubElement(suite, "testcase", classname=_SUITE, name="comparable")
    ElementTree.SubElement(case, "error", message=_xml(message))
    return _document(suite)


def failures(arm: Arm) -> list[str]:
    """What an arm failed, in words."""
    return [failure for failure in (arm.score_failure, arm.cost_failure) if failure]


def difference(arm: Arm) -> str:
    """The difference in points with its interval."""
    found = arm.score
    return f"{100 * found.difference:+.1f}{dagger(found.scope)} [{100 * found.low:+.1f}, {100 * found.high:+.1f}]"


def cost(arm: Arm) -> str:
    """The ratio of mean costs with its interval; nothing where nothing is known to be paid."""
    if math.isnan(arm.cost_ratio):
        return ""
    return f"{arm.cost_ratio:.2f} [{arm.cost_low:.2f}, {arm.cost_high:.2f}]"


def _test(verdict: Verdict) -> str:
    if verdict.max_drop is None:
        corrected = f", corrected for {len(verdict.arms)} comparisons (Holm)" if len(verdict.arms) > 1 else ""
        return f"one-sided test at alpha = {verdict.alpha:g}{corrected}"
    return f"non-inferiority at max_drop = {verdict.max_drop:g}, alpha = {verdict.alpha:g}"


def _document(suite: ElementTree.Element) -> str:
    ElementTree.indent(suite)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(suite, encoding="unicode") + "\n"


def _xml(said: str) -> str:
    """Text without the characters that XML has no form for."""
    return re.sub(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", said)
