"""The tasks with questions over documents: one document has the answer, or two together."""

from __future__ import annotations

from benchmarks.sources.draws import Draws
from benchmarks.suites.ruler.needles import Parts
from benchmarks.suites.ruler.prompt import DOCUMENT, DOCUMENTS_HEAD, DOCUMENTS_QUERY

_STARTS = (
    "Bra",
    "Cor",
    "Dal",
    "Esk",
    "Fen",
    "Gor",
    "Hal",
    "Ith",
    "Jor",
    "Kel",
    "Lum",
    "Mar",
    "Nev",
    "Ost",
    "Pel",
    "Quin",
)
_MIDDLES = ("a", "e", "i", "o", "u", "ama", "eli", "ino", "oru", "ula")
NAME_ENDS = ("bert", "dell", "fold", "gate", "holm", "kirk", "lund", "mont", "rick", "stad", "vale", "wick")
TRADES = (
    "bookbinder", "cartographer", "clockmaker", "dyer", "locksmith", "gardener", "glassblower", "trumpeter", "potter",
    "surveyor", "typesetter", "weaver",
)  # fmt: skip
_HABITS = (
    "Visitors remembered long walks and a dislike of letters.",
    "Two notebooks survive, both of them damaged by water.",
    "A street was named in memory of this work, but the name was later changed.",
    "Neighbours spoke of great patience and a bad temper before noon.",
    "Nothing is known about the years of travel.",
    "The accounts were kept in a careful hand until the end.",
)
COMPANY = (
    "{company} was a workshop with {number} employees. It was founded in {year} in the town of {town}. {habit} Its "
    "best known product was a {thing}."
)
PERSON = (
    "{name} was a {trade}, born in {year} in the town of {town}. {habit} After {number} years at home, {name} worked "
    "for {company} and never left it."
)
_THINGS = (
    "travelling clock",
    "star chart",
    "folding ruler",
    "garden lamp",
    "music box",
    "sewing desk",
    "weather glass",
)
# RULER's two data sets: SQuAD, where one paragraph has the answer, and HotpotQA, where two documents have it together.
_ONE_HOP = (
    ("In which town was {name} born?", "town"),
    ("What was the trade of {name}?", "trade"),
    ("For which workshop did {name} work?", "company"),
)
_TWO_HOPS = (
    ("In which year was the workshop founded that {name} worked for?", "year"),
    ("In which town was the workshop founded that {name} worked for?", "town"),
    ("What was the best known product of the workshop that {name} worked for?", "thing"),
)


def documents_task(task: str, draws: Draws, seed: int, encoding: str, budget: int) -> Parts:
    """Draft pairs of documents: a person, and the workshop of that person. The question is on the first."""
    taken: set[str] = set()
    pairs: list[tuple[str, str]] = []
    facts: list[tuple[dict[str, str], dict[str, str]]] = []

    def pair(number: int) -> tuple[str, str]:
        while len(pairs) <= number:
            company = new_facts(draws, taken) | {
                "company": f"{new_name(draws, taken)} & {draws.pick(NAME_ENDS).capitalize()}"
            }
            person = new_facts(draws, taken) | {"company": company["company"]}
            facts.append((person, company))
            documents = (person["name"], PERSON, person), (company["company"], COMPANY, company)
            first, second = (f"{title}\n{text.format_map(known)}" for title, text, known in documents)
            pairs.append((first, second))
        return pairs[number]

    pair(0)
    person, company = facts[0]
    question, answer = draws.pick(_ONE_HOP if task == "qa_1" else _TWO_HOPS)
    right = (person if task == "qa_1" else company)[answer]

    def context(count: int) -> str:
        # An odd number has a person without the workshop; the first pair is always complete.
        texts = [text for number in range((count + 3) // 2) for text in pair(number)][: count + 2]
        order = Draws(seed, "ruler", task, budget, person["name"], count).order(len(texts)).tolist()
        return "\n\n".join(DOCUMENT.format(number, texts[i]) for number, i in enumerate(order, 1))

    query = DOCUMENTS_QUERY.format(question=question.format(name=person["name"]))
    return DOCUMENTS_HEAD, query, (right,), context, 80


def new_facts(draws: Draws, taken: set[str]) -> dict[str, str]:
    """Draw the facts of a person or a workshop. taken: names that exist; it grows."""
    return {
        "name": f"{new_name(draws, taken)} {new_name(draws, taken)}", "town": new_name(draws, taken),
        "year": str(draws.between(1605, 1899)), "trade": draws.pick(TRADES), "thing": draws.pick(_THINGS),
        "habit": draws.pick(_HABITS), "number": str(draws.between(3, 60)),
    }  # fmt: skip


def new_name(draws: Draws, taken: set[str]) -> str:
    """Draw a name; after many draws names get longer, so that there are always new ones."""
    name = draws.pick(_STARTS) + draws.pick(_MIDDLES) + draws.pick(NAME_ENDS)
    while name in taken:
        name = draws.pick(_STARTS) + draws.pick(_MIDDLES) + name.lower()
    taken.add(name)
    return name
