"""The subsets of oolong-synth: their labels, generated windows and real rows."""

import asyncio
import hashlib
import json
from collections import Counter
from functools import cache

import pytest

from benchmarks.sources.files import DataError
from benchmarks.suites.oolong import Oolong
from benchmarks.suites.oolong.instances import question_bank
from benchmarks.suites.oolong.prompt import leaks
from benchmarks.suites.oolong.scorer import score_answer
from benchmarks.suites.oolong.subsets import NAMES, SUBSETS, subset_of
from rlm.models.tokens import count_tokens
from rlm.validation import SettingError, make

OTHERS = NAMES[1:]
REVIEWS = (
    "The following 3 lines contain movie reviews.\n\n"
    "Date: Jun 29, 2022 || User: 7 || Instance: Good.\nReally good. || Label: positive\n"
    "Date: Jan 01, 2023 || User: 8 || Instance: Bad. || Label: negative\n"
    "Date: Jan 02, 2023 || User: 8 || Instance: Fine. || Label: positive\n"
    "Recall: the preceding lines contain 3 movie reviews.\n"
)
SHA256 = "ab7cac56491ae6ec0606b66123952c6ff9771f6163d9258016cda12c678ecd06"


def row(**changes):
    labelled = changes.pop("labelled", REVIEWS)
    text = "\n".join(line.partition(" || Label:")[0] for line in labelled.splitlines())
    return {
        "id": 7, "context_window_id": 1, "context_len": 4194304, "dataset": "imdb", "context_window_text": text,
        "context_window_text_with_labels": labelled, "task_group": "counting", "task": "TASK_TYPE.MOST_FREQ",
        "question": "In the above data, which of the labels is the most common?", "answer": "['positive']",
        "answer_type": "ANSWER_TYPE.LABEL",
    } | changes  # fmt: skip


def read(tmp_path, *rows, subsets=("imdb",)):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in rows))
    benchmark = Oolong(source=str(path), subsets=subsets, lengths=(4194304,))
    return benchmark, [benchmark.sample(info.sample_id) for info in benchmark.infos()]


def test_generated_windows_of_each_subset():
    benchmark = Oolong(lengths=(1024,), samples=25, subsets=OTHERS)
    made = [benchmark.sample(info.sample_id) for info in benchmark.infos()]
    asked = Counter((sample.info.cluster, sample.prompt.query) for sample in made)
    assert len(made) == 25 * len(OTHERS) == len(asked)
    digest = hashlib.sha256()
    for sample in made:
        subset = subset_of(sample.info.task_group)
        tokens = sum(count_tokens(message["content"]) for message in sample.prompt.messages())
        assert 850 < tokens <= 1024 and leaks(sample.prompt) == []
        assert sample.target.lines.names == subset.labels
        texts = [line.partition("Instance: ")[2] for line in sample.prompt.context.splitlines() if "Instance: " in line]
        assert [subset.labels[label] for label in sample.target.lines.labels] == [
            labels(subset)[text] for text in texts
        ]
        score = score_answer(sample.target, benchmark.oracle(sample.target))
        assert (score.value, score.lenient, score.format_ok) == (1, 1, True)
        digest.update(repr(sample.prompt.messages()).encode() + benchmark.target_bytes(sample.target))
    assert digest.hexdigest() == SHA256
    means = [
        sum(score_answer(one.target, constant(one)).value for one in made) / len(made)
        for constant in benchmark.constants([])[::12]
    ]
    assert 0.1 < max(means) < 0.6


@cache
def labels(subset):
    """The label of each text of a bank."""
    bank = question_bank(subset.name)
    places = bank.label_of_template().repeat(bank.size).tolist()
    return dict(zip(bank.questions, (subset.labels[place] for place in places), strict=True))


def test_the_texts_of_a_subset_differ_and_cover_its_labels():
    for name in OTHERS:
        bank = question_bank(name)
        assert len(bank.questions) == len(set(bank.questions)) > 500
        assert set(bank.label_of_template().tolist()) == set(range(len(SUBSETS[name].labels)))
        assert not any("||" in text or "\n" in text for text in bank.questions)


def test_rows_of_other_subsets_have_their_own_labels_and_questions(tmp_path):
    headline = REVIEWS.replace("positive", "Sci/Tech").replace("negative", "World")
    benchmark, made = read(
        tmp_path,
        row(),
        row(id=8, dataset="agnews", labelled=headline, answer="[1]", answer_type="ANSWER_TYPE.NUMERIC",
            question="In the above data, how many data points should be classified as label 'World'?"),
        row(id=9, answer="['January 2023']", answer_type="ANSWER_TYPE.MONTH_YEAR", question="In which month?"),
        subsets=("imdb", "agnews"),
    )  # fmt: skip
    review, news, month = made
    assert [(one.sample_id, one.info.task_group) for one in made] == [
        ("7", "imdb: counting"), ("8", "agnews: counting"), ("9", "imdb: counting"),
    ]  # fmt: skip
    assert review.target.question.kind == "most_common" and news.target.question.kind == "count"
    assert review.target.lines.labels.tolist() == [1, 0, 1] and "Really good." in review.prompt.context
    answers = {review: "Label: Positive.", news: "Answer: 1", month: "Answer: January 2023"}
    scores = [asyncio.run(benchmark.score(sample.target, answer)) for sample, answer in answers.items()]
    assert [(score.value, score.lenient) for score in scores] == [(0, 1), (1, 1), (1, 1)]
    assert benchmark.provenance()["subsets"] == ["imdb", "agnews"]


def test_a_label_of_another_subset_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"line 2 ends in .*Label: ham.*a label of negative, positive"):
        read(tmp_path, row(labelled=REVIEWS.replace("negative", "ham")))


def test_a_label_is_not_found_in_a_longer_word():
    benchmark = Oolong(lengths=(1024,), samples=25, subsets=("metaphors",))
    made = [benchmark.sample(info.sample_id) for info in benchmark.infos()]
    sample = next(one for one in made if one.target.gold.value == "incorrect")
    scores = [asyncio.run(benchmark.score(sample.target, f"Label: {word}.")) for word in ("Incorrect", "Correct")]
    assert [score.lenient for score in scores] == [1, 0]


@pytest.mark.parametrize("settings", [{"subsets": ["agnew"]}, {"subsets": []}, {"subsets": ["spam", "spam"]}])
def test_unknown_subsets_are_refused(settings):
    with pytest.raises(SettingError, match=r"^benchmark\.oolong\.subsets is .*: expected "):
        make(Oolong, settings, "benchmark.oolong")


def test_the_papers_frame_is_for_trec_coarse():
    with pytest.raises(ValueError, match=r"query_frame is 'paper' with the subsets spam"):
        Oolong(query_frame="paper", subsets=("spam",))
