"""Contexts of installed code with a question that one of their pieces answers."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

from benchmarks.sources.draws import Draws
from benchmarks.sources.files import DataError
from benchmarks.suites.codeqa.corpus import CodeCorpus, Piece, SourceFile
from benchmarks.suites.codeqa.facts import facts_of
from benchmarks.suites.codeqa.questions import KINDS, SMALL, Question, can_ask

# Shorter contexts hold a few functions at most.
_SMALL_LENGTH = 2048
# What the prompt needs besides the context: the question with its choices, and the frame around them.
_QUESTION_TOKENS = 120
_FRAME_TOKENS = 80
# Less leaves no room for a definition.
MIN_LENGTH = 400
_FILES_TRIED = 2000
_QUESTIONS_TRIED = 30
_NEIGHBOURS_READ = 8
# A context is full when less than this is left of its budget, or so many files in a row were too large.
_FULL_TOKENS = 60
_MISSES = 12
# More than this, and more than a tenth of the budget, is left where the packages have no more code.
_ROUGHLY_FULL_TOKENS = 4096


@dataclass(frozen=True)
class CodeSample:
    """A context as pieces in the order of their paths, and a question with its choices in their final order."""

    pieces: tuple[Piece, ...]
    question: str
    choices: tuple[str, ...]
    letter: str

    @property
    def context(self) -> str:
        return "".join(piece.text for piece in self.pieces)


def kind_of(length: int, index: int) -> str:
    """The kind of question of the index-th sample of a length."""
    kinds = SMALL if length < _SMALL_LENGTH else tuple(KINDS)
    return kinds[index % len(kinds)]


def build_sample(corpus: CodeCorpus, length: int, index: int, seed: int) -> CodeSample:
    """The index-th sample whose prompt has at most `length` tokens (from MIN_LENGTH up), and nearly as many.

    Raises DataError where the packages hold too little code.
    """
    draws = Draws(seed, "codeqa", length, index)
    budget = length - _QUESTION_TOKENS - _FRAME_TOKENS
    for _ in range(_FILES_TRIED):
        # By package first: one of them has two files in five.
        home = draws.pick(corpus.files[draws.pick(corpus.packages)])
        built = _about(corpus, home, budget, kind_of(length, index), draws)
        if built:
            pieces, question = built
            choices, letter = _lettered(question, length, index, seed, draws)
            return CodeSample(tuple(sorted(pieces, key=lambda p: p.path)), question.text, choices, letter)
    raise DataError(f"benchmark.codeqa: no question for {length} tokens is found in {', '.join(corpus.packages)}")


def _about(
    corpus: CodeCorpus, file: SourceFile, budget: int, kind: str, draws: Draws
) -> tuple[list[Piece], Question] | None:
    """A full context around a file with a question on it; None where the file answers none of this kind."""
    first = corpus.whole(file)
    if first and first[1] > budget:
        first = corpus.excerpt(first[0], budget, draws)
    facts = facts_of(first[0]) if first else None
    if facts is None or not can_ask(kind, facts):
        return None
    others, left = _filled(corpus, file, budget - first[1], draws)
    if left > max(_ROUGHLY_FULL_TOKENS, budget // 10):
        raise DataError(
            f"benchmark.codeqa.lengths asks for {budget} tokens of code, but {', '.join(corpus.packages)} fill only "
            f"{budget - left}"
        )
    pieces = [first[0], *others]
    near = [other for other in map(facts_of, pieces[1 : 1 + _NEIGHBOURS_READ]) if other]
    for question in islice(KINDS[kind](facts, near, draws), _QUESTIONS_TRIED):
        words = "\n".join((question.text, question.right, *question.wrong))
        if corpus.tokens(words) <= _QUESTION_TOKENS and question.holds_in(pieces[0], pieces):
            return pieces, question
    return None


def _filled(corpus: CodeCorpus, file: SourceFile, budget: int, draws: Draws) -> tuple[list[Piece], int]:
    """Further files, then an excerpt of one, until the budget is used; and what is left of it."""
    pieces: list[Piece] = []
    misses = 0
    for other in corpus.neighbours(file, draws):
        if budget < _FULL_TOKENS:
            break
        found = corpus.whole(other)
        if found and found[1] > budget:
            misses += 1
            found = corpus.excerpt(found[0], budget, draws) if misses > _MISSES else None
        if found:
            pieces.append(found[0])
            budget -= found[1]
            misses = 0
        elif misses > 2 * _MISSES:
            break
    return pieces, budget


def _lettered(question: Question, length: int, index: int, seed: int, draws: Draws) -> tuple[tuple[str, ...], str]:
    """The choices in order, and the letter of the right one: each letter once in every four samples of a length."""
    letter = Draws(seed, "letters", length, index // 4).shuffled("ABCD")[index % 4]
    choices = draws.shuffled(question.wrong)
    choices.insert("ABCD".index(letter), question.right)
    return tuple(choices), letter
