"""The tasks with several needles, and variable tracking."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from benchmarks.sources.draws import Draws
from benchmarks.sources.wordlists import word_lists
from benchmarks.suites.ruler.prompt import ASSIGNED, CHAIN_HEAD, CHAIN_QUERY, NEEDLES_HEAD, NEEDLES_QUERY, listed
from benchmarks.suites.sniah.generator import DEPTHS, FOLDER, magic_value
from benchmarks.suites.sniah.haystack import NOISE, PROSE, material, ordered
from benchmarks.suites.sniah.prompt import NEEDLE

# The parts of a draft: head, query, answers, context by number of units, tokens of a unit.
Parts = tuple[str, str, tuple[str, ...], Callable[[int], str], int]

_HOPS = 4
_NAME_CHARS = 5
_CAPITALS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True)
class _Needles:
    """The needles of a task: the numbers of keys, of values per key and of keys in the question, and their kinds.

    among_needles: the haystack consists of other needles.
    """

    keys: int = 1
    values: int = 1
    asked: int = 1
    key: str = "word"
    value: str = "number"
    among_needles: bool = False


_TASKS = {
    "niah_multikey_1": _Needles(keys=4),
    "niah_multikey_2": _Needles(among_needles=True),
    "niah_multikey_3": _Needles(key="uuid", value="uuid", among_needles=True),
    "niah_multivalue": _Needles(values=4),
    "niah_multiquery": _Needles(keys=4, asked=4),
}


def needles_task(task: str, draws: Draws, seed: int, encoding: str, budget: int) -> Parts:
    """Draft a sample with several needles, or with one among many others."""
    spec = _TASKS[task]
    taken: set[str] = set()
    values = {
        _key(spec, draws, taken): [magic_value(spec.value, draws) for _ in range(spec.values)] for _ in range(spec.keys)
    }
    asked = tuple(draws.some(list(values), spec.asked))
    needles = [NEEDLE.format(kind=spec.value, key=key, value=value) for key in values for value in values[key]]
    needles = draws.shuffled(needles)
    head = NEEDLES_HEAD.format(kind=spec.value)
    query = NEEDLES_QUERY.format(kind=spec.value, keys=listed(asked))
    answers = tuple(value for key in asked for value in values[key])
    if spec.among_needles:
        place, others = draws.below(1000), Draws(seed, "ruler", task, "others", budget, needles[0])
        lines: list[str] = []

        def among(count: int) -> str:
            while len(lines) < count:
                key, value = _key(spec, others, taken), magic_value(spec.value, others)
                lines.append(NEEDLE.format(kind=spec.value, key=key, value=value))
            at = count * place // 1000
            return "\n".join([*lines[:at], *needles, *lines[at:count]])

        return head, query, answers, among, 70 if spec.key == "uuid" else 24
    depths = sorted(draws.some(range(DEPTHS), len(needles)))
    source = material(PROSE, seed, encoding)
    order = ordered(source, draws, 2 * budget)

    def hidden(count: int) -> str:
        units = [source.units[i] for i in order[:count].tolist()]
        pieces: list[str] = []
        start = 0
        for needle, depth in zip(needles, depths, strict=True):
            at = _within(units, len(units) * depth // (DEPTHS - 1))
            pieces += [*units[start:at], f" {needle}"]
            start = max(start, at)
        return "".join([*pieces, *units[start:]]).strip()

    return head, query, answers, hidden, 20


def _within(units: list[str], at: int) -> int:
    """Return the nearest place within a paragraph, before a sentence that continues one; the end if there is none."""
    places = (*range(at, len(units)), *range(at - 1, -1, -1))
    return next((place for place in places if units[place].startswith(" ")), len(units))


def chain_task(task: str, draws: Draws, seed: int, encoding: str, budget: int) -> Parts:
    """Draft a chain of assignments in noise: a variable gets a number, each of the next ones the value before it."""
    names: list[str] = []
    while len(names) <= _HOPS:
        name = "".join(draws.pick(_CAPITALS) for _ in range(_NAME_CHARS))
        if name not in names:
            names.append(name)
    value = str(draws.between(10_000, 99_999))
    chain = [ASSIGNED.format(names[0], value)]
    chain += [ASSIGNED.format(name, f"VAR {before}") for before, name in pairwise(names)]
    noise = "".join(material(NOISE, seed, encoding).units).rstrip("\n")
    places = sorted(draws.between(0, 1000) for _ in chain)

    def hidden(count: int) -> str:
        lines: list[str] = []
        start = 0
        for line, place in zip(chain, places, strict=True):
            at = count * place // 1000
            lines += [*[noise] * (at - start), line]
            start = at
        return "\n".join([*lines, *[noise] * (count - start)])

    return CHAIN_HEAD, CHAIN_QUERY.format(value=value, count=len(names)), tuple(names), hidden, 24


def _key(spec: _Needles, draws: Draws, taken: set[str]) -> str:
    while True:
        if spec.key == "uuid":
            key = magic_value("uuid", draws)
        else:
            key = "-".join(draws.pick(words) for words in word_lists(FOLDER / "keys.txt").values())
        # A long haystack has more needles than there are keys of two words.
        if key in taken and spec.key == "word":
            key = f"{key}-{draws.below(1_000_000)}"
        if key not in taken:
            taken.add(key)
            return key
