"""OOLONG-Pairs: prompts, gold and F1 of generated windows, the real window, the hub's files, wrong formats."""

import asyncio
import hashlib
import json
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.sources.files import DataError
from benchmarks.suites.oolong.instances import question_bank
from benchmarks.suites.oolong.windows import LABELS, leaks, without_labels
from benchmarks.suites.oolong_pairs.conditions import CONDITIONS, GoldPairs
from benchmarks.suites.oolong_pairs.suite import OolongPairs, all_pairs, judge_pairs
from rlm.models.tokens import count_tokens

WINDOW = "oolong_pairs_32k_window0_context_with_labels.txt"


def samples(benchmark):
    return [benchmark.sample(info.sample_id) for info in benchmark.infos()]


SMALL = samples(OolongPairs(lengths=(1024,)))


@pytest.mark.parametrize("encoding", ["o200k_base", "qwen3"])
@pytest.mark.parametrize("length", [512, 2048, 32768])
def test_whole_prompts_fit_their_length(length, encoding):
    for sample in samples(OolongPairs(lengths=(length,), encoding=encoding)):
        tokens = sum(count_tokens(message["content"], encoding) for message in sample.prompt.messages())
        assert length - 150 < tokens <= length


def test_a_window_has_twenty_samples_symmetric_and_asymmetric_by_turns():
    infos = OolongPairs(lengths=(1024, 2048), samples=40).infos()
    assert len({info.sample_id for info in infos}) == 80
    assert len({info.cluster for info in infos}) == 4
    assert [info.task_group for info in infos[:4:2]] == ["symmetric", "asymmetric"]
    assert [info.length for info in infos[:2]] == [1024, 2048]
    assert {sample.target.task for sample in SMALL} == set(CONDITIONS)


@pytest.mark.parametrize(("length", "least"), [(512, 10), (1024, 15), (4096, 18)])
def test_most_conditions_have_pairs_even_in_short_windows(length, least):
    made = samples(OolongPairs(lengths=(length,)))
    assert sum(len(sample.target) > 0 for sample in made) >= least
    assert all(len(sample.target) > 0 for sample in made[:3])
    users = made[0].target.users
    assert 4 <= len(users) < len(made[0].prompt.context.splitlines())


def test_questions_name_the_labels_and_the_form():
    for sample in SMALL:
        assert all(label in sample.prompt.query for label in LABELS)
        assert "(user_id_1, user_id_2)" in sample.prompt.query


def test_the_oracle_scores_1_and_shows_the_floor():
    benchmark = OolongPairs(lengths=(4096,))
    for sample in samples(benchmark):
        score = asyncio.run(benchmark.score(sample.target, benchmark.oracle(sample.target)))
        assert (score.value, score.lenient, score.format_ok) == (1, 1, True)
        assert score.details["precision"] == score.details["recall"] == 1
        everything = benchmark.constants([sample])[1](sample)
        floor = asyncio.run(benchmark.score(sample.target, everything))
        assert floor.value == pytest.approx(score.details["floor"])
        assert floor.details["recall"] == 1
        assert floor.details["n_predicted"] == sample.target.possible


def test_the_target_is_listed_as_the_hub_lists_it():
    benchmark = OolongPairs(lengths=(1024,))
    for sample in SMALL:
        listed = json.loads(benchmark.target_bytes(sample.target))
        assert len(listed) == len(sample.target)
        assert asyncio.run(benchmark.score(sample.target, "\n".join(listed))).value == 1


def test_nothing_that_methods_see_holds_a_label_or_the_target():
    for sample in SMALL:
        seen = pickle.dumps(sample.prompt)
        assert b"|| Label" not in seen and b"numpy" not in seen
        assert leaks(sample.prompt) == []
        assert "GoldPairs" not in repr(sample)


