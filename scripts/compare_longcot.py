#!/usr/bin/env python3
"""Run LongCoT's official verifiers beside our rules on changed answers to LongCoT-Mini, and count the differences.

    .venv/bin/python scripts/compare_longcot.py PATH --python PYTHON [--answers N] [--domains NAME...]

PATH is a checkout of LongHorizonReasoning/longcot, which is not part of this project. The official code runs in another
process of PYTHON, isolated from this project; it needs chess and sympy there. Its judge for mathematics stays off.
"""

from __future__ import annotations

import argparse
import importlib
import json
import random
import re
import signal
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

Case = dict[str, Any]
DOMAINS = ("logic", "cs", "chess", "math")
# SymPy does not finish with some expressions; these answers are left out.
SECONDS = 5


def questions(path: Path, domain: str) -> list[dict[str, Any]]:
    """The official questions of the easy split."""
    return json.loads((path / "src/data" / domain / "easy.json").read_text(encoding="utf-8"))["questions"]


# --- the official side


def official(path: Path) -> None:
    """Read cases from stdin, and print for each whether the official verifier accepts the answer."""
    package = types.ModuleType("longcot")
    package.__path__ = [str(path / "src")]
    sys.modules["longcot"] = package
    # Only the verifiers of chemistry, which are not compared, use RDKit.
    sys.modules.setdefault("rdkit", types.ModuleType("rdkit")).Chem = None
    kinds, verify = importlib.import_module("longcot._types"), importlib.import_module("longcot._verifier").verify
    signal.signal(signal.SIGALRM, too_late)
    options = kinds.VerifyOptions(math=kinds.MathVerifyOptions(enable_fallback=False))
    rows = {domain: questions(path, domain) for domain in DOMAINS}
    for line in sys.stdin:
        case = json.loads(line)
        row = rows[case["domain"]][case["place"]]
        question = kinds.Question(str(row["question_id"]), case["domain"], "easy", "", row["problem"], row["answer"])
        signal.alarm(SECONDS)
        try:
            accepted: bool | None = bool(verify(question, case["answer"], options))
        except TimeoutError:
            accepted = None
        except Exception:
            # run_eval.py counts an answer with which the verifier fails as incorrect.
            accepted = False
        signal.alarm(0)
        print(json.dumps(accepted), flush=True)


def too_late(*_: object) -> None:
    raise TimeoutError


# --- answers

FRAMES = (
    *["solution = %s"] * 6, "Solution=%s", "**solution = %s**", "solution = `%s`", "The answer is %s", "%s", "%s.",
    "solution = 7 [1, 2]\nNo:\nsolution = %s", "solution = %s\nCheck: [3, 4] and {\"a\": 1}", "```\nsolution = %s\n```",
    "solution: %s", "$solution = %s$", "solution =\n\n%s\n", "SOLUTION  =  %s and 12", "solution = answer: %s",
    "moves = %s", "", "solution = ", "12, 13\nsolution = none, %s",
)  # fmt: skip
EQUAL = (
    "(%s)", "%s+0", "1*%s", "2*(%s)/2", "$%s$", " %s ", "'%s'", "%s.", "%s = x", "%s cm", "(%s)^1", "-(-(%s))", "+%s",
    "{%s}", "%s/1", "%s*1.0", "sqrt((%s)^2)", "\\left(%s\\right)", "−%s", "2(%s)/2", "(%s) (1)", "%s + x - x",
)  # fmt: skip


def changed(draws: random.Random, text: str) -> str:
    """Change characters of a right answer, in none to three places."""
    for _ in range(draws.choice((0, 0, 1, 1, 2, 3))):
        place = draws.randrange(len(text) + 1)
        other = draws.choice(["", " ", ",", "0", "7", '"', "'", "]", "[", "-", "R", "u", "\n", "/", ".", text[:place]])
        text = text[:place] + other + text[place + draws.randrange(2) :]
    return draws.choice((text, text, text, text.replace("'", '"'), text.lower(), re.sub(r"\d+", r'"\g<0>"', text)))


