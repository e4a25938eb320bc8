"""What a command-line agent prints, read by rules: its answer, the tokens it used, what it cost, whether it failed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from rlm.models.chat import Cost, CostState, TokenUsage

FORMATS = ("text", "json", "jsonl")
_TOKENS = ("prompt_tokens", "cached_tokens", "completion_tokens", "reasoning_tokens")
_FIELDS = ("answer", "cost_usd", "model", "error", "finish_reason", *_TOKENS)
_MOST_TOKENS = 10**12
_JSON_START = re.compile(r"^\s*([{\[])", re.MULTILINE)
_MOST_STARTS = 50


@dataclass(frozen=True)
class Rule:
    """Where a value stands in an agent's output.

    paths: from the root of a JSON object, such as `usage.input_tokens`; of several the values are added up.
    where: what the object must hold at other paths, such as `{type: result}`. pattern: for output that is plain text, a
    regular expression whose first group is the value.
    """

    paths: tuple[str, ...] = ()
    where: Mapping[str, Any] | None = None
    pattern: re.Pattern[str] | None = None

    def in_text(self, text: str) -> list[Any]:
        """The values that the pattern finds, in order."""
        return [match[1] for match in self.pattern.finditer(text)] if self.pattern else []

    def in_object(self, item: Any) -> Any:
        """The value in one JSON object, or None."""
        if any(at(item, path) != wanted for path, wanted in (self.where or {}).items()):
            return None
        found = [value for path in self.paths if (value := at(item, path)) is not None]
        if len(self.paths) > 1 and found and all(isinstance(value, int | float) for value in found):
            return sum(found)
        return found[0] if found else None


@dataclass(frozen=True)
class Said:
    """An agent's output as read. cost is unknown unless the agent told it; error: what it says went wrong."""

    answer: str | None
    usage: TokenUsage
    cost: Cost
    model: str = ""
    error: str | None = None
    finish_reason: str = "stop"


def read_rules(output: Mapping[str, Any]) -> tuple[str, dict[str, Rule]]:
    """Format and rules of a configuration {format, answer, prompt_tokens, ...}.

    A rule is a path, or a mapping {path, where} or {pattern}. Raises ValueError naming the key.
    """
    rules = {}
    kind = output.get("format", "text")
    if kind not in FORMATS:
        raise ValueError(f"output.format is {kind!r}: wanted {', '.join(FORMATS)}")
    for key, given in output.items():
        if key == "format" or given is None:
            continue
        if key not in _FIELDS:
            raise ValueError(f"output.{key} is not known; there are: format, {', '.join(_FIELDS)}")
        rules[key] = _rule(f"output.{key}", given, text=kind == "text")
    if kind != "text" and "answer" not in rules:
        raise ValueError(f"output.answer is missing: with format {kind} it says where the answer stands")
    return kind, rules


def read_output(kind: str, rules: Mapping[str, Rule], stdout: str) -> Said:
    """Read an agent's output. Never raises: what is missing or of a wrong type is left out.

    The answer is the last value its rule finds; numbers are added up over all objects that fit.
    """
    found = {key: rule.in_text(stdout) for key, rule in rules.items()}
    for item in _objects(kind, stdout):
        for key, rule in rules.items():
            value = rule.in_object(item)
            if value is not None:
                found[key].append(value)
    answers = [text for value in found.get("answer", ()) if (text := _text(value)).strip()]
    if "answer" not in rules and kind == "text":
        answers = [stdout.strip()]
    failures = [value for value in found.get("error", ()) if value]
    return Said(
        answer=answers[-1].strip() if answers and answers[-1] else None,
        usage=_usage(found),
        cost=_cost(found.get("cost_usd", ())),
        model=next((value for value in found.get("model", ()) if isinstance(value, str)), "")[:200],
        error=_one_line(failures[-1]) if failures else None,
        finish_reason=next(
            (value for value in reversed(found.get("finish_reason", ())) if isinstance(value, str)), "stop"
        ),
    )


def at(item: Any, path: str) -> Any:
    """The value at a dotted path of nested objects and lists, or None."""
    for step in path.split("."):
        if isinstance(item, Mapping):
            item = item.get(step)
        elif isinstance(item, list) and re.fullmatch(r"-?\d+", step) and -len(item) <= int(step) < len(item):
            item = item[int(step)]
        else:
            return None
    return item


def _rule(key: str, given: Any, *, text: bool) -> Rule:
    given = given if isinstance(given, Mapping) else {"pattern" if text else "path": given}
    unknown = set(given) - {"path", "where", "pattern"}
    if unknown:
        raise ValueError(f"{key}.{sorted(unknown)[0]} is not known; there are: path, where, pattern")
    paths = given.get("path") or ()
    paths = (paths,) if isinstance(paths, str) else tuple(paths)
    pattern = given.get("pattern")
    try:
        compiled = re.compile(pattern, re.MULTILINE) if pattern else None
    except (re.error, TypeError) as error:
        raise ValueError(f"{key}.pattern is {pattern!r}: {error}") from error
    if compiled and not compiled.groups:
        raise ValueError(f"{key}.pattern is {pattern!r}: wanted a group in parentheses for the value")
    if not paths and not compiled:
        raise ValueError(f"{key} has neither a path nor a pattern")
    return Rule(paths, given.get("where"), compiled)


def _objects(kind: str, stdout: str) -> Iterator[Any]:
    if kind == "json":
        whole = _first_object(stdout)
        yield whole
        if isinstance(whole, list):
            yield from whole
    elif kind == "jsonl":
        # Only a line end ends a line: JSON may hold other characters that str.splitlines takes for one.
        for line in stdout.split("\n"):
            try:
                yield json.loads(line)
            except (ValueError, RecursionError):
                continue


def _first_object(stdout: str) -> Any:
    """The JSON that an agent prints, though there may be a warning before it and more behind it; None without any."""
    decode = json.JSONDecoder().raw_decode
    starts = [0, *(found.start(1) for found in islice(_JSON_START.finditer(stdout), _MOST_STARTS))]
    for start in starts:
        try:
            return decode(stdout, start)[0]
        except (ValueError, RecursionError):
            continue
    return None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _usage(found: Mapping[str, Sequence[Any]]) -> TokenUsage:
    counts, clamped = {}, False
    for key in _TOKENS:
        total = sum(number for value in found.get(key, ()) if (number := _number(value)) is not None)
        counts[key] = int(min(max(total, 0), _MOST_TOKENS))
        clamped = clamped or counts[key] != int(total)
    for part, whole in (("cached_tokens", "prompt_tokens"), ("reasoning_tokens", "completion_tokens")):
        if counts[part] > counts[whole]:
            counts[part], clamped = counts[whole], True
    return TokenUsage(**counts, clamped=clamped)


def _cost(values: Sequence[Any]) -> Cost:
    """Agents report 0 where they know no price, so only a cost above 0 is one."""
    dollars = sum(number for value in values if (number := _number(value)) is not None and number > 0)
    return Cost(dollars, dollars, CostState.KNOWN) if 0 < dollars < 1e6 else Cost(state=CostState.UNKNOWN)


def _number(value: Any) -> float | None:
    try:
        number = float(str(value).replace(",", "")) if not isinstance(value, bool) else None
    except ValueError:
        return None
    return number if number is not None and abs(number) < float("inf") else None


def _one_line(value: Any) -> str:
    return " ".join(_text(value).split())[:300]
