"""Generates samples of RULER's tasks: a context that is as long as fits, around what the question asks for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.sample import Sample, SampleInfo
from benchmarks.sources.draws import Draws
from benchmarks.suites.ruler.documents import documents_task
from benchmarks.suites.ruler.needles import chain_task, needles_task
from benchmarks.suites.ruler.prompt import LAYOUT
from benchmarks.suites.ruler.scorer import RulerTarget
from benchmarks.suites.ruler.tasks import SINGLE, TASKS
from benchmarks.suites.ruler.words import coded_task, common_task
from benchmarks.suites.sniah.generator import generated_sample as needle_sample
from rlm.models.tokens import count_tokens
from rlm.prompt import Prompt

GENERATOR = "ruler-generated-1"
# A shorter prompt has no room for the words of `cwe`.
SHORTEST = 1024


@dataclass(frozen=True)
class Draft:
    """A sample whose context can have any size.

    head, query, answers: as in its prompt and target. context: builds the context from a number of units, such as
    sentences; tokens_a_unit: approximately.
    """

    head: str
    query: str
    answers: tuple[str, ...]
    context: Callable[[int], str]
    tokens_a_unit: int


def generated_sample(info: SampleInfo, length: int, task: str, index: int, seed: int, encoding: str) -> Sample:
    """Generate the index-th sample of a task. Its prompt and output have up to `length` tokens together.

    The samples of niah_single_1, 2 and 3 are those of the suite `sniah` with the same index.
    """
    spec = TASKS[task]
    if task in SINGLE:
        sample = needle_sample(info, length, SINGLE[task], index, seed, encoding, spec.output_tokens)
        return Sample(info, sample.prompt, RulerTarget((sample.target,)))
    draws = Draws(seed, "ruler", task, length, index)
    budget = length - spec.output_tokens
    draft = Draft(*_BUILDERS[task](task, draws, seed, encoding, budget))
    frame = count_tokens(f"{draft.head}\n\n{draft.query}", encoding)
    context = longest_context(draft.context, draft.tokens_a_unit, budget - frame, encoding)
    prompt = Prompt(f"{draft.head}\n{context}", draft.query, LAYOUT)
    return Sample(info, prompt, RulerTarget(draft.answers, spec.any_answer))


def longest_context(context: Callable[[int], str], tokens_a_unit: int, budget: int, encoding: str) -> str:
    """Build the context from the largest number of units that fits; from none if not even one does."""
    low, high, size = 0, 0, max(1, budget // tokens_a_unit)
    best = context(0)
    while not high or high - low > 1:
        text = context(size)
        tokens = count_tokens(text, encoding)
        if tokens <= budget:
            low, best = size, text
        else:
            high = size
        # The next guess assumes that tokens are proportional to units; it stays between the bounds.
        size = max(low + 1, size * budget // max(tokens, 1))
        if high:
            size = min(size, high - 1)
    return best


_BUILDERS = {
    "niah_multikey_1": needles_task, "niah_multikey_2": needles_task, "niah_multikey_3": needles_task,
    "niah_multivalue": needles_task, "niah_multiquery": needles_task, "vt": chain_task, "cwe": common_task,
    "fwe": coded_task, "qa_1": documents_task, "qa_2": documents_task,
}  # fmt: skip
