"""Scorers by name: fixed cases of each, properties of all, and agreement with the rules that they implement."""

import asyncio
import math
import re
import string
import sys

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from benchmarks.sample import Judgement, Score
from benchmarks.scoring import patterns
from benchmarks.scoring.gold import Gold
from benchmarks.scoring.named import NAMES, named_scorer
from benchmarks.scoring.numbers import as_number, stated_number
from benchmarks.scoring.patterns import PatternTooSlow, example_of, search
from benchmarks.scoring.sets import listed_items
from benchmarks.scoring.texts import overlap, squad_words


def score(name: str, answers: str | list[str], answer: str | None, choices=(), **more) -> Score:
    gold = Gold(tuple([answers] if isinstance(answers, str) else answers), "Which?", tuple(choices))
    return asyncio.run(named_scorer(name, **more).score(gold, answer))


@pytest.mark.parametrize(
    ("name", "answers", "answer", "value"),
    [
        ("exact", "The Eiffel Tower", "eiffel tower!", 1),
        ("exact", ["Paris", "City of Light"], "the city of light.", 1),
        ("exact", "Paris", "It is Paris", 0),
        ("exact", "-5", "5", 1),
        ("contains", "Ada", "The keeper is ADA.", 1),
        ("contains", ["x1", "Ada"], "ada", 1),
        ("contains", "Ada", "A d a", 0),
        ("f1", "the cat sat", "a cat sat down", 0.8),
        ("f1", "the cat sat", "cat", 2 / 3),
        ("f1", ["dog", "the cat sat"], "cat sat", 1),
        ("f1", "the cat sat", "dog", 0),
        ("f1", "cat cat", "cat", 2 / 3),
        ("set_f1", ["Ada", "Bob"], "- Bob\n- Ada", 1),
        ("set_f1", ["Ada", "Bob"], "Ada, Eve", 0.5),
        ("set_f1", ["Ada", "Bob"], '["bob", "ada"]', 1),
        ("set_f1", ["Ada", "Bob"], "The items are:\n1. Ada\n2. Bob\n3. Bob", 1),
        ("set_f1", ["Paris, France"], "Paris, France", 1),
        ("set_f1", [], "none", 1),
        ("set_f1", [], "Ada", 0),
        ("set_f1", ["Ada"], "none", 0),
        ("set_f1", [], "", 0),
        ("regex", r"^\d{4}-\d\d$", "2024-05", 1),
        ("regex", r"^\d{4}-\d\d$", "on 2024-05", 0),
        ("regex", [r"(?i)\bada\b", "Bob"], "It is Ada.", 1),
    ],
)
def test_answers_score_as_the_rule_of_their_scorer_says(name, answers, answer, value):
    assert score(name, answers, answer).value == pytest.approx(value)


@pytest.mark.parametrize(
    ("name", "answers", "answer", "lenient"),
    [
        ("exact", "Paris", "I looked it up.\nAnswer: Paris", 1),
        ("exact", "Paris", "Not Paris", 0),
        ("contains", "9669369", "9,669,369", 1),
        ("f1", "Paris", "After some thought:\nParis", 1),
        ("number", "42", "Answer: 7, or rather 42", 1),
    ],
)
def test_the_lenient_score_forgives_errors_of_format(name, answers, answer, lenient):
    found = score(name, answers, answer)
    assert (found.value < 1, found.lenient) == (True, lenient)


@pytest.mark.parametrize(
    ("answer", "number"),
    [
        ("42", 42),
        ("The answer is 42 out of 100.", 42),
        ("12 + 30 = 42", 42),
        ("#### 42", 42),
        (r"\boxed{42}", 42),
        ("**42**", 42),
        ("$1,234.50", 1234.5),
        ("-3", -3),
        ("−3", -3),
        ("$-3", -3),
        ("-$3", -3),
        ("50%", 50),
        ("1e5", 1e5),
        ("5 km", 5),
        (".5", 0.5),
        ("first 1, then 2", 2),
        ("GPT-4 counts 7", 7),
        ("1\u202f234", 1234),
        # No number, rather than a wrong one.
        ("10-20", None),
        ("3/4", None),
        ("2024-01-05", None),
        ("12:30", None),
        ("5 million", None),
        ("5k", None),
        ("3,14", None),
        ("1,2,3", None),
        ("1.2.3", None),
        ("the 3rd", None),
        ("GPT-4", None),
        ("forty-two", None),
        ("", None),
        ("9" * 500, None),
        ("1e99999", None),
        ("0x10", None),
    ],
)
def test_the_number_that_an_answer_states_is_read(answer, number):
    found = stated_number(answer)
    assert (None if found is None else float(found)) == number


