"""A bound holds for programs made at random, over texts of several alphabets and replies of any form."""

import asyncio
from itertools import count
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from rlm.methods.combinators.bound import REQUEST_TOKENS, Bound, Room
from rlm.methods.combinators.language import CostFault
from rlm.methods.combinators.session import CombinatorSession
from rlm.methods.window import fit
from rlm.models.tokens import count_tokens
from rlm.repl.protocol import CellResult

CONTEXTS = ["line one is here.\n" * 30, "日本語のテキスト。" * 60, "x" * 700, ("abc def. " * 40 + "\n\n") * 3]
REPLIES = ["yes it is", "no", "", "word " * 60, "日本語" * 40, "a b c d e " * 20]
REPLY_TOKENS, MOST_CALLS = 30, 300


class Writer:
    """Writes programs that are well typed."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.names = (f"v{number}" for number in count())

    def text(self, depth: int, texts: list[str]) -> str:
        """An expression whose value is a text; texts: the variables that hold one."""
        one, other = next(self.names), next(self.names)
        name = self.rng.choice(texts)
        choices = [
            lambda: self.rng.choice(["'word one'", "'a\\nb'", name]),
            lambda: f"peek({name}, {self.rng.choice([0, -50, 20])}, {self.rng.choice([10, 300])})",
            lambda: f"f'Say {{{name}}} {{count([{self.rng.choice(texts)}])}}'",
            lambda: f"ask({self.text(depth - 1, texts)})",
            lambda: f"concatenate({self.items(depth - 1, texts)})",
            lambda: f"reduce(lambda {one}, {other}: {self.text(depth - 1, [*texts, one, other])}, "
                    f"{self.items(depth - 1, texts)})",
        ]  # fmt: skip
        return self.rng.choice(choices if depth > 0 else choices[:3])()

    def items(self, depth: int, texts: list[str]) -> str:
        """An expression whose value is a list of texts."""
        one, other = next(self.names), next(self.names)
        choices = [
            lambda: f"split({self.text(0, texts)}, {self.rng.choice([100, 137, 400])})",
            lambda: f"split({self.text(depth - 1, texts)}, {self.rng.choice(' e')!r})",
            lambda: f"[{self.text(0, texts)}, {self.text(0, texts)}]",
            lambda: f"map(lambda {one}: {self.text(depth - 1, [*texts, one])}, {self.items(depth - 1, texts)})",
            lambda: f"filter(lambda {one}: is_yes({self.text(depth - 1, [*texts, one])}), "
                    f"{self.items(depth - 1, texts)})",
            lambda: f"map(lambda {one}, {other}: {self.text(depth - 1, [*texts, one, other])}, "
                    f"cross({self.items(depth - 1, texts)}, {self.items(0, texts)}))",
        ]  # fmt: skip
        return self.rng.choice(choices if depth > 0 else choices[:3])()

    def program(self) -> str:
        last = self.rng.choice([self.text, self.items])(3, ["context", "query", "first"])
        return f"first = {self.text(2, ['context', 'query'])}\n{last}"


async def run(code: str, rng: Random) -> tuple[CellResult, list[str], list[Bound]]:
    prompts: list[str] = []
    bounds: list[Bound] = []

    async def ask(prompt: str) -> str:
        prompts.append(prompt)
        reply = rng.choice([*REPLIES, prompt[:200]])
        return reply[: fit(reply, 0, REPLY_TOKENS)]

    def admit(bound: Bound) -> None:
        bounds.append(bound)
        if bound.calls > MOST_CALLS:
            raise CostFault("too many calls for a test")

    room = Room(None, REPLY_TOKENS, 64 << 20)
    session = CombinatorSession(rng.choice(CONTEXTS), "which?", ask, admit, room, max_output_chars=500)
    return await session.run(code), prompts, bounds


@settings(max_examples=30)
@given(st.randoms(use_true_random=False))
def test_no_program_exceeds_its_bound(rng: Random) -> None:
    code = Writer(rng).program()
    result, prompts, bounds = asyncio.run(run(code, rng))
    assert result.error_type in (None, "CostError"), (code, result.error)
    if not bounds:
        assert "characters on the host" in (result.error or "") and not prompts, code
        return
    (bound,) = bounds
    assert len(prompts) <= bound.calls, code
    assert sum(count_tokens(prompt) + REQUEST_TOKENS for prompt in prompts) <= bound.prompt_tokens, code
    assert bound.completion_tokens == REPLY_TOKENS * bound.calls
