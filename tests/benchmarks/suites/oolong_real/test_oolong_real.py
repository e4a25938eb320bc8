"""OOLONG-real: answers that follow from the transcripts, the official score with its quirks, and rows."""

import asyncio
import hashlib
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.sources.files import DataError
from benchmarks.suites.oolong_real import OolongReal
from benchmarks.suites.oolong_real.scorer import official_score, read_value, score_answer
from rlm.models.tokens import count_tokens
from rlm.validation import SettingError, make

SHA256 = "34d22d774296341c68357e216b34245e7da1961be8908396294b7f681b2f2504"


def samples(benchmark):
    return [benchmark.sample(info.sample_id) for info in benchmark.infos()]


BENCHMARK = OolongReal(lengths=(2048,), samples=32)
MADE = samples(BENCHMARK)


def test_generated_prompts_fit_and_the_oracle_scores_1():
    digest = hashlib.sha256()
    assert len({(one.info.cluster, one.prompt.query) for one in MADE}) == 32
    assert {one.info.task_group for one in MADE} == {
        "singledoc_rolls", "singledoc_spells", "multidoc_rolls", "multidoc_spells"
    }  # fmt: skip
    for sample in MADE:
        assert 1850 < sum(count_tokens(message["content"]) for message in sample.prompt.messages()) <= 2048
        score = score_answer(sample.target, BENCHMARK.oracle(sample.target))
        assert (score.value, score.lenient, score.format_ok) == (1, 1, True)
        digest.update(repr(sample.prompt.messages()).encode() + BENCHMARK.target_bytes(sample.target))
    assert digest.hexdigest() == SHA256
    kinds = {score_answer(one.target, None).details["answer_kind"] for one in MADE}
    assert kinds == {"number", "text", "list"}


def test_answers_follow_from_the_transcripts():
    checked = 0
    for sample in MADE:
        text, query = sample.prompt.context, sample.prompt.query
        values = [int(value) for value in re.findall(r": (?:On the die:|Natural|The die says|I rolled) (\d+)", text)]
        casts = re.findall(r": (?:.*? casts|I cast|Then) ([A-Z]\w+ [A-Z]\w+)(?:[.,]| with)", text)
        scoped = "up to the end" in query
        if "How many rolls" in query and not scoped:
            assert sample.target == str(len(values))
        elif "How many spells cast" in query and not scoped:
            assert sample.target == str(len(casts))
        elif "What is the last of the spells" in query and not scoped:
            assert sample.target == casts[-1]
        elif "have 1 or 20" in query and not scoped:
            assert sample.target == str(sum(value in (1, 20) for value in values))
        else:
            continue
        checked += 1
    assert checked >= 4


@pytest.mark.parametrize(
    ("gold", "answer", "official", "lenient"),
    [
        ("84", r"It is \boxed{84}.", 1, 1),
        ("84", r"\boxed{\text{84}}", 1, 1),
        ("84", r"\boxed{86}", 0.5625, 0.5625),
        ("84", "84", 0, 1),
        ("84", r"first \boxed{80}, no: \boxed{84}", 0.75**4, 1),
        ("84", r"\boxed{84 rolls}", 0, 1),
        ("84", r"\boxed{84.}", 0, 1),
        ("Ember Veil", r"\boxed{ember veil}", 1, 1),
        ("Ember Veil", "ember veil", 1, 1),
        ("Ember Veil", r"\boxed{Ember Veil, Iron Vow}", 0, 0),
        ("a, b", r"\boxed{b,a, c}", 1, 1),
        ("a, b", r"\boxed{A, b}", 0.5, 1),
        ("a, b", r"\boxed{b}", 0, 0.5),
        ("a, a", r"\boxed{a, a}", 0.5, 1),
        (",", "0", 0, 0),
        (",", r"\boxed{,}", 0, 0),
        ("?, !", r"\boxed{?!, a}", 0, 0),
        ("84", "", 0, 0),
        ("84", r"\boxed{" + "9" * 5000 + "}", 0, 0),
        ("84", r"\boxed{" + "9" * 4000 + "}", 0, 0),
    ],
)
def test_scores_of_known_answers(gold, answer, official, lenient):
    score = score_answer(gold, answer)
    assert (score.value, score.lenient) == pytest.approx((official, lenient))


def test_precision_shows_a_flood_of_names():
    flood = BENCHMARK.constants([])[-1]
    sample = next(one for one in MADE if one.info.task_group.endswith("spells") and ", " in one.target)
    score = score_answer(sample.target, flood(sample.without_target()))
    assert score.value == 1 and score.details["precision"] < 0.7


@given(st.text(), st.text() | st.from_regex(r"\\boxed\{[a, 0-9{}]*\}"))
def test_any_answer_is_scored(gold, answer):
    gold = gold.strip() or "x"
    score = score_answer(gold, answer)
    assert 0 <= score.value <= score.lenient <= 1
    assert score.value == official_score(read_value(gold), answer)


def row(**changes):
    return {
        "id": "a", "context_window_id": "w", "context_window_text": "Matt: I cast Bless.", "question": "How many?",
        "answer": "1", "question_type": "singledoc_spells", "episodes": [3], "campaign": "campaign1",
    } | changes  # fmt: skip


def read(tmp_path, *rows, **settings):
    (tmp_path / "test.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    return OolongReal(source=str(tmp_path), **settings)


def test_rows_are_read_with_windows_and_types_in_turn(tmp_path):
    benchmark = read(
        tmp_path,
        row(),
        row(id="b"),
        row(id="c", question_type="singledoc_rolls", context_window_id="v", context_window_text="Other."),
        row(id="d", episodes=[1, 2]),
        row(id="e", episodes=[1, 2, 3]),
        episodes=(1, 3),
        samples=2,
    )
    made = samples(benchmark)
    assert [one.sample_id for one in made] == ["a", "e", "c"]
    system, user = made[0].prompt.messages()
    assert system["content"].endswith("\n\nMatt: I cast Bless.") and user["content"] == "How many?"
    assert made[2].prompt.context == "Other." and made[0].info.cluster == "window-w"
    assert asyncio.run(benchmark.score(made[0].target, r"\boxed{1}")).value == 1


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([row(episodes=[1, 2])], "no row with 1 episodes; change episodes"),
        ([row(), row()], "two rows have the id 'a'"),
        ([row(answer=" ")], "column answer is ' ': expected text"),
        ([row(answer=" , ")], "row a: answer is ' , ': expected text"),
        ([{k: v for k, v in row().items() if k != "episodes"}], "no column episodes"),
    ],
)
def test_malformed_rows_are_refused(tmp_path, rows, message):
    with pytest.raises(DataError, match=message):
        read(tmp_path, *rows, episodes=(1,)).infos()


def test_rows_to_score_carry_their_target():
    for target, text in ((3, "3"), ("Bless", "Bless"), (["a", "b"], "a, b")):
        assert BENCHMARK.target_of({"target": target}) == text
    for wrong in ({}, {"target": ""}, {"target": ","}, {"target": []}, {"target": True}, {"target": {}}):
        with pytest.raises(ValueError, match="expected a number, a text, or a list"):
            BENCHMARK.target_of(wrong)


def test_a_window_too_short_is_refused_with_its_key():
    with pytest.raises(SettingError, match=r"^benchmark\.oolong_real\.lengths is .*: expected "):
        make(OolongReal, {"lengths": [100]}, "benchmark.oolong_real")
