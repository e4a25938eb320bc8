"""An answer scores the same through every arm: no method changes the form that OOLONG's official scorer reads."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.config.compose import compose
from benchmarks.config.methods import build_methods
from benchmarks.suites.oolong import Oolong
from rlm.models.scripted import ScriptedModel

ROOT = Path(__file__).parents[3]
# Reference rows call no model; a reference library and an agent need programs of their own.
NAMES = sorted(path.stem for path in (ROOT / "conf" / "method").glob("*.yaml"))
OTHERS = ("oracle", "floor", "reference", "agent", "claude", "codex", "opencode")
ARMS = [name for name in NAMES if not name.startswith(OTHERS)]
# The context does not fit these, so that their own steps come before the answer.
SHORT = {"compaction": 800, "map_reduce": 800, "base_truncated": 800, "base_bm25": 800}
PREDICTIONS = 50
# The arms whose loops differ; the others get a third of the predictions.
ALL = ("base", "compaction", "codeact_bm25", "rlm")


def predictions() -> list[tuple[Any, str]]:
    """Samples with answers: right ones, those of another sample, and right ones in forms that the scorer rejects."""
    suite = Oolong(lengths=[1024], samples=PREDICTIONS)
    samples = [suite.sample(info.sample_id) for info in suite.infos()]
    right = [suite.oracle(sample.target) for sample in samples]
    other = right[1:] + right[:1]
    forms = (
        "{0}",
        "{1}",
        "**{0}**",
        "{0}.",
        "I counted the lines (twice).\n\n{0}",
        "{0}",
        "I am not sure.\n{1}",
        "{2}",
    )
    return [
        (sample, forms[place % len(forms)].format(right[place], other[place], right[place].partition(": ")[2]))
        for place, sample in enumerate(samples)
    ]


class Root(ScriptedModel):
    """A root that gives `answer` as each arm's prompt asks for it."""

    answer = ""

    def __init__(self, context_window: int | None) -> None:
        super().__init__(self.reply, context_window=context_window)

    def reply(self, messages: Sequence[dict[str, str]]) -> str:
        asked = messages[0]["content"]
        if "FINAL(" in asked:
            code = len(self.answer) % 8 == 0
            return f"```repl\nfound = {self.answer!r}\n```\nFINAL_VAR(found)" if code else f"FINAL({self.answer})"
        return f"THINK: done.\nANSWER: {self.answer}" if "ANSWER:" in asked else self.answer


@pytest.fixture(scope="module")
def answers() -> list[tuple[Any, str]]:
    return predictions()


@pytest.fixture(scope="module")
def config() -> Any:
    return compose(["benchmark=[oolong]", f"method=[{','.join(ARMS)}]", "model=scripted", "model.script=unused"])


@pytest.mark.parametrize("name", ARMS)
async def test_answers_score_as_through_base(name: str, config: Any, answers: list[tuple[Any, str]]) -> None:
    root = Root(SHORT.get(name))
    models = {
        "root": root,
        "sub": ScriptedModel(lambda messages: "nothing", context_window=800),
        "compactor": ScriptedModel(lambda messages: "a summary", context_window=800),
    }
    method = build_methods(replace(config, method={name: config.method[name]}), models)[name]
    suite, scores = Oolong(lengths=[1024], samples=1), []
    # Every answer of rlm_selfconsistency takes eight sessions.
    step = 1 if name in ALL else 11 if name == "rlm_selfconsistency" else 3
    for sample, answer in answers[::step]:
        root.answer = answer
        result = await method.acompletion(sample.prompt.context, sample.prompt.query)
        expected, found = await suite.score(sample.target, answer), await suite.score(sample.target, result.answer)
        assert found.value == expected.value, (answer, result.answer)
        scores.append(found.value)
    assert 0.2 < sum(scores) / len(scores) < 0.9
