"""OOLONG: generated windows and questions, rows of the hub's schema, labels apart from aggregation, no leak."""

import asyncio
import hashlib
import json
import pickle
from collections import Counter
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.sources.files import DataError
from benchmarks.suites.oolong.gold import Gold
from benchmarks.suites.oolong.prompt import LabelLeak, leaks
from benchmarks.suites.oolong.scorer import OolongTarget, label_accuracy, score_of_labels
from benchmarks.suites.oolong.suite import Oolong
from benchmarks.suites.oolong.windows import LABELS, without_labels
from rlm.models.tokens import count_tokens
from rlm.validation import SettingError, make

LABELLED = (
    "The following 3 lines\n\n"
    "Date: Jun 29, 2022 || User: 7 || Instance: What is a kite ? || Label: entity\n"
    "Date: Jan 01, 2023 || User: 8 || Instance: Who flew it ? || Label: human being\n"
    "Date: Jan 02, 2023 || User: 8 || Instance: Where ? || Label: location\n"
)


def row(**changes):
    return {
        "id": 1050,
        "context_window_id": 21,
        "context_len": 131072,
        "dataset": "trec_coarse",
        "context_window_text": without_labels(LABELLED),
        "context_window_text_with_labels": LABELLED,
        "question": "How many 'entity'?",
        "task_group": "counting",
        "task": "TASK_TYPE.NUMERIC_ONE_CLASS",
        "answer": "[1]",
        "answer_type": "ANSWER_TYPE.NUMERIC",
        "input_subset": "False",
        "num_labels": 6,
    } | changes


def write(path, rows):
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=2)
    else:
        path.write_text("\n".join(map(json.dumps, rows)))
    return str(path)


def samples(benchmark):
    return [benchmark.sample(info.sample_id) for info in benchmark.infos()]


def gold_labels(sample):
    return [LABELS[label] for label in sample.target.lines.labels.tolist()]


@pytest.mark.parametrize("encoding", ["o200k_base", "qwen3"])
@pytest.mark.parametrize("length", [512, 2048, 8192, 65536])
def test_complete_prompts_fit_their_length(length, encoding):
    for sample in samples(Oolong(lengths=(length,), encoding=encoding)):
        tokens = sum(count_tokens(message["content"], encoding) for message in sample.prompt.messages())
        assert 0.6 * length < tokens <= length


def test_fifty_samples_share_two_windows_and_have_three_groups():
    made = samples(Oolong(lengths=(4096,)))
    assert len(made) == 50
    assert Counter(sample.info.cluster for sample in made) == {"window-4096-0": 25, "window-4096-1": 25}
    assert len({sample.prompt.context for sample in made}) == 2
    assert {sample.info.task_group for sample in made[:3]} == {"counting", "user", "timeline"}
    assert len({sample.prompt.query for sample in made[:25]}) == 25
    assert {sample.target.gold.answer_type for sample in made} == {"NUMERIC", "LABEL", "COMPARISON", "USER", "DATE"}


@pytest.mark.parametrize("length", [512, 1024, 4096, 16384])
@pytest.mark.parametrize("seed", [0, 1])
def test_no_question_is_repeated_within_a_window(length, seed):
    made = samples(Oolong(lengths=(length,), samples=200, seed=seed))
    asked = Counter((sample.info.cluster, sample.prompt.query) for sample in made)
    assert asked.most_common(1)[0][1] == 1
    questions = [(sample.info.cluster, sample.target.question) for sample in made]
    # The order of labels and users does not make another question.
    meant = Counter(
        (cluster, replace(q, labels=frozenset(q.labels), users=frozenset(q.users))) for cluster, q in questions
    )
    assert meant.most_common(1)[0][1] == 1


def test_the_oracle_scores_1_and_constants_score_less():
    benchmark = Oolong(lengths=(2048,), samples=25)
    made = samples(benchmark)
    for sample in made:
        score = asyncio.run(benchmark.score(sample.target, benchmark.oracle(sample.target)))
        assert (score.value, score.lenient, score.format_ok) == (1, 1, True)
    constants = benchmark.constants(made[:1])
    means = [
        sum(asyncio.run(benchmark.score(s.target, constant(s))).value for s in made) / len(made)
        for constant in constants
    ]
    assert 0 < max(means) < 0.6


