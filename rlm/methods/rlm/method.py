"""RLM and RLMBm25: the settings of a Recursive Language Model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt

from rlm.methods.bm25 import DEFAULT_B, DEFAULT_K1, K1, B, PassageTokens, Search, passages, search_function
from rlm.methods.method import Answer, Method
from rlm.methods.rlm.functions import check_names, check_tools, tool_notes
from rlm.methods.rlm.loop import Loop
from rlm.methods.rlm.prompt import LENGTHS, OPTIONS_FILE, check_prompt, load_rlm_prompt
from rlm.methods.rlm.reply import AnswerProtocol
from rlm.methods.subcalls import SubCalls
from rlm.prompt import Prompt
from rlm.repl.protocol import OutputCut, ReplSettings
from rlm.tree import CallTree


@dataclass(kw_only=True)
class RLM(Method):
    """Recursive Language Model (arXiv:2512.24601).

    Calls of the root have depth 0, calls of its code depth 1, calls of a child's code depth 2.

    max_depth: 0 is a REPL without sub-calls. 1: `llm_query` is a plain call of sub_model. N > 1: `rlm_query(context,
    query)` starts a child RLM, with sub_model as its root and its own session; at depth N it is `llm_query`. protocol:
    `final_tags` as published, or `answer_variable`. prompt: a name below rlm/prompts, or a path. prefix_chars: the
    characters of the context's beginning that the first message shows; without a query it shows both ends.
    sub_call_concurrency: the number of plain sub-calls in flight; children_concurrency: that of children of one RLM.
    sub_context_chars: the number of characters that the prompt states for a sub-call; None derives it from the
    sub-model's window. tools, data: functions and plain data that the session offers under their names. tool_timeout_s:
    the time limit of a tool, which runs on the host. repl: settings of the session, see conf/repl.

    The following options follow the paper's authors. first_turn_guard: the first message asks for code before an
    answer, and a final answer before any code has run is refused once. repeat_query: the question is repeated after
    each output. final_beside_code: a literal final answer in a reply with code is refused once, or taken. output_cut:
    the part of a long output that the root is shown. document_lengths: the number of documents whose lengths the first
    message states. show_vars: the session has SHOW_VARS(). max_turns: turns of one loop; the smaller of this and
    limits.max_turns holds.

    output_before_answer: a final answer is refused until a cell has printed something. It is not an option of the
    authors; small models need it, because they guess.
    """

    prompt_options: ClassVar[str] = OPTIONS_FILE
    loop: ClassVar[type[Loop]] = Loop

    max_depth: Annotated[int, Ge(0)] = 1
    protocol: AnswerProtocol = AnswerProtocol.FINAL_TAGS
    prompt: str = "recursive/default-v1"
    prefix_chars: Annotated[int, Ge(0)] = 0
    sub_call_concurrency: Annotated[int, Ge(1)] = 16
    children_concurrency: Annotated[int, Ge(1)] = 4
    sub_context_chars: Annotated[int, Ge(1)] | None = None
    tools: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    tool_timeout_s: Annotated[float, Gt(0)] = 300.0
    repl: ReplSettings | Mapping[str, Any] = field(default_factory=ReplSettings)
    first_turn_guard: bool = False
    repeat_query: bool = False
    output_before_answer: bool = False
    final_beside_code: Literal["refused_once", "taken"] = "refused_once"
    output_cut: OutputCut = "head_tail"
    document_lengths: Annotated[int, Ge(0)] = LENGTHS
    show_vars: bool = False
    max_turns: Annotated[int, Ge(0)] | None = None

    def __post_init__(self) -> None:
        # This check precedes that of the types, for a message that names the tool.
        check_tools(self.tools)
        super().__post_init__()
        check_names(self.data, "data")
        sample = {
            "protocol": str(self.protocol), "sub_calls": True, "children": True, "sub_chars": 1,
            "tools": tool_notes(self.tools), "data": dict.fromkeys(self.data, "str"), "output_chars": 1,
            "window_tokens": 1, "query": "question",
        }  # fmt: skip
        check_prompt(load_rlm_prompt(self.prompt), sample)

    async def answer(self, prompt: Prompt, tree: CallTree) -> Answer:
        calls = SubCalls(tree, self.sub_model, self.sub_call_concurrency)
        return await self.loop(self, prompt, tree, calls, self.model).run()

    def tools_for(self, prompt: Prompt) -> Mapping[str, Callable[..., Any]]:
        """Return the tools of a session over this prompt. A subclass may add tools that use its context."""
        return self.tools


@dataclass(kw_only=True)
class RLMBm25(RLM):
    """RLM with `search(query, k)`: BM25 over the documents of the context; a child searches its own context.

    passage_chars: the length of a passage if the context is one string. passage_tokens: if given, documents and strings
    are cut into passages of so many tokens. k1, b: the parameters of BM25.
    """

    passage_chars: Annotated[int, Ge(100)] = 2000
    passage_tokens: PassageTokens = None
    k1: K1 = DEFAULT_K1
    b: B = DEFAULT_B

    def __post_init__(self) -> None:
        super().__post_init__()
        if "search" in self.tools:
            raise ValueError("tools has 'search': expected another name, because the retriever has this one")

    def tools_for(self, prompt: Prompt) -> Mapping[str, Callable[..., Any]]:
        search = Search(lambda: passages(prompt.context, self.passage_chars, self.passage_tokens), self.k1, self.b)
        function = search_function(search, cuts_documents=self.passage_tokens is not None)
        return {**super().tools_for(prompt), "search": function}
