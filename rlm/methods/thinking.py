"""Separates a reply from the reasoning that a model writes before it."""

from __future__ import annotations

import re
from collections import deque

from rlm.models.chat import Reply

_THINKING_END = re.compile(r"</(?:\w+:)?think(?:ing)?>|<\|channel\|>final<\|message\|>", re.IGNORECASE)
_THINKING = re.compile(r"\s*<(?:\w+:)?think(?:ing)?>", re.IGNORECASE)
# Other marks of reasoning count only at the beginning of a reply: elsewhere they may be part of a prompt in code.
_OTHER_THINKING = re.compile(
    r"\s*(?:<(?P<tag>(?:\w+:)?(?:thoughts?|reasoning|reflection|analysis|scratchpad))>|\[THINK\]|◁think▷)",
    re.IGNORECASE,
)
# Some servers remove the markers of the Harmony format but keep its channel names: `analysis...assistantfinal`.
_CHANNEL = re.compile(r"\s*(?:(?:assistant\n?)?(?:analysis|commentary)|assistant\n?final|final(?=[A-Z0-9]))")
_FINAL_CHANNEL = re.compile(r"assistant\n?final")
# The number of attempts that may scan the rest of a reply in vain is limited, which keeps parsing linear.
_MAX_LOOKS = 4


def written(reply: Reply) -> tuple[str, bool]:
    """Return the text of a reply, and True if it had to be taken from the reply's reasoning.

    The text of a complete reply that has only reasoning is read from it, because some servers put the answer there.
    """
    misplaced = reply.only_reasoning and not (reply.truncated or reply.refused or reply.tool_calls)
    return (reply.reasoning if misplaced else reply.text), misplaced


def after_thinking(reply: str, *, truncated: bool = False) -> str:
    """Return the reply after its reasoning; an empty string if the reply was cut within the reasoning."""
    opened = _OTHER_THINKING.match(reply)
    if opened:
        end = f"</{opened['tag']}>" if opened["tag"] else "[/THINK]" if "[" in opened[0] else "◁/think▷"
        found = reply.find(end, opened.end())
        if found >= 0:
            reply = reply[found + len(end) :]
        elif truncated:
            return ""
    for mark in reversed(deque(_THINKING_END.finditer(reply), _MAX_LOOKS)):
        if not _in_string(reply, mark):
            return reply[mark.end() :]
    if truncated and _THINKING.match(reply):
        return ""
    channel = _CHANNEL.match(reply)
    return reply if channel is None else _final_channel(reply, channel, truncated)


def _final_channel(reply: str, first: re.Match[str], truncated: bool) -> str:
    """Return the last final channel of a reply whose first channel is given."""
    finals = deque(_FINAL_CHANNEL.finditer(reply), 1)
    if finals:
        return reply[finals[0].end() :]
    if first[0].endswith("final"):
        return reply[first.end() :]
    glued = reply[first.end() : first.end() + 1].isupper()
    return "" if truncated and glued else reply


def _in_string(text: str, found: re.Match[str]) -> bool:
    line_start, line_end = text.rfind("\n", 0, found.start()) + 1, text.find("\n", found.end())
    before, behind = text[line_start : found.start()], text[found.end() : len(text) if line_end < 0 else line_end]
    before, behind = before.replace("```", ""), behind.replace("```", "")
    if any(before.count(quote) % 2 and quote in behind for quote in "\"'`"):
        return True
    # The string may span several lines of the block that is open at this position.
    block = text.rfind("```", 0, found.start())
    return block >= 0 and any(
        text.count(quote, block, found.start()) % 2 and quote in text[found.end() :] for quote in ('"""', "'''")
    )
