"""MRCR: conversations of a length with equal requests, the ratio behind a prefix, and rows in the data set's form."""

import hashlib
import json
import re
from difflib import SequenceMatcher

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.sample import cut_answer
from benchmarks.sources.files import DataError
from benchmarks.suites.mrcr import MRCR
from benchmarks.suites.mrcr.scorer import MrcrTarget, score_answer
from rlm.models.tokens import count_tokens
from rlm.validation import SettingError, make

TARGET = MrcrTarget("aB3xY9kQ2zThe kites rise over the hill.", "aB3xY9kQ2z")
QUESTION = re.compile(r"Repeat the (\d)\w\w (.+) about (\w+) from")


def samples(**settings):
    benchmark = MRCR(**settings)
    return [benchmark.sample(info.sample_id) for info in benchmark.infos()]


def pairs(sample):
    """The requests and pieces of a conversation."""
    turns = sample.prompt.history
    assert [turn["role"] for turn in turns] == ["user", "assistant"] * (len(turns) // 2)
    return [(ask["content"], piece["content"]) for ask, piece in zip(turns[::2], turns[1::2], strict=True)]


@pytest.mark.parametrize("encoding", ["o200k_base", "qwen3"])
@pytest.mark.parametrize("length", [1024, 3000, 20_000])
def test_messages_and_answer_fill_the_length_to_within_a_turn(length, encoding):
    for sample in samples(lengths=(length,), samples=6, encoding=encoding):
        texts = [message["content"] for message in sample.prompt.messages()] + [sample.target.answer]
        tokens = sum(count_tokens(text, encoding) for text in texts)
        assert length - 320 < tokens <= length


def test_the_target_is_the_piece_that_the_question_asks_for():
    for sample in samples(lengths=(1024, 8192), samples=12):
        number, form, topic = QUESTION.match(sample.prompt.query).groups()
        found = [piece for ask, piece in pairs(sample) if ask.endswith(f" {form} about {topic}.")]
        assert f"{len(found)}_needles" == sample.info.task_group
        assert sample.target.piece == found[int(number) - 1]
        assert len(set(found)) == len(found)
        assert f"Begin your reply with {sample.target.prefix}," in sample.prompt.query
        assert sample.target.prefix not in sample.prompt.context_text


def test_lengths_and_numbers_of_needles_take_turns():
    infos = MRCR(lengths=(1024, 2048), samples=4, needles=(8, 2)).infos()
    assert [info.length for info in infos[:4]] == [1024, 2048, 1024, 2048]
    assert [info.task_group for info in infos] == ["8_needles"] * 2 + ["2_needles"] * 2 + ["8_needles"] * 2 + [
        "2_needles"
    ] * 2
    assert len({info.cluster for info in infos}) == 8


def test_many_other_requests_share_the_form_or_the_topic():
    (sample,) = samples(lengths=(16_384,), samples=1)
    _, form, topic = QUESTION.match(sample.prompt.query).groups()
    asks = [ask for ask, _ in pairs(sample)]
    assert sum(f" {form} about " in ask or f" {topic}." in ask for ask in asks) > len(asks) / 3
    assert len(set(asks)) > len(asks) / 3


def test_the_bytes_are_the_same_on_every_machine():
    digest = hashlib.sha256()
    for sample in samples(lengths=(1024, 4096), samples=4):
        digest.update(repr((sample.prompt.messages(), sample.target.answer)).encode())
    assert digest.hexdigest() == SHA256


def test_a_sample_depends_on_its_seed_only():
    one, other = samples(lengths=(1024,), samples=2)[1], samples(lengths=(2048, 1024), samples=5)[3]
    assert one == other
    assert one != samples(lengths=(1024,), samples=2, seed=1)[1]


@pytest.mark.parametrize(
    ("answer", "value", "lenient", "format_ok"),
    [
        (TARGET.answer, 1, 1, True),
        (TARGET.piece, 0, 1, False),
        (" " + TARGET.answer, 0, 1, False),
        (f"Here it is:\n\n{TARGET.prefix} {TARGET.piece}\n", 0, 1, False),
        (
            TARGET.prefix + "\n" + TARGET.piece,
            SequenceMatcher(None, "\n" + TARGET.piece, TARGET.piece).ratio(),
            1,
            True,
        ),
        (TARGET.prefix, 0, 0, True),
        (TARGET.prefix.lower() + TARGET.piece, 0, None, False),
        (TARGET.prefix + "x" * 100_000, 0, 0, True),
        ("", 0, 0, False),
        (None, 0, 0, False),
    ],
)
async def test_the_ratio_counts_behind_the_prefix_only(answer, value, lenient, format_ok):
    score = await MRCR(lengths=(1024,)).score(TARGET, answer)
    assert (score.value, score.format_ok) == (value, format_ok)
    assert lenient is None or score.lenient == lenient
    assert score.details["exact"] == (answer == TARGET.answer)


@given(st.text(), st.text(min_size=1, max_size=60), st.text("abcXYZ123", min_size=1))
def test_any_answer_scores_between_0_and_1(answer, piece, prefix):
    target = MrcrTarget(prefix + piece, prefix)
    score = score_answer(target, answer)
    assert 0 <= score.value <= score.lenient <= 1
    assert score_answer(target, prefix + piece).value == 1
    assert score_answer(target, prefix + answer).format_ok


async def test_the_oracle_scores_1_and_floods_almost_nothing():
    benchmark = MRCR(lengths=(8192,), samples=3)
    for info in benchmark.infos():
        sample = benchmark.sample(info.sample_id)
        assert (await benchmark.score(sample.target, benchmark.oracle(sample.target))).value == 1
        *single, flood = benchmark.constants([])
        cut, _ = cut_answer(benchmark, flood(sample.without_target()))
        assert cut.startswith(sample.target.prefix)
        assert (await benchmark.score(sample.target, cut)).value < 0.15
        for constant in single:
            assert (await benchmark.score(sample.target, constant(sample.without_target()))).value < 1
        assert sample.target.answer not in repr(sample)


def test_rows_may_carry_their_target():
    benchmark = MRCR(lengths=(1024,))
    target = json.loads(benchmark.target_bytes(TARGET))
    assert benchmark.target_of({"target": target}) == TARGET
    for wrong in ({}, {"target": "x"}, {"target": {"answer": "x"}}, {"target": {"answer": "xy", "prefix": "y"}}):
        with pytest.raises(ValueError, match="expected an object with answer and prefix"):
            benchmark.target_of(wrong)


# --- rows in the form of openai/mrcr


def row(needles, tokens, **changes):
    messages = [
        {"role": "user", "content": "Write a poem about kites."},
        {"role": "assistant", "content": "kite " * tokens},
        {"role": "user", "content": "Prepend Qx7 to the 1st (1 indexed) poem about kites."},
    ]
    made = {
        "prompt": json.dumps(messages), "answer": "Qx7kite", "random_string_to_prepend": "Qx7", "n_needles": needles,
        "desired_msg_index": 1, "total_messages": 3, "n_chars": 5 * tokens,
    }  # fmt: skip
    return made | changes


def written(tmp_path, *rows):
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return str(path)


async def test_rows_are_binned_by_the_tokens_of_messages_and_answer(tmp_path, own_cache):
    path = written(tmp_path, row(2, 5000), row(4, 9000), row(4, 6000), row(2, 7000), row(2, 40), row(8, 6000))
    benchmark = MRCR(source=path, lengths=(8192, 16384), needles=(2, 4))
    infos = benchmark.infos()
    assert [(info.sample_id, info.length) for info in infos] == [
        ("mrcr-2needles-000", 8192), ("mrcr-4needles-000", 16384), ("mrcr-4needles-001", 8192),
        ("mrcr-2needles-001", 8192),
    ]  # fmt: skip
    sample = benchmark.sample("mrcr-4needles-001")
    assert sample.prompt.messages() == json.loads(row(4, 6000)["prompt"])
    assert sample.prompt.query.startswith("Prepend Qx7")
    assert (await benchmark.score(sample.target, "Qx7kite")).value == 1
    assert benchmark.constants([])[0](sample.without_target()).startswith("Qx7kite kite")
    assert [info.sample_id for info in MRCR(source=path, lengths=(8192,), samples=1).infos()] == ["mrcr-2needles-000"]
    assert "files_sha256" in benchmark.provenance()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prompt": "not JSON"}, "mrcr-2needles-000: prompt is 'not JSON': expected a JSON list of messages"),
        ({"prompt": "[]"}, "expected a JSON list of messages"),
        ({"answer": "kite"}, "mrcr-2needles-000: expected an answer that begins with random_string_to_prepend"),
        ({"answer": 3}, "column answer is 3: expected str"),
        ({"n_chars": 90_000_000}, "found no row with more than 4096 and up to 8192 tokens"),
    ],
)
def test_a_malformed_row_is_named(changes, message, tmp_path, own_cache):
    with pytest.raises(DataError, match=re.escape(message)):
        MRCR(source=written(tmp_path, row(2, 5000, **changes)), lengths=(8192,)).infos()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"needles": [3]}, "needles is [3]: expected"),
        ({"lengths": [1000]}, "lengths is [1000]: expected"),
        ({"samples": 0}, "samples is 0: expected an integer from 1"),
    ],
)
def test_invalid_settings_are_refused_with_their_key(settings, message):
    with pytest.raises(SettingError, match=re.escape("benchmark.mrcr." + message)):
        make(MRCR, settings, "benchmark.mrcr")


SHA256 = "9400bedb70eca7961ab8cf7499b6ef114489b3fdfd4bb809741fecca6579e814"
