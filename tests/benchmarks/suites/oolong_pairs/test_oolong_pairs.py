"""OOLONG-Pairs: prompts, gold and F1 of generated windows, the real window, the hub's files, wrong formats."""

import asyncio
import hashlib
import json
import pickle
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.sources.files import DataError
from benchmarks.suites.oolong.instances import question_bank
from benchmarks.suites.oolong.prompt import leaks
from benchmarks.suites.oolong.windows import LABELS, labelled_window, without_labels
from benchmarks.suites.oolong_pairs.conditions import CONDITIONS, GoldPairs, gold_pairs
from benchmarks.suites.oolong_pairs.scorer import score_answer
from benchmarks.suites.oolong_pairs.suite import OolongPairs, all_pairs
from rlm.models.tokens import count_tokens
from rlm.validation import make

WINDOW = "oolong_pairs_32k_window0_context_with_labels.txt"


def samples(benchmark):
    return [benchmark.sample(info.sample_id) for info in benchmark.infos()]


SMALL = samples(OolongPairs(lengths=(1024,)))


@pytest.mark.parametrize("encoding", ["o200k_base", "qwen3"])
@pytest.mark.parametrize("length", [512, 2048, 32768])
def test_complete_prompts_fit_their_length(length, encoding):
    for sample in samples(OolongPairs(lengths=(length,), encoding=encoding)):
        tokens = sum(count_tokens(message["content"], encoding) for message in sample.prompt.messages())
        assert length - 150 < tokens <= length


def test_a_window_has_twenty_samples_with_symmetric_and_asymmetric_tasks_in_turn():
    infos = OolongPairs(lengths=(1024, 2048), samples=40).infos()
    assert len({info.sample_id for info in infos}) == 80
    assert len({info.cluster for info in infos}) == 4
    assert [info.task_group for info in infos[:4:2]] == ["symmetric", "asymmetric"]
    assert [info.length for info in infos[:2]] == [1024, 2048]
    assert {sample.target.task for sample in SMALL} == set(CONDITIONS)


@pytest.mark.parametrize("length", [512, 1024, 4096])
@pytest.mark.parametrize("seed", [0, 1])
def test_every_condition_has_pairs_even_in_short_windows(length, seed):
    made = samples(OolongPairs(lengths=(length,), samples=40, seed=seed))
    assert all(len(sample.target) > 0 for sample in made)
    users = made[0].target.users
    assert 3 <= len(users) < len(made[0].prompt.context.splitlines())


def test_tasks_with_pairs_share_the_window_of_their_number():
    contexts = Counter(sample.prompt.context for sample in SMALL)
    assert contexts.most_common(1)[0][1] >= 15


def test_an_empty_answer_earns_nothing_from_generated_windows():
    benchmark = OolongPairs(lengths=(512,))
    assert all(asyncio.run(benchmark.score(sample.target, "none")).value == 0 for sample in samples(benchmark))


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


def test_the_target_is_listed_in_the_form_of_the_hub():
    benchmark = OolongPairs(lengths=(1024,))
    for sample in SMALL:
        listed = json.loads(benchmark.target_bytes(sample.target))
        assert len(listed) == len(sample.target)
        assert asyncio.run(benchmark.score(sample.target, "\n".join(listed))).value == 1


def test_prompts_contain_no_label_and_no_target():
    for sample in SMALL:
        seen = pickle.dumps(sample.prompt)
        assert b"|| Label" not in seen and b"numpy" not in seen
        assert leaks(sample.prompt) == []
        assert "GoldPairs" not in repr(sample)


def test_an_answer_in_another_form_is_counted_apart():
    gold = SMALL[0].target
    first = json.loads(OolongPairs().target_bytes(gold))
    as_lists = json.dumps([[int(number) for number in pair.strip("()").split(", ")] for pair in first])
    score = score_answer(gold, as_lists)
    assert (score.value, score.lenient, score.format_ok) == (0, 1, False)
    assert score.details["wrong_format"] is True
    assert score_answer(gold, "\n".join(first)).details["wrong_format"] is False


def test_no_pairs_is_an_answer_and_no_answer_is_not():
    with_pairs = SMALL[0].target
    nobody = np.zeros(len(with_pairs.users), dtype=bool)
    empty = GoldPairs(with_pairs.task, with_pairs.users, nobody, nobody)
    assert score_answer(empty, "none").value == 1 and score_answer(empty, "none").format_ok
    assert score_answer(empty, "No pairs qualify.").format_ok
    assert score_answer(empty, None).value == 0 and not score_answer(empty, None).format_ok
    assert score_answer(with_pairs, "none").value == 0 and score_answer(with_pairs, "none").format_ok
    assert not score_answer(with_pairs, "I would need to look at the lines again.").format_ok


