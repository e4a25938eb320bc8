"""The tasks that count words: common words in a numbered list, and coded words with Zipf's frequencies."""

from __future__ import annotations

from benchmarks.sources.draws import Draws
from benchmarks.suites.ruler.needles import Parts
from benchmarks.suites.ruler.prompt import CODED_HEAD, CODED_QUERY, COMMON_HEAD, COMMON_QUERY

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_CODED_CHARS = 6
_COMMON = 10
# Shorter prompts have the smaller frequencies, as in RULER.
_SHORT = 4096
_CONSONANTS, _VOWELS = "bdfgklmnprstvz", "aeiou"
# RULER's exponent 2: the frequency of rank k is the share 1 / (zeta(2) k^2), computed with integers.
_SHARE, _OF = 6_079_271, 10_000_000
_FEWEST_CODED = 100


def common_task(task: str, draws: Draws, seed: int, encoding: str, budget: int) -> Parts:
    """Draft a numbered list in which ten words are ten times as frequent as the others, in short lists six times."""
    often, seldom = (30, 3) if budget >= _SHORT - 120 else (6, 1)
    words: dict[str, None] = {}

    def context(count: int) -> str:
        while len(words) < _COMMON + count:
            words[_word(draws)] = None
        known = list(words)
        repeated = known[:_COMMON] * often + known[_COMMON : _COMMON + count] * seldom
        shuffled = Draws(seed, "ruler", task, budget, known[0], count).order(len(repeated)).tolist()
        return " ".join(f"{number}. {repeated[i]}" for number, i in enumerate(shuffled, 1))

    context(0)
    return COMMON_HEAD, COMMON_QUERY, tuple(words)[:_COMMON], context, 6 * seldom


def coded_task(task: str, draws: Draws, seed: int, encoding: str, budget: int) -> Parts:
    """Draft a text of coded words. Dots are the most frequent ones; the next three are the answer."""
    vocabulary: dict[str, None] = {"...": None}
    while len(vocabulary) < max(5, budget // 50):
        vocabulary["".join(draws.pick(_LETTERS) for _ in range(_CODED_CHARS))] = None
    words = list(vocabulary)
    order = draws.below(1 << 60)

    def context(count: int) -> str:
        text: list[str] = []
        for rank, word in enumerate(words, 1):
            text += [word] * ((count + _FEWEST_CODED) * _SHARE // (_OF * rank * rank))
        return " ".join(text[i] for i in Draws(order, count).order(len(text)).tolist())

    return CODED_HEAD, CODED_QUERY, tuple(words[1:4]), context, 2


def _word(draws: Draws) -> str:
    return "".join(draws.pick(_CONSONANTS) + draws.pick(_VOWELS) for _ in range(4))