def test_an_answer_in_another_form_is_counted_apart():
    gold = SMALL[0].target
    first = json.loads(OolongPairs().target_bytes(gold))
    as_lists = json.dumps([[int(number) for number in pair.strip("()").split(", ")] for pair in first])
    score = judge_pairs(gold, as_lists)
    assert (score.value, score.lenient, score.format_ok) == (0, 1, False)
    assert score.details["wrong_format"] is True
    assert judge_pairs(gold, "\n".join(first)).details["wrong_format"] is False


def test_no_pairs_is_an_answer_and_no_answer_is_not():
    with_pairs = SMALL[0].target
    empty = next(s.target for s in samples(OolongPairs(lengths=(512,))) if not len(s.target))
    assert judge_pairs(empty, "none").value == 1 and judge_pairs(empty, "none").format_ok
    assert judge_pairs(empty, "No pairs qualify.").format_ok
    assert judge_pairs(empty, None).value == 0 and not judge_pairs(empty, None).format_ok
    assert judge_pairs(with_pairs, "none").value == 0 and judge_pairs(with_pairs, "none").format_ok
    assert not judge_pairs(with_pairs, "I would need to look at the lines again.").format_ok


@given(st.text() | st.none(), st.integers(0, 19))
def test_any_answer_scores_between_0_and_1(answer, index):
    score = judge_pairs(SMALL[index].target, answer)
    assert 0 <= score.value <= score.lenient <= 1


def test_the_bytes_are_the_same_on_every_machine():
    benchmark = OolongPairs(lengths=(512, 4096))
    digest = hashlib.sha256()
    for sample in samples(benchmark):
        digest.update(repr(sample.prompt.messages()).encode())
        digest.update(benchmark.target_bytes(sample.target))
    assert digest.hexdigest() == SHA256


def test_one_labelled_window_as_text_is_a_source(shared_data):
    path = shared_data / "oolong" / WINDOW
    benchmark = OolongPairs(source=str(path))
    made = samples(benchmark)
    assert {s.target.task: len(s.target) for s in made if s.target.task in (1, 4, 19)} == {1: 8001, 4: 3160, 19: 60}
    assert made[0].prompt.context == without_labels(path.read_text())
    assert benchmark.provenance()["window_sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def hub_copy(tmp_path):
    """A local copy of both data sets, its window made by our own code."""
    source = OolongPairs(lengths=(1024,))
    labelled = labelled_again(SMALL[0].prompt.context)
    window = {
        "dataset": "trec_coarse", "context_len": 1024, "context_window_id": 3,
        "context_window_text": without_labels(labelled), "context_window_text_with_labels": labelled,
    }  # fmt: skip
    (tmp_path / "validation.jsonl").write_text(
        "\n".join(json.dumps(row) for row in (window | {"dataset": "spam"}, window, window | {"context_window_id": 4}))
    )
    rows = [
        {
            "id": str(s.target.task),
            "question": f"task {s.target.task}?",
            "answer": json.loads(source.target_bytes(s.target)),
        }
        for s in SMALL
    ]
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "oolong-pairs-1024.json").write_text(json.dumps(rows))
    return tmp_path


def labelled_again(text):
    bank = question_bank()
    label_of = {}
    for label, offset, size in zip(bank.label_of_template(), bank.offset, bank.size, strict=True):
        label_of |= dict.fromkeys(bank.questions[offset : offset + size], LABELS[label])
    return "\n".join(
        f"{line} || Label: {label_of[line.partition('Instance: ')[2]]}" if "Instance: " in line else line
        for line in text.split("\n")
    )


def test_files_of_the_hub_load_and_their_answers_are_checked(hub_copy):
    benchmark = OolongPairs(source=str(hub_copy), lengths=(1024,))
    for sample, known in zip(samples(benchmark), SMALL, strict=True):
        assert sample.prompt.query == f"task {known.target.task}?"
        assert sample.prompt.context == known.prompt.context
        assert sample.target.written() == known.target.written()
    assert set(benchmark.provenance()) == {"pairs", "windows"}


