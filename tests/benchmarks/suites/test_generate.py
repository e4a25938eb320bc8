"""Generated data: equal bytes on every machine, lengths that fit, questions that keywords do not label."""

import hashlib
import importlib.util
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.sources.draws import Draws
from benchmarks.suites.oolong.generator import generated_window
from benchmarks.suites.oolong.instances import question_bank
from benchmarks.suites.oolong.windows import LABELS, labelled_window, without_labels, written_date, written_users
from rlm.models.tokens import count_tokens

ROOT = Path(__file__).parents[3]


def test_draws_are_the_same_on_every_machine():
    draws = Draws(7, "window", 512)
    assert [draws.below(1000) for _ in range(4)] == [404, 310, 348, 877]
    assert draws.many_below(1000, 4).tolist() == [381, 437, 504, 401]
    assert draws.order(6).tolist() == [5, 2, 0, 4, 1, 3]
    assert draws.some(range(10**9), 3) == [51010097, 382892976, 419179433]


def test_draws_of_other_keys_differ():
    assert Draws(0, "a", 1).below(1 << 60) != Draws(0, "a", 2).below(1 << 60)
    assert Draws(0, "a", 1).below(1 << 60) != Draws(1, "a", 1).below(1 << 60)


@given(st.integers(1, 40), st.integers(0, 50), st.integers(0, 1000))
def test_some_takes_different_items(size, wanted, seed):
    chosen = Draws(seed).some(range(size), wanted)
    assert len(chosen) == len(set(chosen)) == min(size, wanted)
    assert sorted(Draws(seed).shuffled(range(size))) == list(range(size))


def test_draws_follow_their_weights():
    counts = Counter(Draws(0, "weights").weighted([1, 0, 3], 4000).tolist())
    assert counts[1] == 0
    assert 2.5 < counts[2] / counts[0] < 3.5


def test_windows_are_the_same_on_every_machine():
    digests = [
        hashlib.sha256(generated_window(length, 0, 0, "o200k_base", 140).text.encode()).hexdigest()
        for length in (512, 8192)
    ]
    assert digests == WINDOW_SHA256


@pytest.mark.parametrize("encoding", ["o200k_base", "cl100k_base", "qwen3", "llama3"])
@pytest.mark.parametrize("length", [512, 1024, 5000, 65536])
def test_windows_fill_their_length_to_within_a_line(length, encoding):
    for index in range(3):
        tokens = count_tokens(generated_window(length, index, 1, encoding, 140).text, encoding)
        assert length - 140 - 80 < tokens <= length - 140


def test_a_window_has_the_number_of_lines_that_it_states():
    made = generated_window(4096, 0, 0, "o200k_base", 140)
    assert made.text.startswith(f"Below are {len(made.lines)} lines.")
    assert written_users(made.text).tolist() == made.lines.users.tolist()
    for label in LABELS:
        assert f"'{label}'" in made.text.partition("\n\n")[0]
    dates = [line[6:18] for line in made.text.splitlines() if line.startswith("Date: ")]
    assert dates == [written_date(day) for day in made.lines.days.tolist()]


def test_labels_of_a_window_are_those_of_its_questions():
    made = generated_window(16384, 3, 0, "o200k_base", 140)
    bank = question_bank()
    label_of = {}
    for label, offset, size in zip(bank.label_of_template(), bank.offset, bank.size, strict=True):
        label_of |= dict.fromkeys(bank.questions[offset : offset + size], int(label))
    asked = [line.partition("Instance: ")[2] for line in made.text.splitlines() if "Instance: " in line]
    assert [label_of[question] for question in asked] == made.lines.labels.tolist()


def test_a_window_too_short_for_lines_is_refused():
    with pytest.raises(ValueError, match="window of 200 tokens has room for"):
        generated_window(200, 0, 0, "o200k_base", 140)


def test_users_differ_in_how_much_they_ask():
    made = generated_window(32768, 0, 0, "o200k_base", 140)
    counts = sorted(Counter(made.lines.users.tolist()).values(), reverse=True)
    assert 0.2 < len(counts) / len(made.lines) < 0.35
    assert sum(counts[: len(counts) // 3]) > 0.6 * len(made.lines)


def test_the_bank_has_many_different_questions_of_each_label():
    bank = question_bank()
    assert len(set(bank.questions)) == len(bank.questions)
    for first, stop in pairwise(bank.first.tolist()):
        assert stop - first >= 90
        assert bank.size[first:stop].sum() > 2000
    for question in bank.questions:
        assert question[0].isupper() and question[-1] in "?." and "{" not in question and question.isascii()


def test_no_rule_of_question_words_labels_the_bank():
    baseline = _script("keyword_baseline")
    accuracy = baseline.rule_accuracy()
    assert sum(accuracy.values()) / len(accuracy) < 0.6
    assert baseline.learnt_accuracy() < 0.8


@pytest.mark.parametrize("word", ["What", "Which"])
def test_the_usual_question_words_begin_questions_of_every_label(word):
    bank = question_bank()
    for first, stop in pairwise(bank.first.tolist()):
        assert any(template.startswith(word) for template in bank.templates[first:stop])


def test_a_labelled_text_gives_its_lines_and_loses_its_labels():
    text = (
        "The 2 lines\n\nDate: Jun 29, 2022 || User: 7 || Instance: What is X || Y ? || Label: entity\n"
        "Date: Jan 01, 2023 || User: 8 || Instance: Who ? || Label: human being\nRecall: 2 lines\n"
    )
    made = labelled_window("w", text)
    assert made.lines.users.tolist() == [7, 8]
    assert [LABELS[label] for label in made.lines.labels] == ["entity", "human being"]
    assert [written_date(day) for day in made.lines.days.tolist()] == ["Jun 29, 2022", "Jan 01, 2023"]
    assert "Label" not in made.text and "What is X || Y ?\n" in made.text
    assert without_labels(made.text) == made.text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has 0 lines"),
        ("3 lines\nDate: Jun 29, 2022 || User: 7 || Instance: What ? || Label: entity\n", "expected 3"),
        ("Date: Jun 29, 2022 || User: 7 || Instance: What ?\n", "expected '|| Label: ' and a label"),
        ("Date: Jun 29, 2022 || User: 7 || Instance: What ? || Label: animal\n", "animal"),
        ("Date: Jux 29, 2022 || User: 7 || Instance: What ? || Label: entity\n", "expected a date"),
        ("Date: Feb 30, 2022 || User: 7 || Instance: What ? || Label: entity\n", "expected a date"),
        (f"1 line\nDate: Jun 29, 2022 || User: {'7' * 5000} || Instance: What ? || Label: entity\n", "has 0 lines"),
    ],
)
def test_a_malformed_labelled_text_is_refused(text, message):
    with pytest.raises(ValueError, match=message.replace("|", r"\|").replace(".", r"\.")):
        labelled_window("w", text)


def _script(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


WINDOW_SHA256 = [
    "c54340d630af1069d7c2a76cf0835b8d3e5c5c11bafc118291747fcbddd8d3c6",
    "617dbae1082154122a24357a816deb7ff857890c022a4c2859df88db64965522",
]
