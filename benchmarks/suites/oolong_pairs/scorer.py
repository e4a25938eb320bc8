"""The F1 score of the pairs in an answer, which may have any size and form."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from benchmarks.sample import Score
from benchmarks.scoring.sets import SetCounts
from benchmarks.suites.oolong_pairs.conditions import GoldPairs

# The official pattern.
PAIR = re.compile(r"\(\s*(\d+)\s*,\s*(\d+)\s*\)")

_CHUNK = 1 << 21
_BLOCK = 1 << 20
# The ASCII characters that `\s` matches.
_SPACE = np.zeros(256, dtype=bool)
_SPACE[[9, 10, 11, 12, 13, 28, 29, 30, 31, 32]] = True
# Ids below this are looked up in a table; larger ids are found by binary search.
_TABLE = 10_000_000
# Two ids below this fit into one code of 64 bits.
_SMALL = 1 << 31
# Ids of up to 18 digits fit into 64 bits.
_DIGITS = 18
_OTHER_BRACKETS = str.maketrans({"[": "(", "]": ")", "{": "(", "}": ")", "<": "(", ">": ")", '"': " ", "'": " "})
# Answers that state an empty set.
_NONE = re.compile(r"\b(?:none|empty|no (?:\w+ ){0,4}pairs?)\b|^\W*$", re.IGNORECASE)
_BARE_LINE = re.compile(r"^[^\d\n]{0,8}(\d+)(?: *(?:[,;&/|–-]|and) *| +)(\d+)[^\d\n]{0,3}$", re.MULTILINE)


def score_answer(gold: GoldPairs, answer: str | None) -> Score:
    """Compute F1 of the answer's pairs in the official form; 1.0 if gold and answer are empty, 0.0 if only one is.

    A missing answer scores 0; it is not an empty set. The lenient score also accepts other brackets and bare lines.
    details: precision, recall, n_gold, n_predicted; `floor`, the F1 of an answer with every possible pair;
    `wrong_format`, the answer has pairs but none in the official form.
    """
    text = answer or ""
    official, official_form = count_pairs(text, gold), has_pairs(text)
    forgiven = official if official_form else count_pairs(tolerant(text), gold)
    wrong = not official_form and forgiven.predicted > 0
    empty = answer is not None and not wrong and _NONE.search(text.strip()[-500:]) is not None
    possible = gold.possible + len(gold)
    return Score(
        0.0 if answer is None else official.f1,
        0.0 if answer is None else forgiven.f1,
        official_form or empty,
        f"{official.predicted} pairs",
        {
            "precision": official.precision,
            "recall": official.recall,
            "floor": 2 * len(gold) / possible if possible else 1.0,
            "n_gold": float(len(gold)),
            "n_predicted": float(official.predicted),
            "wrong_format": wrong,
        },
    )


def count_pairs(text: str, gold: GoldPairs) -> SetCounts:
    """Compare the pairs in a text, in the official form, with the gold. Millions of pairs take seconds."""
    # Sized by an upper bound of the number of pairs; the operating system provides only the pages that are used.
    codes = np.empty(text.count("("), dtype=np.int64)
    filled = 0
    large: set[tuple[int, int]] = set()
    for low, high in _pairs(text):
        small = high < _SMALL
        found = _distinct(low[small].astype(np.int64) * _SMALL + high[small].astype(np.int64))
        codes[filled : filled + len(found)] = found
        filled += len(found)
        large.update(zip(low[~small].tolist(), high[~small].tolist(), strict=True))
    codes = codes[:filled]
    codes.sort()
    place = _places(gold.users)
    predicted, right = len(large), _right(large, gold, place)
    # In blocks, so that temporary arrays are small compared with the answer.
    for start in range(0, filled, _BLOCK):
        block = codes[start : start + _BLOCK]
        block = block[np.diff(block, prepend=codes[start - 1] if start else -1) != 0]
        predicted += len(block)
        right += _holding(gold, place(block // _SMALL), place(block % _SMALL))
    return SetCounts(predicted, right, len(gold))


def _right(pairs: set[tuple[int, int]], gold: GoldPairs, place: Callable[[NDArray], NDArray[np.int64]]) -> int:
    if not pairs:
        return 0
    low, high = (np.array(ids, dtype=object) for ids in zip(*pairs, strict=True))
    return _holding(gold, place(low), place(high))


def _holding(gold: GoldPairs, i: NDArray[np.int64], j: NDArray[np.int64]) -> int:
    """Count the gold pairs among pairs of positions in `users`; -1 is an unknown user."""
    known = (i >= 0) & (j >= 0)
    return int(gold.holds(i[known], j[known]).sum())


def _places(users: NDArray[np.int64]) -> Callable[[NDArray], NDArray[np.int64]]:
    """Return a function from ids to their positions in `users`, -1 for unknown ids."""
    largest = int(users.max(initial=-1))
    if largest < _TABLE:
        # The last entry represents all larger ids.
        table = np.full(largest + 2, -1, dtype=np.int64)
        table[users] = np.arange(len(users))
        return lambda ids: table[np.minimum(ids, largest + 1).astype(np.int64)]

    def search(ids: NDArray) -> NDArray[np.int64]:
        place = np.searchsorted(users, ids).clip(max=len(users) - 1)
        return np.where(users[place] == ids, place, -1)

    return search


def _distinct(codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the distinct codes, ascending. Sorts in place."""
    codes.sort()
    return codes[np.concatenate([[True], codes[1:] != codes[:-1]])] if len(codes) else codes


