"""The texts of generated OOLONG-real prompts; rows keep their own."""

from __future__ import annotations

HEAD = (
    "Below {are} of a role-playing game, as the players spoke. {each} stands between the marks {start} and {end}. "
    "Every cast of a spell and every roll of a die that counts is spoken aloud; a spell that is only talked about was "
    "not cast. What is asked follows from the {noun}; count exactly and do not estimate.\n\n{players}\n\n"
)
START, END = "[START OF EPISODE]", "[END OF EPISODE]"
ENDING = r"Put the final answer, and nothing else, into \boxed{}, as in \boxed{3} or \boxed{first, second}."


def head(episodes: int, players: dict[str, str]) -> str:
    """Return the text before the transcripts. players: character by player."""
    one = episodes == 1
    return HEAD.format(
        are="is the transcript of one episode" if one else f"are the transcripts of {episodes} episodes",
        each="It" if one else "Each",
        noun="transcript" if one else "transcripts",
        start=START,
        end=END,
        players=" ".join(f"{player} plays {character}." for player, character in players.items()),
    )


def query_of(question: str) -> str:
    """Return a question with the form of its answer."""
    return f"{question} {ENDING}"
