"""Many calls through the client while every kind of fault happens at random."""

import asyncio
import json

from rlm.models.client.endpoint import Endpoint
from rlm.models.client.model import OpenAIModel

STORM = {"backoff_s": 0.01, "max_backoff_s": 0.02, "max_retries": 12, "max_outage_wait_s": 30, "free": True}


async def test_a_storm_of_faults_ends_with_every_call_answered_once(fake_openai):
    names = ("429", "500", "503", "reset", "half_body", "bad_json", "no_choices", "502_html")
    faults = dict.fromkeys(names, 0.04)
    script = {"random": {"seed": 3, "faults": faults}}
    async with fake_openai.FakeOpenAI(script, latency_s=0.002) as server:
        endpoint = Endpoint(server.base_url, max_concurrency=16, **STORM)
        model = OpenAIModel("m", endpoint)
        asked = [[{"role": "user", "content": str(number)}] for number in range(200)]
        replies = await asyncio.gather(*map(model.complete, asked))
        await model.aclose()
        paid = [json.dumps(entry.body["messages"]) for entry in server.paid if entry.step is None]
    assert len(paid) == len(set(paid)) == 200
    assert all(
        reply.text == fake_openai.usual_reply({"messages": ask}) for reply, ask in zip(replies, asked, strict=True)
    )
