"""S-NIAH: exact lengths, needles at 40 depths, the substring score, and real RULER rows."""

import asyncio
import hashlib
import json
import re

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.sources.files import DataError
from benchmarks.suites.sniah.generator import DEPTHS, VARIANTS, depth_percent
from benchmarks.suites.sniah.scorer import score_answer
from benchmarks.suites.sniah.suite import SNIAH
from rlm.models.tokens import count_tokens
from rlm.validation import SettingError, make

ALL = tuple(VARIANTS)


def whole(sample):
    (message,) = sample.prompt.messages()
    return message["content"]


@pytest.mark.parametrize("encoding", ["o200k_base", "cl100k_base", "qwen3", "llama3"])
def test_the_complete_prompt_fills_its_length_up_to_a_sentence(encoding):
    benchmark = SNIAH(variants=ALL, lengths=(256, 512, 1000, 40_000), samples=8, encoding=encoding, output_tokens=0)
    for info in benchmark.infos():
        tokens = count_tokens(whole(benchmark.sample(info.sample_id)), encoding)
        assert info.length - 32 < tokens <= info.length


@pytest.mark.parametrize("encoding", ["o200k_base", "qwen3"])
def test_128_tokens_of_a_length_are_free_for_the_output(encoding):
    benchmark = SNIAH(variants=ALL, lengths=(512, 1000, 40_000), samples=8, encoding=encoding)
    for info in benchmark.infos():
        tokens = count_tokens(whole(benchmark.sample(info.sample_id)), encoding)
        assert info.length - 128 - 32 < tokens <= info.length - 128
    assert benchmark.provenance()["output_tokens"] == 128


def test_the_shortest_prompt_has_its_needle_and_fits():
    benchmark = SNIAH(variants=ALL, lengths=(256,), samples=8)
    for info in benchmark.infos():
        sample = benchmark.sample(info.sample_id)
        assert sample.target in sample.prompt.context
        assert count_tokens(whole(sample)) <= 256


def test_ten_million_tokens_are_met_too():
    benchmark = SNIAH(variants=("single_2",), lengths=(10_000_000,), samples=1)
    sample = benchmark.sample(benchmark.infos()[0].sample_id)
    assert 10_000_000 - 32 < count_tokens(whole(sample)) + 128 <= 10_000_000
    assert sample.prompt.context.count(sample.target) == 1


def test_the_needle_is_one_separate_sentence():
    benchmark = SNIAH(variants=ALL, lengths=(600,), samples=80)
    for info in benchmark.infos():
        sample = benchmark.sample(info.sample_id)
        (needle,) = re.findall(
            r"One of the special magic (\w+)s for ([a-z]+-[a-z]+) is: (\S+)\.", sample.prompt.context
        )
        kind, key, value = needle
        assert value == sample.target
        assert kind == VARIANTS[info.task_group][1]
        assert key in sample.prompt.query and kind in sample.prompt.query
        assert sample.target not in sample.prompt.query


def test_values_are_numbers_of_seven_digits_and_uuids():
    benchmark = SNIAH(variants=ALL, lengths=(600,), samples=40)
    samples = [benchmark.sample(info.sample_id) for info in benchmark.infos()]
    uuid = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
    for sample in samples:
        form = uuid if VARIANTS[sample.info.task_group][1] == "uuid" else r"[1-9]\d{6}"
        assert re.fullmatch(form, sample.target)
    assert len({sample.target for sample in samples}) == len(samples)


