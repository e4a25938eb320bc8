"""LongBench-v2: rows of six domains, with CodeQA's among them, and generated questions checked against the context."""

import csv
import hashlib
import json
import re
from collections import Counter

import pytest

from benchmarks.scoring.choice import LETTERS
from benchmarks.sources.files import DataError
from benchmarks.suites.codeqa import CodeQA
from benchmarks.suites.longbench_v2 import LongBenchV2
from benchmarks.suites.longbench_v2.domains import DOMAINS, KEYS, ChoiceTarget
from rlm.models.tokens import count_tokens
from rlm.validation import SettingError, make

TEXTS = tuple(key for key in KEYS if key != "code")


def samples(**settings):
    benchmark = LongBenchV2(**{"domains": TEXTS} | settings)
    return [benchmark.sample(info.sample_id) for info in benchmark.infos()]


def right(sample):
    return sample.target.choices[LETTERS.index(sample.target.letter)]


@pytest.mark.parametrize("encoding", ["o200k_base", "qwen3"])
@pytest.mark.parametrize("length", [1024, 9000])
def test_the_complete_prompt_fills_its_length(length, encoding):
    for sample in samples(lengths=(length,), samples=5, encoding=encoding):
        (message,) = sample.prompt.messages()
        assert length - 180 < count_tokens(message["content"], encoding) <= length, sample.sample_id


def facts_of(sample):
    """The right choice as a reader finds it in the context."""
    context, asked = sample.prompt.context, sample.prompt.query.partition("\n\nChoices:")[0]
    domain = sample.info.task_group
    if domain == "structured":
        rows = list(csv.DictReader(context.splitlines()))
        if counted := re.search(r"have the trade (\w+)\?", asked):
            return str(sum(row["trade"] == counted[1] for row in rows))
        (row,) = (row for row in rows if row["name"] in asked)
        return row[next(key for key, word in WORDS.items() if word in asked)]
    if domain == "in_context":
        shown = dict(re.findall(r" was a (\w+)\.\nLabel: (\w+)", context))
        return shown[re.search(r" was a (\w+)\.", asked)[1]]
    if domain == "dialogue":
        (part,) = (part for part in context.split("\n\n") if re.search(r"about (.+), a", part)[1] in asked)
    else:
        blocks = re.split(r"\n\n(?=Chapter \d|\[Document)", context)
        (part,) = (
            block for block in blocks if (name := re.search(r"(\w+ \w+) was a \w+, born", block)) and name[1] in asked
        )
        if domain == "multi_document":
            company = re.search(r"worked for (.+) and never", part)[1]
            (part,) = (block for block in blocks if block.partition("] ")[2].startswith(f"{company} was a workshop"))
    patterns = {
        "town": r"town of (\w+)\.|one from (\w+)\?", "year": r"in (\d{4})", "trade": r" a (\w+)[,.]",
        "company": r"worked for (.+ & Sons)",
    }  # fmt: skip
    found = re.search(patterns[next(key for key, word in WORDS.items() if word in asked)], part)
    return next(filter(None, found.groups()))


WORDS = {"town": "In which town", "year": "In which year", "trade": "the trade of", "company": "which workshop"}


def test_the_right_choice_follows_from_the_context():
    for sample in samples(lengths=(2048,), samples=40):
        assert right(sample) == facts_of(sample), sample.sample_id
        assert len(set(sample.target.choices)) == 4
        listed = zip(LETTERS, sample.target.choices, strict=True)
        assert all(f"\n({letter}) {choice}\n" in sample.prompt.query for letter, choice in listed)


def test_domains_and_letters_take_turns():
    infos = LongBenchV2(lengths=(1024,), samples=12).infos()
    assert [info.task_group for info in infos] == [*KEYS, *KEYS]
    letters = Counter(sample.target.letter for sample in samples(lengths=(1024,), samples=20))
    assert set(letters.values()) == {5}


def test_generated_code_is_that_of_codeqa():
    settings = {"lengths": (1024,), "samples": 1, "packages": ("packaging", "click")}
    sample = samples(domains=("code",), **settings)[0]
    other = CodeQA(**settings).sample("codeqa-1024-000")
    assert (sample.prompt, sample.target.letter, sample.target.choices) == (
        other.prompt, other.target.letter, other.target.choices,
    )  # fmt: skip


