"""The RLM's prompt files: each has all parts, keeps its size and states the settings."""

import hashlib
import itertools
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.running.manifest import describe_method
from rlm.completion import StopReason
from rlm.limits import Limits
from rlm.methods.base import PlainModel
from rlm.methods.codeact import CodeAct
from rlm.methods.rlm.method import RLM
from rlm.methods.rlm.prompt import PARTS
from rlm.methods.subcalls import capacity
from rlm.models.chat import ContextOverflow
from rlm.models.scripted import ScriptedModel
from rlm.models.tokens import count_tokens
from rlm.prompts import FOLDER, load_prompt

NAMES = sorted(f"recursive/{path.stem}" for path in (FOLDER / "recursive").glob("*.md"))


async def sent(
    name: str, protocol: str = "final_tags", window: int | None = None, **options: object
) -> list[dict[str, str]]:
    last = "FINAL(1)" if protocol == "final_tags" else '```repl\nanswer.update(content="1", ready=True)\n```'
    root = ScriptedModel([last], context_window=window)
    await RLM(model=root, prompt=name, protocol=protocol, **options).acompletion("some text " * 300, "What?")
    return root.requests[0]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("protocol", ["final_tags", "answer_variable"])
async def test_each_prompt_serves_both_protocols_and_all_depths(name: str, protocol: str) -> None:
    for depth in (0, 1, 2):
        system, *_, first = await sent(name, protocol, max_depth=depth)
        assert ("FINAL" in system["content"]) == (protocol == "final_tags")
        assert ("llm_query" in system["content"]) == (depth > 0)
        assert ("rlm_query" in system["content"]) == (depth > 1)
        assert "3000 characters" in first["content"] and "What?" in first["content"]
    assert set(load_prompt(name).parts) >= PARTS


async def test_the_compact_prompt_leaves_a_small_window_free() -> None:
    messages = await sent("recursive/compact-v1", window=2048)
    assert sum(count_tokens(message["content"]) for message in messages) < 200


async def test_prompts_of_a_family_say_more() -> None:
    default, coder, small = [
        (await sent(f"recursive/{name}-v1", window=32_768))[0]["content"]
        for name in ("default", "qwen3_coder", "small_window")
    ]
    assert "sparing" not in default and "take, about 40000 characters" in coder and "about 32768 tokens" in small
    large = await sent("recursive/qwen3_coder-v1", sub_model=ScriptedModel([], context_window=262_144))
    assert "take, about 200000 characters" in large[0]["content"] and "About 320000 characters" in large[0]["content"]
    hashes = {load_prompt(name).sha256 for name in NAMES}
    assert len(hashes) == len(NAMES)


@pytest.mark.parametrize("name", NAMES)
async def test_the_hash_of_the_prompt_file_is_in_every_calls_record(name: str) -> None:
    root = ScriptedModel(["```repl\nprint(llm_query('x'))\n```", "FINAL(1)"])
    result = await RLM(model=root, sub_model=ScriptedModel(["y"]), prompt=name).acompletion("text", "?")
    assert {call.prompt_file_sha256 for call in result.calls} == {load_prompt(name).sha256} and len(result.calls) == 3
    result = await PlainModel(model=ScriptedModel(["1"])).acompletion("text", "?")
    assert result.calls[0].prompt_file_sha256 is None


@pytest.mark.parametrize(
    ("window", "chars"), [(400_000, 500_000), (2048, 2500), (32_768, 40_000), (131_072, 160_000), (None, 150_000)]
)
async def test_the_prompt_states_the_capacity_of_the_sub_model(window: int | None, chars: int) -> None:
    sub = ScriptedModel([], context_window=window)
    assert capacity(sub, Limits()) == chars
    messages = await sent("recursive/default-v1", sub_model=sub)
    assert f"{chars} characters" in messages[0]["content"]
    messages = await sent("recursive/default-v1", sub_model=sub, limits=Limits(max_sub_prompt_tokens=1000))
    assert "1200 characters" in messages[0]["content"]
    messages = await sent("recursive/default-v1", sub_model=sub, sub_context_chars=777)
    assert "777 characters" in messages[0]["content"]


