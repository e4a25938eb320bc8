"""Scores of one answer against the accepted answers of a question, and the answers that each score can compare."""

from __future__ import annotations

import re
from decimal import Decimal

from benchmarks.sample import Score
from benchmarks.scoring.choice import score_choice
from benchmarks.scoring.gold import Gold
from benchmarks.scoring.numbers import as_number, is_close, last_number, stated_number
from benchmarks.scoring.patterns import example_of, search
from benchmarks.scoring.sets import compare_sets, key_of, listed_items
from benchmarks.scoring.texts import contains, contains_loosely, final_answer, overlap, squad_words

_SHOWN_CHARS = 200


def shown(text: str) -> str:
    """Return the start of an answer, for the column `extracted`."""
    return text.strip()[:_SHOWN_CHARS]


# --- SQuAD


def expected_words(gold: Gold) -> str:
    return (
        "" if all(map(squad_words, gold.answers)) else "text with a word that is not an article; SQuAD removes articles"
    )


def score_exact(gold: Gold, text: str) -> Score:
    """Score SQuAD's exact match. Lenient: the final answer matches."""
    right = [squad_words(answer) for answer in gold.answers]
    # Two texts of only punctuation are not the same answer.
    value, last = (bool(words) and words in right for words in map(squad_words, (text, final_answer(text))))
    return Score(float(value), float(value or last), _is_one_line(text), shown(text))


def score_f1(gold: Gold, text: str) -> Score:
    """Score SQuAD's token F1 with the nearest accepted answer. Lenient: that of the final answer, if it is higher."""
    right = [squad_words(answer) for answer in gold.answers]
    words, last = squad_words(text), squad_words(final_answer(text))
    best = max((overlap(words, one) for one in right), key=lambda found: found.f1)
    lenient = max(best.f1, *(overlap(last, one).f1 for one in right))
    details = {"precision": best.precision, "recall": best.recall, "exact": float(words in right)}
    return Score(best.f1, lenient, _is_one_line(text), shown(text), details)


def _is_one_line(text: str) -> bool:
    return len(text.strip().splitlines()) == 1


# --- containment


def expected_any(gold: Gold) -> str:
    return ""


def score_contains(gold: Gold, text: str) -> Score:
    """Score RULER's substring match with any accepted answer. Lenient: separators are ignored."""
    found = next((answer for answer in gold.answers if contains(text, answer)), None)
    lenient = found is not None or any(contains_loosely(text, answer) for answer in gold.answers)
    exact = any(text.strip().lower() == answer.strip().lower() for answer in gold.answers)
    prediction = shown(text) if found is None else found
    return Score(float(found is not None), float(lenient), bool(text.strip()), prediction, {"exact": float(exact)})


# --- choice


def expected_letter(gold: Gold) -> str:
    fits = len(gold.answers) == 1 and len(gold.answers[0]) == 1 and gold.answers[0] in gold.letters
    return "" if fits else f"one letter from A to {gold.letters[-1]}, or the text of one of the choices"


def score_letter(gold: Gold, text: str) -> Score:
    """Score LongBench-v2's accuracy."""
    return score_choice(gold.answers[0], gold.choices, text, gold.letters)


# --- number


def expected_number(gold: Gold) -> str:
    fits = all(as_number(answer) is not None for answer in gold.answers)
    return "" if fits else "a number, such as 5, -2.5, 1,234 or 1e6"


def score_number(tolerance: float, relative: float, gold: Gold, text: str) -> Score:
    """Score 1 if the stated number is within the tolerance of an accepted one. Lenient: or if the last number is."""
    right = [number for number in map(as_number, gold.answers) if number is not None]
    found, last = stated_number(text), last_number(text)

    def is_right(number: Decimal | None) -> bool:
        return number is not None and any(is_close(number, one, tolerance, relative) for one in right)

    value, lenient = is_right(found), is_right(found) or is_right(last)
    return Score(float(value), float(lenient), as_number(text) is not None, "" if found is None else shown(str(found)))


# --- regex


def expected_pattern(gold: Gold) -> str:
    for answer in gold.answers:
        try:
            re.compile(answer)
        except (re.error, RecursionError, OverflowError) as error:
            return f"a regular expression of Python ({error})"
    return ""


def score_regex(gold: Gold, text: str) -> Score:
    """Score 1 if a pattern matches any part of the answer."""
    found = next((part for answer in gold.answers if (part := search(answer, text)) is not None), None)
    return Score(float(found is not None), float(found is not None), bool(text.strip()), shown(found or ""))


def matching_text(gold: Gold) -> str:
    """Make a text that a pattern matches. Raises ValueError if none is found."""
    made = next((text for answer in gold.answers if (text := example_of(answer)) is not None), None)
    if made is None:
        raise ValueError("no text that matches the regular expression was found for the oracle")
    return made


# --- sets


def expected_items(gold: Gold) -> str:
    keys = {key_of(answer) for answer in gold.answers}
    if len(keys) < len(gold.answers):
        return "a list with each item once"
    written = {key_of(item) for item in listed_items(listed(gold), gold.answers)}
    return "" if written == keys else "items that can be listed one per line, without bullets, brackets and headings"


def score_set(gold: Gold, text: str) -> Score:
    """Score F1 of the items that an answer lists. An empty answer scores 0; the answer `none` is the empty set."""
    items = listed_items(text, gold.answers)
    counts = compare_sets(items, gold.answers)
    value = counts.f1 if text.strip() else 0.0
    details = {
        "precision": counts.precision, "recall": counts.recall,
        "n_gold": float(counts.gold), "n_predicted": float(counts.predicted),
    }  # fmt: skip
    return Score(value, value, bool(text.strip()), shown("; ".join(items)), details)


def listed(gold: Gold) -> str:
    """Format the answers as `set_f1` asks for them."""
    return "\n".join(gold.answers) or "none"
