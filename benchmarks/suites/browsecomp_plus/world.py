"""A generated world: people, towns, schools, events and books, and their relations.

Every relation has one value. Only an entity's own document states its traits and relations, so a question that follows
three relations needs three documents.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from benchmarks.sources.draws import Draws
from benchmarks.sources.wordlists import word_lists

WORDS = Path(__file__).with_name("world.txt")
# The percentage of documents about entities of each class.
_SHARES = {"person": 44, "town": 20, "school": 12, "event": 14, "book": 10}
FEWEST = 50
_NAME_DRAWS = 20


@dataclass(frozen=True)
class Entity:
    """The subject of a document. traits: words and years. links: the number of another entity, by relation."""

    number: int
    what: str
    name: str
    docid: str
    traits: dict[str, str]
    links: dict[str, int] = field(default_factory=dict)


class World:
    """A world of `size` entities, at least FEWEST, drawn from a seed; the same on every machine."""

    def __init__(self, seed: int, size: int) -> None:
        self.seed = seed
        draws = Draws(seed, "world", size)
        classes = [what for what, share in _SHARES.items() for _ in range(size * share // 100)]
        classes += ["person"] * (size - len(classes))
        docids = draws.some(range(10_000, 10_000 + 20 * size), size)
        taken: set[str] = set()
        self.entities: list[Entity] = []
        for number, what in enumerate(classes):
            name, traits = self._new(what, taken, draws)
            taken.add(name)
            self.entities.append(Entity(number, what, name, str(docids[number]), traits))
        self.of_class: dict[str, list[int]] = defaultdict(list)
        for entity in self.entities:
            self.of_class[entity.what].append(entity.number)
        for entity in self.entities:
            for relation, what in RELATIONS[entity.what].items():
                others = self.of_class[what]
                other = others[draws.below(len(others))]
                # An entity is not related to itself; the previous entity of the class takes its place.
                entity.links[relation] = other if other != entity.number else others[others.index(other) - 1]
        self._sharing: dict[tuple[str, str, str], list[int]] = defaultdict(list)
        for entity in self.entities:
            for key in _keys(entity):
                self._sharing[key].append(entity.number)
        self.by_docid = {entity.docid: entity for entity in self.entities}

    @staticmethod
    def _new(what: str, taken: set[str], draws: Draws) -> tuple[str, dict[str, str]]:
        for _ in range(_NAME_DRAWS):
            name, traits = _MAKERS[what](draws)
            if name not in taken:
                return name, traits
        # If a class has no unused names left, its names are numbered.
        return next(new for number in count(2) if (new := f"{name} {number}") not in taken), traits

    def linked(self, entity: Entity, relation: str) -> Entity:
        return self.entities[entity.links[relation]]

    def alike(self, entity: Entity) -> list[Entity]:
        """Return the numbers of near misses: entities of the same class that share a trait or part of the name."""
        numbers = {number for key in _keys(entity) for number in self._sharing[key]} - {entity.number}
        return [self.entities[number] for number in sorted(numbers)]

    def having(self, what: str, traits: Mapping[str, str]) -> list[Entity]:
        """Return the entities of a class with these traits."""
        (first, value), *others = traits.items()
        found = (self.entities[number] for number in self._sharing[what, first, value])
        return [entity for entity in found if all(entity.traits[key] == wanted for key, wanted in others)]


# By class and relation: the class of the related entity.
RELATIONS: dict[str, dict[str, str]] = {
    "person": {"birthplace": "town", "school": "school", "teacher": "person"},
    "town": {"mayor": "person"},
    "school": {"founder": "person", "seat": "town"},
    "event": {"host": "town", "chair": "person", "winner": "person"},
    "book": {"author": "person", "dedicatee": "person", "printed_in": "town", "subject": "event"},
}

_COMMON_WORDS = frozenset(("The", "of", "on", "and", "a", "the"))


def _keys(entity: Entity) -> list[tuple[str, str, str]]:
    """Return the properties that entities of a class may share: each trait, and each word of the name."""
    words = [("", word) for word in entity.name.split() if word not in _COMMON_WORDS]
    return [(entity.what, key, value) for key, value in [*entity.traits.items(), *words]]


def _words(draws: Draws, *lists: str) -> list[str]:
    return [draws.pick(word_lists(WORDS)[name]) for name in lists]


def _year(draws: Draws, low: int, high: int) -> str:
    return str(draws.between(low, high))


def _person(draws: Draws) -> tuple[str, dict[str, str]]:
    first, last, profession, animal, instrument = _words(
        draws, "first_names", "surnames", "professions", "animals", "instruments"
    )
    # A middle initial distinguishes people with equal names.
    name = f"{first} {draws.pick('ABCDEFGHJKLMNPRSTVW')}. {last}"
    born = _year(draws, 1790, 1889)
    return name, {"profession": profession, "born": born, "animal": animal, "instrument": instrument}


def _town(draws: Draws) -> tuple[str, dict[str, str]]:
    root, end, mark, river, landmark, market = _words(
        draws, "town_roots", "town_ends", "town_marks", "rivers", "landmarks", "market_days"
    )
    name = f"{mark} {root}{end}" if draws.below(4) == 0 else f"{root}{end}"
    return name, {"river": river, "chartered": _year(draws, 1180, 1489), "landmark": landmark, "market": market}


def _school(draws: Draws) -> tuple[str, dict[str, str]]:
    surname, kind, subject, motto = _words(draws, "surnames", "institution_kinds", "institution_subjects", "mottos")
    return f"{surname} {kind} of {subject}", {"founded": _year(draws, 1690, 1839), "motto": motto}


def _event(draws: Draws) -> tuple[str, dict[str, str]]:
    river, kind, topic, prize = _words(draws, "rivers", "event_kinds", "event_topics", "prizes")
    traits = {"kind": kind, "topic": topic, "year": _year(draws, 1830, 1939), "prize": prize}
    return f"{river} {kind} on {topic}", traits


def _book(draws: Draws) -> tuple[str, dict[str, str]]:
    adjective, noun, binding = _words(draws, "title_adjectives", "title_nouns", "bindings")
    return f"The {adjective} {noun}", {"published": _year(draws, 1830, 1939), "binding": binding}


_MAKERS: dict[str, Callable[[Draws], tuple[str, dict[str, str]]]] = {
    "person": _person,
    "town": _town,
    "school": _school,
    "event": _event,
    "book": _book,
}
