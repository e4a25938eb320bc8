"""The part of scripts/check_clients that runs Simon Willison's llm in a separate environment and prints JSON."""

import json
import os
import sys
import tempfile
from pathlib import Path

base_url, chat = sys.argv[1], json.loads(sys.stdin.read())
with tempfile.TemporaryDirectory() as folder:
    os.environ |= {"LLM_USER_PATH": folder, "OPENAI_API_KEY": "any"}
    entry = f"- model_id: served\n  model_name: rlm/scripted\n  api_base: {base_url}\n"
    Path(folder, "extra-openai-models.yaml").write_text(entry)
    import llm

    model = llm.get_model("served")
    whole = model.prompt(chat["question"], stream=False).text()
    pieces = list(model.prompt(chat["question"], stream=True))
    talk = model.conversation()
    for turn in chat["turns"][::2]:
        talk.prompt(turn, stream=False).text()
    last = talk.prompt(chat["ask"], stream=False)
    answer, usage = last.text(), last.usage()
print(json.dumps({"whole": whole, "stream": "".join(pieces), "chat": answer, "tokens": usage.input}))
