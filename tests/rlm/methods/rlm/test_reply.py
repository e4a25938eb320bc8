"""The step that a root's reply asks for: habits of real models, their variants, and properties of any text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlm.methods.rlm.reply import (
    AnswerProtocol,
    Cells,
    FinalText,
    FinalVariable,
    Reason,
    Reminder,
    after_thinking,
    find_final,
    read_root_reply,
)


def step(reply: str, **options: object) -> object:
    return read_root_reply(reply, **options).step


CODE = {
    "repl": "```repl\nprint(1)\n```",
    "python": "Let me look.\n```python\nprint(1)\n```\nThen I go on.",
    "py": "```py\nprint(1)\n```",
    "upper case": "```REPL\nprint(1)\n```",
    "spaces before the label": "```   repl\nprint(1)\n```",
    "no label, Python inside": "```\nprint(1)\n```",
    "tildes": "~~~repl\nprint(1)\n~~~",
    "indented fence": "1. First:\n   ```repl\n   print(1)\n   ```\n2. Then",
    "CRLF": "```repl\r\nprint(1)\r\n```\r\n",
    "one line": "```repl print(1)```",
    "closing fence of four": "```repl\nprint(1)\n````",
    "opening fence of four": "````repl\nprint(1)\n````",
    "opening fence of four, closing of three": "````repl\nprint(1)\n```\nDone.",
    "rubbish behind the closing fence": "```repl\nprint(1)\n```atical output from the context.",
    "rubbish of punctuation": "```repl\nprint(1)\n````,` `",
    "closing fence glued to the code": "```repl\nprint(1)```",
    "closing fence glued, text behind": "```repl\nprint(1)``` This prints one.",
    "never closed": "Here:\n```repl\nprint(1)",
    "stray fence at the end": "```repl\nprint(1)\n```\nDone.\n```",
    "stray fence and the rest": "```repl\nprint(1)\n```\nshow_vars()\n```\nmore text",
    "opened behind text": "Let me look: ```repl\nprint(1)\n```\nThen on.",
    "code behind the label": "```repl print(1)\n```",
    "attributes behind the label": "```python hl_lines {.numbered}\nprint(1)\n```",
    "talk of fences": "I use ```repl``` blocks.\nA ```repl block is:\n```repl\nprint(1)\n```",
    "label repeated": "```py\nrepl\nprint(1)\n```",
    "prose block before": "```plaintext\nthe plan\n```\n```repl\nprint(1)\n```",
    "prose in a repl block": "```repl\nprint(1)\n```\n```repl\nThe total is 45, as expected of such a tour.\n```",
    "invented output": "```repl\nprint(1)\n```\n```output\nprint(2)\n```",
    "thinking": "<think>\n```repl\nprint(2)\n```\n</think>\n```repl\nprint(1)\n```",
    "a lone end of thinking": "First print(2):\n```repl\nprint(2)\n```\n</think>\n\n```repl\nprint(1)\n```",
    "invented user turn": "```repl\nprint(1)\n```\n<|im_start|>user\n```repl\nprint(2)\n```",
    "invented turn behind the fence": "```repl\nprint(1)\n```<|im_end|>\n<|im_start|>user\n```repl\nprint(2)\n```",
    "invented turn in an open block": "```repl\nprint(1)\n<|im_end|>\n<|im_start|>user\nprint(2)",
    "Code executed": "```repl\nprint(1)\n```\nCode executed:\n```python\nprint(2)\n```",
    "REPL output": "```repl\nprint(1)\n```\n**REPL output:**\n```python\nprint(2)\n```",
    "Iteration 13 of 20": "Iteration 12 of 20.\n```repl\nprint(1)\n```\nIteration 13 of 20.\n```repl\nprint(2)\n```",
    "User:": "```repl\nprint(1)\n```\nUser: The output is 1.\n```repl\nprint(2)\n```",
    "assistant mark in front": "<|im_start|>assistant\n```repl\nprint(1)\n```",
    "other languages": "```javascript\nf(1)\n```\n```json\n{}\n```\n```repl\nprint(1)\n```",
    "Markdown with code of its own": "```markdown\nUse:\n```python\nprint(2)\n```\n```\n```repl\nprint(1)\n```",
    "four backticks around code": "````text\n```python\nprint(2)\n```\n````\n```repl\nprint(1)\n```",
    "text block left open": "```text\nsome text\n```repl\nprint(1)\n```",
    "attribute behind the label": '```python title="look.py" id=3\nprint(1)\n```',
    "colon behind the label": "```repl:\nprint(1)\n```",
    "number behind the label": "```repl(1)\nprint(1)\n```",
    "label in braces with more": "```{python, echo=TRUE}\nprint(1)\n```",
    "tab behind the label": "```repl\t\nprint(1)\n```",
    "template's mark of an end": "```repl\nprint(1)\n```\n</s>\n```repl\nprint(2)\n```",
    "another template's turn": "```repl\nprint(1)\n```\n<start_of_turn>user\n```repl\nprint(2)\n```",
    "mark of an end behind text": "```repl\nprint(1)\n```\nThat is all.<|im_end|>\n```repl\nprint(2)\n```",
    "bare role": "```repl\nprint(1)\n```\nuser\nREPL output: 1\n```repl\nprint(2)\n```",
    "output in brackets": "```repl\nprint(1)\n```\n[REPL output]\n1\n```repl\nprint(2)\n```",
    "marks talked about": "The template uses `<|im_end|>` and <|im_end|> marks.\n```repl\nprint(1)\n```",
}


@pytest.mark.parametrize("case", CODE)
def test_one_cell_is_found(case: str) -> None:
    assert step(CODE[case]) == Cells(("print(1)",))


CELLS = {
    "several": ("```repl\na = 1\n```\nand\n```repl\nb = 2\n```", ["a = 1", "b = 2"]),
    "closed by the next": ("```repl\na = 1\n```python\nb = 2\n```", ["a = 1", "b = 2"]),
    "fence in a string": (
        '```repl\np = """Do:\n```python\nx\n```\n"""\nprint(p)\n```\nthen',
        ['p = """Do:\n```python\nx\n```\n"""\nprint(p)'],
    ),
    "inline fence in a string": ("```repl\nx = s.split('```')\n```", ["x = s.split('```')"]),
    "string that never ends": ('```repl\nx = """abc\n```\ntext\n```repl\ny = 1\n```', ['x = """abc', "y = 1"]),
    "apostrophe in a comment": ("```repl\n# it's\nx = 1\n```\n```repl\ny = 'a'\n```", ["# it's\nx = 1", "y = 'a'"]),
    "marks in a string": ("```repl\nx = '<|im_start|>user'\n```", ["x = '<|im_start|>user'"]),
    "end of thinking in a string": ("```repl\nx = r.split('</think>')[1]\n```", ["x = r.split('</think>')[1]"]),
    "FINAL in code": ("```repl\nFINAL('a (b')\n```", ["FINAL('a (b')"]),
    "fences in a comment": ("```repl\n# in ```x```\nx = 1\n```", ["# in ```x```\nx = 1"]),
    "closing fence glued to a comment": ("```repl\nx = 1  # done```\nThen.", ["x = 1  # done"]),
    "FINAL in a comment": ("```repl\nx = 1  # then FINAL(x)\n```", ["x = 1  # then FINAL(x)"]),
    "unclosed, ends in FINAL": ("```repl\nx = 1\nFINAL(x)", ["x = 1\nFINAL(x)"]),
    "indented by one": ("```repl\n SHOW_VARS()\n```", ["SHOW_VARS()"]),
    "broken code": ("```repl\nprint(context[:100]\n```", ["print(context[:100]"]),
    "bare name": ("```python\ncontext\n```", ["context"]),
    "slice without a label": ("```\ncontext[:99]\n```", ["context[:99]"]),
    "fence of four around one in a comment": ("````repl\n# ```\nx = 1\n````\nThen.", ["# ```\nx = 1"]),
    "tildes around backticks": ("~~~repl\n# ```\nx = 1\n~~~\nThen.", ["# ```\nx = 1"]),
    "two blocks of four, closed by three": ("````repl\na = 1\n```\n````repl\nb = 2\n````", ["a = 1", "b = 2"]),
    "thinking asked for in a long string": (
        "```repl\np = '''Use <think>\n</think>\n'''\nx = 1\n```",
        ["p = '''Use <think>\n</think>\n'''\nx = 1"],
    ),
    "reasoning asked for in a long string": (
        "```repl\np = '''<reasoning>\n</reasoning>\n'''\n```",
        ["p = '''<reasoning>\n</reasoning>\n'''"],
    ),
}