def test_labels_are_judged_apart_from_aggregation():
    for sample in samples(Oolong(lengths=(1024,), samples=25)):
        right = gold_labels(sample)
        assert label_accuracy(right, sample.target) == score_of_labels(right, sample.target) == 1
        assert label_accuracy(right[:-1], sample.target) == (len(right) - 1) / len(right)
        assert label_accuracy([None] * len(right), sample.target) == 0
        assert score_of_labels([None] * len(right), sample.target) == 0
        assert 0 <= score_of_labels(["entity"] * len(right), sample.target) <= 1


def test_an_answer_that_exposes_labels_has_them_judged():
    benchmark, sample = Oolong(), SMALL[0]
    lines = [line for line in sample.prompt.context.splitlines() if line.startswith("Date: ")]
    labelled = [f"{line} || Label: {label}" for line, label in zip(lines, gold_labels(sample), strict=True)]
    answer = "\n".join([*labelled, sample.target.gold.written()])
    details = asyncio.run(benchmark.score(sample.target, answer)).details
    assert details["label_accuracy"] == details["score_of_labels"] == 1
    wrong = answer.replace("Label: entity", "Label: location", 1).replace("Label: numeric value", "Label: entity", 1)
    assert asyncio.run(benchmark.score(sample.target, wrong)).details["label_accuracy"] < 1
    assert "label_accuracy" not in asyncio.run(benchmark.score(sample.target, "Answer: 1")).details


@given(st.lists(st.sampled_from([*LABELS, None, "animal"]), max_size=40), st.integers(0, 24))
def test_any_labels_can_be_judged(predicted, index):
    sample = SMALL[index]
    assert 0 <= label_accuracy(predicted, sample.target) <= 1
    assert 0 <= score_of_labels(predicted, sample.target) <= 1


SMALL = samples(Oolong(lengths=(700,), samples=25))


def test_prompts_contain_no_label_and_no_target():
    for sample in samples(Oolong(lengths=(1024,))):
        seen = pickle.dumps(sample.prompt)
        assert b"|| Label" not in seen and b"numpy" not in seen
        assert leaks(sample.prompt) == []
        lines = [line for line in sample.prompt.context.splitlines() if line.startswith("Date: ")]
        assert len(lines) == len(sample.target.lines)
        assert all(line.count(" || ") == 2 and line[-1] in "?." for line in lines)
        assert repr(sample.target.gold) not in repr(sample)


def test_the_bytes_are_the_same_on_every_machine():
    benchmark = Oolong(lengths=(512, 4096))
    digest = hashlib.sha256()
    for sample in samples(benchmark):
        digest.update(repr(sample.prompt.messages()).encode())
        digest.update(benchmark.target_bytes(sample.target))
    assert digest.hexdigest() == SHA256


@pytest.mark.parametrize("name", ["validation.parquet", "validation-0.jsonl"])
def test_rows_of_the_hub_load_from_a_local_copy(tmp_path, name):
    rows = [
        row(id=1, dataset="spam"),
        row(),
        row(id=1051, task_group="user", context_window_id=22),
        row(id=1052, context_len=32768),
        row(id=1053, task_group="timeline"),
    ]
    benchmark = Oolong(source=write(tmp_path / name, rows))
    assert [info.sample_id for info in benchmark.infos()] == ["1050", "1053", "1051"]
    sample = benchmark.sample("1050")
    assert sample.info.cluster == "window-21" and sample.info.length == 131072
    system, user = sample.prompt.messages()
    assert system["role"] == "system" and system["content"].endswith(without_labels(LABELLED).strip("\n"))
    assert user == {"role": "user", "content": "How many 'entity'?"}
    assert gold_labels(sample) == ["entity", "human being", "location"]
    score = asyncio.run(benchmark.score(sample.target, "Answer: 1"))
    assert score.value == 1
    assert score.details == {"task": "NUMERIC_ONE_CLASS", "answer_type": "NUMERIC", "contains_gold": 1}


