"""Repairs of an RLM's turns: the repaired text reads as the same step, in the form that the prompt asks for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.export.mending import mend
from rlm.methods.rlm.reply import AnswerProtocol, Cells, FinalText, FinalVariable, read_root_reply

TAGS = AnswerProtocol.FINAL_TAGS
CODE = "I count.\n\n```repl\nn = len(context)\nprint(n)\n```"


@pytest.mark.parametrize(
    ("reply", "names_variable", "text", "repairs"),
    [
        (CODE, None, CODE, ()),
        (CODE.replace("repl", "python"), None, CODE, ("fence",)),
        (f"<think>Hm.</think>\n{CODE}", None, CODE, ()),
        (f"{CODE}\n\nuser: The output is 7.", None, CODE, ("invented",)),
        (f"{CODE.replace('repl', 'py')}\n\nFINAL(7)", None, CODE, ("fence", "refused_final")),
        (f"{CODE}\n\nFINAL_VAR(n)", True, f"{CODE}\n\nFINAL_VAR(n)", ()),
        (f"{CODE}\n\nFINAL(n)", True, f"{CODE}\n\nFINAL_VAR(n)", ("variable",)),
        ("Done.\nFINAL(n)", True, "Done.\nFINAL_VAR(n)", ("variable",)),
        ("FINAL(n)", False, "FINAL(n)", ()),
        ('FINAL_VAR("seven apples")', False, "FINAL(seven apples)", ("literal",)),
        ("FINAL_VAR(7)", False, "FINAL(7)", ("literal",)),
        # Two tags are not repaired, because it is not clear which one the model meant.
        ("FINAL(n)\nFINAL(n)", True, "FINAL(n)\nFINAL(n)", ()),
    ],
)
def test_turns_get_the_form_of_the_prompt(reply, names_variable, text, repairs):
    mended = mend(reply, TAGS, names_variable=names_variable)
    assert (mended.text, mended.repairs) == (text, repairs)


def test_python_in_a_tool_call_becomes_a_block():
    mended = mend("I count.", TAGS, tool_code="print(len(context))")
    assert (mended.text, mended.repairs) == ("I count.\n\n```repl\nprint(len(context))\n```", ("tool_call",))


PARTS = st.sampled_from([
    CODE, CODE.replace("repl", "python"), "```py\nx = '''\n```python\n'''\n```", "FINAL(n)", "FINAL_VAR(n)", "FINAL(7",
    'FINAL_VAR("a")', "user: hello", "<think>", "</think>", "Some text.", "```", "\r\n",
])  # fmt: skip


@given(st.lists(PARTS, max_size=6).map("\n".join), st.none() | st.booleans())
def test_a_repair_keeps_the_code_and_the_answer(reply, names_variable):
    before = read_root_reply(reply, protocol=TAGS).step
    mended = mend(reply, TAGS, names_variable=names_variable)
    after = read_root_reply(mended.text, protocol=TAGS).step
    if not mended.repairs:
        return
    assert (after.codes if isinstance(after, Cells) else ()) == (before.codes if isinstance(before, Cells) else ())
    answers = [step.final if isinstance(step, Cells) else step for step in (before, after)]
    if "refused_final" in mended.repairs:
        assert answers[1] is None
    elif "variable" in mended.repairs:
        assert answers == [FinalText(answers[1].name, name=True, closed=answers[0].closed), FinalVariable("n")]
    elif "literal" in mended.repairs:
        assert answers[0] == answers[1]
