"""Accepts or rejects the answers of an RLM's root by comparing them with its session."""

from __future__ import annotations

import re
from collections.abc import Awaitable

from rlm.methods.method import Answer
from rlm.methods.rlm.prompt import Conversation
from rlm.methods.rlm.reply import Final, FinalText, FinalVariable, Reminder, expression_names, is_plan
from rlm.methods.rlm.strategy import Strategy
from rlm.models.chat import Reply
from rlm.repl.protocol import Repl, ReplError, UnknownVariable

# Python's default text for values such as functions, modules and generators.
_OBJECT = re.compile(r"<(?:module|class|function|built-in|(?:bound )?method|[\w.]+ object)\b[^\n]*>")

_OBJECT_CHARS = 1000


class Acceptance:
    """Accepts or rejects the answers of one loop. A note in the conversation gives the reason for a rejection.

    An explicit final answer counts even if a variable of the session differs from it, which `contradicts` records.
    source: the origin of the accepted answer.
    """

    def __init__(self, talk: Conversation, strategy: Strategy, repl: Repl) -> None:
        self.source: str | None = None
        self.contradicts: bool | None = None
        self._talk = talk
        self._strategy = strategy
        self._repl = repl
        self._asked_about: set[str] = set()
        self._unproven: Final | None = None

    def accept(self, text: str, source: str, *, truncated: bool = False, untagged: bool = False) -> Answer:
        """Accept an answer."""
        self.source = source
        return Answer(text, truncated=truncated, untagged=untagged)

    async def of_cell(self) -> Answer | None:
        """Return the answer that a cell has set."""
        text = await self._value(self._repl.final())
        return None if text is None else self.accept(text, "cell")

    async def beside_code(self, final: Final, reply: Reply, *, failed: bool) -> Answer | None:
        """Judge a final answer in the same reply as code, after the code has run.

        It counts if it names a variable. A literal answer predates the output; it is accepted only if it is repeated.
        """
        literal = isinstance(final, FinalText) and not (final.name and await self._exists(final.text))
        if failed:
            self._talk.note("note_failed_final")
        elif literal and final != self._unproven:
            self._unproven = final
            self._talk.note("note_invented_final")
        else:
            return await self.of_reply(final, reply)
        return None

    async def of_reply(self, final: Final, reply: Reply, *, last: bool = False) -> Answer | None:
        """Judge the answer of a reply. last: no further turn follows in which the root could be asked about it."""
        if last and isinstance(final, Reminder) and final.last_final:
            final = final.last_final
        if isinstance(final, Reminder):
            self._talk.note(f"remind_{final.reason}")
            return None
        if not last and not final.closed and reply.truncated:
            self._talk.note("remind_cut_final")
            return None
        if isinstance(final, FinalVariable) or (final.name and await self._exists(final.text)):
            name = final.name if isinstance(final, FinalVariable) else final.text
            text = await self._value(self._repl.value(name), name)
            return None if text is None else self.accept(text, "variable")
        if not last and final.name and _names_something(final.text) and final.text not in self._asked_about:
            # The word looks like a variable that does not exist, or like the placeholder in the tag's example.
            self._asked_about.add(final.text)
            self._talk.note("note_word_or_variable", name=final.text)
            return None
        if not last and final.text not in self._asked_about:
            # A plan or an expression may be the requested answer, so it is accepted if it is repeated.
            planned = is_plan(final.text)
            if planned or await self._computes(final.text):
                self._asked_about.add(final.text)
                self._talk.note("note_plan" if planned else "remind_unfilled_final")
                return None
        await self._compare(final.text)
        return self.accept(final.text, "text", truncated=not final.closed)

    async def _value(self, value: Awaitable[str], name: str = "") -> str | None:
        """Return a value of the session; None, with a note that gives the reason, if it cannot be an answer."""
        try:
            text = await value
        except UnknownVariable as unknown:
            self._talk.note("note_no_variable", name=name, names=unknown.names)
            return None
        except ReplError as error:
            self._talk.note("note_no_value", error=str(error))
            return None
        if not text.strip():
            self._talk.note("note_empty_answer")
            return None
        if _is_object(text):
            self._talk.note("note_no_value", error=f"its value is {text[:80]}")
            return None
        return text

    async def _exists(self, name: str) -> bool:
        """True if a word is the name of a variable; functions and modules do not count."""
        try:
            return not _is_object(await self._repl.value(name))
        except UnknownVariable:
            return False
        except ReplError:
            return True

    async def _computes(self, text: str) -> bool:
        """True if the text is an expression over variables of the session, such as `str(count)`."""
        names = expression_names(text)
        return any([await self._exists(name) for name in names])

    async def _compare(self, text: str) -> None:
        """Record if a literal answer differs from the answer that a variable holds."""
        if self._strategy.ready:
            try:
                self.contradicts = (await self._repl.value(self._strategy.ready)).strip() != text.strip()
            except ReplError:
                self.contradicts = None


def _is_object(text: str) -> bool:
    """True for Python's default text of an object, which is never long."""
    return len(text) <= _OBJECT_CHARS and _OBJECT.fullmatch(text) is not None


def _names_something(word: str) -> bool:
    return "_" in word or word.lower() in ("answer", "variable", "text")
