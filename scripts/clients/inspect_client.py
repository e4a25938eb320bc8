"""The part of scripts/check_clients that runs Inspect in a separate environment and prints its results as JSON."""

import asyncio
import json
import sys

from inspect_ai.model import ChatMessageAssistant, ChatMessageUser, get_model

base_url, chat = sys.argv[1], json.loads(sys.stdin.read())
name = "openai-api/served/rlm/scripted"


async def main():
    model = get_model(name, base_url=base_url, api_key="any")
    streaming = get_model(name, base_url=base_url, api_key="any", stream=True)
    turns = [(ChatMessageUser, ChatMessageAssistant)[i % 2](content=text) for i, text in enumerate(chat["turns"])]
    whole = await model.generate(chat["question"])
    streamed = await streaming.generate(chat["question"])
    last = await model.generate([*turns, ChatMessageUser(content=chat["ask"])])
    seen = {"whole": whole.completion, "stream": streamed.completion, "chat": last.completion}
    print(json.dumps(seen | {"tokens": last.usage.input_tokens}))


asyncio.run(main())
