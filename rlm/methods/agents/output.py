"""Rules that read the output of a command-line agent: its answer, tokens, cost and error."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from rlm.models.chat import Cost, CostState, TokenUsage
from rlm.validation import SettingError, unknown

FORMATS = ("text", "json", "jsonl")
_TOKENS = ("prompt_tokens", "cached_tokens", "completion_tokens", "reasoning_tokens")
_FIELDS = ("answer", "cost_usd", "model", "error", "finish_reason", *_TOKENS)
_RULE_KEYS = ("path", "where", "pattern")
_MOST_TOKENS = 10**12
_JSON_START = re.compile(r"^[^\S\n]*+([{\[])", re.MULTILINE)
_MOST_STARTS = 50


@dataclass(frozen=True)
class OutputRule:
    """The location of a value in an agent's output.

    paths: paths in a JSON object, such as `usage.input_tokens`; the values of several paths are added. where: values
    that the object must have at other paths, such as `{type: result}`. pattern: for plain text, a regular expression
    whose first group is the value.
    """

    paths: tuple[str, ...] = ()
    where: Mapping[str, Any] | None = None
    pattern: re.Pattern[str] | None = None

    def in_text(self, text: str) -> list[Any]:
        """Return the values that the pattern finds, in order."""
        return [match[1] for match in self.pattern.finditer(text)] if self.pattern else []

    def in_object(self, item: Any) -> Any:
        """Return the value in one JSON object, or None."""
        if any(at(item, path) != expected for path, expected in (self.where or {}).items()):
            return None
        found = [value for path in self.paths if (value := at(item, path)) is not None]
        if len(self.paths) > 1 and found and all(isinstance(value, int | float) for value in found):
            return sum(found)
        return found[0] if found else None


@dataclass(frozen=True)
class AgentOutput:
    """The parsed output of an agent. cost: unknown unless the agent reported it. error: the agent's own message."""

    answer: str | None
    usage: TokenUsage
    cost: Cost
    model: str = ""
    error: str | None = None
    finish_reason: str = "stop"


def read_rules(output: Mapping[str, Any]) -> tuple[str, dict[str, OutputRule]]:
    """Read the format and the rules of a configuration {format, answer, prompt_tokens, ...}.

    A rule is a path, or a mapping {path, where} or {pattern}. Raises SettingError.
    """
    rules = {}
    kind = output.get("format", "text")
    if kind not in FORMATS:
        raise SettingError(f"output.format is {kind!r}: expected {' or '.join(FORMATS)}")
    for key, given in output.items():
        if key == "format" or given is None:
            continue
        if key not in _FIELDS:
            raise SettingError(unknown("key", f"output.{key}", [f"output.{name}" for name in ("format", *_FIELDS)]))
        rules[key] = _rule(f"output.{key}", given, text=kind == "text")
    if kind != "text" and "answer" not in rules:
        raise SettingError(f"output.answer is missing: expected the path of the answer, as output.format is {kind}")
    return kind, rules


def read_output(kind: str, rules: Mapping[str, OutputRule], stdout: str) -> AgentOutput:
    """Read an agent's output. Never raises: missing values and values of a wrong type are ignored.

    The answer is the last value that its rule finds. Numbers are added over all matching objects.
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
    return AgentOutput(
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
    """Return the value at a dotted path in nested objects and lists, or None."""
    for step in path.split("."):
        if isinstance(item, Mapping):
            item = item.get(step)
        elif isinstance(item, list) and re.fullmatch(r"-?\d+", step) and -len(item) <= int(step) < len(item):
            item = item[int(step)]
        else:
            return None
    return item


def _rule(key: str, given: Any, *, text: bool) -> OutputRule:
    given = given if isinstance(given, Mapping) else {"pattern" if text else "path": given}
    other = set(given) - set(_RULE_KEYS)
    if other:
        raise SettingError(unknown("key", f"{key}.{sorted(other)[0]}", [f"{key}.{name}" for name in _RULE_KEYS]))
    paths = given.get("path") or ()
    paths = (paths,) if isinstance(paths, str) else tuple(paths)
    pattern = given.get("pattern")
    try:
        compiled = re.compile(pattern, re.MULTILINE) if pattern else None
    except (re.error, TypeError) as error:
        raise SettingError(f"{key}.pattern is {pattern!r}: expected a regular expression ({error})") from error
    if compiled and not compiled.groups:
        raise SettingError(f"{key}.pattern is {pattern!r}: expected a group in parentheses that captures the value")
    if not paths and not compiled:
        raise SettingError(f"{key} is {given!r}: expected a path or a pattern")
    return OutputRule(paths, given.get("where"), compiled)


def _objects(kind: str, stdout: str) -> Iterator[Any]:
    if kind == "json":
        document = _first_object(stdout)
        yield document
        if isinstance(document, list):
            yield from document
    elif kind == "jsonl":
        # Not str.splitlines: it also splits at other characters, which JSON may contain.
        for line in stdout.split("\n"):
            try:
                yield json.loads(line)
            except (ValueError, RecursionError):
                continue


def _first_object(stdout: str) -> Any:
    """Return the first JSON document in an output that may hold other text too; None if there is none."""
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
    """Add up the reported costs. A sum of 0 counts as unknown, because agents report 0 if they know no price."""
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
