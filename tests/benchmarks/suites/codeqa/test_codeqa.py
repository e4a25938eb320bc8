"""CodeQA: LongBench-v2's rows and score, and generated questions checked against the syntax tree of the context."""

import ast
import asyncio
import contextlib
import hashlib
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.scoring.choice import LETTERS, lenient_letter, official_letter
from benchmarks.suites.codeqa.scorer import CodeTarget
from benchmarks.suites.codeqa.suite import CodeQA
from rlm.models.tokens import count_tokens
from rlm.validation import make

ROOT = Path(__file__).parents[4]
SETTINGS = yaml.safe_load((ROOT / "conf" / "benchmark" / "codeqa.yaml").read_text())
PACKAGES = SETTINGS["packages"]


def generated(**changes) -> CodeQA:
    return CodeQA(**({"packages": PACKAGES, "lengths": [1024], "samples": 4, "seed": 0} | changes))


def score(answer: str | None, letter: str = "C", choices=()) -> object:
    return asyncio.run(CodeQA().score(CodeTarget(letter, tuple(choices)), answer))


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")


# --- the real rows


def test_real_rows_load_and_their_oracle_is_right(shared_data, own_cache):
    benchmark = CodeQA(source=str(shared_data / "codeqa"))
    infos = benchmark.infos()
    assert len(infos) == 6
    assert len({info.cluster for info in infos}) == 6
    for info in infos:
        sample = benchmark.sample(info.sample_id)
        assert sample.prompt.chars > 100_000
        listed = zip(LETTERS, sample.target.choices, strict=True)
        assert all(f"({letter}) {choice}" in sample.prompt.query for letter, choice in listed)
        assert asyncio.run(benchmark.score(sample.target, benchmark.oracle(sample.target))).value == 1
        (message,) = sample.prompt.messages()
        assert message["content"].index(sample.prompt.context[:200]) < message["content"].index("Choices:")
    assert benchmark.provenance()["rows"] == 6
    assert benchmark.infos() == infos


def test_real_rows_end_with_longbenchs_sentence_or_ask_for_a_number(shared_data, own_cache):
    letters, numbers = (CodeQA(source=str(shared_data / "codeqa"), answer_form=form) for form in ("letters", "numbers"))
    for info in letters.infos():
        lettered, numbered = letters.sample(info.sample_id), numbers.sample(info.sample_id)
        choices = lettered.target.choices
        assert lettered.prompt.query.endswith(
            f'(D) {choices[3]}\n\nFormat your response as follows: "The correct answer is (insert answer here)".'
        )
        assert all(f"\n{number}: {choice}\n" in numbered.prompt.query for number, choice in enumerate(choices))
        assert "(A)" not in numbered.prompt.query.partition("Choices:")[2].replace(" ".join(choices), "")[:3]
        assert asyncio.run(numbers.score(numbered.target, numbers.oracle(numbered.target))).value == 1


def test_an_unknown_sample_is_a_key_error():
    with pytest.raises(KeyError):
        generated().sample("codeqa-1024-999")


def test_rows_with_another_answer_than_a_letter_are_refused(tmp_path, own_cache):
    row = dict.fromkeys(("_id", "difficulty", "length", "question", "answer", "context"), "x")
    row |= {f"choice_{letter}": letter for letter in LETTERS} | {"domain": "Code Repository Understanding"}
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(row))
    with pytest.raises(ValueError, match="row x: answer is 'x': expected A, B, C or D"):
        CodeQA(source=str(path)).infos()


_CLIENT = """
from benchmarks.suites.codeqa.suite import CodeQA
benchmark = CodeQA(source="hub")
infos = benchmark.infos()
sample = benchmark.sample("row-7")
print(len(infos), sample.prompt.context, sample.target.letter, benchmark.provenance()["rows"])
"""