@given(st.text() | st.none(), st.integers(0, 19))
def test_any_answer_scores_between_0_and_1(answer, index):
    score = score_answer(SMALL[index].target, answer)
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
    """A local copy of both data sets with a generated window."""
    labelled = labelled_again(SMALL[0].prompt.context)
    window = {
        "dataset": "trec_coarse", "context_len": 1024, "context_window_id": 3,
        "context_window_text": without_labels(labelled), "context_window_text_with_labels": labelled,
    }  # fmt: skip
    (tmp_path / "validation.jsonl").write_text(
        "\n".join(json.dumps(row) for row in (window | {"dataset": "spam"}, window, window | {"context_window_id": 4}))
    )
    golds = [gold_pairs(task, labelled_window("w", labelled).lines) for task in CONDITIONS]
    rows = [
        {"id": str(gold.task), "question": f"task {gold.task}?", "answer": gold.written().splitlines()}
        for gold in golds
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
    for sample in samples(benchmark):
        assert sample.prompt.query == f"task {sample.target.task}?"
        assert sample.prompt.context == SMALL[0].prompt.context
    assert set(benchmark.provenance()) == {"pairs", "windows", "query_frame"}


def test_an_answer_that_differs_from_the_gold_of_the_window_is_refused(hub_copy):
    path = hub_copy / "data" / "oolong-pairs-1024.json"
    rows = json.loads(path.read_text())
    rows[0]["answer"].append("(1, 2)")
    path.write_text(json.dumps(rows))
    benchmark = OolongPairs(source=str(hub_copy), lengths=(1024,))
    with pytest.raises(DataError, match="task 1 at length 1024 has"):
        samples(benchmark)


def test_files_with_other_tasks_are_refused(hub_copy):
    path = hub_copy / "data" / "oolong-pairs-1024.json"
    path.write_text(json.dumps(json.loads(path.read_text())[:19]))
    with pytest.raises(DataError, match="expected 20 questions"):
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
def test_malformed_questions_and_pairs_are_refused(hub_copy, column, value):
    path = hub_copy / "data" / "oolong-pairs-1024.json"
    rows = json.loads(path.read_text())
    rows[3][column] = value
    path.write_text(json.dumps(rows))
    with pytest.raises(DataError, match=column):
        samples(OolongPairs(source=str(hub_copy), lengths=(1024,)))


def test_windows_may_have_another_source(hub_copy, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("windows")
    (hub_copy / "validation.jsonl").rename(elsewhere / "validation.jsonl")
    benchmark = OolongPairs(source=str(hub_copy), windows=str(elsewhere), lengths=(1024,))
    assert len(samples(benchmark)) == 20


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lengths": []}, "lengths is"),
        ({"lengths": [256]}, "integers from 512"),
        ({"samples": 0}, "samples is 0"),
        ({"samples": 10**30}, "from 1 to 1000000"),
        ({"source": "missing.txt"}, "missing.txt"),
        ({"source": "missing"}, "existing file or folder"),
    ],
)
def test_invalid_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        samples(make(OolongPairs, settings, "benchmark.oolong_pairs"))


def test_rows_to_score_refer_to_samples():
    with pytest.raises(ValueError, match="sample_id"):
        OolongPairs().target_of({"target": "[]"})


SHA256 = "e9656457421d4dedc23084c486b46de57f919fe2f895a07d30ce63c87c6b79ec"


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
    with pytest.raises(ValueError, match="there are 1,799,970,000 pairs to write: expected at most 50,000,000"):
        benchmark.oracle(GoldPairs(1, users, everybody, everybody))
    with pytest.raises(ValueError, match="1,799,970,000 pairs"):
        all_pairs("\n".join(f"Date: Jan 01, 2023 || User: {user} || Instance: Who?" for user in users))


@pytest.mark.parametrize("length", [512, 2048, 32768])
def test_the_papers_frame_precedes_each_question_and_prompts_still_fit(length):
    benchmark = OolongPairs(lengths=(length,), query_frame="paper")
    for sample in samples(benchmark):
        frame, _, question = sample.prompt.query.partition("\n\n")
        assert all(label in frame for label in LABELS) and frame.endswith("may be empty.")
        assert question.startswith("List every pair")
        assert sum(count_tokens(message["content"]) for message in sample.prompt.messages()) <= length
    assert benchmark.provenance()["query_frame"] == "paper"
    assert OolongPairs().provenance()["query_frame"] == "none"


def test_questions_of_the_hub_get_the_frame(hub_copy):
    for sample in samples(OolongPairs(source=str(hub_copy), lengths=(1024,), query_frame="paper")):
        assert sample.prompt.query.endswith(f"may be empty.\n\ntask {sample.target.task}?")
