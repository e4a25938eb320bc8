"""Every logged reply of real models leads to the expected step."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from rlm.methods.rlm.reply import Cells, FinalText, FinalVariable, Reason, Reminder, read_root_reply

# Replies whose cells were counted by hand, because that run's harness read them in another way: it ran the blocks of
# one label alone, code after an invented turn, or prose, or it did not parse its forced last reply.
CELLS = {
    "ab013": 2, "ab046": 2, "ab062": 1, "ab069": 1, "ab092": 1, "ab104": 1, "ab135": 1, "ab144": 2, "ab150": 3, "ab158":
    7, "ab193": 4, "ab198": 3, "ab200": 2, "ab204": 6, "ab205": 6, "ab211": 4, "ab220": 1, "ab227": 3, "ab254": 1,
    "ab255": 1, "ab273": 1, "ab276": 6, "ab280": 1, "ab282": 2, "ab298": 1, "ab303": 2, "ab314": 1, "ab318": 1,
    "ab322": 0, "ab330": 2, "ab331": 1, "ab344": 4, "ab354": 2, "ab365": 1, "ab366": 2, "ab377": 5, "ab384": 1,
    "ab393": 3, "ab431": 1, "ab445": 2, "ab450": 1, "ab458": 1, "ab467": 2, "ab490": 2, "ab500": 3, "ab510": 1,
    "ab511": 1,
}  # fmt: skip
# The final answer of a reply, without code or after it. LITERAL: the text in its one line FINAL(...).
LITERAL = object()
FINALS = {
    "ab011": FinalVariable("final_answer"),
    "ab014": FinalVariable("answer"),
    "ab018": LITERAL,
    "ab069": FinalVariable("final_answer"),
    "ab086": FinalText("final_quote_variable", name=True),
    "ab092": FinalVariable("final_answer"),
    "ab104": FinalText("quote", name=True),
    "ab125": LITERAL,
    "ab130": FinalVariable("final_answer"),
    "ab131": LITERAL,
    "ab158": FinalText("final_plan", name=True),
    "ab208": LITERAL,
    "ab237": FinalVariable("context_1"),
    "ab246": Reminder(Reason.UNFILLED_FINAL),
    "ab303": FinalText("True", name=True),
    "ab314": FinalVariable("final_answer"),
    "ab322": FinalText("final_quote_variable", name=True),
    "ab402": FinalVariable("Q1_Answer"),
    "ab500": LITERAL,
    "ab531": Reminder(Reason.SEVERAL_FINALS),
}
REMINDERS = {"empty": Reason.EMPTY, "refusal": Reason.REFUSAL, "plan_only": Reason.NO_CODE}


@pytest.fixture(scope="module")
def rows(shared_data: Path) -> list[dict[str, Any]]:
    with (shared_data / "replies" / "root_replies.jsonl").open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def cells_of(reply: str) -> tuple[str, ...]:
    step = read_root_reply(reply).step
    return step.codes if isinstance(step, Cells) else ()


def expected_cells(row: dict[str, Any]) -> int:
    """The number of cells that its own harness ran, if it was logged; JavaScript counts as prose."""
    ran = re.match(r"executed (\d+) code", row["next"])
    if row["id"] in CELLS:
        return CELLS[row["id"]]
    return int(ran[1]) if ran else int("parsed code: yes" in row["next"])


def test_the_cells_of_each_reply_are_found(rows: list[dict[str, Any]]) -> None:
    assert len(rows) == 344
    wrong = {
        row["id"]: len(cells_of(row["reply"])) for row in rows if len(cells_of(row["reply"])) != expected_cells(row)
    }
    assert wrong == {}


def test_the_final_answer_of_each_reply_is_found_and_no_other_text_is_one(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        step = read_root_reply(row["reply"]).step
        final = step.final if isinstance(step, Cells) else step
        expected = FINALS.get(row["id"])
        if expected is LITERAL:
            (inside,) = re.findall(r"^ ?FINAL\((.*)\)$", row["reply"], re.MULTILINE)
            assert final == FinalText(inside.strip('"')), row["id"]
        elif expected is not None:
            assert final == expected, row["id"]
        else:
            assert final is None or isinstance(final, Reminder), row["id"]


def test_a_reply_without_code_or_answer_gets_the_reminder_of_its_kind(rows: list[dict[str, Any]]) -> None:
    seen = set()
    for row in rows:
        step = read_root_reply(row["reply"]).step
        if isinstance(step, Reminder) and row["id"] not in FINALS:
            expected = REMINDERS.get(row["kind"], Reason.OTHER_LANGUAGE if "```" in row["reply"] else Reason.NO_CODE)
            assert step.reason == expected, row["id"]
            seen.add(step.reason)
    assert seen == {Reason.EMPTY, Reason.REFUSAL, Reason.NO_CODE, Reason.OTHER_LANGUAGE}


def test_no_cell_holds_a_fence_an_invented_turn_or_only_prose(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        for code in cells_of(row["reply"]):
            assert "<|im_start|>" not in code and not re.search(r"^\s*```", code, re.MULTILINE), row["id"]
            assert re.search(r"\w\(|=|^\w+$|^\(.*\)$|^\[.*\]$|^[\d.]+$", code, re.MULTILINE), (row["id"], code)


def test_an_invented_turn_is_not_kept(rows: list[dict[str, Any]]) -> None:
    by_id = {row["id"]: row["reply"] for row in rows}
    for name in ("ab222", "ab254", "ab280", "ab298", "ab391"):
        assert "<|im_start|>" not in read_root_reply(by_id[name]).text
    assert "Iteration 12 of 20" not in read_root_reply(by_id["nr025"]).text
    assert "Problem solution details" not in read_root_reply(by_id["ab205"]).text


def test_each_cut_reply_has_a_step(rows: list[dict[str, Any]]) -> None:
    """A reply that the output limit cuts at any place gives complete cells of the full one, an answer or a reminder."""
    for row in rows:
        whole = cells_of(row["reply"])
        for part in (0.3, 0.6, 0.9):
            step = read_root_reply(row["reply"][: int(len(row["reply"]) * part)], truncated=True).step
            if isinstance(step, Cells):
                assert step.cut
                assert step.codes == whole[: len(step.codes)], row["id"]
