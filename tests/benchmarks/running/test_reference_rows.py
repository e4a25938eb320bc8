"""The floor row: the best constant answer, made without any target."""

import json

import pytest

from benchmarks.running.reference_rows import Floor
from benchmarks.sample import HiddenTarget, Sample, SampleInfo, Score
from rlm.prompt import Prompt


class Words:
    """A suite in the form of version 0.1, without max_answer_tokens."""

    name, metric, scorer, protected = "words", "exact match", "words-1", False

    def __init__(self, constants):
        self._constants = constants
        self._targets = {"w-0": "red", "w-1": "red", "w-2": "blue"}

    def infos(self):
        return [SampleInfo(name, name, "words", "constant") for name in self._targets]

    def sample(self, sample_id):
        info = next(info for info in self.infos() if info.sample_id == sample_id)
        return Sample(info, Prompt(f"The word is {self._targets[sample_id]}.", "Which word?"), self._targets[sample_id])

    async def score(self, target, answer, judge=None):
        return Score(float(target in (answer or "").split()), 0.0, True, answer or "")

    def constants(self, samples):
        return self._constants(samples)

    def target_bytes(self, target):
        return json.dumps(target).encode()


async def floor(benchmark, sample_id="w-2"):
    ids = [info.sample_id for info in benchmark.infos()]
    return await Floor().answer(benchmark, benchmark.sample(sample_id), ids)


async def test_the_floor_is_the_best_constant_over_all_samples():
    assert await floor(Words(lambda samples: [lambda s: "blue", lambda s: "red"])) == "red"


async def test_constants_of_a_suite_of_version_0_1_work_from_the_prompts():
    def constants(samples):
        longest = max(samples, key=lambda sample: len(sample.prompt.context_text)).sample_id
        assert (len(samples), longest) == (3, "w-2")
        return [lambda sample: sample.prompt.query, lambda sample: "red"]

    assert await floor(Words(constants)) == "red"


@pytest.mark.parametrize(
    "constants",
    [
        lambda samples: [lambda sample: samples[0].target],
        lambda samples: [lambda sample: sample.target],
        lambda samples: (lambda word: [lambda sample: word])(max(sample.target for sample in samples)),
    ],
)
async def test_constants_that_read_a_target_are_refused_with_the_name_of_the_suite(constants):
    with pytest.raises(HiddenTarget, match=r"^benchmark\.words: a constant answer reads a target: .*w-\d") as caught:
        await floor(Words(constants))
    assert "red" not in str(caught.value) and "blue" not in str(caught.value)


@pytest.mark.parametrize("early", [True, False])
async def test_constants_that_build_samples_of_their_suite_get_them_without_targets(early):
    class Peeking(Words):
        def constants(self, samples):
            if early:
                word = self.sample("w-2").target
                return [lambda sample: word]
            return [lambda sample: self.sample(sample.sample_id).target]

    with pytest.raises(HiddenTarget, match=r"^benchmark\.words: a constant answer reads a target"):
        await floor(Peeking(None))


async def test_the_complete_context_is_among_the_constants():
    class Contained(Words):
        async def score(self, target, answer, judge=None):
            return Score(float(target in (answer or "")), 0.0, True, answer or "")

    benchmark = Contained(lambda samples: [lambda s: "green"])
    assert await floor(benchmark) == "The word is blue."
    # The cap on scored tokens keeps such a flood from scoring.
    benchmark.max_answer_tokens = 2
    assert await floor(benchmark) == "green"


async def test_constants_may_depend_on_all_samples_of_the_run():
    def constants(samples):
        count = len(samples)
        return [lambda sample: "red" if count == 3 else "wrong"]

    assert await floor(Words(constants)) == "red"