def test_from_the_hub_the_50_rows_of_the_domain(tmp_path, fake_hub, forks):
    def data(of_the_domain: int) -> bytes:
        rows = [
            {
                "_id": f"row-{n}", "domain": "Code Repository Understanding" if n < of_the_domain else "Other",
                "sub_domain": "Code repo QA", "difficulty": "hard", "length": "long", "question": "?", "answer": "B",
                "context": f"code {n} \n" * 3,
            } | {f"choice_{letter}": letter for letter in LETTERS}
            for n in range(60)
        ]  # fmt: skip
        return json.dumps(rows, indent=2).encode()

    key = ("zai-org/LongBench-v2", SETTINGS["revision"])
    with fake_hub.fake_hub({key: {"README.md": b"", "data.json": data(50)}}) as hub:
        environment = {**os.environ, "HF_ENDPOINT": hub.url, "PYTHONPATH": str(ROOT)}
        for unwanted in ("HF_HUB_OFFLINE", "HF_TOKEN", "HF_DATASETS_CACHE", "HF_DATASETS_OFFLINE"):
            environment.pop(unwanted, None)

        def run(cache: str, **more: str) -> subprocess.CompletedProcess:
            return forks.run(_CLIENT, cwd=tmp_path, env=environment | {"HF_HOME": str(tmp_path / cache)} | more)

        first = run("one")
        assert first.stdout.replace("\n", " ") == "50 code 7  code 7  code 7   B 50 ", first.stderr
        assert all(SETTINGS["revision"] in path for _, path in hub.asked if "/zai-org/" in path)
        # What was read once is there without a network.
        hub.asked.clear()
        assert run("one", HF_HUB_OFFLINE="1").stdout == first.stdout
        assert not hub.asked
        hub.datasets = {key: {"README.md": b"", "data.json": data(49)}}
        assert "found 49 rows with domain = 'Code Repository Understanding': expected 50 rows" in run("two").stderr


# --- the score


@pytest.mark.parametrize(
    "answer, official, lenient",
    [
        ("The correct answer is (C)", "C", "C"),
        ("**The correct answer is (C)**.", "C", "C"),
        ("The correct answer is **C**", "C", "C"),
        ("The correct answer is C.", "C", "C"),
        # The form with parentheses wins wherever it stands; of several the first.
        ("The correct answer is B. No: The correct answer is (C)", "C", "C"),
        ("The correct answer is (B). The correct answer is (C)", "B", "B"),
        # The pattern without parentheses takes the first letter of a word.
        ("The correct answer is Certainly not", "C", "C"),
        ("the correct answer is (C)", None, "C"),
        ("Answer: C", None, "C"),
        ("(C)", None, "C"),
        ("C", None, "C"),
        ("C.", None, "C"),
        ("I thought of (A), but (C)", None, "C"),
        ("Because of that", None, None),
        ("The correct answer is (E)", None, None),
        ("", None, None),
        ("   ", None, None),
    ],
)
def test_letters_are_read_by_the_rule_of_longbench(answer, official, lenient):
    assert official_letter(answer) == official
    assert (official or lenient_letter(answer)) == lenient
    judged = score(answer)
    assert judged.value == float(official == "C")
    assert judged.format_ok == (official is not None)


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        (r"\boxed{B}", "B"),
        (r"The result is \boxed{\text{B}}.", "B"),
        (r"The correct answer is \(B\)", "B"),
        (r"$\boxed{B}$", "B"),
        ('"B"', "B"),
        ("B) text of the choice", "B"),
        ("[B]", "B"),
        ('{"answer": "B"}', "B"),
        ("<answer>B</answer>", "B"),
        ("{'answer': 'B'}", "B"),
        ("'B'", "B"),
        ("b", "B"),
        ("answer: b.", "B"),
        ("I choose (B) over (A)", "B"),
        ("Only (B) raises ValueError, unlike (A), (C), and (D).", "B"),
        ("The answer is A function", None),
        ("Answer = B", "B"),
        ("**Option B**", "B"),
        ("B is correct", "B"),
        ("I choose B because A and C are wrong", "B"),
        ("(A) is wrong, so B", "B"),
        ("(A) is wrong because it never returns, so B", "B"),
        ("B, since A and C are wrong", "B"),
        ("The answer is not A but B", "B"),
        ("It cannot be (C); it must be (B).", "B"),
        ("So B rather than D", "B"),
        ("A function returns None, so B", "B"),
        ("A) one\nB) two\nC) three\nD) four\nSo the answer is B", "B"),
        ("A) one\nB) two\nC) three\nD) four", None),
        ("A function of the module", None),
        ("The class A.b inherits from B-tree", None),
        ("All of them", None),
    ],
)
def test_other_forms_of_a_letter_are_read_leniently_and_not_officially(answer, letter):
    assert official_letter(answer) is None
    assert lenient_letter(answer) == letter
    judged = score(answer, "B")
    assert (judged.value, judged.lenient) == (0, float(letter == "B"))


@pytest.mark.parametrize("letter", LETTERS)
def test_a_flood_of_letters_is_one_answer(letter):
    flood = " ".join(f"({one})" for one in LETTERS)
    assert score(flood, letter).lenient == float(letter == "D")
    official = "\n".join(f"The correct answer is ({one})" for one in LETTERS)
    assert score(official, letter).value == float(letter == "A")


