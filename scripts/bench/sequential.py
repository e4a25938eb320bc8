"""A method that consists of four sequential model calls."""

from __future__ import annotations

from dataclasses import dataclass

from rlm.methods.method import Answer, Method
from rlm.prompt import Prompt
from rlm.tree import CallTree


@dataclass(kw_only=True)
class Sequential(Method):
    """Sends the complete prompt four times and answers with the last reply."""

    async def answer(self, prompt: Prompt, tree: CallTree) -> Answer:
        for turn in range(4):
            reply = await tree.call(self.model, prompt.messages(f"{turn}\n{prompt.context_text}"))
        return Answer(reply.text)
