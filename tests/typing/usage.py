"""Ordinary uses of the library; scripts/check checks their types, as it would those of a program that uses it."""

from pathlib import Path

from rlm import (
    RLM,
    Answer,
    Budget,
    CallTree,
    CodeAct,
    Compaction,
    Completion,
    Event,
    Limits,
    Method,
    PlainModel,
    Prompt,
    ScriptedModel,
    StopReason,
    load_model,
)


class Shouted(Method):
    """A method of one's own."""

    async def answer(self, prompt: Prompt, tree: CallTree) -> Answer:
        reply = await tree.call(load_model(self.model), prompt.messages())
        return Answer(reply.text.upper(), truncated=reply.truncated)


def tell(event: Event) -> None:
    print(event["kind"])


def all_prompts(method: Method) -> list[Completion]:
    budget = Budget(max_cost_usd=1.0)
    messages = [{"role": "user", "content": "What is 2 + 2?"}]
    parts = [{"role": "user", "content": [{"type": "text", "text": "What is 2 + 2?"}]}]
    return [
        method.completion("What is 2 + 2?", on_event=tell),
        method.completion(["one document", "another"], "Which?", limits=Limits(max_turns=3)),
        method.completion(Path("book.txt"), query="Who?", budget=budget),
        method.completion(messages),
        method.completion(parts),
        method.completion(Prompt("a context", "a question")),
    ]


async def answers(prompt: str) -> list[str | None]:
    model = ScriptedModel(["4"])
    methods: list[Method] = [
        RLM(model="openai/gpt-5", sub_model=model, max_depth=2, limits=Limits(max_cost_usd=1.0)),
        PlainModel(model=model),
        CodeAct(model=model),
        Compaction(model=model),
        Shouted(model=model),
    ]
    results = [await method.acompletion(prompt, query="Which?") for method in methods]
    dollars: float = sum(result.usage.cost.usd for result in results)
    tokens: int = sum(result.usage.tokens.total for result in results)
    print(dollars, tokens, results[0].stop_reason == StopReason.ANSWER, results[0].trajectory.to_jsonl())
    return [result.answer for result in results]