async def test_a_file_of_a_users_own_can_extend_a_prompt(tmp_path: Path) -> None:
    path = tmp_path / "mine.md"
    path.write_text('{% extends "recursive/default-v1.md" %}\n{% block advice %}Mind the gap.{% endblock %}')
    messages = await sent(str(path))
    assert "Mind the gap." in messages[0]["content"] and "llm_query(prompt)" in messages[0]["content"]


def test_the_library_starts_without_heavy_imports() -> None:
    code = (
        "import sys, rlm\nfrom rlm import RLM, Limits\n"
        "heavy = {'hydra', 'pandas', 'datasets', 'openai', 'matplotlib', 'numpy', 'scipy', 'jinja2'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        "assert 'RLM' in dir(rlm) and all(getattr(rlm, name) for name in rlm.__all__)\n"
        "try:\n    rlm.nothing\nexcept AttributeError as error:\n    assert 'nothing' in str(error)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=FOLDER.parent.parent)


EXTENDED = '{{% extends "recursive/default-v1.md" %}}\n{{% block output %}}{}{{% endblock %}}'


def test_every_part_may_use_every_setting(tmp_path) -> None:
    path = tmp_path / "mine.md"
    path.write_text(EXTENDED.format("{{ cells[0] }} Question: {{ query }} ({{ sub_chars }})"))
    root = ScriptedModel(["```repl\nprint(1)\n```", "FINAL(1)"])
    RLM(model=root, prompt=str(path), sub_context_chars=7).completion("text", "How many?")
    assert root.requests[1][-1]["content"] == "1 Question: How many? (7)"


def test_an_unknown_variable_of_a_part_is_refused_before_the_first_call(tmp_path) -> None:
    path = tmp_path / "mine.md"
    path.write_text(EXTENDED.format("{{ nothing }}"))
    with pytest.raises(ValueError, match="part 'output': 'nothing' is undefined"):
        RLM(model=ScriptedModel([]), prompt=str(path))


@pytest.mark.parametrize("depth", [0, 1, 2])
async def test_the_paper_prompt_has_the_content_of_the_published_one(depth: int) -> None:
    sub = ScriptedModel([], context_window=400_000)
    system = (await sent("recursive/paper-v1", max_depth=depth, sub_model=sub))[0]["content"]
    for content in (
        "step by step",
        "Go through the complete context",
        "serve as buffers",
        "tagged `repl`",
        "not in code",
    ):
        assert content in system
    for content in (
        "as much as you can",
        "about 500000 characters",
        "About ten documents",
        "Make one answer",
        "one label for each",
    ):
        assert (content in system) == (depth > 0 or content == "as much as you can")
    assert ("rlm_query" in system) == (depth > 1)


async def test_the_paper_prompts_of_other_models_differ_as_the_published_ones_do() -> None:
    sub = ScriptedModel([], context_window=262_144)
    coder = (await sent("recursive/paper_qwen3_coder-v1", sub_model=sub))[0]["content"]
    small = (await sent("recursive/paper_small_window-v1", window=32_768))[0]["content"]
    assert "about 200000 characters" in coder and "slow and expensive" in coder and "About ten documents" in coder
    assert "about 32768 tokens" in small and "Two or three documents" in small and "10000 to 15000" in small
    assert "About ten documents" not in small


async def test_the_code_in_the_paper_prompt_runs() -> None:
    import re

    for depth in (0, 1):
        system = (await sent("recursive/paper-v1", max_depth=depth))[0]["content"]
        blocks = re.findall(r"```repl\n(.*?)\n```", system, re.DOTALL)
        assert len(blocks) == (5 if depth else 2)
        for code in blocks:
            text = "\n".join(f"line {number}: the ship" for number in range(250))
            context = [text, text] if "enumerate(context" in code or "joined" in code else text
            exec(code, {"context": context, "llm_query": lambda prompt: "0: praise", "question": "Which?"})


@pytest.mark.parametrize(("kind", "name"), [(RLM, "recursive-v1"), (CodeAct, "codeact-v1")])
def test_the_words_of_options_have_a_hash_too(kind: type[RLM] | type[CodeAct], name: str) -> None:
    text = (FOLDER / "options" / f"{name}.md").read_bytes()
    described = describe_method(kind(model=ScriptedModel([])))
    assert described["prompt_options_sha256"] == hashlib.sha256(text).hexdigest() != described["prompt_sha256"]
    assert "prompt_options_sha256" not in describe_method(PlainModel(model=ScriptedModel([])))


EXAMPLES = """{% extends "recursive/compact-v1.md" %}
{% block examples %}
--- user ---
Which {{ output_chars }}?
--- assistant ---
```repl
print(1)
```
--- user ---
1
--- assistant ---
FINAL(1)
{% endblock %}
"""


async def test_worked_examples_are_messages_before_the_first_and_stay_when_turns_are_dropped(tmp_path) -> None:
    path = tmp_path / "examples.md"
    path.write_text(EXAMPLES)
    code = "```repl\nprint(context[:5])\n```"
    root = ScriptedModel([code, ContextOverflow("too long"), "FINAL(2)"])
    limits = Limits(max_output_chars=300)
    result = await RLM(model=root, prompt=str(path), limits=limits).acompletion("some text", "What?")
    assert (result.answer, result.stop_reason) == ("2", StopReason.CONTEXT_OVERFLOW)
    for request in root.requests:
        assert [message["role"] for message in request[:6]] == [
            "system",
            "user",
            "assistant",
            "user",
            "assistant",
            "user",
        ]
        assert [message["content"] for message in request[1:5]] == [
            "Which 300?", "```repl\nprint(1)\n```", "1", "FINAL(1)"
        ]  # fmt: skip
        assert "What?" in request[5]["content"]
    assert [len(request) for request in root.requests] == [6, 8, 6]


@pytest.mark.parametrize(
    "examples",
    [
        "--- user ---\nOne?",
        "--- assistant ---\nOne.",
        "One?\n--- user ---\nTwo?\n--- assistant ---\nThree.",
        "--- user ---\nOne?\n--- user ---\nTwo?\n--- assistant ---\nThree.",
        "--- user ---\nOne?\n--- system ---\nTwo.",
    ],
)
def test_worked_examples_that_are_no_conversation_are_refused_before_the_first_call(examples: str, tmp_path) -> None:
    for extended, method in [("recursive/compact-v1.md", RLM), ("codeact/default-v1.md", CodeAct)]:
        path = tmp_path / "examples.md"
        path.write_text(f'{{% extends "{extended}" %}}{{% block examples %}}{examples}{{% endblock %}}')
        load_prompt.cache_clear()
        with pytest.raises(ValueError, match="part 'examples': expected messages that begin with"):
            method(model=ScriptedModel([]), prompt=str(path))


@pytest.mark.parametrize("protocol", ["final_tags", "answer_variable"])
@pytest.mark.parametrize("depth", [0, 1])
async def test_the_code_of_the_small_coders_examples_runs_and_its_messages_have_the_form_of_real_ones(
    protocol: str, depth: int
) -> None:
    """Each example's replies are played over a context that holds what its outputs show."""
    shown = await sent("recursive/small_coder-v1", protocol, max_depth=depth)
    starts = [i for i, message in enumerate(shown) if message["content"].startswith("`context` is")] + [len(shown)]
    assert len(starts) == 4 + depth
    for start, end in itertools.pairwise(starts[:-1]):
        replies = [message["content"] for message in shown[start + 1 : end : 2]]
        query = shown[start]["content"].split("The question:\n")[1].split("\n\nYou have not")[0]
        outputs = [message["content"] for message in shown[start + 2 : end : 2]]
        context = "\n".join(text.split("\n\nThe question again")[0] for text in outputs)
        root = ScriptedModel(replies)
        options = {"first_turn_guard": True, "repeat_query": True, "output_before_answer": True}
        result = await RLM(
            model=root, sub_model=ScriptedModel(lambda messages: "room"), prompt="recursive/small_coder-v1",
            protocol=protocol, max_depth=depth, **options,
        ).acompletion(context, query)  # fmt: skip
        assert result.stop_reason == StopReason.ANSWER and result.answer in replies[-1]
        assert len(root.requests) == len(replies)
        asked = [message["content"] for message in root.requests[-1][len(shown) - 1 :: 2]]
        for real, example in zip(asked, [shown[start]["content"], *outputs], strict=True):
            assert real.split()[:2] == example.split()[:2] and real.endswith(example.split("\n\n")[-1])
