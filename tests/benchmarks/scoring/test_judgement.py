"""Parsing of a judge's reply: the official rule, the cases where it is unsafe, and hostile texts."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.scoring.judgement import parse_judgement

COMPLETE = "extracted_final_answer: 1887\nreasoning: the same year\ncorrect: {}\nconfidence: 85%"


@pytest.mark.parametrize(
    ("reply", "correct", "confidence"),
    [
        (COMPLETE.format("yes"), True, 85),
        (COMPLETE.format("no"), False, 85),
        (COMPLETE.format("YES").upper(), True, 85),
        ("extracted_final_answer: 1912\ncorrect: Yes, the answers match.\nconfidence: 90", True, 90),
        ("reasoning: same\ncorrect: yes (they match)\nconfidence: 100", True, 100),
        ("correct: no (the date differs)\nconfidence: 70", False, 70),
        ("correct: no - it differs\nconfidence: 70.5%", False, 70.5),
        ("correct: yes – the same year", True, None),
        ("correct:\nyes\nconfidence:\n80", True, 80),
        ("correct: \n\n no", False, None),
        ("### correct: yes\nconfidence: 80 percent", True, 80),
        ("reasoning: ok\ncorrect: yes\nconfidence: 150", True, 100),
        ("extracted_final_answer: 1912 reasoning: same correct: yes confidence: 90", True, 90),
        ("extracted_final_answer: 1912; correct: no; confidence: 5%", False, 5),
        ("**correct:** yes\n**confidence:** 70%", True, 70),
        ("**correct**: no\n**confidence**: 70", False, 70),
        ("- **correct**: no.", False, None),
        ('"correct": "yes",\n"confidence": 60', True, 60),
        ("> correct: yes\n", True, None),
        ("1. correct: yes", True, None),
        ("is_correct: yes", True, None),
        ("The answer is correct: yes", True, None),
        ("correct: yes\nSo:\ncorrect: yes", True, None),
        ("correct: yes\r\nconfidence: 80\r\n", True, 80),
        (
            '{"extracted_final_answer": "1912", "reasoning": "not correct: no", "correct": "yes", "confidence": 85}',
            True,
            85,
        ),
        ('```json\n{\n  "correct": true,\n  "confidence": 85\n}\n```', True, 85),
        ("{'correct': 'no', 'confidence': 100}", False, 100),
        ("| field | value |\n|---|---|\n| correct | yes |\n| confidence | 90 |", True, 90),
        ("| reasoning | correct | confidence |\n|:--|---|--:|\n| the same | **no** | 90% |", False, 90),
        ("<reasoning>same</reasoning>\n<correct>yes</correct>\n<confidence>90</confidence>", True, 90),
        ("correct： yes\nconfidence： 90", True, 90),
        ("correct\u200b:\u00a0yes", True, None),
        ("1) extracted_final_answer: 1912\n2) reasoning: x\n3) correct: no\n4) confidence: 70", False, 70),
        ("(c) correct: no", False, None),
        ("confidence: 60\ncorrect: no\nreasoning: other\nextracted_final_answer: x", False, 60),
        ("```\ncorrect: yes\nconfidence: 10\n```", True, 10),
        ("[correct]: yes\n[confidence]: [90]", True, 90),
        ("[correct: yes]\n[confidence: 90]", True, 90),
        ("correct: [yes]", True, None),
        ("correct: __yes__", True, None),
        ("correct: \\boxed{no}", False, None),
        ("correct: ✅ yes\nconfidence: ~95", True, 95),
        ("correct = no\nconfidence score = 40", False, 40),
        ("correct:\n- yes\nconfidence:\n- 40", True, 40),
        ("correct: False", False, None),
        ("confidence: high", None, None),
        ("correct: probably", None, None),
        ("correct:", None, None),
        ("yes", None, None),
        ("", None, None),
    ],
)
def test_a_reply_is_read_by_the_official_rule(reply, correct, confidence):
    judgement = parse_judgement(reply)
    assert (judgement.correct, judgement.confidence) == (correct, confidence)


@pytest.mark.parametrize(
    ("reply", "correct"),
    [
        ("incorrect: no", None),
        ("reasoning: not the same\nincorrect: yes", None),
        ("not correct: yes", None),
        ("in-correct: no", None),
        ("correct: yesterday", None),
        ("correct: note that they differ", None),
        ("correct: yes or no", None),
        ("correct: yes/no", None),
        ("correct: 'yes' or 'no'", None),
        ("correct: [yes | no]", None),
        ("correct: no_match", None),
        ('{"correct": "yes or no"}', None),
        ("| yes | no |\n|---|---|\n| correct | maybe |", None),
        ("correct: yes\ncorrect: no", None),
        ("extracted_final_answer: x correct: yes reasoning: differs correct: no", None),
        # A quotation of the response does not outweigh the verdict.
        ("extracted_final_answer: x correct: yes\nreasoning: differs\ncorrect: no", False),
        ("<think>correct: no, or is it</think>\ncorrect: yes", True),
        ("I first thought\ncorrect: yes\n</think>\ncorrect: no", False),
        ("<think>\ncorrect: yes\n", None),
    ],
)
def test_the_official_rule_is_not_followed_where_it_is_unsafe(reply, correct):
    assert parse_judgement(reply).correct is correct


def test_text_fields_end_before_the_next_field():
    judgement = parse_judgement("extracted_final_answer: **1912** reasoning: they agree correct: yes")
    assert (judgement.extracted, judgement.reasoning) == ("1912", "they agree")
    judgement = parse_judgement(COMPLETE.format("yes"))
    assert (judgement.extracted, judgement.reasoning) == ("1887", "the same year")


SEPARATORS = st.sampled_from(["\n", "\n\n", " ", "; ", ", ", "\r\n"])
MARKED = st.sampled_from(
    ["{}: ", "{}:", "**{}:** ", "**{}**: ", "### {}: ", "- {}: ", "{}:\n", "> {}:  ", "{}： ", "2. {}: ", "[{}]: "]
)
VERDICT = st.sampled_from(["yes", "no", "Yes, they match.", "no (another year)", "YES - same", "No."])


@given(MARKED, VERDICT, SEPARATORS, MARKED, st.integers(0, 300), st.booleans())
def test_every_form_of_the_two_fields_is_read(first, verdict, between, second, confidence, with_answer):
    start = f"extracted_final_answer: 1912{between}" if with_answer else ""
    reply = start + first.format("correct") + verdict + between + second.format("confidence") + str(confidence)
    judgement = parse_judgement(reply)
    assert judgement.correct is verdict.lower().startswith("yes")
    assert judgement.confidence == min(confidence, 100)


@given(st.text() | st.lists(st.sampled_from(["correct:", " yes", "no", "\n", "**", "confidence: ", "101", "<think>"])))
def test_any_reply_is_parsed(reply):
    judgement = parse_judgement(reply if isinstance(reply, str) else "".join(reply))
    assert judgement.correct in (True, False, None)
    assert judgement.confidence is None or 0 <= judgement.confidence <= 100


@pytest.mark.parametrize(
    "flood", [".", " ", "*", "\n", "#", "correct: ", "correct:\n", "9", "|", "{", "|-|\n", "<correct>", "1. "]
)
def test_floods_are_parsed_in_linear_time(flood):
    # Quadratic time would be hours.
    text = flood * 200_000
    reply = f"extracted_final_answer: a{text}b\nreasoning: {text}\ncorrect: no\nconfidence: 3"
    judgement = parse_judgement(reply)
    assert judgement.correct is False
    assert judgement.confidence == 3
    assert re.match("a", judgement.extracted)
