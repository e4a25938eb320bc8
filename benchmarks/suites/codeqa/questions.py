"""Multiple-choice questions about code, with right answers from the syntax tree and near misses from the same code.

A reader without the code should score little above chance. Therefore wrong answers are, if possible, right answers to
other questions of the same kind. Questions with the most common right answers (a default of None, one parameter, a
ValueError) are rare.

Each kind of question is a function of the facts of the piece that it is about, the facts of other pieces of the same
context, and a stream of draws. It yields questions until the caller accepts one.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from benchmarks.sources.draws import Draws
from benchmarks.suites.codeqa.corpus import Piece
from benchmarks.suites.codeqa.facts import Class, Facts, Function
from rlm.syntax import literal_value, parsed_expression

_WRONG = 3
_LONGEST_CHOICE = 60
_DEFAULTS = ("None", "False", "True", "0", '""', "1", "()", "-1")
_COMMON_DEFAULTS = ("None", "False", "True")
# One in _SELDOM questions with the most common answer is kept, and n in _MANY_PARAMETERS with n parameters.
_SELDOM = 6
_MANY_PARAMETERS = 6
# Names of at most this many characters are too common to identify a place.
_SHORT_NAME = 4


@dataclass(frozen=True)
class CodeQuestion:
    """A question with its right answer and three wrong ones.

    defined, called: names that no piece except the one of the question may define, or call.
    """

    text: str
    right: str
    wrong: tuple[str, ...]
    defined: tuple[str, ...] = ()
    called: tuple[str, ...] = ()

    def holds_in(self, home: Piece, others: Sequence[Piece]) -> bool:
        """True if no other piece defines or calls those names. The check is textual, and returns False if in doubt."""
        return not any(
            piece is not home
            and (
                any(_defines(piece, name) for name in self.defined) or any(_calls(piece, name) for name in self.called)
            )
            for piece in others
        )


Ask = Callable[[Facts, Sequence[Facts], Draws], Iterator[CodeQuestion]]


def default_value(home: Facts, others: Sequence[Facts], draws: Draws) -> Iterator[CodeQuestion]:
    """Ask for the default value of a parameter."""
    for function in draws.shuffled(home.functions):
        for name, right in draws.shuffled(function.parameters):
            if right is not None and (wrong := _wrong_defaults(right, function, home, others, draws)):
                text = f"What is the default value of the parameter `{name}` of {_described(function)}?"
                yield CodeQuestion(text, right, wrong, _anchor(function))


def parameter_count(home: Facts, others: Sequence[Facts], draws: Draws) -> Iterator[CodeQuestion]:
    """Ask for the number of parameters of a function."""
    for function in draws.shuffled(home.functions):
        count = len(function.parameters)
        if draws.below(_MANY_PARAMETERS) >= count:
            continue
        # Four consecutive numbers; any of them may be right.
        lowest = max(0, count - draws.below(_WRONG + 1))
        near = [n for n in range(lowest, lowest + _WRONG + 1) if n != count]
        text = (
            f"How many parameters does {_described(function)} declare, counting `self` or `cls` where it is declared, "
            "and `*args` and `**kwargs` as one each?"
        )
        yield CodeQuestion(text, str(count), tuple(map(str, near)), _anchor(function))


def parameter_at(home: Facts, others: Sequence[Facts], draws: Draws) -> Iterator[CodeQuestion]:
    """Ask for the parameter at a position."""
    places = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth")
    for function in draws.shuffled(home.functions):
        names = [name for name, _ in function.parameters]
        if len(names) > _WRONG:
            place = draws.below(min(len(names), len(places)))
            wrong = draws.some([name for name in names if name != names[place]], _WRONG)
            text = f"Which parameter is declared {places[place]} by {_described(function)}, counting `self` or `cls`?"
            yield CodeQuestion(text, names[place], tuple(wrong), _anchor(function))


def raised_exception(home: Facts, others: Sequence[Facts], draws: Draws) -> Iterator[CodeQuestion]:
    """Ask for the only exception that the body of a function raises."""
    near = [name for facts in (home, *others) for f in facts.functions for name in _named(f.raises)]
    askers = [f for f in home.functions if len(f.raises) == 1 and None not in f.raises]
    # The exception is drawn first, so that an exception that many functions raise is not right more often.
    for right in draws.shuffled(sorted({name for f in askers for name in _named(f.raises)})):
        function = draws.pick([f for f in askers if right in f.raises])
        if right == "ValueError" and draws.below(_SELDOM):
            continue
        if wrong := _pick([near], {right}, draws):
            text = f"Which of these exceptions does a `raise` statement in {_described(function)} name?"
            yield CodeQuestion(text, right, wrong, _anchor(function))


def callee(home: Facts, others: Sequence[Facts], draws: Draws) -> Iterator[CodeQuestion]:
    """Ask for a name that a function calls, among names that its neighbours call or that it only mentions."""
    called = sorted({name for f in home.functions for name in f.calls if len(name) > _SHORT_NAME})
    for function in draws.shuffled(home.functions):
        right = [name for name in called if name in function.calls and name != function.short]
        near = [name for name in called if name not in function.mentions and name != function.short]
        own = [name for name in sorted(function.mentions - function.calls) if len(name) > _SHORT_NAME]
        if right and (wrong := _pick([near, own], set(), draws)):
            text = f"Which of these does the body of {_described(function)} call?"
            yield CodeQuestion(text, draws.pick(right), wrong, _anchor(function))


def caller(home: Facts, others: Sequence[Facts], draws: Draws) -> Iterator[CodeQuestion]:
    """Ask for the only function that calls a name."""
    for name, function in _only_callers(home, draws):
        near = [f.name for f in home.functions if name not in f.calls]
        far = [f.name for facts in others for f in facts.functions if name not in f.calls]
        if wrong := _pick([near, far], {function.name}, draws):
            text = f"Which of these functions and methods calls `{name}`?"
            yield CodeQuestion(text, function.name, wrong, _anchor(function), (name,))


def default_of_caller(home: Facts, others: Sequence[Facts], draws: Draws) -> Iterator[CodeQuestion]:
    """Ask for the default of a parameter of the only function that calls a name: a question of two steps."""
    for name, function in _only_callers(home, draws):
        for parameter, right in draws.shuffled(function.parameters):
            if right is not None and (wrong := _wrong_defaults(right, function, home, others, draws)):
                text = (
                    f"Just one function or method in this code calls `{name}`. What is the default value of its "
                    f"parameter `{parameter}`?"
                )
                yield CodeQuestion(text, right, wrong, _anchor(function), (name,))


def method_owner(home: Facts, others: Sequence[Facts], draws: Draws) -> Iterator[CodeQuestion]:
    """Ask for the class whose body defines a method."""
    for owner in draws.shuffled(home.classes):
        for method in draws.shuffled(owner.methods):
            if sum(c.methods.count(method) for c in home.classes) != 1 or method.startswith("__"):
                continue
            near = [c.name for c in home.classes]
            far = [c.name for facts in others for c in facts.classes]
            if wrong := _pick([near, far], {owner.name}, draws):
                yield CodeQuestion(f"Which class defines the method `{method}`?", owner.name, wrong, (method,))


def base_class(home: Facts, others: Sequence[Facts], draws: Draws) -> Iterator[CodeQuestion]:
    """Ask for a class from which another class inherits."""
    for derived in draws.shuffled(home.classes):
        bases = _plain_bases(derived)
        taken = {name for base in derived.bases for name in re.findall(r"\w+", base)} | {derived.name}
        if bases:
            right = draws.pick(bases)
            code = (home, *others)
            pools = [[name for facts in code for c in facts.classes for name in _plain_bases(c)]]
            pools += [[c.name for c in facts.classes] for facts in code]
            pools = [[name for name in pool if name.rpartition(".")[2] not in taken] for pool in pools]
            if wrong := _pick(pools, {right}, draws):
                text = f"Which of these does the class `{derived.name}` name among its base classes?"
                yield CodeQuestion(text, right, wrong, (derived.name,))


def defining_file(home: Facts, others: Sequence[Facts], draws: Draws) -> Iterator[CodeQuestion]:
    """Ask for the file that defines a name."""
    names = [(c.name, "class") for c in home.classes]
    names += [(f.name, "function") for f in home.functions if f.owner is None]
    folder = home.piece.path.rpartition("/")[0]
    near = [f.piece.path for f in others if f.piece.path.rpartition("/")[0] == folder]
    far = [f.piece.path for f in others]
    for name, what in draws.shuffled(names):
        if wrong := _pick([near, far], {home.piece.path}, draws):
            yield CodeQuestion(
                f"In which of these files is the {what} `{name}` defined?", home.piece.path, wrong, (name,)
            )


KINDS: dict[str, Ask] = {
    "default_value": default_value,
    "callee": callee,
    "parameter_count": parameter_count,
    "parameter_at": parameter_at,
    "caller": caller,
    "method_owner": method_owner,
    "default_of_caller": default_of_caller,
    "raised_exception": raised_exception,
    "base_class": base_class,
    "defining_file": defining_file,
}
# The kinds that need only one function.
SMALL = ("default_value", "callee", "parameter_count", "parameter_at")


def can_ask(kind: str, facts: Facts) -> bool:
    """True if a piece can answer a question of this kind, given a context with enough wrong answers."""
    return next(KINDS[kind](facts, _ELSEWHERE, Draws(0)), None) is not None


def _elsewhere(name: str) -> Facts:
    function = Function(name, None, (), frozenset(), frozenset(), frozenset([name]))
    return Facts(Piece.of(name, ""), (function,), (Class(name, (), ()),), frozenset())


_ELSEWHERE = tuple(map(_elsewhere, ("?1", "?2", "?3")))


def _described(function: Function) -> str:
    return f"the {'method' if function.owner else 'function'} `{function.name}`"


def _named(raises: frozenset[str | None]) -> list[str]:
    return sorted(name for name in raises if name is not None)


def _anchor(function: Function) -> tuple[str, ...]:
    """Return the names that must be defined only once so that `Class.method` or `function` is unique."""
    return (function.owner or function.name,)


def _defines(piece: Piece, name: str) -> bool:
    return name in piece.text and re.search(rf"\b(?:def|class)\s+{re.escape(name)}\b", piece.text) is not None


def _calls(piece: Piece, name: str) -> bool:
    return name in piece.text and re.search(rf"\b{re.escape(name)}\s*\(", piece.text) is not None


def _only_callers(home: Facts, draws: Draws) -> Iterator[tuple[str, Function]]:
    """Return the names that exactly one function of the piece, and no code outside functions, calls."""
    for function in draws.shuffled(home.functions):
        for name in draws.shuffled(sorted(function.calls - home.loose_calls)):
            if len(name) > _SHORT_NAME and name != function.short and sum(name in f.calls for f in home.functions) == 1:
                yield name, function


def _plain_bases(item: Class) -> list[str]:
    return [base for base in item.bases if re.fullmatch(r"[\w.]+", base)]


def _pick(pools: Sequence[Sequence[str]], taken: set[str], draws: Draws) -> tuple[str, ...] | None:
    """Pick three distinct names that are not taken, from the first pools that have them; None if there are too few."""
    found: list[str] = []
    for pool in pools:
        fresh = [name for name in dict.fromkeys(pool) if name not in taken and name not in found]
        found += draws.some(fresh, _WRONG - len(found))
    return tuple(found) if len(found) == _WRONG else None


def _wrong_defaults(
    right: str, function: Function, home: Facts, others: Sequence[Facts], draws: Draws
) -> tuple[str, ...] | None:
    """Return near misses of a default value: defaults of the same type, nearby ones first, then other defaults."""
    if not _short(right) or (right in _COMMON_DEFAULTS and draws.below(_SELDOM)):
        return None
    scopes = [[function], home.functions, [f for facts in others for f in facts.functions]]
    used = [[value for f in scope for _, value in f.parameters if value is not None] for scope in scopes]
    alike = [[value for value in values if _type(value) == _type(right)] for values in used]
    found: list[str] = []
    for pool in (*alike, _neighbours(right), *used, _DEFAULTS):
        for value in draws.shuffled(list(dict.fromkeys(pool))):
            if len(found) < _WRONG and _short(value) and not any(_same(value, kept) for kept in (right, *found)):
                found.append(value)
    return tuple(found) if len(found) == _WRONG else None


def _short(source: str) -> bool:
    return len(source) <= _LONGEST_CHOICE and "\n" not in source


def _neighbours(source: str) -> list[str]:
    value = _literal(source)
    if isinstance(value, bool) or not isinstance(value, int):
        return []
    return [str(value + 1), str(value * 2), str(value - 1), str(value * 10)]


def _same(one: str, other: str) -> bool:
    """True for equal expressions and for literals that compare equal, such as 1 and True."""
    a, b = _literal(one), _literal(other)
    if a is not _NO_LITERAL and b is not _NO_LITERAL:
        return bool(a == b)
    trees = parsed_expression(one), parsed_expression(other)
    return one == other if None in trees else len({ast.dump(tree) for tree in trees if tree}) == 1


def _type(source: str) -> type:
    return type(_literal(source))


_NO_LITERAL = object()


def _literal(source: str) -> object:
    try:
        return literal_value(source)
    except ValueError:
        return _NO_LITERAL
