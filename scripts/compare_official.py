#!/usr/bin/env python3
"""Run the official scorer of a suite beside ours on the same generated answers, and count the differences.

    .venv/bin/python scripts/compare_official.py SUITE PATH [--answers N] [--python PYTHON]

PATH holds the official code, which is not part of this project: for mrcr and graphwalks the README.md of the data set
openai/mrcr or openai/graphwalks, for ruler a checkout of NVIDIA/RULER, for longbench_v2 one of THUDM/LongBench, for
oolong and oolong_real one of abertsch72/oolong. The official functions run in another process of PYTHON, isolated from
this project; oolong needs dateutil there.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import importlib
import json
import random
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

Case = dict[str, Any]
WORDS = (
    "kite",
    "river",
    "the",
    "a",
    "Final",
    "Answer:",
    "(B)",
    "answer",
    "is",
    "correct",
    "[",
    "]",
    ",",
    "\n",
    "*",
    "'",
)


# --- the official side: standard library only


def python_of(path: Path) -> Iterator[ast.Module]:
    """Yield the Python code in a file: the file itself, or the code blocks of a Markdown file."""
    text = path.read_text(encoding="utf-8")
    blocks = re.findall(r"```(?:python)?\n(.*?)```", text, re.DOTALL) if path.suffix == ".md" else [text]
    for block in blocks:
        try:
            yield ast.parse(block)
        except SyntaxError:
            continue


def functions(path: Path, *names: str) -> list[Callable[..., Any]]:
    """Compile functions of a file by name, without running the rest of the file."""
    found: dict[str, Any] = {"re": re, "ast": ast, "datetime": datetime, "SequenceMatcher": SequenceMatcher}
    # Only the code of OOLONG uses it.
    with contextlib.suppress(ImportError):
        found["dateutil"] = importlib.import_module("dateutil.parser") and importlib.import_module("dateutil")
    for module in python_of(path):
        for node in module.body:
            if isinstance(node, ast.FunctionDef) and node.name in names:
                node.returns, node.decorator_list = None, []
                exec(compile(ast.Module([node], []), str(path), "exec"), found)
    return [found[name] for name in names]


def official_mrcr(path: Path) -> Callable[[Case], float]:
    (grade,) = functions(path, "grade")
    return lambda case: grade(case["answer"], case["prefix"] + case["piece"], case["prefix"])


def official_graphwalks(path: Path) -> Callable[[Case], float]:
    (get_list,) = functions(path, "get_list")
    grading = next(module for module in python_of(path) if "n_overlap" in ast.unparse(module))

    def score(case: Case) -> float:
        sampled, failed = get_list(None, case["answer"])
        # The published code does not say what an answer in another form scores.
        if failed:
            return 0.0
        values: dict[str, Any] = {"sampled_set": set(sampled), "truth_set": set(case["nodes"])}
        values |= {"n_golden": len(values["truth_set"]), "n_sampled": len(values["sampled_set"])}
        exec(compile(grading, str(path), "exec"), values)
        return float(values["f1"])

    return score


def official_ruler(path: Path) -> Callable[[Case], float]:
    share, part = functions(path / "scripts/eval/synthetic/constants.py", "string_match_all", "string_match_part")
    (cleaned,) = functions(path / "scripts/eval/evaluate.py", "postprocess_pred")

    def score(case: Case) -> float:
        metric = part if case["any"] else share
        return float(metric([cleaned(case["answer"], {})], [case["right"]]) / 100)

    return score


def official_longbench(path: Path) -> Callable[[Case], float]:
    (extract,) = functions(path / "pred.py", "extract_answer")
    # The official code strips an answer before it reads the letter.
    return lambda case: float(extract(case["answer"].strip()) == case["letter"])


def official_oolong(path: Path) -> Callable[[Case], float]:
    names = ("synth_attempt_answer_parse", "synth_process_response")
    _, process = functions(path / "src/eval/eval_helpers.py", *names)
    return lambda case: float(process(case, case["prediction"], "")["score"])


def official_oolong_real(path: Path) -> Callable[[Case], float]:
    names = ("dnd_parse_answer", "dnd_parse_response", "dnd_process_response")
    *_, process = functions(path / "src/eval/eval_helpers.py", *names)
    return lambda case: float(process(case, case["prediction"], "")["score"])


OFFICIAL = {
    "mrcr": official_mrcr, "graphwalks": official_graphwalks, "ruler": official_ruler,
    "longbench_v2": official_longbench, "oolong": official_oolong, "oolong_real": official_oolong_real,
}  # fmt: skip


# --- our side


def ours_mrcr(case: Case) -> float:
    from benchmarks.suites.mrcr.scorer import MrcrTarget, score_answer

    return score_answer(MrcrTarget(case["prefix"] + case["piece"], case["prefix"]), case["answer"]).value


def ours_graphwalks(case: Case) -> float:
    from benchmarks.suites.graphwalks.scorer import score_answer

    return score_answer(tuple(case["nodes"]), case["answer"]).value


def ours_ruler(case: Case) -> float:
    from benchmarks.suites.ruler.scorer import RulerTarget, score_answer

    # RULER rounds its percentages to two digits.
    return round(100 * score_answer(RulerTarget(tuple(case["right"]), case["any"]), case["answer"]).value, 2) / 100


def ours_longbench(case: Case) -> float:
    from benchmarks.scoring.choice import score_choice

    return score_choice(case["letter"], (), case["answer"]).value


def ours_oolong(case: Case) -> float:
    from benchmarks.suites.oolong.gold import Gold
    from benchmarks.suites.oolong.scorer import official_score

    return official_score(Gold.of(case["answer"], case["answer_type"]), case["prediction"])


def ours_oolong_real(case: Case) -> float:
    from benchmarks.suites.oolong_real.scorer import score_answer

    return score_answer(case["answer"], case["prediction"]).value


OURS = {
    "mrcr": ours_mrcr, "graphwalks": ours_graphwalks, "ruler": ours_ruler, "longbench_v2": ours_longbench,
    "oolong": ours_oolong, "oolong_real": ours_oolong_real,
}  # fmt: skip


def explained_graphwalks(case: Case) -> float:
    """Our score with the two faults of the published code: the first node keeps its mark, and no overlap scores 1."""
    from benchmarks.suites.graphwalks.scorer import official_nodes

    nodes = official_nodes(case["answer"])
    if nodes is None:
        return 0.0
    # The mark is an item of its own before an empty list and before a comma.
    first = re.search(r"Final Answer: ?\[([^,]*)", case["answer"].split("\n")[-1])
    found = {"the mark"} | set(nodes[1:] if first and first[1].strip("[] ") else nodes)
    gold, right = set(case["nodes"]), len(found & set(case["nodes"]))
    return 2 * right / (len(found) + len(gold)) if right else 1.0


EXPLAINED = {"graphwalks": explained_graphwalks}


# --- answers


def text(draws: random.Random, most: int = 12) -> str:
    return " ".join(draws.choice(WORDS) for _ in range(draws.randrange(most)))


def case_mrcr(draws: random.Random) -> Case:
    piece, prefix = text(draws, 40), "".join(draws.choices("abcXYZ019", k=10))
    words = piece.split(" ")
    for _ in range(draws.randrange(6)):
        words[draws.randrange(len(words))] = draws.choice(WORDS)
    start = draws.choice([prefix, prefix, prefix, " " + prefix, prefix.lower(), prefix[:-1], "", prefix + prefix, "\n"])
    return {"piece": piece, "prefix": prefix, "answer": start + draws.choice([" ".join(words), piece, text(draws), ""])}


def case_graphwalks(draws: random.Random) -> Case:
    names = [f"{n:x}" * 3 for n in range(1, 9)]
    nodes = draws.sample(names, draws.randrange(5))
    listed = draws.choice([nodes, draws.sample(names, draws.randrange(6)), [*nodes, *nodes], nodes[1:]])
    mark = draws.choice(["Final Answer: [", "Final Answer:[", "final answer: [", "Final Answer:  [", "Answer: [", "["])
    line = (
        mark + draws.choice([", ", ",", " , ", ",,", "; "]).join(listed) + draws.choice(["]", "]", "]", "].", "", "]]"])
    )
    start, end = (
        draws.choice(["", text(draws) + "\n", text(draws)]),
        draws.choice(["", "", "\n", "\n" + text(draws), " "]),
    )
    return {"nodes": nodes, "answer": start + line + end}


def case_ruler(draws: random.Random) -> Case:
    right = [draws.choice(["1234567", "Kite", "river", "the", "\u0130ris", "a b"]) for _ in range(draws.randint(1, 4))]
    parts = draws.sample(right, draws.randrange(len(right) + 1)) + text(draws, 5).split(" ")
    changed = [draws.choice([part, part.upper(), part.lower(), part[:-1], part.replace(" ", "\x01")]) for part in parts]
    return {"right": right, "any": draws.random() < 0.5, "answer": draws.choice([" ", ", ", "\n", ""]).join(changed)}


def case_longbench(draws: random.Random) -> Case:
    marks = [
        "The correct answer is (%s)",
        "The correct answer is %s",
        "**The correct** answer is **(%s)**",
        "answer: %s",
    ]
    stated = [draws.choice(marks) % draws.choice("ABCDEb") for _ in range(draws.randrange(4))]
    parts = stated + [text(draws, 6) for _ in range(draws.randrange(3))]
    draws.shuffle(parts)
    return {"letter": draws.choice("ABCD"), "answer": draws.choice([" ", "\n", ". "]).join(parts)}


ROW = {"id": 1, "context_window_id": 1, "dataset": ""}


def case_oolong(draws: random.Random) -> Case:
    label = draws.choice(["entity", "Sci/Tech", "True", "incorrect", "Science & Mathematics", "October 2022"])
    number, day = draws.randrange(60), draws.randrange(1, 29)
    kind, answer, said = draws.choice(
        [
            ("LABEL", f"['{label}']", label), ("NUMERIC", f"[{number}]", str(number)),
            ("COMPARISON", "['less common than']", "less common than"), ("MONTH_YEAR", f"['{label}']", label),
            ("DATE", f"[datetime.date(2024, 3, {day})]", f"03/{day:02d}/2024"), ("USER", f"[{number}]", str(number)),
        ]
    )  # fmt: skip
    near = [
        said,
        said,
        said.lower(),
        f"[{said}]",
        f"**{said}**",
        f"{said}.",
        str(number + draws.randrange(4)),
        text(draws, 3),
    ]
    near += [f"the entity is {said} the rest", f"March {day}, 2024", "same frequency as", "more common"]
    start = draws.choice(["Answer: ", "Label: ", "Date: ", "User: ", "", text(draws) + "\nAnswer: ", "so:\n", "12: "])
    prediction = start + draws.choice(near) + draws.choice(["", "", "\n", " ok", ": no"])
    # The official code fails on an answer without any word.
    prediction = prediction if prediction.strip() else "none"
    return ROW | {"answer": answer, "answer_type": f"ANSWER_TYPE.{kind}", "prediction": prediction}


def case_oolong_real(draws: random.Random) -> Case:
    items = [draws.choice(["Bless", "Fire Bolt", "fire bolt", "20", "1", "Hex"]) for _ in range(draws.randint(2, 4))]
    number = str(draws.randrange(90))
    answer = draws.choice([number, "Fire Bolt", ", ".join(items)])
    near = [answer, answer, answer.lower(), ",".join(reversed(items)), items[0], str(int(number) + draws.randrange(3))]
    said = draws.choice([*near, f" {answer} ", f"{answer}.", f"{{{answer}}}", text(draws, 4), "-3", "1_0", ","])
    box = draws.choice(
        ["\\boxed{%s}", "\\boxed{\\text{%s}}", "\\boxed{{%s}}", "boxed{%s}", "%s", "\\boxed{%s} or \\boxed{9}"]
    )
    return ROW | {"answer": answer, "prediction": text(draws, 3) + draws.choice(["", " "]) + box.replace("%s", said)}


CASES = {
    "mrcr": case_mrcr, "graphwalks": case_graphwalks, "ruler": case_ruler, "longbench_v2": case_longbench,
    "oolong": case_oolong, "oolong_real": case_oolong_real,
}  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suite", choices=sorted(OFFICIAL))
    parser.add_argument("path", type=Path, help="the official code")
    parser.add_argument("--answers", type=int, default=20_000)
    parser.add_argument("--python", default=sys.executable, help="the Python that runs the official code")
    parser.add_argument("--official", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.official:
        score = OFFICIAL[options.suite](options.path)
        for line in sys.stdin:
            print(json.dumps(score(json.loads(line))))
        return 0
    sys.path.insert(0, str(Path(__file__).parent.parent))
    draws = random.Random(0)
    cases = [CASES[options.suite](draws) for _ in range(options.answers)]
    done = subprocess.run(
        [options.python, "-I", __file__, options.suite, str(options.path.resolve()), "--official"],
        input="".join(json.dumps(case) + "\n" for case in cases), capture_output=True, text=True, check=True,
    )  # fmt: skip
    official = [json.loads(line) for line in done.stdout.splitlines()]
    ours = list(map(OURS[options.suite], cases))
    differ = [i for i in range(len(cases)) if abs(official[i] - ours[i]) > 1e-9]
    explain = EXPLAINED.get(options.suite)
    unexplained = [i for i in differ if explain is None or abs(explain(cases[i]) - official[i]) > 1e-9]
    right = sum(score > 0 for score in ours)
    print(f"{len(cases)} answers, {right} of them score; {len(differ)} differ, {len(unexplained)} of them unexplained")
    for i in unexplained[:10]:
        print(json.dumps(cases[i]), "official", official[i], "ours", ours[i])
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