def test_the_text_of_a_choice_is_a_lenient_answer():
    assert score("None", "B", ["0", "None", "1", "2"]).lenient == 1
    assert score("None", "B", ["0", "None", "1", "2"]).value == 0


@pytest.mark.parametrize("flood", ["\n", " ", "answer ", "answer: ", "("])
def test_floods_are_read_in_linear_time(flood):
    # Quadratic reading of these would take hours.
    assert lenient_letter(flood * 300_000 + "\nB\n") == "B"


def test_no_answer_counts_as_wrong():
    assert score(None).value == 0
    assert not score(None).format_ok


@given(st.text() | st.from_regex(r"(The correct answer is |answer: )\(?[A-E]\)?[^a-z]{0,9}"), st.sampled_from(LETTERS))
def test_any_text_gets_a_score(text, letter):
    judged = score(text, letter, ("w", "x", "y", "z"))
    assert judged.value in (0, 1)
    assert judged.value <= judged.lenient <= 1


@given(st.text(alphabet=st.characters(exclude_characters="*()"), max_size=80), st.sampled_from(LETTERS))
def test_the_requested_form_is_found_after_any_reasoning(reasoning, letter):
    answer = f"{reasoning.replace('The correct', '')}\nThe correct answer is ({letter})"
    assert score(answer, letter).value == 1


def test_rows_may_carry_a_letter_as_their_target():
    assert CodeQA().target_of({"target": " (B) "}).letter == "B"
    for wrong in ({}, {"target": "E"}, {"target": ""}, {"target": "AB"}):
        with pytest.raises(ValueError, match="expected the letter"):
            CodeQA().target_of(wrong)


# --- generated samples

_PIECE = re.compile(r"^## (\S+)(?: \(lines \d+ to \d+\))?\n\n```python\n(.*?)\n```\n\n(?=## \S+\.py|\Z)", re.M | re.S)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
PLACES = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth")


class Reader:
    """Answers generated questions from the syntax tree of the complete context."""

    def __init__(self, context: str) -> None:
        pieces = _PIECE.findall(context)
        assert "".join(f"## {path}" for path, _ in pieces) and pieces
        self.trees = {path: ast.parse(source) for path, source in pieces}
        nodes = [(path, node) for path, tree in self.trees.items() for node in ast.walk(tree)]
        self.classes = [(path, node) for path, node in nodes if isinstance(node, ast.ClassDef)]
        self.methods = [(c.name, m) for _, c in self.classes for m in c.body if isinstance(m, FUNCTIONS)]
        inside = {id(method) for _, method in self.methods}
        self.defs = [(path, node) for path, node in nodes if isinstance(node, FUNCTIONS)]
        self.plain = [node for _, node in self.defs if id(node) not in inside]

    def named(self, name: str) -> list[ast.AST]:
        owner, _, short = name.rpartition(".")
        if owner:
            return [method for cls, method in self.methods if cls == owner and method.name == short]
        return [node for node in self.plain if node.name == short]

    def callers(self, name: str) -> list[ast.AST]:
        """Top-level functions and methods that call the name, and None for a call elsewhere."""
        homes = {}
        for tree in self.trees.values():
            for node in tree.body:
                for function in [node] if isinstance(node, FUNCTIONS) else getattr(node, "body", []):
                    if isinstance(function, FUNCTIONS):
                        homes |= {id(inner): function for part in function.body for inner in ast.walk(part)}
        calls = [n for tree in self.trees.values() for n in ast.walk(tree) if isinstance(n, ast.Call)]
        return [homes.get(id(n)) for n in calls if getattr(n.func, "attr", getattr(n.func, "id", None)) == name]

    def right(self, question: str, choices: list[str]) -> list[str]:
        """The choices that are right."""

        def is_right(choice: str) -> bool:
            if found := re.match(r"What is the default value of the parameter `(\w+)` of the \w+ `([\w.]+)`", question):
                return same(choice, default(one(self.named(found[2])), found[1]))
            if found := re.match(r"How many parameters does the \w+ `([\w.]+)`", question):
                return choice == str(len(parameters(one(self.named(found[1])))))
            if found := re.match(r"Which parameter is declared (\w+) by the \w+ `([\w.]+)`", question):
                place = PLACES.index(found[1])
                return choice == parameters(one(self.named(found[2])))[place]
            if found := re.match(r"Which of these exceptions .* in the \w+ `([\w.]+)`", question):
                raised = [n.exc for n in ast.walk(one(self.named(found[1]))) if isinstance(n, ast.Raise) and n.exc]
                return choice in {last(r.func if isinstance(r, ast.Call) else r) for r in raised}
            if found := re.match(r"Which of these does the body of the \w+ `([\w.]+)` call", question):
                body = [inner for part in one(self.named(found[1])).body for inner in ast.walk(part)]
                return choice in [last(n.func) for n in body if isinstance(n, ast.Call)]
            if found := re.match(r"Which of these functions and methods calls `(\w+)`", question):
                callers = self.callers(found[1])
                assert None not in callers
                return any(node is caller for node in self.named(choice) for caller in callers)
            if found := re.match(r"Just one .* calls `(\w+)`.* parameter `(\w+)`", question):
                return same(choice, default(one(list(dict.fromkeys(self.callers(found[1])))), found[2]))
            if found := re.match(r"Which class defines the method `(\w+)`", question):
                return choice in {cls for cls, method in self.methods if method.name == found[1]}
            if found := re.match(r"Which of these does the class `(\w+)` name", question):
                return choice in [ast.unparse(b) for b in one([c for _, c in self.classes if c.name == found[1]]).bases]
            found = re.match(r"In which of these files is the \w+ `(\w+)` defined", question)
            return choice in {path for path, node in self.defs + self.classes if node.name == found[1]}

        return [choice for choice in choices if is_right(choice)]


