"""Questions over the generated world. Each needs a chain of two to four documents."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.sources.draws import Draws
from benchmarks.suites.browsecomp_plus.world import RELATIONS, Entity, World

# The numbers of documents that a question needs.
HOPS = (2, 3, 4)
_TRIES = 2_000

# By class: descriptions of an entity by its traits, without its name.
_DESCRIPTIONS: dict[str, dict[tuple[str, ...], str]] = {
    "person": {
        ("profession", "born"): "the {profession} who was born in {born}",
        ("profession", "animal"): "the {profession} who kept {animal}",
        ("animal", "instrument"): "the person who kept {animal} and played {instrument}",
        ("born", "instrument"): "the person who was born in {born} and played {instrument}",
    },
    "town": {
        ("river", "landmark"): "the town on the river {river} that is known for {landmark}",
        ("river", "chartered"): "the town on the river {river} that received its charter in {chartered}",
        ("landmark", "market"): "the town that is known for {landmark} and holds its market on {market}",
    },
    "school": {("founded", "motto"): 'the school founded in {founded} whose motto is "{motto}"'},
    "event": {
        ("kind", "topic", "year"): "the {kind} on {topic} that took place in {year}",
        ("topic", "prize", "year"): "the event on {topic} that awarded {prize} in {year}",
    },
    "book": {("published", "binding"): "the book published in {published} and first bound in {binding}"},
}

# By class and relation: the description of the related entity; {it} is the first entity.
_STEPS: dict[tuple[str, str], str] = {
    ("person", "birthplace"): "the town where {it} was born",
    ("person", "school"): "the school where {it} studied",
    ("person", "teacher"): "the teacher of {it}",
    ("town", "mayor"): "the first mayor of {it}",
    ("school", "founder"): "the founder of {it}",
    ("school", "seat"): "the town that is the seat of {it}",
    ("event", "host"): "the town that hosted {it}",
    ("event", "chair"): "the person who chaired {it}",
    ("event", "winner"): "the person who won the prize of {it}",
    ("book", "author"): "the author of {it}",
    ("book", "dedicatee"): "the person to whom {it} is dedicated",
    ("book", "printed_in"): "the town where {it} was printed",
    ("book", "subject"): "the event described in {it}",
}

# By class and trait: the question about the trait.
_ASKED: dict[tuple[str, str], str] = {
    ("person", "profession"): "What was the profession of {it}?",
    ("person", "born"): "In which year was {it} born?",
    ("person", "animal"): "Which animal or animals did {it} keep?",
    ("person", "instrument"): "Which instrument did {it} play?",
    ("town", "river"): "On which river does {it} lie?",
    ("town", "chartered"): "In which year did {it} receive its charter?",
    ("town", "landmark"): "For which landmark is {it} known?",
    ("school", "founded"): "In which year was {it} founded?",
    ("school", "motto"): "What is the motto of {it}?",
    ("event", "year"): "In which year did {it} take place?",
    ("event", "prize"): "Which prize was awarded at {it}?",
}


@dataclass(frozen=True)
class WorldQuestion:
    """A question and its answer. path: the entities whose documents lead to it; the last document has the answer."""

    text: str
    answer: str
    path: tuple[Entity, ...]


def ask(world: World, index: int) -> WorldQuestion:
    """Generate the index-th question of a world. It needs 2, 3 or 4 documents in turn.

    Raises ValueError if none is found.
    """
    draws = Draws(world.seed, "question", len(world.entities), index)
    for _ in range(_TRIES):
        if question := _drawn(world, HOPS[index % len(HOPS)], draws):
            return question
    raise ValueError(
        f"a world of {len(world.entities)} documents has no question over {HOPS[index % len(HOPS)]} documents"
    )


def _drawn(world: World, hops: int, draws: Draws) -> WorldQuestion | None:
    # The class is drawn first, because nearly half of the entities are people, who have few relations.
    entity = world.entities[draws.pick(world.of_class[draws.pick(list(RELATIONS))])]
    traits, wording = draws.pick(list(_DESCRIPTIONS[entity.what].items()))
    given = {trait: entity.traits[trait] for trait in traits}
    if len(world.having(entity.what, given)) != 1:
        return None
    words, path = wording.format(**given), [entity]
    for _ in range(hops - 1):
        relation = draws.pick(list(RELATIONS[path[-1].what]))
        words = _STEPS[path[-1].what, relation].format(it=words)
        path.append(world.linked(path[-1], relation))
    asked = [(trait, text) for (what, trait), text in _ASKED.items() if what == path[-1].what]
    if not asked or len({step.number for step in path}) < hops:
        return None
    trait, text = draws.pick(asked)
    answer = path[-1].traits[trait]
    return None if answer in given.values() else WorldQuestion(text.format(it=words), answer, tuple(path))
