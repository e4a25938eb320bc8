"""rlm_compacted: an RLM whose earlier turns are replaced by a summary before they fill the root's window."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from annotated_types import Ge, Gt, Le

from rlm.methods.compaction import Compactor, longest_summary
from rlm.methods.method import Method
from rlm.methods.rlm.loop import Loop
from rlm.methods.rlm.method import RLM
from rlm.methods.rlm.prompt import listed
from rlm.methods.window import Reader, Window, count_messages
from rlm.models import load_model
from rlm.models.chat import ContextOverflow, Reply
from rlm.prompts import load_prompt
from rlm.tree import COMPACTOR

if TYPE_CHECKING:
    from rlm.methods.method import ModelField
    from rlm.models.chat import ChatModel

# The latest turn is kept unchanged if it takes at most this share of the tokens that the history may have.
_KEPT_SHARE = 0.25
_LABELS = {"assistant": "REPLY OF THE MODEL", "user": "SHOWN TO THE MODEL"}


class CompactedLoop(Loop):
    """A loop whose earlier turns are summarised; its session and the opening of its conversation are kept.

    The compactor gets the task, the summary so far, the turns and the names of the session's variables. The latest turn
    is kept if it is short. Each compaction is an event `compaction`, above the compactor's calls.
    """

    rlm: RLMCompacted

    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        window = self.model.context_window
        self._limit = None if window is None else min(int(window * self.rlm.compact_at), Window(self.model).tokens or 0)
        self._summary = ""
        self._text = load_prompt(self.rlm.compaction_prompt)
        self._compactor = Compactor(
            self.rlm.compactor, self._text, {"task": self.talk.first, "variables": ""}, self.tree, depth=self.depth + 1,
            summary_tokens=self.rlm.summary_tokens or longest_summary(self.model, self.rlm.compactor),
        )  # fmt: skip
        self._compactions = 0

    async def _ask(self) -> Reply:
        if self._limit is not None and count_messages(self.talk.messages) > self._limit:
            # If the compactor has no room for the turns, the root's own window may still have.
            with contextlib.suppress(ContextOverflow):
                await self._compact("threshold")
        while True:
            try:
                return await super()._ask()
            except ContextOverflow:
                # The caller makes the last call if nothing is left to compact.
                if not await self._compact("overflow"):
                    raise

    async def _compact(self, why: str) -> bool:
        """Replace the turns by a summary. Returns False if there is none. Raises ContextOverflow and LimitReached."""
        turns = self.talk.turns
        if not turns:
            return False
        kept = turns[-2:] if self._keeps(turns) else []
        replaced = turns[: len(turns) - len(kept)]
        event = self.tree.trajectory.record(
            "compaction", parent=self.turn, depth=self.depth, why=why, messages=len(replaced),
            tokens=count_messages(replaced), kept_messages=len(kept),
        )  # fmt: skip
        variables = listed(self.talk.variables)
        self._compactor.words = {"task": self.talk.first, "variables": variables}
        reader = Reader([f"{_LABELS[message['role']]}:\n{message['content']}" for message in replaced])
        while not reader.ended:
            self._summary = await self.tree.shielded(self._compactor.compact(reader, self._summary, event))
        self._compactions += 1
        text = self._text.render("history", summary=self._summary, variables=variables, latest=bool(kept))
        self.talk.replace_turns(text, kept)
        self.tree.trajectory.record("notice", parent=event, depth=self.depth, text=text)
        return True

    def _keeps(self, turns: list[dict[str, str]]) -> bool:
        """True if the latest turn is kept, because it is short and not the only one."""
        most = (self._limit or count_messages(self.talk.messages)) * _KEPT_SHARE
        return len(turns) > 2 and count_messages(turns[-2:]) <= most

    def facts(self) -> dict[str, Any]:
        return {"compactions": self._compactions, "compaction_skipped": self._compactor.skipped}


@dataclass(kw_only=True)
class RLMCompacted(RLM):
    """RLM whose history is compacted when it fills a share of the root's window; children compact theirs as well.

    The REPL keeps its variables, and the loop continues. compact_at: the share of the window; if the window is
    unknown, or smaller than stated, the history is compacted after a refused call. If the compacted history does not
    fit either, the last call of `rlm` follows. compactor: the model that summarises, by default sub_model.
    compaction_prompt: a file with the parts `compact` and `history`. summary_tokens: the maximum length of a summary;
    None is a quarter of the smaller window, or the compactor's max_output_tokens if that is less.
    """

    loop: ClassVar[type[Loop]] = CompactedLoop
    model_fields: ClassVar[tuple[str, ...]] = (*Method.model_fields, COMPACTOR)

    compact_at: Annotated[float, Gt(0), Le(1)] = 0.75
    compaction_prompt: str = "compaction/history-v1"
    summary_tokens: Annotated[int, Ge(1)] | None = None
    if TYPE_CHECKING:
        compactor: ModelField = ModelField()
    else:
        compactor: ChatModel | str | None = None

    @property
    def option_prompts(self) -> tuple[str, ...]:
        return (*super().option_prompts, self.compaction_prompt)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.compactor = self.sub_model if self.compactor is None else load_model(self.compactor)
        sample = {
            "task": "task", "variables": "x (int)", "summary": "summary", "piece": "piece", "words": 1, "latest": True,
        }  # fmt: skip
        load_prompt(self.compaction_prompt).check(("compact", "history"), sample)
