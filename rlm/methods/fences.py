"""Finds the fenced blocks in a model's reply, and those that are Python to run."""

from __future__ import annotations

import ast
import re
import textwrap
from dataclasses import dataclass
from functools import cached_property

from rlm.syntax import MAX_CELL_CHARS, parsed_cell

CODE_LABELS = frozenset({"repl", "python", "py", "python3"})
# Blocks with these labels are read like text outside blocks.
TEXT_LABELS = frozenset({"", "final", "answer", "text", "txt", "plaintext"})
_NESTING_LABELS = frozenset({"markdown", "md"})

_FENCE = re.compile(r"[ \t]*(`{3,}|~{3,})(.*)")
# Code that begins after text on the same line, as in `Let me look: ```repl`.
_OPENING_WITHIN = re.compile(r"[^`]*(`{3,})[ \t]*(repl|python|py|python3)[ \t]*$", re.IGNORECASE)
_FINAL = re.compile(r"[ \t*`>]*FINAL(?:_VAR)? ?\(")
_TAG_LINE = re.compile(r"^FINAL(?:_VAR)? ?\(", re.MULTILINE)
_LONE_WORD = re.compile(r"FINAL ?\(\s*[A-Za-z_]\w*\s*\)")
_PYTHON_TOKEN = re.compile(r"\"\"\"|'''|[\"'#\n]|\\.|`{3,}|~{3,}|<\|", re.DOTALL)
_PARENTHESIS = re.compile(r"[()]")
# Marks of chat templates. At the beginning of a line, a mark ends the reply.
_CHAT_MARK = re.compile(r"<[|｜][\w▁]{1,40}[|｜]>|</?s>|<(?:start|end)_of_turn>|\[/?INST\]")
_END_MARK = re.compile(
    r"(?<![\"'`])(?:<[|｜](?:im_end|eot_id|eom_id|end|endoftext|end_of_text|end▁of▁sentence)[|｜]>|</s>|<end_of_turn>)"
    r"(?=\s*(?:<|$))"
)
# The beginning of a harness turn, which the model has invented if its reply holds one. A line such as `User: 44436` is
# an answer and not a turn.
_HARNESS_TURN = re.compile(
    r"[ \t]*(?:[#*>\[]+[ \t]*)?(?:"
    r"(?:code executed|(?:repl|execution|cell) (?:output|result)s?(?: \(?\d+\)?)?"
    r"|(?:user|human)(?![*]*[ \t]*:[*_`\[ \t]*\d)|assistant|observation)(?:\]?[*]*[ \t]*:|\])"
    r"|(?:user|human|assistant)[ \t]*$|(?:iteration|turn) \d+ (?:of|/) \d+|</?tool_response>)",
    re.IGNORECASE,
)
# Attributes that may follow a label, such as title="x".
_ATTRIBUTES = re.compile(r"""(?:\w++=(?>"[^"]*"(?!\S)|'[^']*'(?!\S)|\S++)\s*+)++""")
_LABEL = re.compile(r"[\s{.]*([\w+#-]+)(?=[\s:;,.(){}\[\]]|$)")
_CODE_MARK = re.compile(
    r"\w[(\[]|(?<![=<>!-])=(?![=>])|^[^\S\n]*+(?:import|from)\s+\w"
    r"|^[^\S\n]*+(?:def|class|for|while|if|elif|else|try|except|with)\b.*:\s*$",
    re.MULTILINE,
)
_CALL_MARK = re.compile(r"[\w)\]][(\[]| for ")
_DOING = ast.Call | ast.Subscript | ast.ListComp | ast.SetComp | ast.DictComp


@dataclass(frozen=True)
class Block:
    """A fenced block.

    label: in lower case, or empty. closed: the block ends with a fence. shares_fence: the fence that opens the block
    also closes the one before it.
    """

    label: str
    text: str
    closed: bool = True
    shares_fence: bool = False

    @cached_property
    def is_code(self) -> bool:
        """True if this is Python to run.

        A block with a Python label counts unless it holds only prose. A block without a label counts if it is Python.
        """
        if self.shares_fence and parsed_cell(self.text) is None:
            # The fence was meant to close the block before it; the text repeats parts of that block or of its output.
            return False
        if self.label in CODE_LABELS:
            return _has_code(self.text)
        # A final answer in a plain block is not code, although it reads like a call.
        return self.label == "" and not _FINAL.match(self.text) and _does_something(self.text)


@dataclass(frozen=True)
class Reading:
    """The parts of a reply.

    blocks: in order. text: the text outside them and in blocks that hold text. own: the reply up to the first invented
    turn of another party.
    """

    blocks: tuple[Block, ...]
    text: str
    own: str

    @property
    def cells(self) -> tuple[Block, ...]:
        return tuple(block for block in self.blocks if block.is_code)


def read_fences(reply: str) -> Reading:
    """Split a reply into blocks and text, in time linear in its length.

    The reply ends at a turn that the model invented for the harness. A fence at the start of a line opens a block.
    Three backticks outside a string close a Python block at any position, because they are not Python. Any other block
    ends with a line that begins with a fence, or where a Python block begins. Final-answer tags at the end of a Python
    block are text if they are not Python.
    """
    return _Reader(reply.replace("\r\n", "\n")).read()


