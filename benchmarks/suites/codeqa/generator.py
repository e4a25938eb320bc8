"""Generated CodeQA samples: a context of installed code, and a question that one of its pieces answers."""

from __future__ import annotations

from itertools import islice

from benchmarks.sample import Sample, SampleInfo
from benchmarks.scoring.choice import LETTERS
from benchmarks.sources.draws import Draws
from benchmarks.sources.files import DataError
from benchmarks.suites.codeqa.corpus import CodeCorpus, Piece, SourceFile
from benchmarks.suites.codeqa.facts import facts_of
from benchmarks.suites.codeqa.prompt import LAYOUT, AnswerForm, query_of
from benchmarks.suites.codeqa.questions import KINDS, SMALL, CodeQuestion, can_ask
from benchmarks.suites.codeqa.scorer import CodeTarget
from rlm.prompt import Prompt

# Shorter contexts hold at most a few functions.
_SMALL_LENGTH = 2048
# Tokens reserved for the question with its choices, and for the rest of the prompt.
_QUESTION_TOKENS = 120
_FRAME_TOKENS = 80
GENERATOR = "codeqa-generated-1"
# A shorter prompt has no room for a definition.
SHORTEST = 400
_FILES_TRIED = 2000
_QUESTIONS_TRIED = 30
_NEIGHBOURS_READ = 8
# A context is full if fewer tokens than this are left, or if this many consecutive files were too large.
_FULL_TOKENS = 60
_MISSES = 12
# The packages have too little code if more tokens than this, and more than a tenth of the budget, are left.
_ROUGHLY_FULL_TOKENS = 4096


def kind_of(length: int, index: int) -> str:
    """Return the kind of question in the index-th sample of a length."""
    kinds = SMALL if length < _SMALL_LENGTH else tuple(KINDS)
    return kinds[index % len(kinds)]


def generated_sample(
    corpus: CodeCorpus, info: SampleInfo, length: int, index: int, seed: int, form: AnswerForm = "letters"
) -> Sample:
    """Generate the index-th sample of a length. Its prompt is filled up to nearly `length` tokens.

    Raises DataError if the packages have too little code.
    """
    draws = Draws(seed, "codeqa", length, index)
    budget = length - _QUESTION_TOKENS - _FRAME_TOKENS
    for _ in range(_FILES_TRIED):
        # The package is drawn first, because one package has 40% of the files.
        home = draws.pick(corpus.files[draws.pick(corpus.packages)])
        built = _about(corpus, home, budget, kind_of(length, index), draws)
        if built:
            pieces, question = built
            choices, letter = _lettered(question, length, index, seed, draws)
            context = "".join(piece.text for piece in sorted(pieces, key=lambda piece: piece.path))
            prompt = Prompt(context, query_of(question.text, choices, form), LAYOUT)
            return Sample(info, prompt, CodeTarget(letter, choices))
    raise DataError(f"benchmark.codeqa: {', '.join(corpus.packages)} have no question for {length} tokens")


def _about(
    corpus: CodeCorpus, file: SourceFile, budget: int, kind: str, draws: Draws
) -> tuple[list[Piece], CodeQuestion] | None:
    """Build a full context around a file, with a question about the file; None if the file has no such question."""
    first = corpus.complete(file)
    if first and first[1] > budget:
        first = corpus.excerpt(first[0], budget, draws)
    facts = facts_of(first[0]) if first else None
    if first is None or facts is None or not can_ask(kind, facts):
        return None
    others, left = _filled(corpus, file, budget - first[1], draws)
    if left > max(_ROUGHLY_FULL_TOKENS, budget // 10):
        raise DataError(
            f"benchmark.codeqa.lengths needs {budget} tokens of code: expected at most {budget - left}, the code of "
            f"{', '.join(corpus.packages)}; add packages"
        )
    pieces = [first[0], *others]
    near = [other for other in map(facts_of, pieces[1 : 1 + _NEIGHBOURS_READ]) if other]
    for question in islice(KINDS[kind](facts, near, draws), _QUESTIONS_TRIED):
        words = "\n".join((question.text, question.right, *question.wrong))
        if corpus.tokens(words) <= _QUESTION_TOKENS and question.holds_in(pieces[0], pieces):
            return pieces, question
    return None


def _filled(corpus: CodeCorpus, file: SourceFile, budget: int, draws: Draws) -> tuple[list[Piece], int]:
    """Return further files and an excerpt of one, until the budget is used, and the unused tokens."""
    pieces: list[Piece] = []
    misses = 0
    for other in corpus.neighbours(file, draws):
        if budget < _FULL_TOKENS:
            break
        found = corpus.complete(other)
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


def _lettered(question: CodeQuestion, length: int, index: int, seed: int, draws: Draws) -> tuple[tuple[str, ...], str]:
    """Return the ordered choices and the letter of the right one.

    Any four consecutive samples have each letter once.
    """
    letter = Draws(seed, "letters", length, index // 4).shuffled(LETTERS)[index % 4]
    choices = draws.shuffled(question.wrong)
    choices.insert(LETTERS.index(letter), question.right)
    return tuple(choices), letter
