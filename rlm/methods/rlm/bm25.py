"""rlm_bm25: an RLM that also has a retriever in its REPL."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rlm.methods.retrieval import Search, passages, search_function
from rlm.methods.rlm.loop import RLM
from rlm.prompt import Prompt


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