class _Reader:
    def __init__(self, reply: str) -> None:
        self.reply = reply
        self.end = len(reply)
        self.at = 0
        self.blocks: list[Block] = []
        self.text: list[str] = []
        self.look_ahead = len(reply)
        self.open_finals = 0
        self.answered = False
        self.shared_fence = -1

    def read(self) -> Reading:
        while self.at < self.end:
            line = self._line(self.at)
            opening = _FENCE.match(line)
            if opening and self._one_line(line):
                self.at += len(line) + 1
            elif opening:
                shares = self.at == self.shared_fence
                self.at += len(line) + 1
                self._block(opening[2], opening[1], shares_fence=shares)
            elif self._is_cut(line):
                self.end = self.at
            elif _FINAL.match(line):
                self._final(line)
            else:
                line = self._up_to_end_mark(line, self.at)
                self.at += len(line) + 1
                within = _OPENING_WITHIN.match(line)
                self.text.append(line[: within.start(1)] if within else line)
                if within:
                    self._block(within[2], within[1])
        return Reading(tuple(self.blocks), "\n".join(self.text), self.reply[: self.end])

    def _line(self, start: int) -> str:
        stop = self.reply.find("\n", start, self.end)
        return self.reply[start : self.end if stop < 0 else stop]

    def _final(self, line: str) -> None:
        # Fences inside a final answer belong to the answer.
        stop, start = None, _FINAL.match(line)
        if start is not None and self.open_finals < 4:
            stop = closing_parenthesis(self.reply, self.at + start.end(), self.end)
            self.open_finals += stop is None
        taken = line if stop is None else self.reply[self.at : stop] + self._up_to_end_mark(self._line(stop), stop)
        self.answered = self.answered or stop is not None
        self.text.append(taken)
        self.at += len(taken) + 1

    def _up_to_end_mark(self, line: str, start: int) -> str:
        """Return the line at `start`, up to an end-of-turn mark, which ends the reply."""
        mark = _END_MARK.search(line)
        if mark is None:
            return line
        self.end = start + mark.start()
        return line[: mark.start()]

    def _is_cut(self, line: str) -> bool:
        mark = _CHAT_MARK.match(line.lstrip())
        if mark and not self.blocks and not "".join(self.text).strip():
            return False
        return bool(mark) or ((self.answered or bool(self.blocks)) and _HARNESS_TURN.match(line) is not None)

    def _one_line(self, line: str) -> bool:
        # ```repl print(1)``` on one line is a block; any other line with two fences is text.
        fence = _FENCE.match(line)
        inside = fence[2].rstrip() if fence else ""
        if "```" not in inside:
            return False
        label, _, code = inside.partition(" ")
        if label.lower() in CODE_LABELS and code.endswith("```"):
            self.blocks.append(Block(label.lower(), code.rstrip("`").strip()))
        else:
            self.text.append(line)
        return True

    def _block(self, info: str, fence: str, *, shares_fence: bool = False) -> None:
        label = _label(info)
        if label in CODE_LABELS:
            stop, after, closed = self._own_end(fence) or self._python_end(self.at)
            code, tags = _without_tags(_cell(info, self.reply[self.at : stop]))
            self.text += [tags] if tags else []
        else:
            stop, after, closed = self._other_end(fence, nesting=label in _NESTING_LABELS)
            code = _unindented(self.reply[self.at : stop])
        self.blocks.append(Block(label, code, closed, shares_fence))
        if label in TEXT_LABELS and not self.blocks[-1].is_code:
            self.text.append(self.reply[self.at : stop])
        self.at = after

    def _own_end(self, fence: str) -> tuple[int, int, bool] | None:
        """Return the end of a Python block with a fence other than three backticks, if the next such fence is bare."""
        if fence == "```":
            return None
        found = re.compile(rf"^[ \t]*{fence}[`~]*(.*)\n?", re.MULTILINE).search(self.reply, self.at, self.end)
        if found is None or found[1].strip() or "<|" in self.reply[self.at : found.start()]:
            return None
        return found.start(), found.end(), True

    def _python_end(self, start: int) -> tuple[int, int, bool]:
        """Return the end of the code, the position after its fence, and True if a fence closed it."""
        quote, comment, held, glued, fences = "", False, None, None, 0
        for token in _PYTHON_TOKEN.finditer(self.reply, start, self.end):
            mark = token[0]
            fence = mark[0] == "`" or (mark[0] == "~" and self._begins_line(token.start()))
            if held and token.start() - held.start() > self.look_ahead:
                break
            if mark == "\n":
                if glued and glued.end() == token.start() and fences % 2:
                    return self._closed(glued)
                comment, glued, fences = False, None, 0
                quote = quote if len(quote) == 3 else ""
            elif comment or (fence and len(quote) == 1):
                glued, fences = (token, fences + 1) if fence else (glued, fences)
            elif fence and quote:
                # A fence inside a string is skipped only if all of the code then is Python.
                held = token if held is None and self._begins_line(token.start()) else held
            elif fence:
                if held and not self._makes_sense(start, token.start(), held):
                    return self._closed(held)
                return self._closed(token)
            elif quote:
                quote = "" if mark == quote or (mark[0] == quote and len(mark) == 3) else quote
            elif mark == "#":
                comment = True
            elif mark[0] in "\"'":
                quote = mark
            elif mark == "<|" and _CHAT_MARK.match(self.reply, token.start()):
                self.end = token.start()
                return self.end, self.end, False
        if held:
            self.look_ahead -= self.end - held.start()
            return self._closed(held)
        if glued and glued.end() == self.end and fences % 2:
            return self._closed(glued)
        return self.end, self.end, False

    def _begins_line(self, position: int) -> bool:
        before = self.reply[max(0, position - 80) : position].rpartition("\n")
        return not before[2].strip() and (bool(before[1]) or position <= 80)

    def _makes_sense(self, start: int, stop: int, held: re.Match[str]) -> bool:
        # The total length of text that is read twice is bounded, which keeps parsing linear.
        self.look_ahead -= stop - held.start()
        return stop - start <= MAX_CELL_CHARS and parsed_cell(_unindented(self.reply[start:stop])) is not None

    def _closed(self, fence: re.Match[str]) -> tuple[int, int, bool]:
        rest = self._line(fence.end())
        begins_next = self._begins_line(fence.start()) and _label(rest) in CODE_LABELS
        if begins_next:
            self.shared_fence = self.reply.rfind("\n", 0, fence.start()) + 1
            return fence.start(), self.shared_fence, True
        after = fence.end() + len(rest) + 1
        if _CHAT_MARK.match(rest.lstrip()):
            self.end = after = fence.end()
        return fence.start(), after, True

    def _other_end(self, fence: str, *, nesting: bool) -> tuple[int, int, bool]:
        at, depth = self.at, 0
        while at < self.end:
            line = self._line(at)
            found = _FENCE.match(line)
            if found and found[1].startswith(fence):
                label = _label(found[2])
                if nesting and label:
                    depth += 1
                elif depth:
                    depth -= 1
                else:
                    return at, at if label in CODE_LABELS else at + len(line) + 1, True
            elif _CHAT_MARK.match(line.lstrip()):
                self.end = at
                return at, at, False
            at += len(line) + 1
        return self.end, self.end, False


