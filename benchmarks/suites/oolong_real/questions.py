"""The questions about a generated window, with answers computed from its events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from benchmarks.sources.draws import Draws
from benchmarks.suites.oolong_real.generator import ROLL, SPELL, Event, Table

# A question and its answer in the form of the data set; None if the window has none.
Asked = tuple[str, str] | None
_TRIES = 200
# Questions on rolls and on spells take turns.
PLAN = (ROLL, SPELL) * 8


def asked_questions(seed: int, length: int, number: int, table: Table) -> tuple[tuple[str, str], ...]:
    """Draw the different questions of a window, in the order of the plan. Raises ValueError if it is too short."""
    found: dict[str, str] = {}
    for place, kind in enumerate(PLAN):
        draws = Draws(seed, "oolong_real", length, number, place)
        for _ in range(_TRIES):
            asked = _draw(draws, kind, table)
            if asked is not None and asked[0] not in found:
                found[asked[0]] = asked[1]
                break
        else:
            raise ValueError(
                f"a transcript of {length} tokens is too short for {len(PLAN)} questions; increase lengths"
            )
    return tuple(found.items())


def _draw(draws: Draws, kind: str, table: Table) -> Asked:
    events = [event for event in table.events if event.kind == kind]
    scope = "in this episode" if table.episodes == 1 else "in all episodes together"
    if table.episodes > 1 and draws.below(3) == 0:
        last = draws.between(1, table.episodes)
        events, scope = [event for event in events if event.episode <= last], f"up to the end of episode {last}"
    if not events:
        return None
    noun = "rolls" if kind == ROLL else "spells cast"
    return draws.pick(_ROLLS if kind == ROLL else _SPELLS)(draws, events, f"{noun} {scope}", table)


def _total(draws: Draws, events: Sequence[Event], things: str, table: Table) -> Asked:
    return f"How many {things} are there?", str(len(events))


def _of_character(draws: Draws, events: Sequence[Event], things: str, table: Table) -> Asked:
    player, character = draws.pick(list(table.players.items()))
    by = draws.pick((f"the character {character}", f"the player {player}"))
    return f"How many of the {things} are by {by}?", str(sum(event.character == character for event in events))


def _of_name(draws: Draws, events: Sequence[Event], things: str, table: Table) -> Asked:
    name = draws.pick(events).name
    what = "of the type" if events[0].kind == ROLL else "of the spell"
    return f"How many of the {things} are {what} {name}?", str(sum(event.name == name for event in events))


def _most_common(draws: Draws, events: Sequence[Event], things: str, table: Table) -> Asked:
    what = "type" if events[0].kind == ROLL else "spell"
    return f"Which {what} is the most common among the {things}? List all if several are.", _most(events, _name)


def _most_common_value(draws: Draws, events: Sequence[Event], things: str, table: Table) -> Asked:
    return (
        f"Which value on the die is the most common among the {things}? List all if several are.",
        _most(events, lambda event: event.value),
    )


def _of_value(draws: Draws, events: Sequence[Event], things: str, table: Table) -> Asked:
    value = draws.between(1, 20)
    return f"How many of the {things} have {value} on the die?", str(sum(event.value == value for event in events))


def _extreme(draws: Draws, events: Sequence[Event], things: str, table: Table) -> Asked:
    return f"How many of the {things} have 1 or 20 on the die?", str(sum(event.value in (1, 20) for event in events))


def _percentage(draws: Draws, events: Sequence[Event], things: str, table: Table) -> Asked:
    value = draws.pick(events).value
    count = sum(event.value == value for event in events)
    # An answer half-way between two integers depends on the kind of rounding.
    if 200 * count % (2 * len(events)) == len(events):
        return None
    share = (200 * count + len(events)) // (2 * len(events))
    return f"What percentage of the {things} have {value} on the die? Round to the nearest integer.", str(share)


def _first(draws: Draws, events: Sequence[Event], things: str, table: Table) -> Asked:
    return f"What is the first of the {things}?", events[0].name


def _last(draws: Draws, events: Sequence[Event], things: str, table: Table) -> Asked:
    return f"What is the last of the {things}?", events[-1].name


def _casters(draws: Draws, events: Sequence[Event], things: str, table: Table) -> Asked:
    name = draws.pick(events).name
    casters = {event.character for event in events if event.name == name}
    return f"By how many different characters is {name} among the {things}?", str(len(casters))


def _shared(draws: Draws, events: Sequence[Event], things: str, table: Table) -> Asked:
    pairs = {(event.name, event.character) for event in events}
    shared = [name for name, count in Counter(name for name, _ in pairs).items() if count > 1]
    return _listed(f"Which of the {things} are by more than one character? List each once.", shared)


def _higher(draws: Draws, events: Sequence[Event], things: str, table: Table) -> Asked:
    higher = {event.name for event in events if event.higher}
    return _listed(f"Which of the {things} are cast at a level above their own at least once? List each once.", higher)


def _number_higher(draws: Draws, events: Sequence[Event], things: str, table: Table) -> Asked:
    return f"How many of the {things} are at a level above their own?", str(sum(event.higher for event in events))


def _listed(question: str, names: Iterable[str]) -> Asked:
    answer = ", ".join(sorted(names))
    return (question, answer) if answer else None


def _name(event: Event) -> str:
    return event.name


def _most(events: Sequence[Event], key: Callable[[Event], Any]) -> str:
    counts = Counter(map(key, events))
    return ", ".join(str(one) for one in sorted(counts) if counts[one] == max(counts.values()))


_BOTH = (_total, _of_character, _of_name, _most_common)
_ROLLS = (*_BOTH, _most_common_value, _of_value, _extreme, _percentage)
_SPELLS = (*_BOTH, _first, _last, _casters, _shared, _higher, _number_higher)
