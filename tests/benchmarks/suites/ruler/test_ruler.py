"""RULER: 13 tasks that fill their length, answers that follow from the context, the substring score, and rows."""

import hashlib
import json
import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.sources.files import DataError
from benchmarks.suites.ruler import Ruler
from benchmarks.suites.ruler.scorer import RulerTarget, score_answer
from benchmarks.suites.ruler.tasks import NAMES, TASKS
from benchmarks.suites.sniah import SNIAH
from rlm.models.tokens import count_tokens
from rlm.validation import SettingError, make

NEEDLE = re.compile(r"One of the special magic (?:number|uuid)s for (\S+) is: (\S+)\.")


def samples(**settings):
    benchmark = Ruler(**settings)
    return [benchmark.sample(info.sample_id) for info in benchmark.infos()]


def whole(sample):
    (message,) = sample.prompt.messages()
    return message["content"]


@pytest.mark.parametrize("encoding", ["o200k_base", "qwen3"])
@pytest.mark.parametrize("length", [1024, 9000])
def test_prompt_and_output_fill_the_length(length, encoding):
    for sample in samples(lengths=(length,), samples=2, encoding=encoding):
        tokens = count_tokens(whole(sample), encoding) + TASKS[sample.info.task_group].output_tokens
        assert length - 110 < tokens <= length, sample.sample_id


def test_single_needles_are_the_samples_of_sniah():
    ours = samples(tasks=NAMES[:3], lengths=(1024,), samples=2)
    for sample in ours:
        variant, index = sample.info.task_group.removeprefix("niah_"), sample.sample_id[-3:]
        other = SNIAH(variants=(variant,), lengths=(1024,), samples=2).sample(f"sniah-{variant}-1024-{index}")
        assert (sample.prompt, sample.target) == (other.prompt, RulerTarget((other.target,)))


def test_needles_are_those_that_the_question_names():
    tasks = {"niah_multikey_1": (4, 1), "niah_multivalue": (4, 4), "niah_multiquery": (4, 4)}
    for sample in samples(tasks=tuple(tasks), lengths=(1024, 6000), samples=3):
        found = NEEDLE.findall(sample.prompt.context)
        needles, asked = tasks[sample.info.task_group]
        assert len(found) == needles and len(sample.target.answers) == asked
        right = {value for key, value in found if re.search(rf"\b{key}\b", sample.prompt.query)}
        assert right == set(sample.target.answers)


@pytest.mark.parametrize("task", ["niah_multikey_2", "niah_multikey_3"])
def test_one_needle_is_among_many_others(task):
    (sample,) = samples(tasks=(task,), lengths=(8192,), samples=1)
    found = NEEDLE.findall(sample.prompt.context)
    assert len(found) > 60 and len(dict(found)) == len(found)
    (key,) = (key for key in dict(found) if key in sample.prompt.query)
    assert sample.target.answers == (dict(found)[key],)


def test_variables_of_a_chain_have_the_value():
    for sample in samples(tasks=("vt",), lengths=(2048,), samples=4):
        values = {}
        for name, value in re.findall(r"^VAR (\w+) = (.+)$", sample.prompt.context, re.MULTILINE):
            values[name] = values[value.removeprefix("VAR ")] if value.startswith("VAR ") else value
        asked = re.search(r"value (\d{5}),", sample.prompt.query)[1]
        assert sorted(sample.target.answers) == sorted(name for name, value in values.items() if value == asked)
        assert len(sample.target.answers) == 5


def test_common_and_coded_words_are_the_most_frequent():
    for sample in samples(tasks=("cwe", "fwe"), lengths=(1024, 6000), samples=2):
        text = sample.prompt.context.partition("\n")[2]
        words = Counter(re.findall(r"[a-z]+", text))
        count = len(sample.target.answers)
        most = words.most_common(count + 1)
        assert {word for word, _ in most[:count]} == set(sample.target.answers)
        assert most[count - 1][1] > most[count][1]
    numbers = [int(n) for n in re.findall(r"(\d+)\. ", samples(tasks=("cwe",), samples=1)[0].prompt.context)]
    assert numbers == list(range(1, len(numbers) + 1))


def test_questions_over_documents_follow_from_the_documents():
    for sample in samples(tasks=("qa_1", "qa_2"), lengths=(4096,), samples=6):
        documents = re.split(r"\n*Document \d+:\n", sample.prompt.context)[1:]
        names = {document.partition("\n")[0]: document for document in documents}
        assert len(names) == len(documents) > 20
        (person,) = (name for name in names if name in sample.prompt.query)
        source = names[person]
        if sample.info.task_group == "qa_2":
            source = names[re.search(r"worked for (.+) and never", source)[1]]
        assert sample.target.any_answer and sample.target.answers[0] in source


def test_tasks_lengths_and_groups():
    infos = Ruler(lengths=(1024, 2048), samples=2).infos()
    assert [info.task_group for info in infos[:13]] == list(NAMES) == [info.task_group for info in infos[13:26]]
    assert {info.length for info in infos[:13]} == {1024} and len({info.cluster for info in infos}) == 52
    assert {info.task_group for info in infos if info.complexity == "linear"} == {"cwe", "fwe"}


def test_the_bytes_are_the_same_on_every_machine():
    digest = hashlib.sha256()
    for sample in samples(lengths=(1024, 5000), samples=1):
        digest.update(repr((sample.prompt.messages(), sample.target)).encode())
    assert digest.hexdigest() == SHA256