def closing_parenthesis(text: str, start: int, end: int) -> int | None:
    """Return the position after the parenthesis that closes the one before `start`, or None."""
    depth = 1
    for found in _PARENTHESIS.finditer(text, start, end):
        depth += 1 if found[0] == "(" else -1
        if depth == 0:
            return found.end()
    return None


def _label(info: str) -> str:
    found = _LABEL.match(info)
    return (found[1] if found else info.strip().partition(" ")[0]).lower()


def _cell(info: str, text: str) -> str:
    """Return the code of a Python block, including code on the label's line, without a repeated label."""
    code = _unindented(text)
    first, _, rest = code.partition("\n")
    code = rest if first.strip().lower() in CODE_LABELS else code
    behind = " ".join(info.split()[1:])
    return f"{behind}\n{code}".rstrip() if _does_something(behind) and not _ATTRIBUTES.fullmatch(behind) else code


def _without_tags(code: str) -> tuple[str, str]:
    """Split a Python block into its code and the final-answer tags at its end that are not meant as calls.

    Such tags are those that are not Python, such as FINAL(Sansa Stark), and a FINAL(word) alone in its block.
    """
    tag = _TAG_LINE.search(code)
    if tag is None or len(code) > MAX_CELL_CHARS:
        return code, ""
    before = code[: tag.start()].rstrip()
    if parsed_cell(code) is None and parsed_cell(before) is not None:
        return before, code[tag.start() :]
    return ("", code) if _LONE_WORD.fullmatch(code.strip()) else (code, "")


def _unindented(code: str) -> str:
    """Remove the code's common indentation, or that of the first line if no other line has it."""
    code = code.strip("\n").rstrip()
    if code[:1] in (" ", "\t"):
        code = textwrap.dedent(code).strip()
    return code


def _has_code(code: str) -> bool:
    if not code.strip() or len(code) > MAX_CELL_CHARS:
        return bool(code.strip())
    module = parsed_cell(code)
    return bool(module.body) if module else _CODE_MARK.search(code) is not None


def _does_something(code: str) -> bool:
    """True if the text is Python with an effect. Words, numbers and lists of them are Python without one."""
    module = parsed_cell(code) if code.strip() else None
    if module is None:
        return False
    # `Paris (France)` parses as a call, but code does not write a call with a space.
    calls = _CALL_MARK.search(code) is not None
    return any(
        not isinstance(statement, ast.Expr | ast.AnnAssign)
        or (calls and isinstance(getattr(statement, "value", None), _DOING))
        for statement in module.body
    )
