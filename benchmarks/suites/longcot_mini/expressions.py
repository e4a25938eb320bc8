"""Compares mathematical answers: lists of expressions, by exact or 120-digit values.

The official verifier reads expressions with SymPy and compares them symbolically; what it does not read, it gives to a
judge. Here an expression is evaluated by a small parser, so that nothing in an answer is executed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal, DecimalException
from fractions import Fraction
from functools import partial
from math import factorial

from benchmarks.suites.longcot_mini.extraction import first_brackets, last_brackets, solution_of

Number = Fraction | Decimal
_PLACES = Context(prec=150, Emax=MAX_EMAX, Emin=MIN_EMIN)
_CLOSE = Decimal(10) ** -120
_PI = Decimal(
    "3.14159265358979323846264338327950288419716939937510582097494459230781640628620899862803482534211706798214808651"
    "3282306647093844609550582231725359408128481"
)
# A larger exact number is rounded, a larger factorial refused.
_MOST_BITS, _MOST_FACTORIAL = 400_000, 20_000
_LONGEST = 2000
# The values that variables take when two expressions are compared.
_VALUES = (Fraction(7, 5), Fraction(19, 3), Fraction(-3, 2))

_FUNCTIONS = ("sqrt", "cbrt", "log", "ln", "sin", "cos", "tan", "arctan", "abs")
_WORDS = frozenset((*_FUNCTIONS, "pi", "e", "frac", "binom"))
_REPLACED = (
    ("$", ""), ("−", "-"), ("–", "-"), ("—", "-"), ("\\pi", "pi"), ("π", "pi"),
)  # fmt: skip
_ROOT_OF = r"(\([^()]+\)|[A-Za-z0-9_.]+)"
_ROOTS = (("√", "sqrt"), ("∛", "cbrt"))
_FRACTION = re.compile(r"\\frac\s*\{([^{}]+)\}\s*\{([^{}]+)\}")
_POWER = re.compile(r"\^\s*\{([^{}]+)\}")
_TOKEN = re.compile(r"\s*(?:(\d+\.\d*(?:[eE][+-]?\d+)?|\.\d+|\d+(?:[eE][+-]?\d+)?)|([A-Za-z_]\w*)|(\*\*|[-+*/^()!]))")


class _Unreadable(ValueError):
    """The text is not an expression that this module evaluates."""


def parts_of(answer: str) -> list[str] | None:
    """Return the items of the first list of the solution or, without a solution, of the last list of the answer."""
    solution = solution_of(answer)
    brackets = last_brackets(answer) if solution is None else first_brackets(solution)
    return None if brackets is None else split(brackets)


def split(text: str) -> list[str]:
    """Split a list, with or without its outer brackets, at the commas outside brackets."""
    text = text.strip()
    if len(text) > 1 and text[0] + text[-1] in ("[]", "()") and _is_balanced(text[1:-1]):
        text = text[1:-1].strip()
    parts, depth, start = [], 0, 0
    for place, mark in enumerate(text):
        depth += (mark in "([{") - (mark in ")]}")
        if mark == "," and depth == 0:
            parts.append(text[start:place].strip())
            start = place + 1
    return parts + ([text[start:].strip()] if start < len(text) else [])


def same_parts(right: Sequence[str], parts: Sequence[str]) -> bool:
    """True if two lists have equal expressions in the same order.

    A part with words, such as "2 hours", is equal only to the same text.
    """
    return len(right) == len(parts) and all(map(same, right, parts))


def same(right: str, part: str) -> bool:
    """True if two texts are the same, or expressions with the same value."""
    first, second = normalised(right), normalised(part)
    if first == second:
        return True
    if is_text(right) or is_text(part):
        return False
    # Quotes may follow a full stop, so the texts are normalised twice, as in the official code.
    same_value = _same_value(normalised(first), normalised(second))
    return re.sub(r"\s+", "", first) == re.sub(r"\s+", "", second) if same_value is None else same_value


def is_text(part: str) -> bool:
    """True if a part has words or comparisons. No rule can then compare its value with that of another part."""
    lower = part.lower()
    if re.search("[;<>]", part) or "p.m." in lower or "a.m." in lower:
        return True
    return any(len(word) > 1 and word not in _WORDS for word in re.findall("[A-Za-z]+", lower))


def normalised(part: str) -> str:
    """Write an expression with `^()`, `sqrt()` and `/` for LaTeX and signs of roots, without quotes and `$`."""
    text = part.strip().strip("'").strip('"')
    for old, new in _REPLACED:
        text = text.replace(old, new)
    before = None
    while before != text:
        before, text = text, _FRACTION.sub(r"(\1)/(\2)", text)
    for sign, name in _ROOTS:
        text = re.sub(rf"(\d+(?:\.\d+)?|\)|[A-Za-z])\s*{sign}\s*{_ROOT_OF}", rf"\1*{name}(\2)", text)
        text = re.sub(rf"{sign}\s*{_ROOT_OF}", rf"{name}(\1)", text)
    text = re.sub(r"\s+", " ", _POWER.sub(r"^(\1)", text)).strip()
    return text[:-1].strip() if text.endswith(".") else text


def _same_value(first: str, second: str) -> bool | None:
    """True if two expressions have the same value; None if one of them is not evaluated."""
    names = {name for text in (first, second) for name in re.findall(r"[A-Za-z_]\w*", text)} - _WORDS
    try:
        for value in _VALUES if names else _VALUES[:1]:
            # Different variables have different values.
            values = {name: value + place for place, name in enumerate(sorted(names))}
            a, b = _Parser(first, values).result(), _Parser(second, values).result()
            if isinstance(a, Fraction) and isinstance(b, Fraction):
                if a != b:
                    return False
                continue
            x, y = _decimal(a), _decimal(b)
            size = _PLACES.max_mag(x, y)
            if size and abs(_PLACES.divide(_PLACES.subtract(x, y), size)) > _CLOSE:
                return False
    except (_Unreadable, ArithmeticError, DecimalException, RecursionError):
        return None
    return True


class _Parser:
    """Evaluates one expression with the usual precedence; factors side by side are multiplied."""

    def __init__(self, text: str, values: dict[str, Fraction]) -> None:
        if len(text) > _LONGEST:
            raise _Unreadable
        self._tokens: list[tuple[str, str]] = []
        self._values, self._next, place, text = values, 0, 0, text.rstrip()
        while place < len(text):
            found = _TOKEN.match(text, place)
            if not found:
                raise _Unreadable
            kind = "number" if found[1] else "name" if found[2] else "sign"
            self._tokens.append((kind, found[found.lastindex or 0]))
            place = found.end()

    def result(self) -> Number:
        value = self._sum()
        if self._next < len(self._tokens):
            raise _Unreadable
        return value

    @property
    def _token(self) -> tuple[str, str]:
        return self._tokens[self._next] if self._next < len(self._tokens) else ("end", "")

    def _take(self, *signs: str) -> str:
        kind, text = self._token
        if kind == "sign" and text in signs:
            self._next += 1
            return text
        return ""

    def _sum(self) -> Number:
        value = self._product()
        while sign := self._take("+", "-"):
            value = _calculated(value, self._product(), sign)
        return value

    def _product(self) -> Number:
        value = self._signed()
        while True:
            if sign := self._take("*", "/"):
                value = _calculated(value, self._signed(), sign)
            elif self._token[0] in ("number", "name") or self._token == ("sign", "("):
                value = _calculated(value, self._power(), "*")
            else:
                return value

    def _signed(self) -> Number:
        if sign := self._take("+", "-"):
            value = self._signed()
            return value if sign == "+" else _calculated(Fraction(0), value, "-")
        return self._power()

    def _power(self) -> Number:
        base = self._factor()
        while self._take("!"):
            base = _factorial(base)
        return _power(base, self._signed()) if self._take("^", "**") else base

    def _factor(self) -> Number:
        kind, text = self._token
        if self._take("("):
            value = self._sum()
            if not self._take(")"):
                raise _Unreadable
            return value
        self._next += 1
        if kind == "number":
            return _number(text)
        if kind != "name":
            raise _Unreadable
        if text in _FUNCTIONS:
            return _applied(text, self._factor() if self._token == ("sign", "(") else self._power())
        if text in ("pi", "e"):
            return _PI if text == "pi" else _PLACES.exp(Decimal(1))
        return self._values[text]


def _number(text: str) -> Fraction:
    mantissa, _, exponent = text.lower().partition("e")
    # As in Python, an integer other than 0 does not begin with 0.
    if len(exponent) > 5 or (text.isdigit() and text[0] == "0" and text.strip("0")):
        raise _Unreadable
    return Fraction(mantissa) * Fraction(10) ** int(exponent or 0)


def _calculated(a: Number, b: Number, sign: str) -> Number:
    if isinstance(a, Fraction) and isinstance(b, Fraction):
        exact: Callable[[Fraction], Fraction] = {
            "+": a.__add__, "-": a.__sub__, "*": a.__mul__, "/": a.__truediv__,
        }[sign]  # fmt: skip
        return _bounded(exact(b))
    rounded: Callable[[Decimal, Decimal], Decimal] = {
        "+": _PLACES.add, "-": _PLACES.subtract, "*": _PLACES.multiply, "/": _PLACES.divide,
    }[sign]  # fmt: skip
    return rounded(_decimal(a), _decimal(b))


def _bounded(value: Fraction) -> Number:
    bits = value.numerator.bit_length() + value.denominator.bit_length()
    return value if bits <= _MOST_BITS else _decimal(value)


def _decimal(value: Number) -> Decimal:
    if isinstance(value, Decimal):
        return value
    return _PLACES.divide(Decimal(value.numerator), Decimal(value.denominator))


def _power(base: Number, exponent: Number) -> Number:
    if isinstance(base, Fraction) and isinstance(exponent, Fraction) and exponent.denominator == 1:
        bits = base.numerator.bit_length() + base.denominator.bit_length()
        if abs(exponent) * bits <= _MOST_BITS:
            power: Fraction = base**exponent.numerator
            return power
    return _PLACES.power(_decimal(base), _decimal(exponent))


def _factorial(value: Number) -> Fraction:
    if not isinstance(value, Fraction) or value.denominator != 1 or not 0 <= value <= _MOST_FACTORIAL:
        raise _Unreadable
    return Fraction(factorial(value.numerator))


def _applied(name: str, value: Number) -> Number:
    functions: dict[str, Callable[[Decimal], Decimal]] = {
        "sqrt": _PLACES.sqrt, "ln": _PLACES.ln, "log": _PLACES.ln, "cbrt": partial(_root, 3),
    }  # fmt: skip
    if name == "abs":
        return -value if value < 0 else value
    # Trigonometric functions are not evaluated: no right answer of the data set has any.
    if name not in functions:
        raise _Unreadable
    return functions[name](_decimal(value))


def _root(degree: int, value: Decimal) -> Decimal:
    return _PLACES.power(value, _PLACES.divide(Decimal(1), Decimal(degree)))


def _is_balanced(text: str) -> bool:
    opened = []
    for mark in text:
        if mark in "([{":
            opened.append(")]}"["([{".index(mark)])
        elif mark in ")]}" and (not opened or opened.pop() != mark):
            return False
    return not opened