@pytest.mark.parametrize("case", CELLS)
def test_cells_are_complete(case: str) -> None:
    reply, codes = CELLS[case]
    assert step(reply) == Cells(tuple(codes))


NO_CODE = {
    "plan": ("I will first look at the context, then call FINAL(answer) when done.", Reason.NO_CODE),
    "mention in a sentence": ("Then FINAL_VAR(x) gives the result.", Reason.NO_CODE),
    "mention at the start": ("FINAL(answer) will be called when I know it.", Reason.NO_CODE),
    "repl as a bare word": ("repl\nprint(1)", Reason.NO_CODE),
    "raw file text": ("PATH: a.js\n(function () {\n  var a = 1;\n})();", Reason.NO_CODE),
    "boxed": ("The answer is \\boxed{14}.", Reason.NO_CODE),
    "other call": ('FUNCTION("42")', Reason.NO_CODE),
    "tool call": ("<tool_call> final_answer(42)", Reason.NO_CODE),
    "Final Answer:": ("Final Answer: 42", Reason.NO_CODE),
    "lower case": ("final(42)", Reason.NO_CODE),
    "prose without a label": ("```\nrow one\nrow two\n```", Reason.NO_CODE),
    "word without a label": ("```\nParis\n```", Reason.NO_CODE),
    "words in parentheses without a label": ("```\nParis (France)\n```", Reason.NO_CODE),
    "list without a label": ("```\n[1, 2, 3]\n```", Reason.NO_CODE),
    "final answer in prose": ("FINAL (as I said) comes later.", Reason.NO_CODE),
    "step of a plan": ("1. Look.\n2. FINAL(the count)", Reason.NO_CODE),
    "stray fence": ("I will look at it.\n```", Reason.NO_CODE),
    "prose in a repl block": ("```repl\nThe optimal tour costs 21.\n```", Reason.OTHER_LANGUAGE),
    "instruct": ("```instruct\nprint(1)\n```", Reason.OTHER_LANGUAGE),
    "final": ("```final\nThe answer is 3.\n```", Reason.OTHER_LANGUAGE),
    "json": ('```json\n{"a": 1}\n```', Reason.OTHER_LANGUAGE),
    "javascript": ("```javascript\nconst a = f(1);\n```", Reason.OTHER_LANGUAGE),
    "empty": ("", Reason.EMPTY),
    "blank": (" \n\n", Reason.EMPTY),
    "only thinking": ("<think>FINAL(1)</think>", Reason.EMPTY),
    "refusal": ("I'm sorry, but I can't help with that.", Reason.REFUSAL),
    "refusal in other words": ("I am not able to assist with this.", Reason.REFUSAL),
    "five answers": ("FINAL_VAR(a)\nFINAL_VAR(b)\nFINAL_VAR(c)", Reason.SEVERAL_FINALS),
    "empty parentheses": ("FINAL()", Reason.EMPTY_FINAL),
    "empty string": ('FINAL("")', Reason.EMPTY_FINAL),
    "placeholder": ("FINAL(your final answer here)", Reason.UNFILLED_FINAL),
    "the prompt's own words": ("- `FINAL(` the answer itself `)`", Reason.UNFILLED_FINAL),
    "dots": ("FINAL(...)", Reason.UNFILLED_FINAL),
    "f-string outside code": ('FINAL(f"The total is {total}")', Reason.UNFILLED_FINAL),
    "expression": ("FINAL_VAR(rows[0])", Reason.NOT_A_NAME),
}