@pytest.mark.parametrize(
    ("gold", "answer", "settings", "value"),
    [
        ("1.0", "1.1", {"tolerance": 0.1}, 1),
        ("0.3", "0.2", {"tolerance": 0.1}, 1),
        ("100", "99", {"relative_tolerance": 0.01}, 1),
        ("-100", "-101", {"relative_tolerance": 0.01}, 1),
        ("100", "98.9", {"relative_tolerance": 0.01}, 0),
        ("1,000", "1000.0", {}, 1),
        ("100000000000000000001", "100000000000000000000", {}, 0),
        ("5 km", "5", {}, 1),
    ],
)
def test_numbers_are_compared_exactly_within_the_tolerance(gold, answer, settings, value):
    assert score("number", gold, answer, **settings).value == value


@given(st.integers(-(10**6), 10**6), st.integers(-(10**6), 10**6), st.floats(0, 10**6))
def test_whole_numbers_are_close_as_python_finds_them(value, gold, tolerance):
    expected = math.isclose(value, gold, rel_tol=0, abs_tol=tolerance)
    assert score("number", str(gold), f"Answer: {value}", tolerance=tolerance).value == float(expected)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_is_read_as_python_writes_it(value):
    found = as_number(repr(value))
    assert found is not None and float(found) == value


@pytest.mark.parametrize(
    ("answer", "value", "lenient"),
    [
        ("The correct answer is (E)", 1, 1),
        ("**The correct answer is E**", 1, 1),
        ("e", 0, 1),
        ("eel", 0, 1),
        ("Answer: E", 0, 1),
        ("I think it is E", 0, 1),
        ("The correct answer is (F)", 0, 0),
        ("", 0, 0),
        ("I'd say A is wrong, so E", 0, 1),
    ],
)
def test_a_choice_among_more_than_four_is_read_as_one_among_four(answer, value, lenient):
    found = score("choice", "E", answer, ["ant", "bee", "cat", "dog", "eel", "fox", "gnu", "hen", "ibis"])
    assert (found.value, found.lenient) == (value, lenient)


def _official(pred: str, golds: list[str]) -> tuple[float, float]:
    """SQuAD's exact match and F1 from their definition: bags of normalised words, the best accepted answer counts."""

    def bag(text):
        kept = "".join(sign for sign in text.lower() if sign not in set(string.punctuation))
        return [word for word in re.sub(r"\b(a|an|the)\b", " ", kept).split() if word]

    scores = []
    for gold in golds:
        left, right = bag(pred), bag(gold)
        rest, same = list(right), 0
        for word in left:
            if word in rest:
                rest.remove(word)
                same += 1
        scores.append((float(left == right), 2 * same / (len(left) + len(right)) if same else 0.0))
    return max(exact for exact, _ in scores), max(f1 for _, f1 in scores)


WORDS = st.lists(
    st.sampled_from(["the", "A", "an", "cat", "Cat's", "sat,", "42", "...", "é", "—", "dog-house", "\u00a0", "x_y"])
).map(" ".join)


@settings(max_examples=300)
@given(WORDS | st.text(), st.lists((WORDS | st.text()).filter(squad_words), min_size=1, max_size=3))
@example("The cat", ["a cat", "dog"])
def test_exact_and_f1_are_squads(answer, golds):
    exact, f1 = _official(answer, golds)
    assert score("exact", golds, answer).value == exact
    assert score("f1", golds, answer).value == pytest.approx(f1)


@given(st.lists(st.sampled_from("abcdef")), st.lists(st.sampled_from("abcdef"), min_size=1))
def test_the_overlap_of_words_is_symmetric_and_bounded(left, right):
    there, back = overlap(left, right), overlap(right, left)
    assert there.f1 == pytest.approx(back.f1) and 0 <= there.f1 <= 1
    assert (there.f1 == pytest.approx(1)) == (sorted(left) == sorted(right))