@pytest.mark.parametrize(
    ("answer", "any_answer", "value", "lenient"),
    [
        ("One, TWO and three 3", False, 2 / 3, 2 / 3),
        ("one two fo-ur", False, 2 / 3, 1),
        ("one", True, 1, 1),
        ("fo\nur", False, 0, 1 / 3),
        ("zero", True, 0, 0),
        ("", False, 0, 0),
        (None, True, 0, 0),
    ],
)
async def test_the_share_of_answers_counts_or_any_of_them(answer, any_answer, value, lenient):
    score = await Ruler(lengths=(1024,)).score(RulerTarget(("one", "two", "four"), any_answer), answer)
    assert (score.value, score.lenient) == (pytest.approx(value), pytest.approx(lenient))
    assert score.format_ok == bool(answer)


@given(st.text(), st.lists(st.text(min_size=1).filter(str.strip), min_size=1, max_size=5), st.booleans())
def test_any_answer_scores_between_0_and_1(answer, right, any_answer):
    score = score_answer(RulerTarget(tuple(right), any_answer), answer)
    assert 0 <= score.value <= score.lenient <= 1


async def test_the_oracle_scores_1_and_constants_do_not():
    benchmark = Ruler(lengths=(1024,), samples=1)
    for info in benchmark.infos():
        sample = benchmark.sample(info.sample_id)
        assert (await benchmark.score(sample.target, benchmark.oracle(sample.target))).value == 1
        assert not any(answer in sample.prompt.query for answer in sample.target.answers)
        for constant in benchmark.constants([]):
            assert (await benchmark.score(sample.target, constant(sample.without_target()))).value == 0


def test_rows_may_carry_their_target():
    benchmark = Ruler(lengths=(1024,))
    target = RulerTarget(("a", "b"), any_answer=True)
    assert benchmark.target_of({"target": json.loads(benchmark.target_bytes(target))}) == target
    assert benchmark.target_of({"target": ["a"]}) == RulerTarget(("a",))
    for wrong in ({}, {"target": []}, {"target": "a"}, {"target": [""]}, {"target": {"answers": [1]}}):
        with pytest.raises(ValueError, match="expected a list of answers"):
            benchmark.target_of(wrong)


# --- RULER's own rows


def test_real_rows_are_those_of_sniah(shared_data):
    path = str(shared_data / "ruler" / "niah_single_2_4k.jsonl")
    ours, theirs = Ruler(source=path, tasks=("niah_single_2",)), SNIAH(source=path)
    assert len(ours.infos()) == len(theirs.infos()) == 10
    for mine, other in zip(ours.infos(), theirs.infos(), strict=True):
        sample, same = ours.sample(mine.sample_id), theirs.sample(other.sample_id)
        assert (sample.prompt, sample.target.answers) == (same.prompt, (same.target,))
        assert mine.length == other.length


def test_a_folder_has_a_folder_or_a_file_for_each_task(tmp_path):
    def row(index, text, *outputs):
        return json.dumps(
            {"index": index, "input": text, "outputs": list(outputs), "length": 9, "answer_prefix": " A:"}
        )

    (tmp_path / "vt").mkdir()
    (tmp_path / "vt" / "validation.jsonl").write_text(
        row(0, "Track.\n\nVAR A = 1\nQuestion: Find all\nVAR B = 2\nQuestion: Find {query}", "A", "B")
    )
    (tmp_path / "qa_1.jsonl").write_text(row(0, "Docs\n\nQuestion: Who?", "x", "y") + "\n" + row(1, "no mark", "z"))
    benchmark = Ruler(source=str(tmp_path), tasks=("qa_1", "vt"))
    assert [info.sample_id for info in benchmark.infos()] == ["qa_1-000", "vt-000", "qa_1-001"]
    asked, chain, bare = (benchmark.sample(info.sample_id) for info in benchmark.infos())
    assert chain.prompt.query == "Question: Find {query} A:" and chain.prompt.context.endswith("VAR B = 2")
    assert whole(chain).startswith("Track.\n\nVAR A = 1\nQuestion: Find all")
    assert (asked.target, chain.target.any_answer) == (RulerTarget(("x", "y"), any_answer=True), False)
    assert whole(bare) == "no mark A:"
    assert set(benchmark.provenance()) == {"qa_1", "vt"}
    with pytest.raises(DataError, match="expected a folder or file cwe in it"):
        Ruler(source=str(tmp_path), tasks=("cwe",)).infos()
    with pytest.raises(DataError, match="expected one task in"):
        Ruler(source=str(tmp_path / "qa_1.jsonl"), tasks=("qa_1", "vt")).infos()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tasks": ["niah"]}, "tasks is ['niah']: expected a list of niah_single_1, niah_single_2"),
        ({"lengths": [512]}, "lengths is [512]: expected"),
        ({"source": "hub"}, "source is 'hub': expected 'generated' or the path of RULER rows"),
    ],
)
def test_invalid_settings_are_refused_with_their_key(settings, message):
    with pytest.raises(SettingError, match=re.escape("benchmark.ruler." + message)):
        make(Ruler, settings, "benchmark.ruler")


SHA256 = "a100e6e42fd7416f42bee5e1b2e2026293351ca3fb7a9f774b19d59fd138f619"