@pytest.mark.parametrize("case", NO_CODE)
def test_a_reply_without_code_and_answer_gets_a_reminder(case: str) -> None:
    reply, reason = NO_CODE[case]
    assert step(reply) == Reminder(reason)


FINALS = {
    "number": ("FINAL(42)", "42"),
    "after prose": ("So it is clear.\n\nFINAL(42)", "42"),
    "bold": ("**FINAL(42)**", "42"),
    "backticks": ("`FINAL(42)`", "42"),
    "full stop": ("FINAL(42).", "42"),
    "bullet": ("- FINAL(42)", "42"),
    "labelled": ("Final answer: FINAL(42)", "42"),
    "twice the same": ("FINAL(42)\n\nFINAL(42)", "42"),
    "talked about, then given": ("I can now use FINAL(answer).\n\nFINAL(42)", "42"),
    "parentheses": ("FINAL(Paris (France))", "Paris (France)"),
    "newlines": ("FINAL((1, 2)\n(3, 4))", "(1, 2)\n(3, 4)"),
    "list": ("FINAL(['B', 'E'])", "['B', 'E']"),
    "parenthesis in quotes": ("FINAL(['a)', 'b('])", "['a)', 'b(']"),
    "quoted": ('FINAL("He said :)")', "He said :)"),
    "escapes": (r'FINAL("a\nb")', "a\nb"),
    "apostrophe": ("FINAL(It's five o'clock)", "It's five o'clock"),
    "enumeration": ("FINAL(a) Paris b) Rome)", "a) Paris b) Rome"),
    "enumeration in lines": ("FINAL(1) Paris\n2) Rome)", "1) Paris\n2) Rome"),
    "sad face": ("FINAL(:( is the mood)", ":( is the mood"),
    "code inside": ("FINAL(Run:\n```python\nprint(1)\n```\n)", "Run:\n```python\nprint(1)\n```"),
    "code inside, opened behind text": ("FINAL(Run ```python\nf(1)\n```\n)", "Run ```python\nf(1)\n```"),
    "in a text block": ("```final\nFINAL(42)\n```", "42"),
    "before a invented turn": ("FINAL(42)\n<|im_start|>user\nFINAL(43)", "42"),
    "space before the parenthesis": ("FINAL (42)", "42"),
    "tags of XML around it": ("<answer>FINAL(42)</answer>", "42"),
    "exclamation mark": ("FINAL(42)!", "42"),
    "comment behind": ("FINAL(42)  # as counted", "42"),
    "end of the turn behind": ("FINAL(42)<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nFINAL(43)", "42"),
    "invented user behind": ("FINAL(42)\nUser: Thanks!\nFINAL(43)", "42"),
    "invented turn behind": ("FINAL(42)\n\nIteration 3 of 20\nFINAL(43)", "42"),
    "turns in the answer": ("FINAL(The chat:\nUser: hi\nAssistant: hello)", "The chat:\nUser: hi\nAssistant: hello"),
    "quotes around lines": ('FINAL("one\ntwo (2)")', "one\ntwo (2)"),
    "quotes around an apostrophe": ("FINAL('It's five (5)')", "It's five (5)"),
    "two quotations": ('FINAL("a" and "b")', '"a" and "b"'),
    "text that names a string": ('FINAL_VAR("long text, no name")', "long text, no name"),
    "number as a variable": ("FINAL_VAR(2327998)", "2327998"),
    "number with signs as a variable": ("FINAL_VAR(-1,234.5)", "-1,234.5"),
    "uuid as a variable": ("FINAL_VAR(6ff92962-486d-4991-90d3-55c59307de0b)", "6ff92962-486d-4991-90d3-55c59307de0b"),
}