def has_pairs(text: str) -> bool:
    """True if a text contains a pair in the official form."""
    return PAIR.search(text) is not None


def tolerant(text: str) -> str:
    """Rewrite pairs in the official form; accepts other brackets, quotes, and lines with a bare pair."""
    if has_pairs(text):
        return text
    bracketed = text.translate(_OTHER_BRACKETS)
    if has_pairs(bracketed):
        return bracketed
    return "\n".join(f"({a}, {b})" for a, b in _BARE_LINE.findall(text))


def _pairs(text: str) -> Iterator[tuple[NDArray, NDArray]]:
    """Yield arrays of the lower and the higher ids of the pairs, for a few megabytes of text at a time."""
    start = 0
    while start < len(text):
        stop = min(start + _CHUNK, len(text))
        if stop < len(text):
            # Only the first character of a pair is an opening parenthesis, so the text can be cut before one.
            cut = text.rfind("(", start + 1, stop)
            stop = cut if cut > start else _next_open(text, stop)
        piece = text[start:stop]
        yield _fast(piece.encode("ascii")) if piece.isascii() else _exact(piece)
        start = stop


def _next_open(text: str, start: int) -> int:
    found = text.find("(", start)
    return found if found >= 0 else len(text)


def _fast(data: bytes) -> tuple[NDArray, NDArray]:
    """Return the pairs that PAIR finds in an ASCII text, computed with arrays over its bytes."""
    codes = np.frombuffer(data, dtype=np.uint8)
    digit = (codes >= 48) & (codes <= 57)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], digit, [False]]).astype(np.int8)))
    begins, ends = edges[0::2], edges[1::2]
    if len(begins) < 2:
        return _empty()
    # The positions of characters other than spaces, to find those before and after each run of digits.
    visible = ~_SPACE[codes]
    padded = np.concatenate([codes[visible], np.zeros(1, dtype=np.uint8)])
    rank = np.cumsum(visible, dtype=np.int32)
    first = rank[begins] - 1
    after = rank[ends - 1]
    before = np.where(first > 0, padded[first - 1], 0)
    left = np.arange(len(begins) - 1)
    right = left + 1
    is_pair = (
        (before[left] == ord("("))
        & (padded[after[left]] == ord(","))
        & (after[left] + 1 == first[right])
        & (padded[after[right]] == ord(")"))
    )
    left = np.flatnonzero(is_pair)
    runs = np.concatenate([left, left + 1])
    if (ends[runs] - begins[runs] > _DIGITS).any():
        return _exact(data.decode("ascii"))
    a, b = np.split(_values(codes, begins[runs], ends[runs]), 2)
    return np.minimum(a, b), np.maximum(a, b)


def _values(codes: NDArray, begins: NDArray, ends: NDArray) -> NDArray[np.int64]:
    """Return the numbers of the runs of digits."""
    values = np.zeros(len(begins), dtype=np.int64)
    widths = ends - begins
    for place in range(int(widths.max(initial=0))):
        has = widths > place
        values[has] = values[has] * 10 + (codes[begins[has] + place] - 48)
    return values


def _exact(text: str) -> tuple[NDArray, NDArray]:
    """Return the pairs of any text, with ids of any size and digits of any script."""
    pairs = [sorted((_number(a), _number(b))) for a, b in PAIR.findall(text)]
    if not pairs:
        return _empty()
    kind = np.int64 if all(high < 10**_DIGITS for _, high in pairs) else object
    low, high = (np.array(column, dtype=kind) for column in zip(*pairs, strict=True))
    return low, high


def _number(digits: str) -> int:
    # Python refuses to convert longer numbers. No user has such an id, but distinct ids must remain distinct.
    return int(digits) if len(digits) <= 4000 else 10**4000 + hash(digits)


def _empty() -> tuple[NDArray, NDArray]:
    return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