ITEM = st.text(alphabet=string.ascii_letters + " ", min_size=1, max_size=12).map(str.strip).filter(squad_words)


@given(st.lists(ITEM, max_size=6, unique_by=lambda item: " ".join(squad_words(item))), st.randoms())
def test_a_list_of_all_items_in_any_order_and_form_is_right(items, random):
    items = [item for item in items if listed_items(item) and item.lower() not in ("answer", "answers", "items")]
    random.shuffle(shuffled := list(items))
    for written in ("\n".join(shuffled), "\n".join(f"- {item}" for item in shuffled), str(shuffled).replace("'", '"')):
        assert score("set_f1", items, written or "none").value == pytest.approx(1)


PLAIN = {
    "exact": "Ada",
    "contains": "Ada",
    "f1": "Ada Lovelace",
    "choice": "B",
    "number": "42",
    "regex": r"a+b",
    "judge": "Ada",
}


@given(answer=st.text() | st.sampled_from(["Ada", "42", "B", "aab", "none"]), name=st.sampled_from(NAMES))
def test_any_text_scores_from_0_to_1_and_lenient_is_no_less(answer, name):
    found = score(name, PLAIN.get(name, "Ada"), answer)
    assert 0 <= found.value <= found.lenient <= 1
    assert isinstance(found.prediction, str)


@settings(max_examples=300)
@given(
    st.lists(WORDS | st.text(min_size=1).filter(str.strip) | st.integers().map(str), min_size=1, max_size=3),
    st.sampled_from(["exact", "contains", "f1", "number", "set_f1", "judge"]),
)
@example(["- a", "b"], "set_f1")
@example(["none"], "set_f1")
@example(["5 km"], "number")
def test_the_oracle_scores_1_for_all_answers_that_are_accepted(answers, name):
    gold, scorer = Gold(tuple(answers)), named_scorer(name)
    if scorer.expected(gold) == "" and (name != "judge" or squad_words(answers[0])):
        assert asyncio.run(scorer.score(gold, scorer.oracle(gold))).value == pytest.approx(1)


@pytest.mark.parametrize("name", NAMES)
def test_no_answer_scores_0_and_the_oracle_1(name):
    gold = Gold((PLAIN.get(name, "Ada"),), "Which?")
    scorer = named_scorer(name)
    assert scorer.expected(gold) == ""
    assert asyncio.run(scorer.score(gold, None)).value == 0
    right = asyncio.run(scorer.score(gold, scorer.oracle(gold)))
    assert (right.value, right.format_ok) == (1, True)


@pytest.mark.parametrize(
    ("name", "answers", "choices"),
    [
        ("exact", ["the"], ()),
        ("f1", ["!"], ()),
        ("number", ["about five"], ()),
        ("number", ["10-20"], ()),
        ("regex", ["(("], ()),
        ("choice", ["C"], ("x", "y")),
        ("choice", ["A", "B"], ("x", "y")),
        ("set_f1", ["a b", "A-B?", "ab"], ()),
    ],
)
def test_answers_that_a_scorer_cannot_compare_are_refused_with_what_is_expected(name, answers, choices):
    assert named_scorer(name).expected(Gold(tuple(answers), "", tuple(choices)))


# --- regular expressions


@pytest.mark.parametrize(
    "pattern",
    [
        r"^\d{4}-\d{2}$",
        r"(?i)\bparis\b",
        "a|b",
        r"(?:foo|bar)+[^a-z]x?",
        r"^(?!.*wrong).*right$",
        r"[\]a]{2}",
        r"1\.5",
        r"\$5",
        r"(a+)+$",
        r"(?P<year>\d+) (?:BC|AD)",
        r"[^\d\W]\s*\w",
    ],
)
def test_an_example_of_a_pattern_matches_it(pattern):
    assert re.search(pattern, example_of(pattern))


def test_a_pattern_without_a_simple_example_gives_the_oracle_a_clear_error():
    with pytest.raises(ValueError, match="oracle"):
        named_scorer("regex").oracle(Gold((r"(?P<n>\w+)\s(?P=n)",)))


def test_a_long_pattern_is_read_by_pythons_engine_alone():
    # Expressions that find brackets in the pattern would take minutes.
    pattern = "(?#" + "[" * 200_000 + ")found"
    assert search(pattern, "it is found here") == "found"
    assert "found" in example_of(pattern)


