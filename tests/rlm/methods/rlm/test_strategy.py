"""The first decomposition that cells show, and the turn in which an answer is ready."""

import pytest

from rlm.methods.rlm.strategy import Decomposition, Strategy


def followed(cells: list[str]) -> Strategy:
    strategy = Strategy()
    for turn, code in enumerate(cells, 1):
        strategy.ran(code, turn)
    return strategy


def first_decomposition(cells: list[str]) -> Decomposition | None:
    return followed(cells).decomposition


def answer_name(code: str) -> str | None:
    return followed([code]).ready


FIRST = {
    "print(len(context), context[:500])": "peek",
    "context": "peek",
    "print(type(context))": "peek",
    "import re\nprint(re.findall(r'\\d+', context))": "keyword_search",
    "i = context.find('magic')\nprint(context[i:i + 50])": "keyword_search",
    "for m in re.finditer('a', context):\n    print(context[m.start():m.end()])": "keyword_search",
    "n = 500\nprint(context[:n])": "peek",
    "print('magic' in context)": "keyword_search",
    "print(context.lower().count('cat'))": "keyword_search",
    "chunks = [context[i:i + 1000] for i in range(0, len(context), 1000)]": "fixed_chunks",
    "n = len(context) // 10\nfor i in range(10):\n    llm_query(context[i * n:(i + 1) * n])": "fixed_chunks",
    "lines = context.splitlines()": "per_line",
    "for line in context.split('\\n'):\n    pass": "per_line",
    "parts = context.split('###')": "structure",
    "import json\nrows = json.loads(context)": "structure",
    "import re\nparts = re.split('Chapter', context)": "structure",
    "for document in context:\n    print(document[:10])": "structure",
    "answers = llm_query_batched([d for d in context])": "structure",
    "hits = [d for d in context if 'x' in d]": "structure",
    "print(llm_query(context))": "whole",
    "print(llm_query(f'What is in this? {context}'))": "whole",
    "print(llm_query('Sum up: ' + context))": "whole",
    "text = context\nprint(llm_query('Read: ' + text))": "whole",
    "for i in range(len(context)):\n    print(context[i])": "structure",
    "import textwrap\nparts = textwrap.wrap(context, 1000)": "fixed_chunks",
    "hits = search('magic number', 5)": "keyword_search",
    "print(re.search('a', name))": None,
    "print(llm_query('Read: ' + context[:1000]))": "peek",
    "x = 1": None,
    "print(": None,
}


@pytest.mark.parametrize("code", FIRST)
def test_the_kind_of_a_cell_follows_from_its_use_of_the_context(code: str) -> None:
    assert first_decomposition([code]) == FIRST[code]


DEEP = {"calls": "llm_query(context" + ".lower()" * 1200 + ")", "sum": "llm_query(" + "'a' + " * 1200 + "context)"}


@pytest.mark.parametrize("kind", DEEP)
def test_code_may_be_nested_as_deep_as_python_takes_it(kind: str) -> None:
    assert first_decomposition([DEEP[kind]]) == Decomposition.WHOLE


def test_another_name_of_the_context_is_the_context() -> None:
    assert first_decomposition(["text = context", "print(llm_query('Read: ' + text))"]) == Decomposition.WHOLE


def test_the_first_cell_that_does_more_than_peek_decides() -> None:
    cells = ["print(context[:100])", "x = 1", "lines = context.splitlines()", "llm_query(context)"]
    assert first_decomposition(cells) == Decomposition.PER_LINE
    assert first_decomposition(cells[:2]) == Decomposition.PEEK
    assert first_decomposition([]) is None


def test_an_answer_is_ready_once_a_variable_of_that_name_is_set() -> None:
    assert answer_name("final_answer = 3") == "final_answer"
    assert answer_name('answer["content"] = "x"') == "answer"
    assert answer_name("for answer in rows: pass") == "answer"
    assert answer_name("print(answer)") is None
    assert answer_name("answers = []") is None
    assert answer_name("answer = (") is None


def test_an_answer_left_ready_is_asked_about_once() -> None:
    strategy = Strategy()
    strategy.ran("final_answer = 1", 2)
    strategy.ran("final_answer = 2", 4)
    assert [strategy.overdue(turn) for turn in (5, 7, 8, 9)] == [None, None, 4, None]
    assert (strategy.ready, strategy.ready_turn) == ("final_answer", 4)
