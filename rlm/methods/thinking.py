"""Reasoning that a model writes before its reply, and how it is set apart."""

from __future__ import annotations

import re
from collections import deque

_THINKING_END = re.compile(r"</(?:\w+:)?think(?:ing)?>|<\|channel\|>final<\|message\|>", re.IGNORECASE)
_THINKING = re.compile(r"\s*<(?:\w+:)?think(?:ing)?>", re.IGNORECASE)
# Other marks of thinking count at the beginning of a reply alone: elsewhere a prompt in code may ask for them.
_OTHER_THINKING = re.compile(
    r"\s*(?:<(?P<tag>(?:\w+:)?(?:thoughts?|reasoning|reflection|analysis|scratchpad))>|\[THINK\]|◁think▷)",
    re.IGNORECASE,
)
# Attempts that may scan the rest of a reply in vain are limited, which keeps parsing linear.
_MAX_LOOKS = 4


def after_thinking(reply: str, *, truncated: bool = False) -> str:
    """The reply behind its last `</think>` that is not in a string; nothing where the thinking was cut."""
    opened = _OTHER_THINKING.match(reply)
    if opened:
        end = f"</{opened['tag']}>" if opened["tag"] else "[/THINK]" if "[" in opened[0] else "◁/think▷"
        found = reply.find(end, opened.end())
        if found >= 0:
            reply = reply[found + len(end) :]
        elif truncated:
            return ""
    for end in reversed(deque(_THINKING_END.finditer(reply), _MAX_LOOKS)):
        if not _in_string(reply, end):
            return reply[end.end() :]
    return "" if truncated and _THINKING.match(reply) else reply


def _in_string(text: str, found: re.Match[str]) -> bool:
    line_start, line_end = text.rfind("\n", 0, found.start()) + 1, text.find("\n", found.end())
    before, behind = text[line_start : found.start()], text[found.end() : len(text) if line_end < 0 else line_end]
    before, behind = before.replace("```", ""), behind.replace("```", "")
    if any(before.count(quote) % 2 and quote in behind for quote in "\"'`"):
        return True
    # A string of several lines, in the block that is open there.
    block = text.rfind("```", 0, found.start())
    return block >= 0 and any(
        text.count(quote, block, found.start()) % 2 and quote in text[found.end() :] for quote in ('"""', "'''")
    )
