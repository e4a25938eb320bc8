"""Documents of the generated world: the facts of an entity, one sentence each, among meaningless prose."""

from __future__ import annotations

from functools import cache

from benchmarks.sources.draws import Draws
from benchmarks.sources.wordlists import word_lists
from benchmarks.suites.browsecomp_plus.world import WORDS, Entity, World

# The minimum and maximum number of sentences of a document. A sentence has about 20 tokens.
SENTENCES = (160, 480)
_SENTENCES_A_PARAGRAPH = 6
_PARAGRAPHS_A_SECTION = 5
# One in this many sentences names another entity that shares a trait with this one.
_MENTION_EVERY = 25

# (class, trait or relation) -> sentences that state it. {name} is the entity; {value} is the trait or another entity.
_FACTS: dict[tuple[str, str], tuple[str, ...]] = {
    ("person", "profession"): ("{name} earned a living as {a_value}.", "By training {name} was {a_value}."),
    ("person", "born"): ("{name} was born in {value}.", "The year in which {name} was born is {value}."),
    ("person", "animal"): ("For many years {name} kept {value}.", "Visitors remembered that {name} kept {value}."),
    ("person", "instrument"): ("In the evenings {name} played {value}.", "{name} played {value}, and played it well."),
    ("person", "birthplace"): ("The town where {name} was born is {value}.", "{name} came into the world in {value}."),
    ("person", "school"): ("{name} studied at the {value}.", "The school that {name} went to is the {value}."),
    ("person", "teacher"): ("{name} was taught by {value}.", "The teacher of {name} was {value}."),
    ("town", "river"): ("{name} lies on the river {value}.", "The river that runs past {name} is the {value}."),
    ("town", "chartered"): ("{name} received its charter in {value}.", "The charter of {name} was granted in {value}."),
    ("town", "landmark"): ("{name} is known for {value}.", "What travellers come to {name} to see is {value}."),
    ("town", "market"): ("The market of {name} is held on {value}.", "On {value} {name} holds its market."),
    ("town", "mayor"): ("The first mayor of {name} was {value}.", "As its first mayor {name} chose {value}."),
    ("school", "founded"): ("The {name} was founded in {value}.", "The {name} opened its doors in {value}."),
    ("school", "motto"): ('The motto of the {name} is "{value}".', 'Over the gate of the {name} stands "{value}".'),
    ("school", "founder"): ("The {name} was founded by {value}.", "The founder of the {name} was {value}."),
    ("school", "seat"): ("The {name} has its seat in {value}.", "The buildings of the {name} stand in {value}."),
    ("event", "kind"): ("The {name} called itself a {value}.", "What met as the {name} was a {value}."),
    ("event", "topic"): ("The {name} was given over to {value}.", "The subject of the {name} was {value}."),
    ("event", "year"): ("The {name} took place in {value}.", "It was in {value} that the {name} was held."),
    ("event", "prize"): ("The {name} awarded {value}.", "The prize of the {name} was {value}."),
    ("event", "host"): ("The {name} was held in {value}.", "The host of the {name} was the town of {value}."),
    ("event", "chair"): ("The {name} was chaired by {value}.", "In the chair of the {name} sat {value}."),
    ("event", "winner"): ("The prize of the {name} went to {value}.", "The winner at the {name} was {value}."),
    ("book", "published"): ("{name} was published in {value}.", "The first edition of {name} appeared in {value}."),
    ("book", "binding"): ("The first edition of {name} was bound in {value}.", "{name} was first sold in {value}."),
    ("book", "author"): ("{name} was written by {value}.", "The author of {name} is {value}."),
    ("book", "dedicatee"): ("{name} is dedicated to {value}.", "The dedication of {name} names {value}."),
    ("book", "printed_in"): ("{name} was printed in {value}.", "The printer of {name} had a shop in {value}."),
    ("book", "subject"): ("{name} describes the {value}.", "The {value} is what {name} is about."),
}  # fmt: skip

_MENTIONS = (
    "The name of {other} comes up in the same bundle of papers, without any link being shown.",
    "Readers who look for {other} are often sent to this entry by mistake.",
    "{other} has an entry elsewhere.",
    "A note in pencil asks whether {other} should be mentioned here, and leaves it open.",
)


def document(world: World, entity: Entity, sentences: tuple[int, int] = SENTENCES) -> str:
    """Write the document of an entity: a title, then sections of paragraphs. It depends only on world and entity."""
    draws = Draws(world.seed, "document", len(world.entities), entity.number)
    size = draws.between(*sentences)
    prose = _prose(draws, size)
    statements = [*facts(world, entity, draws).values(), *_mentions(world, entity, draws, size // _MENTION_EVERY)]
    for sentence, place in zip(statements, draws.many_below(size, len(statements)).tolist(), strict=True):
        prose[place] = f"{prose[place]} {sentence}"
    paragraphs = [" ".join(prose[i : i + _SENTENCES_A_PARAGRAPH]) for i in range(0, size, _SENTENCES_A_PARAGRAPH)]
    titles = draws.shuffled(word_lists(WORDS)["section_titles"])
    parts = [entity.name]
    for number, paragraph in enumerate(paragraphs):
        section, within = divmod(number, _PARAGRAPHS_A_SECTION)
        if within == 0:
            parts.append(titles[section % len(titles)])
        parts.append(paragraph)
    return "\n\n".join(parts)


def facts(world: World, entity: Entity, draws: Draws) -> dict[str, str]:
    """Map each trait and relation to a sentence that states it."""
    values = entity.traits | {relation: world.linked(entity, relation).name for relation in entity.links}
    return {
        key: draws.pick(_FACTS[entity.what, key]).format(name=entity.name, value=value, a_value=_with_article(value))
        for key, value in values.items()
    }


def _with_article(words: str) -> str:
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def _mentions(world: World, entity: Entity, draws: Draws, count: int) -> list[str]:
    others = world.alike(entity) or world.entities
    return [draws.pick(_MENTIONS).format(other=draws.pick(others).name) for _ in range(count)]


def _prose(draws: Draws, count: int) -> list[str]:
    openers, clauses, capitals, tails = _parts()
    opener = draws.many_below(2 * len(openers), count).tolist()
    clause = draws.many_below(len(clauses), count).tolist()
    tail = draws.many_below(len(tails), count).tolist()
    # Half of the sentences have no opener.
    return [
        (openers[o] + clauses[c] if o < len(openers) else capitals[c]) + tails[t]
        for o, c, t in zip(opener, clause, tail, strict=True)
    ]


@cache
def _parts() -> tuple[list[str], list[str], list[str], list[str]]:
    words = word_lists(WORDS)
    clauses = [f"{subject} {verb}" for subject in words["clause_subjects"] for verb in words["clause_verbs"]]
    return (
        [f"{opener}, " for opener in words["openers"]],
        clauses,
        [clause[0].upper() + clause[1:] for clause in clauses],
        [f" {tail}." for tail in words["tails"]],
    )
