"""Generated OOLONG-real windows: transcripts with dice rolls and spells, as text and as events."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from benchmarks.sources.draws import Draws
from benchmarks.sources.wordlists import word_lists
from benchmarks.suites.oolong_real.prompt import END, START, head
from rlm.models.tokens import count_tokens

GENERATOR = "oolong-real-generated-1"
FOLDER = Path(__file__).parent
_FILE = FOLDER / "table.txt"
# A shorter window has too few rolls and spells for different questions.
SHORTEST = 1024
# Tokens reserved for the question and the instruction.
_ROOM = 110
MASTER = "Master"
PLAYERS = 5
# Windows with one episode and with several take turns.
EPISODES = (1, 3)
ROLL, SPELL = "roll", "spell"


@dataclass(frozen=True)
class Event:
    """A roll or a spell. episode: from 1. name: the type of the roll, or the spell. value: of the die; 0 for spells.

    higher: a spell that is cast at a higher level than its own.
    """

    kind: str
    episode: int
    character: str
    name: str
    value: int = 0
    higher: bool = False


@dataclass(frozen=True)
class Table:
    """A window: its text, the events in their order, the number of episodes, and the character of each player."""

    text: str
    events: tuple[Event, ...]
    episodes: int
    players: dict[str, str]


def generated_table(length: int, number: int, seed: int, encoding: str) -> Table:
    """Generate the number-th window of `length` tokens minus a reserve for the question."""
    draws = Draws(seed, "oolong_real", length, number)
    lists, episodes = word_lists(_FILE), EPISODES[number % len(EPISODES)]
    players = dict(zip(draws.some(lists["player"], PLAYERS), draws.some(lists["character"], PLAYERS), strict=True))
    before = head(episodes, players)
    marks = f"{START}\n{END}\n\n"
    left = length - _ROOM - count_tokens(before, encoding) - episodes * count_tokens(marks, encoding)
    texts, events = [], []
    for episode in range(1, episodes + 1):
        lines, room = [], left // episodes
        for turn, event in _turns(draws, lists, players, episode):
            room -= count_tokens(turn, encoding)
            if room < 0:
                break
            lines.append(turn)
            events += [event] if event else []
        texts.append(f"{START}\n{''.join(lines)}{END}\n")
    return Table(before + "\n".join(texts), tuple(events), episodes, players)


def _turns(
    draws: Draws, lists: dict[str, tuple[str, ...]], players: dict[str, str], episode: int
) -> Iterator[tuple[str, Event | None]]:
    """Yield turns without end, each one or two lines, with the event in it."""
    says = _sentences()
    # Each episode has its own frequent types and spells.
    kinds, spells = draws.some(lists["kind"], 6), draws.some(lists["spell"], 8)
    while True:
        player = draws.pick(list(players))
        character = players[player]
        words = {name: draws.pick(lists[name]) for name in ("place", "thing", "number", "spell")} | {
            "character": character
        }
        happens = draws.below(10)
        if happens < 3:
            kind, value = kinds[min(draws.below(6), draws.below(6))], draws.between(1, 20)
            article = "an" if kind[0] in "aeiou" else "a"
            asked = draws.pick(says["roll asked"]).format(kind=kind, article=article, **words)
            told = draws.pick(says["roll told"]).format(value=value)
            yield f"{MASTER}: {asked}\n{player}: {told}\n", Event(ROLL, episode, character, kind, value)
        elif happens < 5:
            higher = draws.below(4) == 0
            spell = spells[min(draws.below(8), draws.below(8))]
            said = draws.pick(says["cast higher" if higher else "cast"]).format_map(words | {"spell": spell})
            yield f"{player}: {said}\n", Event(SPELL, episode, character, spell, higher=higher)
        else:
            speaker, talk = (MASTER, "talk of the master") if draws.below(3) == 0 else (player, "talk")
            yield f"{speaker}: {draws.pick(says[talk]).format_map(words)}\n", None


@cache
def _sentences() -> dict[str, list[str]]:
    blocks = re.split(r"^\[(.+)\]\n", _FILE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {name: block.strip().splitlines() for name, block in zip(blocks[1::2], blocks[2::2], strict=True)}
