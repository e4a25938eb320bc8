"""A small command-line agent: it finds `code NNN` in its prompt or in context.txt, and prints like other agents."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

USAGE = {"input_tokens": 120, "cached": 40, "output_tokens": 7}


def main() -> int:
    style, prompt = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else sys.stdin.read()
    text = Path("context.txt").read_text() if Path("context.txt").exists() else prompt
    answer = " ".join(re.findall(r"code (\d+)", text)) or "none"
    if style == "text":
        print(answer)
    elif style == "labelled":
        print(f"thinking...\nRESULT: {answer}\ntokens used: 1,234")
    elif style == "json":
        print("a warning before the JSON", file=sys.stderr)
        print(json.dumps({"result": answer, "is_error": False, "usage": USAGE, "total_cost_usd": 0.25}))
    elif style == "json_error":
        print(json.dumps({"result": "Prompt is too long", "is_error": True, "usage": USAGE, "total_cost_usd": 0.25}))
        return 1
    elif style == "jsonl":
        print("not JSON at all")
        for text in ("first I look", answer):
            print(json.dumps({"type": "item.completed", "item": {"type": "agent_message", "text": text}}))
            print(json.dumps({"type": "turn.completed", "usage": USAGE}))
    elif style == "see":
        print(
            json.dumps(
                {
                    "prompt": prompt,
                    "env": dict(os.environ),
                    "files": sorted(p.name for p in Path().iterdir()),
                    "cwd": str(Path.cwd()),
                }
            )
        )
    elif style == "fail":
        print("cannot connect", file=sys.stderr)
        return 3
    elif style == "hang":
        print(json.dumps({"type": "turn.completed", "usage": USAGE}), flush=True)
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        Path(sys.argv[3]).write_text(str(child.pid))
        time.sleep(600)
    elif style == "leave":
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        Path(sys.argv[3]).write_text(str(child.pid))
        print("done")
    return 0


if __name__ == "__main__":
    sys.exit(main())