def test_a_pattern_that_would_never_end_is_stopped(monkeypatch):
    monkeypatch.setattr(patterns, "TIME_LIMIT_S", 0.5)
    with pytest.raises(PatternTooSlow, match=r"\(a\+\)\+b"):
        search(r"(a+)+b", "a" * 60)


@settings(max_examples=40)
@given(
    st.sampled_from([r"a(b|c)*d", r"(\w+)-\1", r"[^|]+\|", r"x?y", r"(?i)é\b"]), st.text(alphabet="abcd-|xyéÉ \n\ud800")
)
def test_a_search_finds_what_python_finds_in_both_processes(pattern, text):
    found = re.search(pattern, text)
    assert search(pattern, text) == (found and found.group())


# --- judge and functions


class Asked:
    def __init__(self, correct):
        self.correct, self.calls = correct, []

    async def __call__(self, question, response, correct_answer, **more):
        self.calls.append((question, response, correct_answer, more))
        return Judgement(self.correct)


@pytest.mark.parametrize(("correct", "value", "verdict"), [(True, 1, "yes"), (False, 0, "no"), (None, 0, "unparsed")])
def test_the_judge_decides_and_gets_question_answers_and_rubric(correct, value, verdict, tmp_path):
    (tmp_path / "rules.md").write_text("Half a name is enough.")
    judge, scorer = Asked(correct), named_scorer("judge", rubric=str(tmp_path / "rules.md"))
    found = asyncio.run(scorer.score(Gold(("Ada", "A. L."), "Who?"), "Lovelace", judge))
    assert (found.value, found.details["judge_verdict"], found.details["judged_by"]) == (value, verdict, "judge")
    assert judge.calls == [("Who?", "Lovelace", "any one of:\n- Ada\n- A. L.", {"rubric": "Half a name is enough."})]


def test_without_a_judge_two_texts_of_punctuation_do_not_match():
    assert score("judge", "!", "?").value == 0
    assert score("judge", "Ada", "ada.").value == 1


def test_an_empty_answer_is_not_judged():
    judge = Asked(True)
    assert asyncio.run(named_scorer("judge").score(Gold(("Ada",)), " ", judge)).value == 0
    assert judge.calls == []


def test_a_function_scores_answers_and_its_source_is_part_of_its_id(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "mine_one.py").write_text(
        "def share(answers, answer):\n    return len(set(answers) & set(answer.split())) / len(answers)\n"
        "async def later(answers, answer):\n    return answer in answers\n"
        "def wrong(answers, answer):\n    return 'good'\n"
    )
    assert score("mine_one:share", ["a", "b"], "a c").value == 0.5
    assert score("mine_one:later", ["a", "b"], "b").value == 1
    with pytest.raises(TypeError, match="str"):
        score("mine_one:wrong", "a", "a")
    before = named_scorer("mine_one:share").id
    del sys.modules["mine_one"]
    (tmp_path / "mine_one.py").write_text("def share(answers, answer):\n    return True\n# changed\n")
    assert named_scorer("mine_one:share").id != before


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("f2", {}, "did you mean 'f1'"),
        ("nothing:score", {}, "scorer is 'nothing:score'"),
        ("json:nothing", {}, "has no attribute"),
        ("json:__name__", {}, "expected a function"),
        ("exact", {"tolerance": 0.5}, "tolerance is 0.5: expected 0"),
        ("f1", {"rubric": "x"}, "rubric is 'x': expected null"),
        ("judge", {"rubric": "absent.md"}, "rubric is 'absent.md'"),
    ],
)
def test_a_wrong_setting_is_refused_by_its_name(name, settings, message):
    with pytest.raises(ValueError, match=message) as caught:
        named_scorer(name, **settings)
    assert "\n" not in str(caught.value)


def test_settings_that_change_a_score_change_the_id(tmp_path):
    (tmp_path / "a.md").write_text("one")
    ids = [
        named_scorer("number").id,
        named_scorer("number", tolerance=1).id,
        named_scorer("number", relative_tolerance=1).id,
        named_scorer("judge").id,
        named_scorer("judge", rubric=str(tmp_path / "a.md")).id,
    ]
    assert len(set(ids)) == len(ids)
