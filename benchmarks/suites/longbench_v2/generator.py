"""Generated questions of LongBench-v2's domains: the facts of invented people, as a text of each domain's form."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.sample import Sample, SampleInfo
from benchmarks.scoring.choice import LETTERS
from benchmarks.sources.draws import Draws
from benchmarks.suites.codeqa.prompt import query_of
from benchmarks.suites.longbench_v2 import prompt as texts
from benchmarks.suites.longbench_v2.domains import ChoiceTarget
from benchmarks.suites.ruler.documents import COMPANY, PERSON, TRADES, new_facts, new_name
from benchmarks.suites.ruler.generator import longest_context
from rlm.models.tokens import count_tokens
from rlm.prompt import Prompt

GENERATOR = "longbench-v2-generated-1"
# A shorter prompt has room for a few people only.
SHORTEST = 1024
_FEWEST_PEOPLE = 4
# Room for longer names than the one with which choices are counted.
_SPARE = 8

Facts = dict[str, str]


def generated_sample(info: SampleInfo, length: int, domain: str, index: int, seed: int, encoding: str) -> Sample:
    """Generate the index-th sample of a domain other than code. Its prompt has up to `length` tokens."""
    draws = Draws(seed, "longbench_v2", domain, length, index)
    taken: set[str] = set()
    labels = {trade: new_name(draws, taken).lower() for trade in TRADES}
    people = [_person(draws, taken) for _ in range(_FEWEST_PEOPLE)]
    asked, order = people[0], draws.below(1 << 60)
    shown: dict[str, list[Facts]] = {}

    def context(count: int) -> str:
        while len(people) < _FEWEST_PEOPLE + count:
            people.append(_person(draws, taken))
        chosen = people[: _FEWEST_PEOPLE + count]
        text = _context(domain, labels, Draws(order, count).shuffled(chosen), Draws(order, count, "parts"))
        shown[text] = chosen
        return text

    # No choice is longer than a long name.
    longest = query_of(_question(domain, index, asked)[0], ("Quinorupelulabert & Sons",) * len(LETTERS))
    budget = length - count_tokens(texts.LAYOUT[0]["content"] + longest, encoding) - _SPARE
    text = longest_context(context, 60, budget, encoding)
    choosing = Draws(seed, "longbench_v2", "choices", domain, length, index)
    question, right, wrong = _choices(domain, index, asked, shown[text], labels, choosing)
    letter = Draws(seed, "longbench_v2", "letters", domain, length, index // 4).shuffled(LETTERS)[index % 4]
    choices = list(wrong)
    choices.insert(LETTERS.index(letter), right)
    return Sample(info, Prompt(text, query_of(question, choices), texts.LAYOUT), ChoiceTarget(letter, tuple(choices)))


def _context(domain: str, labels: Facts, people: list[Facts], draws: Draws) -> str:
    parts = [part for number, person in enumerate(people, 1) for part in _rendered(domain, labels, number, person)]
    if domain == "multi_document":
        parts = [texts.DOCUMENT.format(number=n, text=text) for n, text in enumerate(draws.shuffled(parts), 1)]
    if domain == "structured":
        return "\n".join([texts.TABLE_HEAD, *parts])
    return "\n\n".join([texts.EXAMPLES_HEAD, *parts] if domain == "in_context" else parts)


def _person(draws: Draws, taken: set[str]) -> Facts:
    """Draw a person, with the facts of the workshop under `workshop_`."""
    person, workshop = new_facts(draws, taken), new_facts(draws, taken)
    company = f"{new_name(draws, taken)} & Sons"
    return person | {"company": company} | {f"workshop_{key}": value for key, value in workshop.items()}


def _rendered(domain: str, labels: Facts, number: int, person: Facts) -> list[str]:
    """Write the facts of a person in the form of a domain; several parts are shuffled."""
    if domain == "single_document":
        return [texts.CHAPTER.format(number=number, name=person["name"], text=PERSON.format_map(person))]
    if domain == "multi_document":
        workshop = {key.removeprefix("workshop_"): value for key, value in person.items() if "_" in key}
        return [PERSON.format_map(person), COMPANY.format_map(workshop | {"company": person["company"]})]
    if domain == "dialogue":
        return [texts.TURNS.format(one=texts.SPEAKERS[0], two=texts.SPEAKERS[1], **person)]
    if domain == "structured":
        return [texts.TABLE_ROW.format_map(person)]
    return [texts.EXAMPLE.format(label=labels[person["trade"]], **person)]


def _question(domain: str, index: int, asked: Facts) -> tuple[str, str]:
    """Return a question about a person, and the fact that answers it."""
    if domain == "in_context":
        return texts.LABEL_QUESTION.format(
            name=asked["workshop_name"], town=asked["workshop_town"], trade=asked["trade"]
        ), "label"
    if domain == "structured" and index % 2:
        return texts.COUNT_QUESTION.format_map(asked), "count"
    asks = texts.WORKSHOP_QUESTIONS if domain == "multi_document" else texts.QUESTIONS
    key = list(asks)[index // 2 % len(asks)]
    return asks[key].format_map(asked), f"workshop_{key}" if domain == "multi_document" else key


def _choices(
    domain: str, index: int, asked: Facts, people: list[Facts], labels: Facts, draws: Draws
) -> tuple[str, str, list[str]]:
    """Return the question, the right choice and three wrong ones, which are values of the same kind."""
    question, key = _question(domain, index, asked)
    wrong_of: Callable[[], str]
    if key == "count":
        count = sum(person["trade"] == asked["trade"] for person in people)
        right, wrong_of = str(count), lambda: str(max(1, count + draws.between(-3, 4)))
    elif key == "label":
        right, wrong_of = labels[asked["trade"]], lambda: labels[draws.pick(TRADES)]
    elif key == "trade":
        right, wrong_of = asked["trade"], lambda: draws.pick(TRADES)
    elif key.endswith("year"):
        right, wrong_of = asked[key], lambda: str(draws.between(1605, 1899))
    else:
        right, wrong_of = asked[key], lambda: draws.pick(people)[key]
    wrong: list[str] = []
    while len(wrong) < len(LETTERS) - 1:
        value = wrong_of()
        if value != right and value not in wrong:
            wrong.append(value)
    return question, right, wrong