def test_an_answer_that_the_window_does_not_give_is_an_error(hub_copy):
    path = hub_copy / "data" / "oolong-pairs-1024.json"
    rows = json.loads(path.read_text())
    rows[0]["answer"].append("(1, 2)")
    path.write_text(json.dumps(rows))
    benchmark = OolongPairs(source=str(hub_copy), lengths=(1024,))
    with pytest.raises(DataError, match=f"task {SMALL[0].target.task} at length 1024 has"):
        samples(benchmark)


def test_files_with_other_tasks_are_refused(hub_copy):
    path = hub_copy / "data" / "oolong-pairs-1024.json"
    path.write_text(json.dumps(json.loads(path.read_text())[:19]))
    with pytest.raises(DataError, match="wanted 20 questions"):
        samples(OolongPairs(source=str(hub_copy), lengths=(1024,)))


@pytest.mark.parametrize("name_of", [lambda task: task - 1, lambda task: f"pairs-{task}", float])
def test_rows_with_other_ids_are_taken_in_their_order(hub_copy, name_of):
    path = hub_copy / "data" / "oolong-pairs-1024.json"
    rows = sorted(json.loads(path.read_text()), key=lambda row: int(row["id"]))
    path.write_text(json.dumps([row | {"id": name_of(int(row["id"]))} for row in rows]))
    for sample in samples(OolongPairs(source=str(hub_copy), lengths=(1024,))):
        assert sample.prompt.query == f"task {sample.target.task}?"


@pytest.mark.parametrize(
    ("column", "value"),
    [("answer", None), ("answer", 5), ("answer", [1, 2]), ("answer", [[1]]), ("question", None), ("question", " ")],
)
def test_values_that_are_no_question_or_no_pairs_are_refused(hub_copy, column, value):
    path = hub_copy / "data" / "oolong-pairs-1024.json"
    rows = json.loads(path.read_text())
    rows[3][column] = value
    path.write_text(json.dumps(rows))
    with pytest.raises(DataError, match=column):
        samples(OolongPairs(source=str(hub_copy), lengths=(1024,)))


def test_windows_may_lie_elsewhere(hub_copy, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("windows")
    (hub_copy / "validation.jsonl").rename(elsewhere / "validation.jsonl")
    benchmark = OolongPairs(source=str(hub_copy), windows=str(elsewhere), lengths=(1024,))
    assert len(samples(benchmark)) == 20


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"lengths": []}, "lengths is"),
        ({"lengths": [256]}, "at least 512"),
        ({"samples": 0}, "samples is 0"),
        ({"samples": 10**30}, "at most 1000000"),
        ({"source": "missing.txt"}, "missing.txt"),
        ({"source": "missing"}, "no such file or folder"),
    ],
)
def test_settings_that_cannot_be_met_are_refused(settings, told):
    with pytest.raises(ValueError, match=told):
        samples(OolongPairs(**settings))


def test_rows_to_score_refer_to_samples():
    with pytest.raises(ValueError, match="sample_id"):
        OolongPairs().target_of({"target": "[]"})


SHA256 = "25086779ceeaf14658db951d69125999e1084b48f8cb399adb282e2891495efb"


def test_a_gold_of_billions_of_pairs_is_a_target_of_its_roles():
    users = np.arange(1, 60_001)
    everybody = np.ones(len(users), dtype=bool)
    gold = GoldPairs(1, users, everybody, everybody)
    written = json.loads(OolongPairs(lengths=[512]).target_bytes(gold))
    assert (written["task"], written["pairs"]) == (1, 60_000 * 59_999 // 2)
    assert written["first"] == written["second"] == users.tolist()


def test_answers_of_billions_of_pairs_are_refused_and_not_written():
    users = np.arange(1, 60_001)
    everybody = np.ones(len(users), dtype=bool)
    benchmark = OolongPairs(lengths=[512])
    with pytest.raises(ValueError, match="1,799,970,000 pairs are too many to be written out"):
        benchmark.oracle(GoldPairs(1, users, everybody, everybody))
    with pytest.raises(ValueError, match="1,799,970,000 pairs"):
        all_pairs("\n".join(f"Date: Jan 01, 2023 || User: {user} || Instance: Who?" for user in users))
