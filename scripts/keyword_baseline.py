#!/usr/bin/env python3
"""Measure the accuracy of keywords on the generated questions of OOLONG: question words, and words learnt elsewhere.

Run from the checkout: .venv/bin/python scripts/keyword_baseline.py
"""

from __future__ import annotations

import itertools
import re
import sys
from collections import Counter
from math import log
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.suites.oolong.instances import question_bank
from benchmarks.suites.oolong.windows import LABELS

DESCRIPTION, ENTITY, HUMAN, NUMBER, LOCATION, ABBREVIATION = LABELS

# The first pattern that a question matches gives its label.
RULES = (
    (r"\bstands? for\b|\bshort for\b|\babbreviat|\bacronym|\binitials\b|\bfull form\b", ABBREVIATION),
    (r"^(who|whom|whose)\b|\bwho (is|was)\b", HUMAN),
    (r"^(when|how (many|much|long|far|old|high|tall|deep|fast|big))\b|\bwhat (year|date)\b|\bnumber of\b", NUMBER),
    (r"^where\b|\b(what|which) (city|country|state|continent|river|mountain|island|town)\b", LOCATION),
    (r"^(how|why)\b|\bmeans?\b|\bdefine\b|\bdifference between\b", DESCRIPTION),
    (r"", ENTITY),
)


def rule_label(question: str) -> str:
    """The label by question words alone."""
    return next(label for pattern, label in RULES if re.search(pattern, question.lower()))


def rule_accuracy() -> dict[str, float]:
    """Accuracy for each label, with each template weighted as in a window."""
    bank = question_bank()
    result = {}
    for label, first, stop in zip(LABELS, bank.first, bank.first[1:], strict=False):
        shares = []
        for offset, size in zip(bank.offset[first:stop], bank.size[first:stop], strict=True):
            questions = bank.questions[offset : offset + size]
            shares.append(sum(rule_label(question) == label for question in questions) / size)
        result[label] = sum(shares) / len(shares)
    return result


def learnt_accuracy() -> float:
    """Naive Bayes over words and pairs of words: learnt on every second template, tested on the others."""
    bank = question_bank()
    kinds = bank.label_of_template()
    counts = [Counter[str]() for _ in LABELS]
    for template, label in list(zip(bank.templates, kinds, strict=True))[0::2]:
        counts[label].update(_features(template))
    known = len(set().union(*counts))
    right, tested = 0, list(zip(bank.templates, kinds, strict=True))[1::2]
    for template, label in tested:
        scores = [
            sum(log((count[word] + 1) / (count.total() + known)) for word in _features(template)) for count in counts
        ]
        right += scores.index(max(scores)) == label
    return right / len(tested)


def _features(template: str) -> list[str]:
    # Slots are omitted, because their fillers occur in questions of all labels.
    words = re.findall(r"[a-z']+|\{", template.lower().replace("{", " { "))
    words = [word for word in words if word != "{"]
    return words + [f"{a} {b}" for a, b in itertools.pairwise(words)]


def main() -> None:
    bank = question_bank()
    print(f"{len(bank.templates)} templates, {len(bank.questions)} questions")
    rule = rule_accuracy()
    for label, accuracy in rule.items():
        print(f"  {label:34} {accuracy:.2f}")
    print(f"question words: {sum(rule.values()) / len(rule):.3f} (1.000 for a reader of the questions)")
    print(f"words learnt on other templates: {learnt_accuracy():.3f}")


if __name__ == "__main__":
    main()
