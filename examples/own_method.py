"""Compare a custom method with the base model in one run.

    python examples/own_method.py [overrides of `rlm-eval run`]

The class below and the file conf/method/two_looks.yaml beside this program are all that a method needs. The run uses a
scripted model; `model=openai` selects a real one.
"""

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.cli import main as rlm_eval
from rlm.methods.base import read_answer
from rlm.methods.method import Method

HERE = Path(__file__).resolve().parent


@dataclass(kw_only=True)
class TwoLooks(Method):
    """Asks the model twice; the second reply is the answer."""

    instruction: str = "Check the answer again."

    async def answer(self, prompt, tree):
        """Answer the prompt. `tree.call` charges each call to the limits and records it in the trajectory."""
        messages = prompt.messages()
        first = await tree.call(self.model, messages)
        messages += [{"role": "assistant", "content": first.text}, {"role": "user", "content": self.instruction}]
        return read_answer(await tree.call(self.model, messages, closing=True))


def main(overrides: list[str]) -> int:
    """Run `base` and `two_looks` on two samples of S-NIAH; return the exit code of `rlm-eval run`."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder, "script.jsonl")
        script.write_text('{"match": "", "reply": "1234567"}\n', encoding="utf-8")
        # An override that comes later replaces an earlier one of the same key.
        return rlm_eval(
            [
                "run", f"hydra.searchpath=[file://{HERE}/conf]", "method=[base,two_looks]", "benchmark=[sniah]",
                "benchmark.sniah.lengths=[512]", "limit=2", "model=scripted", f"model.script={script}", *overrides,
            ]
        )  # fmt: skip


if __name__ == "__main__":
    # The configuration names the class as own_method.TwoLooks.
    sys.path.insert(0, str(HERE))
    sys.exit(main(sys.argv[1:]))
