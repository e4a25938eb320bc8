"""Samples without targets, and the part of an answer that is scored."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.sample import HiddenTarget, Sample, SampleInfo, cut_answer
from benchmarks.suites.sniah import SNIAH
from rlm.models.tokens import count_tokens
from rlm.prompt import Prompt


class Suite:
    name, max_answer_tokens = "suite", 20


class OldSuite:
    name = "old"


def test_a_sample_without_target_has_everything_else():
    sample = Sample(SampleInfo("id-1", "c", "g", "constant"), Prompt("text"), "secret")
    bare = sample.without_target()
    assert (bare.sample_id, bare.info, bare.prompt) == ("id-1", sample.info, sample.prompt)
    assert "secret" not in repr(bare) + repr(vars(bare))
    with pytest.raises(HiddenTarget, match="the target of sample id-1 is hidden"):
        bare.target  # noqa: B018


@given(st.text() | st.text(alphabet=" \n\t漢字a1é\ud800", max_size=400))
def test_the_start_of_an_answer_is_kept(answer):
    kept, cut = cut_answer(Suite, answer)
    assert answer.startswith(kept)
    assert cut == (kept != answer)
    assert count_tokens(kept) <= 20
    assert cut == (count_tokens(answer) > 20)


def test_without_a_limit_the_complete_answer_is_kept():
    assert cut_answer(OldSuite, "word " * 10_000) == ("word " * 10_000, False)
    assert cut_answer(Suite, None) == (None, False)


@pytest.mark.parametrize("flood", [" ", "word ", "漢", "\n", "=", "1"])
def test_a_flood_of_millions_of_characters_is_cut(flood):
    kept, cut = cut_answer(Suite, flood * 2_000_000)
    assert cut and count_tokens(kept) <= 20


async def test_the_complete_haystack_is_not_an_answer():
    benchmark = SNIAH(lengths=(4096,), samples=12)
    scores = []
    for info in benchmark.infos():
        sample = benchmark.sample(info.sample_id)
        kept, cut = cut_answer(benchmark, sample.prompt.context_text)
        assert cut
        scores.append((await benchmark.score(sample.target, kept)).value)
    # Only needles within the first 128 tokens count, as in RULER.
    assert sum(scores) <= 1