@pytest.mark.parametrize("case", FINALS)
def test_the_answer_is_taken_up_to_its_own_parenthesis(case: str) -> None:
    reply, text = FINALS[case]
    found = step(reply)
    assert isinstance(found, FinalText)
    assert (found.text, found.closed) == (text, True)


def test_a_bare_word_may_be_a_variable_and_a_quoted_one_is_text() -> None:
    assert step("FINAL(random_number)") == FinalText("random_number", name=True)
    assert step('FINAL("random_number")') == FinalText("random_number")
    assert step("FINAL(`random_number`)") == FinalText("random_number", name=True)


@pytest.mark.parametrize(
    "reply", ["FINAL_VAR(total)", 'FINAL_VAR("total")', "FINAL_VAR( 'total' )", "**FINAL_VAR(total)**"]
)
def test_final_var_names_a_variable_quoted_or_not(reply: str) -> None:
    assert step(reply) == FinalVariable("total")


def test_an_answer_without_its_parenthesis_goes_to_the_end_and_is_flagged() -> None:
    assert step("So.\n\nFINAL(The cities are:\n- Rome\n- Paris") == FinalText(
        "The cities are:\n- Rome\n- Paris", closed=False
    )
    assert step("FINAL(it is (as I said\n\nBut now I will look again.") == Reminder(Reason.NO_CODE)


def test_code_and_an_answer_in_one_reply_are_both_reported() -> None:
    code = "```repl\nprint(1)\n```\n"
    assert step(code + "FINAL(42)") == Cells(("print(1)",), FinalText("42"))
    assert step("FINAL_VAR(x)\n" + code) == Cells(("print(1)",), FinalVariable("x"))
    assert step(code + "FINAL_VAR(a)\nFINAL_VAR(b)") == Cells(("print(1)",), Reminder(Reason.SEVERAL_FINALS))


