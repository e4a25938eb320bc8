"""Messages arrive as they were sent, and anything else is refused."""

import contextlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlm.repl.sandbox import wire

TEXTS = (
    st.text(st.characters(exclude_categories=()))
    | st.text(st.sampled_from("\ud83d\ude00\U0001f600\ufeffx"))
    | st.text(min_size=wire.LONG - 2, max_size=wire.LONG + 200)
)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


def split(frame: bytes) -> tuple[bytes, bytes]:
    head, text = wire.SIZES.unpack(frame[: wire.SIZES.size])
    rest = frame[wire.SIZES.size :]
    assert len(rest) == head + text
    return rest[:head], rest[head:]


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(TEXTS, PLAIN, max_size=4))
def test_a_message_is_decoded_as_it_was_encoded(message):
    assert wire.decode(*split(wire.encode(message))) == message


@given(st.binary(max_size=200), st.binary(max_size=50))
def test_other_bytes_are_no_message(head, text):
    with contextlib.suppress(wire.WireError):
        assert isinstance(wire.decode(head, text), dict)


@settings(max_examples=50, deadline=None)
@given(st.recursive(st.none() | st.integers() | st.text(), lambda v: st.lists(v) | st.dictionaries(st.text(), v)))
def test_other_json_is_no_message(value):
    with contextlib.suppress(wire.WireError):
        assert isinstance(wire.decode(json.dumps(value).encode(), b""), dict)


@pytest.mark.parametrize("value", [{1, 2}, b"x", object(), {1: 2}, {None: 1}, 1j, range(3)])
def test_a_value_that_is_not_plain_data_is_refused(value):
    with pytest.raises(TypeError, match=r"expected (plain data|str)"):
        wire.encode({"value": value})


def test_an_integer_that_the_other_end_could_not_read_is_refused():
    with pytest.raises(TypeError, match="an integer has 40,000 bits"):
        wire.encode({"value": [1 << 39_999]})
    assert wire.encode({"value": 10**4200})


def test_a_value_that_holds_itself_is_refused():
    value = []
    value.append(value)
    with pytest.raises(TypeError, match="nested"):
        wire.encode({"value": value})


class Endless(list):
    def __iter__(self):
        while True:
            yield 1


class Failing(dict):
    def items(self):
        raise RuntimeError


def test_the_methods_of_a_subclass_are_not_used():
    assert wire.decode(*split(wire.encode({"a": Endless([1]), "b": Failing(c=2)}))) == {"a": [1], "b": {"c": 2}}


@pytest.mark.parametrize("many", [[1], ["x"], ["y" * 65], [[]], [{}]])
def test_too_many_values_are_refused_before_the_message_is_made(many, monkeypatch):
    monkeypatch.setattr(wire, "MAX_HEAD_BYTES", 1000)
    monkeypatch.setattr(wire, "_dumps", None)
    with pytest.raises(ValueError, match="bytes of short values"):
        wire.encode({"value": many * 1000})


def test_a_text_that_is_too_long_is_refused_before_it_is_encoded(monkeypatch):
    monkeypatch.setattr(wire, "MAX_TEXT_BYTES", 1000)
    monkeypatch.setattr(wire._Texts, "encoded", None)
    with pytest.raises(ValueError, match="1,001 of texts"):
        wire.encode({"value": "x" * 1001})


@pytest.mark.parametrize(
    ("head", "text"),
    [
        (b'{"d":{"a":{"s":5}}}', b"four"),
        (b'{"d":{"a":{"s":2},"b":{"s":3}}}', b"four"),
        (b'{"d":{"a":{"s":-1}}}', b""),
        (b'{"d":{"a":{"s":true}}}', b"x"),
        (b'{"d":{"a":{"s":1.0}}}', b"x"),
        (b'{"d":{"a":{"s":2}}}', b"\xff\xff"),
        (b'{"d":{}}', b"left over"),
        (b'{"d":{},"s":1}', b"x"),
        (b"[" * 100_000, b""),
        (b"[" * 60 + b"]" * 60, b""),
        (b'{"d":' * 60 + b"{}" + b"}" * 60, b""),
        (b"1", b""),
        (b"\xff", b""),
        (b'{"d":{"a":' + b"9" * 5000 + b"}}", b""),
    ],
)
def test_forged_frames_are_refused(head, text):
    with pytest.raises(wire.WireError):
        wire.decode(head, text)


def test_sizes_beyond_the_limits_are_refused():
    with pytest.raises(wire.WireError):
        wire.sizes(wire.SIZES.pack(wire.MAX_HEAD_BYTES + 1, 0))
    with pytest.raises(wire.WireError):
        wire.sizes(wire.SIZES.pack(0, wire.MAX_TEXT_BYTES + 1))


@settings(max_examples=30, deadline=None)
@given(
    st.text(st.sampled_from("x\u00e9\u6f22\U0001f600\ud800"), min_size=wire.LONG + 1, max_size=300), st.integers(4, 9)
)
def test_a_long_text_is_decoded_across_parts(text, size):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wire, "_PART_BYTES", size)
        assert wire.decode(*split(wire.encode({"text": text}))) == {"text": text}


@pytest.mark.parametrize(("wide", "fits"), [("", 1000), ("\u00e9", 998), ("\u6f22", 500), ("\U0001f600", 250)])
def test_a_text_may_take_no_more_memory_than_its_limit(monkeypatch, wide, fits):
    text = wide + "x" * (fits - len(wide))
    frame = wire.encode({"a": text, "b": "x" * 200})
    monkeypatch.setattr(wire, "MAX_TEXT_BYTES", 1000)
    assert wire.decode_measured(*split(wire.encode({"a": text})))[1] <= 1000
    with pytest.raises(ValueError, match=r"expected at most .*1,000"):
        wire.encode({"a": text, "b": "x" * 200})
    if wide:
        with pytest.raises(wire.WireError):
            wire.decode(*split(frame))
    monkeypatch.setattr(wire, "_PART_BYTES", 100)
    with pytest.raises(wire.WireError):
        wire.decode(b'{"d":{"a":{"s":%d}}}' % 2000, b"x" * 2000)


def test_lone_surrogates_are_limited_because_they_are_slow_to_decode(monkeypatch):
    frame = wire.encode({"a": "\ud800" * 200})
    monkeypatch.setattr(wire, "MAX_SURROGATES", 150)
    with pytest.raises(ValueError, match="more than 150 lone surrogates"):
        wire.encode({"a": "\ud800" * 200})
    with pytest.raises(wire.WireError):
        wire.decode(*split(frame))
    assert wire.decode(*split(wire.encode({"a": "\ud800" * 150})))