def test_the_bytes_are_the_same_on_every_machine():
    digest = hashlib.sha256()
    for sample in samples(lengths=(1024, 5000), samples=5):
        digest.update(repr((sample.prompt.messages(), sample.target)).encode())
    assert digest.hexdigest() == SHA256


async def test_the_oracle_scores_1_and_one_letter_of_a_flood_counts():
    benchmark = LongBenchV2(lengths=(1024,), samples=5, domains=TEXTS)
    for info in benchmark.infos():
        sample = benchmark.sample(info.sample_id)
        assert (await benchmark.score(sample.target, benchmark.oracle(sample.target))).value == 1
        scores = [
            (await benchmark.score(sample.target, constant(sample))).value for constant in benchmark.constants([])
        ]
        assert sum(scores[:4]) == 1
        assert (await benchmark.score(sample.target, f"I choose {sample.target.letter}")).lenient == 1
        assert (await benchmark.score(sample.target, None)).value == 0


def test_rows_may_carry_their_target():
    benchmark = LongBenchV2()
    assert benchmark.target_of({"target": json.loads(benchmark.target_bytes(ChoiceTarget("B")))}) == ChoiceTarget("B")
    with pytest.raises(ValueError, match="expected the letter"):
        benchmark.target_of({"target": "E"})


# --- rows


def row(number, domain, length="short", **changes):
    made = {
        "_id": f"row-{number}", "domain": DOMAINS[domain].name, "sub_domain": "Legal", "difficulty": "hard",
        "length": length, "question": "Which?", "answer": "B", "context": f"text {number}",
    }  # fmt: skip
    return made | {f"choice_{letter}": letter.lower() for letter in LETTERS} | changes


def written(tmp_path, *rows):
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return str(path)


async def test_rows_are_chosen_by_domain_and_length(tmp_path, own_cache):
    path = written(tmp_path, *(row(n, key, ("short", "medium", "long")[n % 3]) for n, key in enumerate(KEYS)))
    benchmark = LongBenchV2(source=path)
    assert [info.task_group for info in benchmark.infos()] == [f"{key}: Legal" for key in KEYS]
    assert {info.complexity for info in benchmark.infos()} == {"constant"}
    chosen = LongBenchV2(source=path, domains=("dialogue", "multi_document"), classes=("medium",)).infos()
    assert [info.sample_id for info in chosen] == ["row-1"]
    sample = benchmark.sample("row-3")
    assert sample.prompt.query.endswith('"The correct answer is (insert answer here)".')
    score = await benchmark.score(sample.target, "The correct answer is (B)")
    assert (score.value, score.details) == (1, {"difficulty": "hard", "length_class": "short"})
    with pytest.raises(DataError, match="found no row with length long"):
        LongBenchV2(source=path, domains=("dialogue",), classes=("long",)).infos()


def test_a_row_with_another_length_or_answer_is_named(tmp_path, own_cache):
    with pytest.raises(DataError, match="row row-1: length is 'huge': expected short, medium, long"):
        LongBenchV2(source=written(tmp_path, row(1, "dialogue", "huge"))).infos()
    with pytest.raises(DataError, match="row row-2: answer is 'E': expected A, B, C or D"):
        LongBenchV2(source=written(tmp_path, row(2, "dialogue", answer="E"))).infos()


def test_real_rows_are_those_of_codeqa(shared_data, own_cache):
    path = str(shared_data / "codeqa")
    ours, theirs = LongBenchV2(source=path, domains=("code",)), CodeQA(source=path)
    assert [info.sample_id for info in ours.infos()] == [info.sample_id for info in theirs.infos()]
    for info in ours.infos():
        sample, other = ours.sample(info.sample_id), theirs.sample(info.sample_id)
        assert (sample.prompt, sample.target.letter, sample.target.choices) == (
            other.prompt, other.target.letter, other.target.choices,
        )  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"domains": ["law"]}, "domains is ['law']: expected a list of single_document, multi_document"),
        ({"classes": ["huge"]}, "classes is ['huge']: expected"),
        ({"lengths": [100]}, "lengths is [100]: expected"),
    ],
)
def test_invalid_settings_are_refused_with_their_key(settings, message):
    with pytest.raises(SettingError, match=re.escape("benchmark.longbench_v2." + message)):
        make(LongBenchV2, settings, "benchmark.longbench_v2")


SHA256 = "d30ca5461cdfa71b8b856c19546cc188ea258e85c3fceff529959abad5147bb3"