def one(items: list):
    assert len(items) == 1 and items[0] is not None, items
    return items[0]


def parameters(node) -> list[str]:
    a = node.args
    args = [*a.posonlyargs, *a.args, *([a.vararg] if a.vararg else []), *a.kwonlyargs, *([a.kwarg] if a.kwarg else [])]
    return [arg.arg for arg in args]


def default(node, name: str) -> str:
    positional = [*node.args.posonlyargs, *node.args.args]
    pairs = dict(zip([a.arg for a in reversed(positional)], reversed(node.args.defaults), strict=False))
    pairs |= {a.arg: d for a, d in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)}
    return ast.unparse(pairs[name])


def same(one_source: str, other: str) -> bool:
    return ast.unparse(ast.parse(one_source, mode="eval")) == ast.unparse(ast.parse(other, mode="eval"))


def last(node) -> str:
    return getattr(node, "attr", getattr(node, "id", ""))


@pytest.mark.parametrize("length, samples", [(512, 4), (2048, 20), (16_384, 10), (100_000, 3)])
def test_exactly_one_of_four_different_choices_is_right_in_the_complete_context(length, samples):
    benchmark = generated(lengths=[length], samples=samples, seed=3)
    for info in benchmark.infos():
        sample = benchmark.sample(info.sample_id)
        target = sample.target
        assert len({choice.strip() for choice in target.choices}) == 4
        question = re.search(r"Question: (.*?)\n\nChoices:", sample.prompt.query, re.S)[1]
        right = Reader(sample.prompt.context).right(question, list(target.choices))
        assert right == [target.choices[LETTERS.index(target.letter)]], (info, question)


@pytest.mark.parametrize("length", [400, 512, 1000, 4096, 100_000])
def test_a_prompt_fills_its_length_and_never_passes_it(length):
    benchmark = generated(lengths=[length], samples=4)
    for info in benchmark.infos():
        (message,) = benchmark.sample(info.sample_id).prompt.messages()
        tokens = count_tokens(message["content"])
        # Questions are shorter than the room kept for them, and whole statements leave a rest.
        assert length - 200 <= tokens <= length


def test_letters_are_even_so_that_a_constant_scores_a_quarter():
    benchmark = generated(lengths=[512], samples=8)
    samples = [benchmark.sample(info.sample_id) for info in benchmark.infos()]
    for constant in benchmark.constants(samples):
        scores = [asyncio.run(benchmark.score(sample.target, constant(sample))).value for sample in samples]
        assert sum(scores) == 2


def test_the_kind_of_question_is_the_task_group():
    groups = {info.task_group for info in generated(lengths=[4096], samples=10).infos()}
    assert len(groups) == 10


def test_the_same_seed_gives_the_same_bytes_in_any_process_and_another_seed_gives_others():
    code = (
        "import hashlib, sys, yaml; from benchmarks.suites.codeqa.suite import CodeQA\n"
        "b = CodeQA(packages=yaml.safe_load(open(sys.argv[1]))['packages'], lengths=[1024, 8192], samples=5)\n"
        "s = [b.sample(i.sample_id) for i in b.infos()]\n"
        "print(hashlib.sha256(repr([(x.prompt, x.target.letter) for x in s]).encode()).hexdigest())"
    )
    path = str(ROOT / "conf" / "benchmark" / "codeqa.yaml")
    # The hashes of this process are drawn at random.
    there = subprocess.run(
        [sys.executable, "-c", code, path], capture_output=True, text=True, check=True, cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "1"},
    )  # fmt: skip
    with contextlib.redirect_stdout(io.StringIO()) as here, pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["-c", path])
        exec(code, {})
    assert here.getvalue() == there.stdout
    ours, other = generated(seed=0).sample("codeqa-1024-000"), generated(seed=1).sample("codeqa-1024-000")
    assert hashlib.sha256(ours.prompt.context.encode()) != hashlib.sha256(other.prompt.context.encode())
    assert ours.prompt != other.prompt


