"""rlm_combinators: an RLM whose root may only compose typed combinators over sub-calls."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from annotated_types import Ge

from rlm.methods.combinators.bound import REPLY_CHARS, Bound, Room
from rlm.methods.combinators.language import CostFault
from rlm.methods.combinators.session import CombinatorSession
from rlm.methods.method import Answer, Method
from rlm.methods.rlm.loop import Loop
from rlm.methods.rlm.method import RLM
from rlm.methods.rlm.prompt import LENGTHS, OPTIONS_FILE
from rlm.methods.rlm.strategy import Decomposition
from rlm.methods.session import MethodSession
from rlm.methods.subcalls import PaidReplies, SubCalls, sub_window
from rlm.methods.window import fit, reply_tokens
from rlm.prompt import Prompt
from rlm.tree import CallTree

# Characters that a program may handle on the host: at least this many, and several times the context's.
_LEAST_WORK, _WORK_PER_CHAR = 64 << 20, 8
_UNKNOWN_REPLY = 4096
_SPLIT_LINES = re.compile(r"""\bsplit\([^,]+,\s*(['"])\\n\1\s*\)""")
_ASK, _CONTEXT = re.compile(r"\bask\("), re.compile(r"\bcontext\b")
_SPLIT_SIZE = re.compile(r"\bsplit\([^,]+,\s*\d")


class CombinatorLoop(Loop):
    """A root's loop over a session of combinators."""

    reply_tokens: int | None = None

    async def _open(self) -> MethodSession:
        limits, sub = self.tree.meter.limits, self.rlm.sub_model
        paid = PaidReplies(self.tree.meter)
        most = self.reply_tokens or reply_tokens(sub) or _UNKNOWN_REPLY

        async def call(prompt: str) -> str:
            return await self.calls.ask(prompt, depth=self.depth + 1, parent=self.turn)

        async def ask(prompt: str) -> str:
            reply = (await paid.reply(prompt, call))[: REPLY_CHARS * most]
            return reply if len(reply) <= most else reply[: fit(reply, 0, most)]

        session = CombinatorSession(
            self.prompt.context, self.prompt.question, ask, self._admit,
            Room(sub_window(sub, limits), most, max(_LEAST_WORK, _WORK_PER_CHAR * self.prompt.chars)),
            max_output_chars=self.limits.max_output_chars, output_cut=self.rlm.output_cut,
            max_value_bytes=limits.max_answer_bytes,
        )  # fmt: skip
        return MethodSession(session, self.tree, paid)

    def _admit(self, bound: Bound) -> None:
        """Record the bound of a program, and refuse it if it exceeds what is left of a limit."""
        calls, tokens = self.tree.meter.remaining_sub_calls, self.tree.meter.left["tokens"]
        refused = _refusal(bound, calls, None if tokens is None else int(tokens))
        self._record(
            "bound", calls=bound.calls, prompt_tokens=bound.prompt_tokens, completion_tokens=bound.completion_tokens,
            refused=refused,
        )  # fmt: skip
        if refused:
            raise CostFault(refused)

    def facts(self) -> dict[str, Any]:
        cells = [event for event in self.tree.trajectory.of_kind("cell") if event["status"] == "ok"]
        kinds = [_decomposition(event["code"], self.prompt) for event in cells]
        found = next(filter(None, kinds), Decomposition.PEEK if cells else None)
        return {"decomposition": None if found is None else str(found)}


@dataclass(kw_only=True)
class RLMCombinators(Method):
    """lambda-RLM (arXiv:2603.20105) with programs of the root's own: split, map, filter, reduce, concatenate and cross
    over sub-calls.

    A reply holds a program in place of Python code. It is read, never executed as Python: its types are checked, and
    the number and the tokens of its sub-calls are bounded before it runs. A program whose bound exceeds the remaining
    limits is rejected with a message to the root. Programs share their variables. reply_tokens: the tokens that the
    bound assumes for a sub-call's reply; longer replies are cut, and None takes sub_model's max_output_tokens. The
    other settings are those of RLM.
    """

    prompt_options: ClassVar[str] = OPTIONS_FILE
    protocol: ClassVar[str] = "final_tags"

    prompt: str = "combinators/default-v1"
    prefix_chars: Annotated[int, Ge(0)] = 0
    sub_call_concurrency: Annotated[int, Ge(1)] = 16
    sub_context_chars: Annotated[int, Ge(1)] | None = None
    reply_tokens: Annotated[int, Ge(1)] | None = None
    repeat_query: bool = False
    output_before_answer: bool = False
    document_lengths: Annotated[int, Ge(0)] = LENGTHS
    max_turns: Annotated[int, Ge(0)] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        shared = ("prompt", "prefix_chars", "sub_call_concurrency", "sub_context_chars", "repeat_query",
                  "output_before_answer", "document_lengths", "max_turns")  # fmt: skip
        settings = {name: getattr(self, name) for name in shared}
        self._rlm = RLM(model=self.model, sub_model=self.sub_model, limits=self.limits, **settings)

    async def answer(self, prompt: Prompt, tree: CallTree) -> Answer:
        calls = SubCalls(tree, self.sub_model, self.sub_call_concurrency)
        loop = CombinatorLoop(self._rlm, prompt, tree, calls, self.model)
        loop.reply_tokens = self.reply_tokens
        return await loop.run()


def _refusal(bound: Bound, calls: int | None, tokens: int | None) -> str | None:
    """Return the reason why a program is rejected; None if it stays within the remaining limits."""
    advice = "use fewer and larger pieces, or filter by `contains` first"
    if calls is not None and bound.calls > calls:
        return f"not run: the program could make {bound.calls:,} sub-calls, and {calls:,} are left; {advice}"
    if tokens is not None and bound.tokens > tokens:
        return f"not run: its sub-calls could take {bound.tokens:,} tokens, and {tokens:,} are left; {advice}"
    return None


def _decomposition(code: str, prompt: Prompt) -> Decomposition | None:
    """Return the kind of decomposition of a program; None if it decomposes nothing."""
    if _SPLIT_LINES.search(code):
        return Decomposition.PER_LINE
    if _SPLIT_SIZE.search(code):
        return Decomposition.FIXED_CHUNKS
    if "split(" in code or (not isinstance(prompt.context, str) and re.search(r"\b(map|filter|cross)\(", code)):
        return Decomposition.STRUCTURE
    if re.search(r"\bcontains\(", code):
        return Decomposition.KEYWORD_SEARCH
    first = _ASK.search(code)
    return Decomposition.WHOLE if first and _CONTEXT.search(code, first.end()) else None