def parts_of(draws: random.Random, parts: list[str], all_parts: list[str]) -> str:
    """A list of mathematical answers: the right ones, written in other ways, and some of other questions."""
    said = []
    for part in parts:
        way = draws.random()
        if way < 0.3:
            said.append(draws.choice(EQUAL).replace("%s", part))
        elif way < 0.4:
            said.append(draws.choice(all_parts))
        elif way < 0.55:
            said.append(part.replace("sqrt(", "√(").replace("^{", "^(").replace("}", ")").replace("*", " "))
        elif way < 0.65 and (found := re.fullmatch(r"(-?\d+)/(\d+)", part)):
            top, bottom = map(int, found.groups())
            forms = (f"\\frac{{{top}}}{{{bottom}}}", f"{2 * top}/{2 * bottom}", f"{top / bottom}", f"{top} / {bottom}")
            said.append(draws.choice(forms))
        else:
            said.append(part)
    return f"[{', '.join(said)}]"


def cases(path: Path, domains: list[str], number: int) -> list[tuple[Case, Any]]:
    """Draw cases, each with our target."""
    from benchmarks.suites.longcot_mini import LongCoTMini
    from benchmarks.suites.longcot_mini.templates import DOMAIN_OF

    suite = LongCoTMini(source=str(path / "src/data"), domains=tuple(domains), samples=1000)
    rows = {
        domain: [row for row in questions(path, domain) if DOMAIN_OF.get(row["problem"]["template"]) == domain]
        for domain in domains
    }
    all_parts = [part for row in rows.get("math", []) for part in row["answer"]]
    draws = random.Random(0)
    right: dict[str, str] = {}
    made = []
    for _ in range(number):
        domain = draws.choice(domains)
        place = draws.randrange(len(rows[domain]))
        sample_id = f"longcot-{domain}-{rows[domain][place]['question_id']}"
        target = suite.sample(sample_id).target
        if sample_id not in right:
            right[sample_id] = suite.oracle(target).removeprefix("solution = ")
        value = right[sample_id]
        if domain == "math" and draws.random() < 0.8:
            value = parts_of(draws, target.facts["parts"], all_parts)
        else:
            value = changed(draws, value)
        made.append(({"domain": domain, "place": place, "answer": draws.choice(FRAMES).replace("%s", value)}, target))
    return made


def explained(case: Case, target: Any) -> str:
    """The reason for which a score differs from the official one on purpose, if any."""
    from benchmarks.suites.longcot_mini import expressions

    if case["domain"] == "math":
        parts = expressions.parts_of(case["answer"]) or []
        if any(map(expressions.is_text, (*target.facts["parts"], *parts))):
            return "an equal text with words, which officially only the judge accepts"
        if any(re.search(r"\d\.\d{14,}|[√∛]\d+\.", part) for part in parts):
            return "a decimal number, which SymPy rounds to 15 digits"
    return ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path, help="a checkout of LongHorizonReasoning/longcot")
    parser.add_argument("--answers", type=int, default=20_000)
    parser.add_argument("--domains", nargs="+", choices=DOMAINS, default=list(DOMAINS))
    parser.add_argument("--python", default=sys.executable, help="the Python that runs the official code")
    parser.add_argument("--official", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.official:
        official(options.path)
        return 0
    sys.path.insert(0, str(Path(__file__).parent.parent))
    from benchmarks.suites.longcot_mini.scorer import accepts

    drawn = cases(options.path, options.domains, options.answers)
    done = subprocess.run(
        [options.python, "-I", __file__, str(options.path.resolve()), "--official"],
        input="".join(json.dumps(case) + "\n" for case, _ in drawn), capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        print(done.stderr, file=sys.stderr)
        return 2
    theirs = [json.loads(line) for line in done.stdout.splitlines()]
    ours = [accepts(target, case["answer"]) for case, target in drawn]
    differ = [i for i in range(len(drawn)) if theirs[i] is not None and theirs[i] != ours[i]]
    unexplained = [i for i in differ if not explained(*drawn[i])]
    print(
        f"{len(drawn)} answers, {sum(ours)} of them right; {len(differ)} differ, {len(unexplained)} of them "
        f"unexplained; the official code did not finish on {theirs.count(None)}"
    )
    for i in unexplained[:20]:
        case, target = drawn[i]
        print(target.template, "official", theirs[i], json.dumps(case, ensure_ascii=False)[:400])
        print("   ", target.facts.get("parts", ""))
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
