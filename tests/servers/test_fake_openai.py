"""The scripted server as a process of its own: it says where it listens, follows its script, and logs every request."""

import asyncio
import json
import sys

from rlm.models.client.endpoint import Endpoint
from rlm.models.client.model import OpenAIModel


async def test_a_process_follows_a_script_file_and_logs_each_request(fake_openai, tmp_path):
    script, log = tmp_path / "script.json", tmp_path / "log.jsonl"
    script.write_text(json.dumps(["500", None, {"text": "as told"}]))
    options = ["--script", str(script), "--log", str(log), "--latency", "0.01"]
    process = await asyncio.create_subprocess_exec(
        sys.executable, fake_openai.__file__, *options, stdout=asyncio.subprocess.PIPE
    )
    try:
        base_url = (await process.stdout.readline()).decode().removeprefix("listening: ").strip()
        model = OpenAIModel("m", Endpoint(base_url, backoff_s=0.01, free=True))
        replies = [await model.complete([{"role": "user", "content": "one two"}]) for _ in range(2)]
        await model.aclose()
        # The reply arrives before its line is written.
        while len(log.read_text().splitlines()) < 6:
            await asyncio.sleep(0.01)
    finally:
        process.terminate()
        await process.wait()
    assert [reply.text for reply in replies] == [
        fake_openai.usual_reply({"messages": [{"role": "user", "content": "one two"}]}),
        "as told",
    ]
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(line["event"], line["number"], line["status"], line["paid"]) for line in lines] == [
        ("received", 0, None, False), ("answered", 0, 500, False),
        ("received", 1, None, False), ("answered", 1, 200, True),
        ("received", 2, None, False), ("answered", 2, 200, True),
    ]  # fmt: skip
    assert len({line["sha256"] for line in lines}) == 1


def test_a_random_script_draws_the_same_faults_again(fake_openai):
    drawn = [fake_openai.random_step(number, 3, {"reset": 0.3, "500": 0.3}, first=200) for number in range(300)]
    assert drawn == [fake_openai.random_step(number, 3, {"reset": 0.3, "500": 0.3}, first=200) for number in range(300)]
    assert set(drawn[:200]) == {"reset", "500", None}
    assert set(drawn[200:]) == {None}