def test_only_complete_blocks_of_a_cut_reply_count() -> None:
    block = "```repl\nprint(1)\n```\n"
    cut = 5 * block + "```repl\nprint("
    assert step(cut, truncated=True) == Cells(("print(1)",) * 5, cut=True)
    assert step("```repl\nprint(", truncated=True) == Reminder(Reason.CUT)
    assert step("I think that", truncated=True) == Reminder(Reason.CUT)
    assert step("", truncated=True) == Reminder(Reason.CUT)
    assert step("<think>```repl\nprint(1)\n```", truncated=True) == Reminder(Reason.CUT)
    assert step("FINAL(the first half", truncated=True) == FinalText("the first half", closed=False)
    assert step("FINAL_VAR(tot", truncated=True) == FinalVariable("tot", closed=False)


def test_tags_do_not_count_in_the_other_protocol() -> None:
    assert step("FINAL(42)", protocol=AnswerProtocol.ANSWER_VARIABLE) == Reminder(Reason.NO_CODE)
    code = '```repl\nanswer["ready"] = True\n```\nFINAL(42)'
    assert step(code, protocol=AnswerProtocol.ANSWER_VARIABLE) == Cells(('answer["ready"] = True',))


def test_invented_turns_of_a_reply_are_not_kept() -> None:
    said = read_root_reply("hm</think>Look:\n```repl\nprint(1)\n```\n<|im_start|>user\nREPL output: 7").text
    assert said == "Look:\n```repl\nprint(1)\n```"


def test_thinking_ends_at_its_last_end_outside_a_string() -> None:
    assert after_thinking("a</think>b</think>c") == "c"
    assert after_thinking("a</THINKING>b") == "b"
    assert after_thinking('say "no"</think>b') == "b"
    assert after_thinking("a</think>b `</think>` c") == "b `</think>` c"
    assert after_thinking("<think>a") == "<think>a"
    assert after_thinking("<think>a", truncated=True) == ""


@pytest.mark.parametrize(
    "thinking",
    [
        "<think>{}</think>", "<think>\n{}\n</think>\n<think>b</think>", "<thinking>{}</thinking>",
        "<seed:think>{}</seed:think>", "<thought>{}</thought>", "<reasoning>\n{}\n</reasoning>\n", "[THINK]{}[/THINK]",
        "◁think▷{}◁/think▷", "<|channel|>analysis<|message|>{}<|end|><|start|>assistant<|channel|>final<|message|>",
    ],
)  # fmt: skip
def test_no_kind_of_reasoning_is_part_of_the_reply(thinking: str) -> None:
    inside = "hm\nFINAL(1)\n```repl\nprint(1)\n```"
    assert step(thinking.format(inside) + "FINAL(42)") == FinalText("42")
    assert step(thinking.format(inside) + "```repl\nprint(2)\n```") == Cells(("print(2)",))


balanced = st.recursive(
    st.text(st.characters(exclude_characters="()'\"`<\\*_$#", exclude_categories=("Cs",)), max_size=12),
    lambda inner: st.lists(st.tuples(inner, inner).map(lambda pair: f"{pair[0]}({pair[1]})"), max_size=3).map("".join),
    max_leaves=12,
)


@given(balanced)
def test_any_text_with_balanced_parentheses_comes_back(text: str) -> None:
    text = text.replace("\r", " ").strip()
    final = find_final(f"I am done.\n\nFINAL({text})")
    if not text:
        assert final == Reminder(Reason.EMPTY_FINAL)
    elif final != Reminder(Reason.UNFILLED_FINAL):
        assert isinstance(final, FinalText)
        assert (final.text, final.closed) == (text, True)


lines = st.lists(st.text("abc =().[]:+\n#", max_size=20), max_size=8).map("\n".join)


@given(st.lists(lines, min_size=1, max_size=4), st.sampled_from(["```", "````"]), st.sampled_from(["\n", "\r\n"]))
def test_cells_come_back_in_order(codes: list[str], fence: str, newline: str) -> None:
    codes = [f"x = 1\n{code}\ny = 2" for code in codes]
    reply = "\n\nthen\n\n".join(f"{fence}repl\n{code}\n{fence}" for code in codes)
    assert step(reply.replace("\n", newline)) == Cells(tuple(codes))