def test_forty_samples_have_all_forty_depths_and_a_few_are_spread_out():
    percents = [depth_percent(8192, index, 0) for index in range(DEPTHS)]
    assert sorted(percents) == [(200 * i + 39) // 78 for i in range(DEPTHS)]
    assert min(percents) == 0 and max(percents) == 100
    assert all(max(abs(p - q) for q in percents[:5]) > 40 for p in percents[:5])


def test_the_needle_is_at_its_depth():
    benchmark = SNIAH(variants=("single_2",), lengths=(20_000,), samples=40)
    for index, info in enumerate(benchmark.infos()):
        context = benchmark.sample(info.sample_id).prompt.context
        share = 100 * context.index("One of the special magic") / len(context)
        assert abs(share - depth_percent(20_000, index, 0)) < 3


def test_prose_seldom_repeats_a_paragraph():
    benchmark = SNIAH(variants=("single_2",), lengths=(30_000,), samples=1)
    paragraphs = benchmark.sample(benchmark.infos()[0].sample_id).prompt.context.split("\n\n")
    assert len(set(paragraphs)) > 0.97 * len(paragraphs) > 200


def test_lengths_and_variants_take_turns():
    infos = SNIAH(lengths=(512, 1024), samples=6).infos()
    assert [info.length for info in infos[:4]] == [512, 1024, 512, 1024]
    assert {info.task_group for info in infos[:6]} == {"single_1", "single_2", "single_3"}
    assert len({info.cluster for info in infos}) == len(infos) == 12
    assert {info.complexity for info in infos} == {"constant"}


def test_a_sample_does_not_depend_on_other_samples():
    one = SNIAH(lengths=(512,), samples=3).sample("sniah-single_3-512-002")
    other = SNIAH(lengths=(1024, 512, 2048), samples=9).sample("sniah-single_3-512-002")
    assert one == other
    assert one != SNIAH(lengths=(512,), samples=3, seed=1).sample("sniah-single_3-512-002")


def test_the_bytes_are_the_same_on_every_machine():
    benchmark = SNIAH(variants=ALL, lengths=(512, 4096), samples=8, output_tokens=0)
    digest = hashlib.sha256()
    for info in benchmark.infos():
        sample = benchmark.sample(info.sample_id)
        digest.update(repr(sample.prompt.messages()).encode())
        digest.update(benchmark.target_bytes(sample.target))
    assert digest.hexdigest() == SHA256


@pytest.mark.parametrize(
    ("answer", "value", "lenient", "exact", "format_ok"),
    [
        ("2338687", 1, 1, 1, True),
        ("The number is 2338687.", 1, 1, 0, True),
        ("2,338,687", 0, 1, 0, False),
        ("2338687 or 1234567", 1, 1, 0, False),
        ("233868", 0, 0, 0, False),
        ("x2338687y", 1, 1, 0, True),
        ("12338687", 1, 1, 0, False),
        ("", 0, 0, 0, False),
        (None, 0, 0, 0, False),
    ],
)
async def test_an_answer_scores_if_it_contains_the_number(answer, value, lenient, exact, format_ok):
    score = await SNIAH(lengths=(512,)).score("2338687", answer)
    assert (score.value, score.lenient, score.details["exact"], score.format_ok) == (value, lenient, exact, format_ok)


def test_letter_case_does_not_matter():
    value = "0a1b2c3d-0000-4000-8000-abcdefabcdef"
    assert score_answer(value, f"It is {value.upper()}!").value == 1
    assert score_answer(value, f"It is {value.upper()}!").prediction == value
    assert score_answer(value, value.replace("-", "")).value == 0
    assert score_answer(value, value.replace("-", "")).lenient == 1


@given(st.text(), st.text(min_size=1))
def test_any_answer_scores_between_0_and_1(answer, target):
    score = score_answer(target, answer)
    assert score.value in (0, 1) and score.value <= score.lenient <= 1
    assert score_answer(target, answer + target + answer).value == 1


def test_the_oracle_scores_1_and_constants_do_not():
    benchmark = SNIAH(variants=ALL, lengths=(512,), samples=12)
    samples = [benchmark.sample(info.sample_id) for info in benchmark.infos()]
    for sample in samples:
        score = asyncio.run(benchmark.score(sample.target, benchmark.oracle(sample.target)))
        assert (score.value, score.lenient, score.format_ok) == (1, 1, True)
        for constant in benchmark.constants(samples):
            assert asyncio.run(benchmark.score(sample.target, constant(sample))).value == 0


def test_real_ruler_rows_load_and_score(shared_data):
    path = shared_data / "ruler" / "niah_single_2_4k.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    benchmark = SNIAH(source=str(path))
    assert len(benchmark.infos()) == len(rows) == 10
    for row, info in zip(rows, benchmark.infos(), strict=True):
        sample = benchmark.sample(info.sample_id)
        assert whole(sample) == row["input"] + row["answer_prefix"]
        assert sample.target == row["outputs"][0]
        assert sample.prompt.query == row["input"].splitlines()[-1] + row["answer_prefix"]
        assert info.length == row["length"]
    assert "files_sha256" in benchmark.provenance()


def test_a_row_with_braces_and_one_without_lines_load(tmp_path):
    rows = [
        {"index": 1, "input": "Use {context} and {query}.\nsome text\nWhich?", "outputs": ["7"], "length": 9},
        {"index": 1, "input": "one line 8", "outputs": ["8"], "length": 3},
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    benchmark = SNIAH(source=str(path))
    first, second = (benchmark.sample(info.sample_id) for info in benchmark.infos())
    assert first.prompt.context == "some text" and first.prompt.query == "Which?"
    assert whole(first) == "Use context and query.\nsome text\nWhich?"
    assert whole(second) == "one line 8"


def test_an_answer_prefix_is_appended_to_the_question(tmp_path):
    base = {"index": 1, "input": "Remember.\nsome text 7\nWhich?", "outputs": ["7"], "length": 9}
    for rows, query in (([base | {"answer_prefix": " The number is"}], "Which? The number is"), ([base], "Which?")):
        for name in ("rows.jsonl", "rows.parquet"):
            path = tmp_path / name
            if name.endswith(".jsonl"):
                path.write_text("\n".join(map(json.dumps, rows)))
            else:
                pq.write_table(pa.Table.from_pylist(rows), path)
            benchmark = SNIAH(source=str(path))
            sample = benchmark.sample(benchmark.infos()[0].sample_id)
            assert sample.prompt.query == query
            assert whole(sample).endswith(f"some text 7\n{query}")
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(base | {"answer_prefix": 3}))
    with pytest.raises(DataError, match="row 1: answer_prefix is 3: expected a string"):
        SNIAH(source=str(path)).infos()


def test_a_row_with_two_needles_is_refused(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"index": 1, "input": "a\nb\nc", "outputs": ["7", "8"], "length": 9}))
    with pytest.raises(DataError, match="expected one hidden value"):
        SNIAH(source=str(path)).infos()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"variants": ["single_9"]}, "variants is ['single_9']: expected a list of single_1, single_2"),
        ({"variants": []}, "variants is []: expected"),
        ({"lengths": [100]}, "lengths is [100]: expected a list of integers from 256 to 100000000"),
        ({"lengths": []}, "lengths is []: expected"),
        ({"lengths": [512, 512]}, "lengths is [512, 512]: expected each value once"),
        ({"lengths": ["8k"]}, "lengths is ['8k']: expected"),
        ({"samples": 0}, "samples is 0: expected an integer from 1 to 1000000"),
        ({"samples": 10**30}, "expected an integer from 1 to 1000000"),
        ({"output_tokens": 129}, "output_tokens is 129: expected an integer from 0 to 128"),
        ({"source": "hub"}, "source is 'hub': expected 'generated' or the path of RULER rows"),
        ({"encoding": "latin1"}, "encoding is 'latin1': expected the name of a token encoding"),
    ],
)
def test_invalid_settings_are_refused_with_their_key(settings, message):
    with pytest.raises(SettingError, match=re.escape(message)) as caught:
        make(SNIAH, settings, "benchmark.sniah")
    assert str(caught.value).startswith("benchmark.sniah.") and "\n" not in str(caught.value)


def test_rows_may_carry_their_target():
    benchmark = SNIAH(lengths=(512,))
    assert benchmark.target_of({"target": 1234567}) == benchmark.target_of({"target": ["1234567"]}) == "1234567"
    for wrong in ({}, {"target": None}, {"target": ["1", "2"]}, {"target": ""}):
        with pytest.raises(ValueError, match="hidden value"):
            benchmark.target_of(wrong)


SHA256 = "bf30c100d71919d7c48b56c450ff3b0235edc0741a555f2749a081b38ce6ec32"