def test_a_labelled_column_in_the_wrong_place_stops_the_run(tmp_path):
    path = write(tmp_path / "validation.jsonl", [row(context_window_text=LABELLED)])
    with pytest.raises(LabelLeak, match="context contain labels"):
        Oolong(source=path).sample("1050")


@pytest.mark.parametrize(
    ("rows", "lengths", "message"),
    [
        ([row(dataset="spam")], [131072], "found 0 rows"),
        ([row()], [131072, 32768], "context_len 32768"),
        ([row(), row()], [131072], "two rows have the id '1050'"),
        ([{k: v for k, v in row().items() if k != "task_group"}], [131072], "has no column task_group"),
    ],
)
def test_malformed_rows_are_refused(tmp_path, rows, lengths, message):
    with pytest.raises(DataError, match=message):
        Oolong(source=write(tmp_path / "rows.jsonl", rows), lengths=lengths).infos()


def test_rows_to_score_carry_their_target():
    benchmark = Oolong()
    target = benchmark.target_of({"prediction": "x", "target": "[42]", "answer_type": "ANSWER_TYPE.NUMERIC"})
    assert asyncio.run(benchmark.score(target, "Answer: 41")).value == 0.75
    assert benchmark.target_of({"target": "entity", "answer_type": "LABEL"}).gold == Gold("['entity']", "LABEL")
    for wrong in ({}, {"target": "[42]"}, {"target": "[42", "answer_type": "NUMERIC"}):
        with pytest.raises(ValueError, match=r"answer_type|OOLONG"):
            benchmark.target_of(wrong)
    with pytest.raises(ValueError, match="no labelled lines"):
        label_accuracy(["entity"], target)
    with pytest.raises(ValueError, match="no parsed question"):
        score_of_labels(["entity"], OolongTarget(target.gold, lines=SMALL[0].target.lines))


@pytest.mark.parametrize(
    "settings",
    [
        {"lengths": []},
        {"lengths": [100]},
        {"samples": 0},
        {"samples": 10**30},
        {"lengths": [10**30]},
        {"samples": "all"},
        {"encoding": "morse"},
        {"lengths": "8k"},
        {"lengths": None},
        {"lengths": [True]},
    ],
)
def test_invalid_settings_are_refused_with_their_key(settings):
    (key,) = settings
    with pytest.raises(SettingError, match=rf"^benchmark\.oolong\.{key} is .*: expected "):
        make(Oolong, settings, "benchmark.oolong")


SHA256 = "e016431035ac1ceaa673f1c0348a7b784887050dc5c3b7226db8350564b9f87a"


# --- query frames


@pytest.mark.parametrize("length", [512, 2048, 8192])
def test_the_papers_frame_precedes_each_question_and_prompts_still_fit(length):
    framed, plain = (samples(Oolong(lengths=(length,), samples=5, query_frame=frame)) for frame in ("paper", "none"))
    for sample, other in zip(framed, plain, strict=True):
        frame, _, question = sample.prompt.query.partition("\n\n")
        assert all(label in frame for label in LABELS) and "Infer the category" in frame
        assert "End your reply with a line" in question
        assert sum(count_tokens(message["content"]) for message in sample.prompt.messages()) <= length
        assert "Infer the category" not in other.prompt.query


def test_rows_get_the_frame_too_and_the_manifest_names_it(tmp_path):
    path = write(tmp_path / "rows.jsonl", [row()])
    plain, framed = (Oolong(source=path, query_frame=frame) for frame in ("none", "paper"))
    (sample,) = samples(framed)
    assert samples(plain)[0].prompt.query == "How many 'entity'?"
    assert sample.prompt.query.endswith(".\n\nHow many 'entity'?")
    assert [one.provenance()["query_frame"] for one in (plain, framed)] == ["none", "paper"]


def test_an_unknown_frame_is_refused():
    with pytest.raises(SettingError, match="query_frame is 'papers': expected"):
        make(Oolong, {"query_frame": "papers"}, "benchmark.oolong")
