"""A method checks its prompt file when it is made, and refuses a bad file in one line that names the file and part."""

from functools import partial

import pytest

from benchmarks.scoring.judge import LlmJudge
from rlm.methods.codeact import CodeAct
from rlm.methods.compaction import Compaction
from rlm.methods.map_reduce import MapReduce
from rlm.methods.rlm.compacted import RLMCompacted
from rlm.methods.rlm.method import RLM
from rlm.models.scripted import ScriptedModel
from rlm.prompts import PromptError

EXTENDS = '{{% extends "{}-v1.md" %}}\n'
# The maker of each user of prompt files, the file to begin with, and one of its parts.
USERS = {
    "rlm": (lambda path: RLM(model=ScriptedModel([]), prompt=path), EXTENDS.format("recursive/default"), "output"),
    "codeact": (
        lambda path: CodeAct(model=ScriptedModel([]), prompt=path), EXTENDS.format("codeact/default"), "observation",
    ),
    "map_reduce": (
        lambda path: MapReduce(model=ScriptedModel([]), prompt=path), EXTENDS.format("map_reduce/default"), "nothing",
    ),
    "compaction": (
        lambda path: Compaction(model=ScriptedModel([]), prompt=path), EXTENDS.format("compaction/default"), "context",
    ),
    "rlm_compacted": (
        lambda path: RLMCompacted(model=ScriptedModel([]), compaction_prompt=path),
        EXTENDS.format("compaction/history"), "history",
    ),
    "judge": (partial(LlmJudge, ScriptedModel([])), "", "user"),
}  # fmt: skip


def refusal(user: str, text: str, tmp_path) -> str:
    """The one line with which a user of prompt files refuses a file with this text after its first lines."""
    make, begin, _ = USERS[user]
    path = tmp_path / f"{user}-bad.md"
    path.write_text(begin + text)
    with pytest.raises(PromptError) as caught:
        make(str(path))
    assert "bad.md" in str(caught.value) and "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{{ nope }}", "'nope' is undefined"),
        ("{{ 1 / 0 }}", "division by zero"),
        ("{{ ''.__class__ }}", "access to attribute '__class__' of 'str' object is unsafe"),
        ("{{ range(10 ** 9) }}", "Range too big"),
    ],
)
def test_a_part_that_cannot_be_rendered_is_named(user: str, text: str, why: str, tmp_path) -> None:
    part = USERS[user][2]
    assert f"part {part!r}: {why}" in refusal(user, f"{{% block {part} %}}{text}{{% endblock %}}", tmp_path)


@pytest.mark.parametrize("user", USERS)
def test_a_misspelled_part_is_refused_with_the_nearest_name(user: str, tmp_path) -> None:
    part = USERS[user][2]
    text = f"{{% block {part} %}}text{{% endblock %}}{{% block {part}s %}}{{% endblock %}}"
    assert f"unknown part '{part}s'; did you mean {part!r}?" in refusal(user, text, tmp_path)


@pytest.mark.parametrize("user", [name for name in USERS if name != "judge"])
def test_a_missing_part_is_named(user: str, tmp_path, monkeypatch) -> None:
    make, _, part = USERS[user]
    monkeypatch.setitem(USERS, user, (make, "", part))
    assert "expected a file with the part '" in refusal(user, "no part at all", tmp_path)


def test_a_part_that_another_part_calls_may_have_any_name(tmp_path) -> None:
    path = tmp_path / "good.md"
    path.write_text(USERS["rlm"][1] + "{% block mine %}x{% endblock %}{% block last %}{{ self.mine() }}{% endblock %}")
    RLM(model=ScriptedModel([]), prompt=str(path))


def test_a_part_is_checked_with_a_text_as_context_too(tmp_path) -> None:
    text = "{% block first %}{% if documents is none %}{{ nope }}{% endif %}{% endblock %}"
    assert "part 'first': 'nope' is undefined" in refusal("rlm", text, tmp_path)


def test_an_empty_message_of_a_worked_example_is_refused(tmp_path) -> None:
    text = "{% block examples %}\n--- user ---\n--- assistant ---\nyes\n{% endblock %}"
    for user in ("rlm", "codeact"):
        assert "part 'examples': expected messages with text" in refusal(user, text, tmp_path)


def test_a_name_that_no_file_can_have_is_refused() -> None:
    with pytest.raises(PromptError, match=r"expected a path or one of .*File name too long"):
        USERS["rlm"][0]("long" * 100)
    with pytest.raises(ValueError, match=r"expected a path or one of .*File name too long"):
        MapReduce(model=ScriptedModel([]), program="long" * 100)