def test_provenance_names_versions_and_a_hash_of_the_code():
    provenance = generated(packages=["rich", "click"]).provenance()
    assert set(provenance["packages"]) == {"rich", "click"}
    assert re.fullmatch("[0-9a-f]{64}", provenance["sources_sha256"])


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"packages": ["no-such-package"]}, "contains 'no-such-package': expected an installed package"),
        ({"packages": ["click"], "lengths": [10_000_000]}, "needs 9999800 tokens of code: expected at most"),
        ({"lengths": [300]}, "lengths is [300]: expected a list of integers from 400 to 100000000"),
        ({"lengths": [True]}, "lengths is [True]: expected"),
        ({"lengths": ["8k"]}, "lengths is ['8k']: expected"),
        ({"lengths": 512}, "lengths is 512: expected a list"),
        ({"lengths": []}, "lengths is []: expected a list"),
        ({"lengths": [512, 512]}, "expected each value once"),
        ({"samples": 0}, "samples is 0: expected"),
        ({"samples": 10**30}, "from 1 to 1000000"),
        ({"packages": []}, "packages is empty"),
    ],
)
def test_invalid_settings_are_refused_in_one_line(changes, message):
    settings = {"packages": PACKAGES, "lengths": [1024], "samples": 4} | changes
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        benchmark = make(CodeQA, settings, "benchmark.codeqa")
        benchmark.sample(benchmark.infos()[0].sample_id)
    assert "\n" not in str(caught.value)


# --- numbers as answers


NUMBERED = CodeQA(answer_form="numbers")


@pytest.mark.parametrize(
    ("answer", "value", "lenient", "format_ok"),
    [
        ("2", 1, 1, True),
        (" **2**.\n", 1, 1, True),
        ("(2)", 1, 1, True),
        ("1", 0, 0, True),
        ("The correct answer is (2)", 0, 1, False),
        ("Choice 1 is wrong, so the answer is 2.", 0, 1, False),
        ('{"answer": 2}', 0, 1, False),
        ("third", 0, 1, False),
        ("The answer is 20", 0, 0, False),
        ("The answer is 2.5", 0, 0, False),
        ("0 1 2 3", 0, 0, False),
        ("C", 0, 0, False),
        ("22", 0, 0, False),
        ("", 0, 0, False),
        (None, 0, 0, False),
    ],
)
def test_a_number_is_right_if_it_is_the_complete_answer(answer, value, lenient, format_ok):
    target = CodeTarget("C", ("first", "second", "third", "fourth"))
    found = asyncio.run(NUMBERED.score(target, answer))
    assert (found.value, found.lenient, found.format_ok) == (value, lenient, format_ok)


@given(st.text())
def test_any_answer_has_a_number_score(answer):
    found = asyncio.run(NUMBERED.score(CodeTarget("A"), answer))
    assert found.value in (0, 1) and found.value <= found.lenient <= 1


def test_numbers_are_the_form_of_prompts_targets_constants_and_provenance():
    benchmark = generated(lengths=[512], answer_form="numbers")
    samples = [benchmark.sample(info.sample_id) for info in benchmark.infos()]
    for sample, lettered in zip(
        samples, map(generated(lengths=[512]).sample, (s.sample_id for s in samples)), strict=True
    ):
        assert sample.prompt.context == lettered.prompt.context
        assert sample.prompt.query.endswith("nothing else: 0, 1, 2 or 3.")
        assert f"\n{benchmark.oracle(sample.target)}: " in sample.prompt.query
        assert json.loads(benchmark.target_bytes(sample.target)) == LETTERS.index(sample.target.letter)
        assert benchmark.target_of({"target": json.loads(benchmark.target_bytes(sample.target))}).letter == (
            sample.target.letter
        )
    constants = [constant(samples[0]) for constant in benchmark.constants(samples)]
    assert constants == ["0", "1", "2", "3", "3\n2\n1\n0"]
    assert benchmark.provenance()["answer_form"] == "numbers" and benchmark.scorer == "codeqa-number-1"
    assert CodeQA().scorer == "longbench-v2-letter-2"
    with pytest.raises(ValueError, match="or a number from 0 to 3"):
        benchmark.target_of({"target": 4})
