"""Repairs small mistakes of form in a turn of an RLM, which its reader tolerates and a model should not learn."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from rlm.methods.rlm.reply import Cells, FinalText, FinalVariable, RootReply, Step, read_root_reply

_PYTHON_FENCE = re.compile(r"^([ \t]*`{3,})[ \t]*(?:python3?|py)[ \t]*$", re.MULTILINE | re.IGNORECASE)
_TAG = re.compile(r"\bFINAL(?P<variable>_VAR)? ?\(")


@dataclass(frozen=True)
class Mended:
    """The text of a turn and the names of its repairs."""

    text: str
    repairs: tuple[str, ...] = ()


def mend(reply: str, protocol: str, *, tool_code: str | None = None, names_variable: bool | None = None) -> Mended:
    """Return a root's reply in the form that its prompt asks for.

    names_variable: the accepted answer of this turn was the value of a variable, or (False) a text; None if the reply
    gave no accepted answer. Reasoning is left out. Repairs: `invented` (turns that the model wrote for the harness),
    `tool_call` (Python in a tool call becomes a block), `fence` (a Python block is labelled `repl`), `refused_final` (a
    literal answer beside code, which was not accepted), `variable` (FINAL of a variable's name becomes FINAL_VAR) and
    `literal` (FINAL_VAR of a text becomes FINAL). A repair that would change the code of the turn is not made.
    """
    reply = reply.replace("\r\n", "\n")
    read = read_root_reply(reply, protocol=protocol, tool_code=tool_code)
    mended = Mended(read.text)
    if tool_code and read_root_reply(reply, protocol=protocol).text != read.text:
        mended = replace(mended, repairs=("tool_call",))
    elif not reply.rstrip().endswith(read.text):
        # Reasoning precedes the text, so only invented turns are missing at the end.
        mended = replace(mended, repairs=("invented",))
    mended = _if_equal(mended, _PYTHON_FENCE.sub(r"\1repl", mended.text), "fence", read.step, protocol)
    final = read.step.final if isinstance(read.step, Cells) else read.step
    if isinstance(read.step, Cells) and isinstance(final, FinalText) and names_variable is None:
        step = replace(read.step, final=None)
        return _if_equal(mended, _cut_final(mended.text), "refused_final", step, protocol)
    if isinstance(final, FinalText) and names_variable and final.text.isidentifier():
        return _retagged(mended, read, FinalVariable(final.text), protocol)
    if isinstance(final, FinalText) and names_variable is False:
        return _retagged(mended, read, final, protocol)
    return mended


def _retagged(mended: Mended, read: RootReply, final: FinalText | FinalVariable, protocol: str) -> Mended:
    """Give the turn's only tag the form of `final`, if it has the other one."""
    tags = list(_TAG.finditer(mended.text))
    wanted = isinstance(final, FinalVariable)
    if len(tags) != 1 or bool(tags[0]["variable"]) == wanted:
        return mended
    tag = f"FINAL_VAR({final.name})" if isinstance(final, FinalVariable) else f"FINAL({final.text})"
    step = replace(read.step, final=final) if isinstance(read.step, Cells) else final
    return _if_equal(mended, mended.text[: tags[0].start()] + tag, "variable" if wanted else "literal", step, protocol)


def _cut_final(text: str) -> str:
    """Return the text without its only tag and what follows it."""
    tags = list(_TAG.finditer(text))
    return text[: tags[0].start()].rstrip() if len(tags) == 1 else text


def _if_equal(mended: Mended, text: str, repair: str, step: Step, protocol: str) -> Mended:
    """Return the repaired text if it reads as that step."""
    if text == mended.text or read_root_reply(text, protocol=protocol).step != step:
        return mended
    return Mended(text, (*mended.repairs, repair))
