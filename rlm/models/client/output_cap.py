"""Caps on output tokens that are larger than the model allows or than the prompt leaves room for."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

# A longer number is not a token count, and the patterns would read it again from each of its digits.
_NUMBER = r"(\d[\d,_]{0,20})"
_CAP = r"max_(?:\w{1,24}_)?tokens`?"
# The model's window, in the wordings of vLLM, OpenAI, SGLang, TGI, Anthropic, OpenRouter and DeepSeek.
_WINDOW = re.compile(
    rf"(?:maximum|max) (?:context|sequence|model|total) length (?:is |of )(?:only )?{_NUMBER}"
    rf"|context (?:length|window|size)(?: limit)? (?:is |of |\()(?:only )?{_NUMBER}"
    rf"|max_(?:seq|model)_len(?:gth)?(?:=max_total_tokens)?\W{{0,3}}(?:is |of )?{_NUMBER}"
    rf"|model with {_NUMBER} maximum"
    rf"|max_new_tokens`? must be (?:<=|less than or equal to) {_NUMBER}"
    rf"|\d[\d,_]{{0,20}} \+ \d[\d,_]{{0,20}} > {_NUMBER}"
    rf"|> {_NUMBER} - \d",
    re.I,
)
# Tokens of the prompt. `at least` marks a count that stopped at the window's size.
_PROMPT = re.compile(
    rf"(at least )?{_NUMBER} (?:tokens )?(?:in|of|from) (?:the |your )?(?:messages|prompt|text input|input)"
    rf"|(?:request has|prompt (?:contains|has)|passed|given:?) (at least )?{_NUMBER} (?:`?inputs?`? |prompt )?tokens"
    rf"|(?:context limit|exceed \w+ limit): {_NUMBER} \+"
    rf"|(?:prompt length|keep the first|prompt_tokens) \(?{_NUMBER}|request \({_NUMBER}"
    rf"|(?:messages|prompt) (?:resulted in|have|has) {_NUMBER}",
    re.I,
)
# Tokens of prompt and cap together.
_TOTAL = re.compile(
    rf"requested (?:a total of )?{_NUMBER} tokens|requested token count (?:is |of )?{_NUMBER}"
    rf"|current length is {_NUMBER}|total of (?:at least )?{_NUMBER} tokens",
    re.I,
)
# The most output tokens of the model itself.
_MOST = re.compile(
    rf"(?:at most|no more than|up to|a maximum of) {_NUMBER} (?:completion|output|new|generated)?\s*tokens"
    rf"|{_CAP}.{{0,60}}?range[^\[\d]{{0,40}}\[?\d+(?:,| to) ?{_NUMBER}"
    rf"|range is from \d+ \(inclusive\) to {_NUMBER} \(exclusive\)"
    rf"|{_CAP}\"?:? \d[\d,_]{{0,20}} > {_NUMBER}"
    rf"|range of {_CAP} should be \[\d+, ?{_NUMBER}"
    rf"|(?<!\+ `)(?<!\+ ){_CAP}[^.]{{0,60}}?(?:less than or equal to|<=|at most|(?:no|not|cannot|can't)(?: be)?"
    rf" (?:more than|greater than|larger than|exceed)) `?{_NUMBER}"
    rf"|maximum tokens you requested exceeds the model limit of {_NUMBER}"
    rf"|(?:maximum|max) (?:allowed )?(?:number of )?(?:output|completion) tokens(?: is|:| of)? {_NUMBER}",
    re.I | re.S,
)


@dataclass(frozen=True)
class Room:
    """Numbers in an error: the model's window, the prompt's tokens, and the model's maximum of output tokens.

    exact: the prompt's tokens are not a lower bound. total: tokens of the prompt and the cap together.
    """

    window: int | None = None
    prompt: int | None = None
    exact: bool = True
    total: int | None = None
    most_output: int | None = None

    def cap(self, sent: int | None, counted: int, window: int | None) -> int | None:
        """Return a cap on output tokens that fits; None if none is known or if the prompt does not fit.

        sent: the cap of the request, None if it had none. counted: the prompt's tokens by our own count. window: the
        configured window of the model.
        """
        if sent is None:
            return None
        if self.most_output is not None and 0 < self.most_output < sent:
            return self.most_output
        window = self.window or window
        if window is None:
            return None
        prompt = self.prompt
        if prompt is None and self.total is not None and self.total > sent:
            prompt = self.total - sent
        if prompt is not None and self.exact:
            room = window - prompt
        else:
            # Templates add tokens to each message, and other tokenizers count more tokens than the local one.
            likely = max(math.ceil(counted * 1.15) + 64, math.ceil((prompt or 0) * 1.01))
            room = window - likely if likely < window else (window - counted) // 2
        return min(sent, room) if 0 < room < sent else None


def read_room(words: str) -> Room:
    """Read the numbers in an error message. A prompt of `at least` n tokens is not exact."""
    window, most = _first(_WINDOW, words), _first(_MOST, words)
    if most is not None and "(exclusive)" in words:
        most -= 1
    prompt, exact = None, True
    if found := _PROMPT.search(words):
        prompt = next(_integer(group) for group in found.groups() if group and group[:1].isdigit())
        exact = not any(group and not group[:1].isdigit() for group in found.groups())
    if re.search(r"\b(?:about|approximately|around) \d", words):
        exact = False
    return Room(window, prompt, exact, _first(_TOTAL, words), most)


def _first(pattern: re.Pattern[str], text: str) -> int | None:
    found = pattern.search(text)
    return next((_integer(group) for group in found.groups() if group), None) if found else None


def _integer(digits: str) -> int:
    return int(re.sub(r"[,_]", "", digits))
