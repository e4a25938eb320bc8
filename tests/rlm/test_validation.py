"""Settings are checked against the annotations of the class that they configure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pytest
from annotated_types import Ge, Gt, Interval, Lt, MinLen
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AfterValidator, Field

from rlm.validation import SettingError, expectation, make, setting_types, unknown, validate

if TYPE_CHECKING:
    from decimal import Decimal


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


def distinct(values: Sequence[int]) -> Sequence[int]:
    if len(set(values)) < len(values):
        raise ValueError("each number once")
    return values


@dataclass(frozen=True)
class Inner:
    address: str
    seconds: Annotated[float, Gt(0)] = 1.0


@dataclass(frozen=True)
class Outer:
    count: Annotated[int, Ge(1)] = 1
    cap: Annotated[int, Ge(1)] | None = None
    share: Annotated[float, Ge(0), Lt(1)] = 0.0
    percent: Annotated[int, Interval(ge=0, le=100)] = 0
    name: Annotated[str, MinLen(1)] = "x"
    mode: Literal["off", "on"] = "on"
    level: Literal["low", "high"] | None = None
    flag: bool = False
    colour: Colour = Colour.RED
    folder: Path | None = None
    sizes: Annotated[Sequence[Annotated[int, Ge(2)]], MinLen(1), AfterValidator(distinct)] = (2,)
    pair: tuple[int, int] = (1, 2)
    many: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)
    rates: Mapping[str, Annotated[float, Ge(0)]] = field(default_factory=dict)
    inner: Inner | None = None
    by_name: Mapping[str, Inner] = field(default_factory=dict)
    listed: Sequence[Inner] = ()
    rule: str | Inner | None = None
    worded: Annotated[str, Field(pattern="^[a-z]+$", description="lower-case letters")] = "a"
    unknown_kind: Decimal | None = None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"count": 0}, "it.count is 0: expected an integer of at least 1"),
        ({"count": "3"}, "it.count is '3': expected an integer of at least 1"),
        ({"count": True}, "it.count is true: expected an integer of at least 1"),
        ({"count": None}, "it.count is null: expected an integer of at least 1"),
        ({"count": 1.5}, "it.count is 1.5: expected an integer of at least 1"),
        ({"cap": 0}, "it.cap is 0: expected an integer of at least 1, or null"),
        ({"share": 1}, "it.share is 1: expected a number of at least 0 and below 1"),
        ({"share": False}, "it.share is false: expected a number of at least 0 and below 1"),
        ({"share": math.nan}, "it.share is nan: expected a number of at least 0 and below 1; a number must be finite"),
        ({"percent": 101}, "it.percent is 101: expected an integer from 0 to 100"),
        ({"name": ""}, "it.name is '': expected a string, not empty"),
        ({"mode": "of"}, "it.mode is 'of': expected off or on"),
        ({"level": "middle"}, "it.level is 'middle': expected low or high, or null"),
        ({"flag": 1}, "it.flag is 1: expected true or false"),
        ({"colour": "green"}, "it.colour is 'green': expected red or blue"),
        ({"folder": 5}, "it.folder is 5: expected a path, or null"),
        ({"sizes": []}, "it.sizes is []: expected a list of integers of at least 2, not empty"),
        ({"sizes": [2, "a"]}, "it.sizes is [2, 'a']: expected a list of integers of at least 2, not empty"),
        ({"sizes": [3, 3]}, "it.sizes is [3, 3]: expected each number once"),
        ({"sizes": "23"}, "it.sizes is '23': expected a list of integers of at least 2, not empty"),
        ({"pair": [1]}, "it.pair is [1]: expected a list of 2 integers"),
        ({"many": "ab"}, "it.many is 'ab': expected a list of strings"),
        ({"extra": 1}, "it.extra is 1: expected a section of keys and values"),
        ({"extra": {"a": {"b": [math.inf]}}}, "it.extra is {'a': {'b': [inf]}}: expected a section of keys and values; "
         "a number must be finite"),
        ({"rates": {"a": -1}}, "it.rates.a is -1: expected a number of at least 0"),
        ({"inner": {}}, "it.inner.address is missing: expected a string"),
        ({"inner": 5}, "it.inner is 5: expected a section of keys and values, or null"),
        ({"inner": {"address": "a", "seconds": 0}}, "it.inner.seconds is 0: expected a number above 0"),
        ({"inner": {"adress": "a"}}, "there is no key 'it.inner.adress'; did you mean 'it.inner.address'?"),
        ({"by_name": {"b": {"address": 1}}}, "it.by_name.b.address is 1: expected a string"),
        ({"by_name": {"b": None}}, "it.by_name.b is null: expected a section of keys and values"),
        ({"listed": [{"address": "a"}, {}]}, "it.listed[1].address is missing: expected a string"),
        ({"listed": [1]}, "it.listed[0] is 1: expected a section of keys and values"),
        ({"rule": 1}, "it.rule is 1: expected a string, a section of keys and values or null"),
        ({"worded": "A"}, "it.worded is 'A': expected lower-case letters"),
        ({"cuont": 1}, "there is no key 'it.cuont'; did you mean 'it.count'?"),
        ({3: 1}, "there is no key 'it.3'; known: "),
        ([1], "it is [1]: expected a section of keys and values"),
        (None, "it is null: expected a section of keys and values"),
    ],
)  # fmt: skip
def test_a_value_that_does_not_fit_is_reported_in_one_line(settings, message):
    with pytest.raises(SettingError) as caught:
        make(Outer, settings, "it")
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)


def test_values_that_fit_become_what_the_class_declares():
    settings = {
        "share": 0, "colour": "blue", "folder": "a/b", "sizes": [3, 2], "pair": [3, 4], "many": ["a"],
        "inner": {"address": "here"}, "by_name": {"b": {"address": "there"}}, "listed": [{"address": "c"}],
        "rule": {"address": "d"}, "unknown_kind": object,
    }  # fmt: skip
    made = make(Outer, settings)
    assert made.colour is Colour.BLUE and made.folder == Path("a/b")
    assert made.pair == (3, 4) and made.many == ("a",) and list(made.sizes) == [3, 2]
    assert made.inner == Inner("here") and made.by_name == {"b": Inner("there")} and list(made.listed) == [Inner("c")]
    assert made.rule == Inner("d") and make(Outer, {"rule": "text"}).rule == "text"
    assert made.unknown_kind is object


def test_a_class_without_settings_takes_none():
    class Empty:
        pass

    assert isinstance(make(Empty, {}, "it"), Empty)
    with pytest.raises(SettingError, match=r"^there is no key 'it\.a'; known: none$"):
        make(Empty, {"a": 1}, "it")


def test_what_the_caller_gives_is_no_setting():
    assert make(Inner, {"seconds": 2}, address="given") == Inner("given", 2)
    with pytest.raises(SettingError, match=r"^there is no key 'it\.address'"):
        make(Inner, {"address": "x"}, "it", address="given")


def test_a_class_that_takes_any_key_gets_it_unchecked():
    class Open:
        def __init__(self, size: int = 1, **more: Any) -> None:
            self.size, self.more = size, more

    assert make(Open, {"size": 2, "colour": [1]}).more == {"colour": [1]}
    with pytest.raises(SettingError, match=r"^it\.size is 'x': expected an integer"):
        make(Open, {"size": "x"}, "it")


class Picky:
    def __init__(self, least: int, most: int = 5, text: str = "") -> None:
        if text:
            raise TypeError(text)
        if least > most:
            raise ValueError(f"least is {least}: expected at most {most},\n  the value of most")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "it.least is missing: expected an integer"),
        ({"least": 6}, "it.least is 6: expected at most 5, the value of most"),
        ({"least": 1, "text": "no such file"}, "it: no such file"),
        ({"least": 1, "text": "it.least is odd"}, "it.least is odd"),
    ],
)
def test_what_a_constructor_rejects_is_located(settings, message):
    with pytest.raises(SettingError) as caught:
        make(Picky, settings, "it")
    assert str(caught.value) == message


def test_an_inherited_setting_is_resolved_where_its_class_is_defined():
    from rlm.methods.base import BaseTruncated

    kinds = setting_types(BaseTruncated)
    assert kinds["output_tokens"] != Any and {"model", "sub_model", "limits"} <= kinds.keys()


def test_a_class_without_a_signature_takes_any_settings():
    assert validate(type, {"a": 1}) == {"a": 1}


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (int | None, "an integer, or null"),
        (Literal["a", "b", "c"], "a, b or c"),
        (Literal[1, True], "1 or true"),
        (list[str] | str | None, "a list of strings, a string or null"),
        (Annotated[Sequence[Annotated[float, Gt(0)]], MinLen(1)], "a list of numbers above 0, not empty"),
        (Inner, "a section of keys and values"),
        (object, "another value"),
    ],
)
def test_an_expectation_is_in_words(kind, words):
    assert expectation(kind) == words


names = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=12)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(sorted(setting_types(Outer))), values, max_size=4))
def test_any_settings_make_an_object_or_one_line(settings):
    try:
        made = make(Outer, settings, "it")
    except SettingError as error:
        assert "\n" not in str(error) and ("expected" in str(error) or "there is no key" in str(error))
    else:
        assert isinstance(made, Outer)
        for key in {"count", "cap", "share", "flag", "mode"} & settings.keys():
            assert getattr(made, key) == settings[key] and isinstance(settings[key], bool) == (key == "flag")


@given(st.integers(), st.integers())
def test_a_bound_is_kept_exactly(bound, value):
    class Bounded:
        def __init__(self, size: Annotated[int, Ge(bound)]) -> None:
            self.size = size

    Bounded.__init__.__annotations__["size"] = Annotated[int, Ge(bound)]
    if value >= bound:
        assert make(Bounded, {"size": value}).size == value
    else:
        with pytest.raises(SettingError, match=rf"^size is {value}: expected an integer of at least {bound}$"):
            make(Bounded, {"size": value})


@given(names, st.lists(names, max_size=5))
def test_an_unknown_name_is_named_with_what_is_known(got, known):
    line = unknown("key", got, known)
    assert line.startswith(f"there is no key {got!r}; ") and "\n" not in line
    assert any(name in line for name in known) or line.endswith("known: none")
