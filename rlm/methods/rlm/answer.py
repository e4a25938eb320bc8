"""Which of the answers that an RLM's root gives counts: its words and its variables, held against its session."""

from __future__ import annotations

import re
from collections.abc import Awaitable

from rlm.methods.method import Answer
from rlm.methods.rlm.prompt import Conversation
from rlm.methods.rlm.reply import Final, FinalText, FinalVariable, Reminder, expression_names, is_plan
from rlm.methods.rlm.strategy import Strategy
from rlm.models.chat import Reply
from rlm.repl.protocol import Repl, ReplError, UnknownVariable

# How Python writes what has no text of its own: functions, modules, generators.
_OBJECT = re.compile(r"<(?:module|class|function|built-in|(?:bound )?method|[\w.]+ object)\b[^\n]*>")


class Acceptance:
    """Takes or refuses the answers of one loop; where one is refused, a note in the conversation says why.

    An explicit final answer counts even where a variable of the session says otherwise: `contradicts` notes that.
    source: where the answer came from. repl: set once the session is open.
    """

    def __init__(self, talk: Conversation, strategy: Strategy) -> None:
        self.repl: Repl | None = None
        self.source: str | None = None
        self.contradicts: bool | None = None
        self._talk = talk
        self._strategy = strategy
        self._asked_about: set[str] = set()
        self._unproven: Final | None = None

    def take(self, text: str, source: str, *, truncated: bool = False) -> Answer:
        """An answer that counts."""
        self.source = source
        return Answer(text, truncated=truncated)

    async def of_cell(self) -> Answer | None:
        """The answer that a cell has set."""
        text = await self._value(self.repl.final())
        return None if text is None else self.take(text, "cell")

    async def beside_code(self, final: Final, reply: Reply, *, failed: bool) -> Answer | None:
        """A final answer in the same reply as code, which has run, counts where it names what the code has made.

        One that is written out was made up before the code's output was there; given again, it is borne out.
        """
        written = isinstance(final, FinalText) and not (final.name and await self._exists(final.text))
        if failed:
            self._talk.note("note_failed_final")
        elif written and final != self._unproven:
            self._unproven = final
            self._talk.note("note_invented_final")
        else:
            return await self.of_reply(final, reply)
        return None

    async def of_reply(self, final: Final, reply: Reply, *, last: bool = False) -> Answer | None:
        """The answer that a reply gives. last: there is no further turn in which to ask about it."""
        if isinstance(final, Reminder):
            self._talk.note(f"remind_{final.reason}")
            return None
        if not last and not final.closed and reply.truncated:
            self._talk.note("remind_cut_final")
            return None
        if isinstance(final, FinalVariable) or (final.name and await self._exists(final.text)):
            name = final.name if isinstance(final, FinalVariable) else final.text
            text = await self._value(self.repl.value(name), name)
            return None if text is None else self.take(text, "variable")
        if not last and final.name and _names_something(final.text) and final.text not in self._asked_about:
            # It may be a word, but looks like a variable that the code has not made, or like the tag's own example.
            self._asked_about.add(final.text)
            self._talk.note("note_word_or_variable", name=final.text)
            return None
        if not last and final.text not in self._asked_about:
            # Given once more, both are taken as they are: they may be what was asked for.
            planned = is_plan(final.text)
            if planned or await self._computes(final.text):
                self._asked_about.add(final.text)
                self._talk.note("note_plan" if planned else "remind_unfilled_final")
                return None
        await self._compare(final.text)
        return self.take(final.text, "text", truncated=not final.closed)

    async def _value(self, value: Awaitable[str], name: str = "") -> str | None:
        """A value of the session; None, with a note that says why, where it is no answer."""
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
        if _OBJECT.fullmatch(text):
            self._talk.note("note_no_value", error=f"its value is {text[:80]}")
            return None
        return text

    async def _exists(self, name: str) -> bool:
        """Whether a word names a value of the session; a function or a module of that name is none."""
        try:
            return _OBJECT.fullmatch(await self.repl.value(name)) is None
        except UnknownVariable:
            return False
        except ReplError:
            return True

    async def _computes(self, text: str) -> bool:
        """Whether the text is an expression over variables of the session, such as `str(count)`."""
        names = expression_names(text)
        return any([await self._exists(name) for name in names])

    async def _compare(self, text: str) -> None:
        """Note whether an answer written out differs from the one that a variable holds."""
        if self._strategy.ready:
            try:
                self.contradicts = (await self.repl.value(self._strategy.ready)).strip() != text.strip()
            except ReplError:
                self.contradicts = None


def _names_something(word: str) -> bool:
    return "_" in word or word.lower() in ("answer", "variable", "text")