PIECES = r"""``` ```repl```python ```` ~~~ FINAL( FINAL_VAR( ) ( ' " \""" # \\ = <|im_start|> <think> </think> json"""
pieces = st.sampled_from([*PIECES.split(), "\n", "\n\n", " ", "x = 1", "User:", "Iteration 1 of 2", "*", "answer"])


@given(st.one_of(st.text(), st.lists(pieces, max_size=40).map("".join)), st.booleans(), st.sampled_from(AnswerProtocol))
def test_any_text_can_be_read(text: str, truncated: bool, protocol: str) -> None:
    parsed = read_root_reply(text, protocol=protocol, truncated=truncated)
    if isinstance(parsed.step, Cells):
        assert parsed.step.codes
        assert all(code.strip() for code in parsed.step.codes)
    assert parsed.text in text.replace("\r\n", "\n") and parsed.prose in text.replace("\r\n", "\n")


HUGE = {
    "openings": "```repl\n",
    "closed finals": "FINAL(x)\n",
    "open finals": "FINAL(\n\n",
    "open final variables": "FINAL_VAR(a b\n\n",
    "finals with a tail": "FINAL(a) b\n",
    "parentheses": "FINAL((",
    "strings": '```repl\nx = """\n```\n',
    "backticks": "```",
    "ends of thinking": '"</think>"',
    "lines": "a b c\n",
    "marks": "<|im_start|>\n",
    "blocks": "```json\n```md\n",
    "stars": "answer****",
    "tags in blocks": "```repl\nFINAL(a b)\n```\n",
    "tags behind code": "x = 1\nFINAL(a b)\n",
    "fences that close and open": "```repl\nx =\n",
    "channels": "analysis assistantfinal ",
    "users": "User: 1\n",
    "empty blocks": "```\n",
    "blank lines in code": "\n",
}
BEFORE = {"blank lines in code": "```repl\na b c\n"}


@pytest.mark.parametrize("case", HUGE)
def test_a_reply_that_repeats_itself_is_read_in_linear_time(case: str) -> None:
    # Quadratic time would take hours and reach the time limit of the test suite.
    reply = BEFORE.get(case, "") + HUGE[case] * (300_000 // len(HUGE[case])) + "d e f"
    assert read_root_reply(reply).step is not None


@pytest.mark.parametrize("values", ["aa", '""', "a=''"])
def test_code_like_attributes_behind_a_label_is_read_in_linear_time(values: str) -> None:
    # A pattern that tries every division of this line would never end.
    line = "=".join(["aa"] + [values] * 60) + " if x else y"
    assert isinstance(read_root_reply(f"```repl {line}\nprint(1)\n```").step, Cells)


@pytest.mark.parametrize("behind", ["<|im_end|>", "<|eot_id|>", "</s>", "</answer>", " **<|end|>"])
def test_a_mark_of_the_end_may_follow_a_final_answer(behind: str) -> None:
    assert read_root_reply(f"It is clear.\nFINAL(42){behind}").step == FinalText("42")


@pytest.mark.parametrize("fence", ["```", "```text", "```final"])
@pytest.mark.parametrize(
    ("inside", "step"), [("FINAL(It is 42)", FinalText("It is 42")), ("FINAL_VAR(total)", FinalVariable("total"))]
)
def test_a_final_answer_alone_in_a_plain_block_is_one(fence: str, inside: str, step: object) -> None:
    assert read_root_reply(f"{fence}\n{inside}\n```").step == step


@pytest.mark.parametrize("name", ["`total`", "**total**", "'total'"])
def test_a_variable_may_be_named_in_markdown(name: str) -> None:
    assert read_root_reply(f"FINAL_VAR({name})").step == FinalVariable("total")


@pytest.mark.parametrize("left", ["<answer>", "<your answer>", "{answer}", "{total_count}", "<the final answer>"])
def test_a_placeholder_in_brackets_is_no_answer(left: str) -> None:
    assert read_root_reply(f"FINAL({left})").step == Reminder(Reason.UNFILLED_FINAL)


@pytest.mark.parametrize("turn", ["Assistant: go on", "[USER]: go on", "**Human**: go on", "<tool_response>"])
def test_text_after_an_invented_turn_is_cut(turn: str) -> None:
    reply = f"```repl\nprint(1)\n```\n{turn}\n```repl\nprint(2)\n```\nFINAL(2)"
    assert read_root_reply(reply).step == Cells(("print(1)",))
