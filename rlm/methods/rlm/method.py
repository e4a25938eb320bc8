"""RLM and RLMBm25: the settings of a Recursive Language Model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rlm.methods.bm25 import Search, passages, search_function
from rlm.methods.method import Answer, Method
from rlm.methods.rlm.functions import check_names, check_tools
from rlm.methods.rlm.loop import Loop
from rlm.methods.rlm.prompt import PARTS
from rlm.methods.rlm.reply import AnswerProtocol
from rlm.methods.subcalls import SubCalls
from rlm.prompt import Prompt
from rlm.prompts import load_prompt
from rlm.repl.protocol import ReplSettings
from rlm.tree import CallTree


@dataclass(kw_only=True)
class RLM(Method):
    """Recursive Language Model (arXiv:2512.24601).

    The root's own calls have depth 0; what its code calls has depth 1, what a child's code calls has depth 2.

    max_depth: 0 is a REPL without sub-calls. 1: `llm_query` is a plain call of sub_model. N > 1: `rlm_query(context,
    query)` starts a child RLM, with sub_model as its root and a session of its own; at depth N it is `llm_query`.
    protocol: `final_tags` as published, or `answer_variable`. prompt: a name below rlm/prompts, or a path.
    prefix_chars: how much of the context's beginning the first message shows; with no query it shows both ends.
    sub_call_concurrency: plain sub-calls on the wire at a time; children_concurrency: children of one RLM at a time.
    sub_context_chars: what the root is told that fits into a sub-call; None is reckoned from the sub-model's window.
    tools, data: functions and plain data that appear in the REPL under their names. A tool runs on the host for at
    most tool_timeout_s. repl: settings of the session, see conf/repl.
    """

    max_depth: int = 1
    protocol: str = AnswerProtocol.FINAL_TAGS
    prompt: str = "recursive/default-v1"
    prefix_chars: int = 0
    sub_call_concurrency: int = 16
    children_concurrency: int = 4
    sub_context_chars: int | None = None
    tools: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    tool_timeout_s: float = 300.0
    repl: ReplSettings | Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        missing = sorted(PARTS - set(load_prompt(self.prompt).parts))
        if missing:
            raise ValueError(f"prompt {self.prompt} lacks the part {missing[0]!r}; extend recursive/default-v1.md")
        ReplSettings.of(self.repl)
        check_tools(self.tools)
        check_names(self.data, "data")
        if self.protocol not in list(AnswerProtocol):
            raise ValueError(f"protocol is {self.protocol!r}: wanted {' or '.join(AnswerProtocol)}")
        least = {"max_depth": 0, "prefix_chars": 0, "sub_call_concurrency": 1, "children_concurrency": 1}
        for name, minimum in least.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
                raise ValueError(f"{name} is {value!r}: wanted a whole number of at least {minimum}")
        if self.sub_context_chars is not None and self.sub_context_chars < 1:
            raise ValueError(f"sub_context_chars is {self.sub_context_chars!r}: wanted a number from 1, or null")

    async def answer(self, prompt: Prompt, tree: CallTree) -> Answer:
        calls = SubCalls(tree, self.sub_model, self.sub_call_concurrency)
        return await Loop(self, prompt, tree, calls, self.model).run()

    def tools_for(self, prompt: Prompt) -> Mapping[str, Callable[..., Any]]:
        """The tools of a session over this prompt; a subclass may add some that are made from its context."""
        return self.tools


@dataclass(kw_only=True)
class RLMBm25(RLM):
    """RLM with `search(query, k)`: BM25 over the documents of its context, a child's over those of the child's own.

    passage_chars: how long a passage is where the context is one string.
    """

    passage_chars: int = 2000

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.passage_chars < 100:
            raise ValueError(f"passage_chars is {self.passage_chars}: wanted at least 100")
        if "search" in self.tools:
            raise ValueError("tools has 'search', which is the name of the retriever")

    def tools_for(self, prompt: Prompt) -> Mapping[str, Callable[..., Any]]:
        search = Search(lambda: passages(prompt.context, self.passage_chars))
        return {**super().tools_for(prompt), "search": search_function(search)}
