"""LongCoT-Mini: generated puzzles, solutions checked by rules, answers read as officially, and rows in both forms."""

import hashlib
import json
import re

import pytest

from benchmarks.sample import Judgement
from benchmarks.sources.files import DataError
from benchmarks.suites.longcot_mini import LongCoTMini
from benchmarks.suites.longcot_mini.scorer import accepts, accepts_leniently, score_answer
from benchmarks.suites.longcot_mini.templates import DOMAIN_OF, LOGIC, LongCoTTarget
from rlm.models.tokens import count_tokens
from rlm.validation import SettingError, make

START = "rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR"
BLOCKS = LongCoTTarget("BlocksWorld", {"initial": [[0], [1, 2], []], "goal": [[], [1], [2, 0]]})
HANOI = LongCoTTarget("RandomHanoi", {"initial": [[2], [1, 0], []], "goal": [[], [1], [2, 0]]})
LEVEL = {
    "walls": [[i, j] for i in range(3) for j in range(5) if i != 1 or j in (0, 4)],
    "goals": [[1, 1]], "boxes": [[1, 2]], "player": [1, 3],
}  # fmt: skip
SOKOBAN = LongCoTTarget("Sokoban", LEVEL)
GRID = [[1, 2, 3, 4], [3, 4, 1, 2], [2, 1, 4, 3], [4, 3, 2, 1]]
SUDOKU = LongCoTTarget("Sudoku", {"grid": [[1, 0, 0, 4], [0, 0, 1, 0], [0, 1, 0, 0], [4, 0, 0, 1]], "block": 2})
NUMBER = LongCoTTarget("Dungeon", {"value": 42})
MODULAR = LongCoTTarget("WizardsTotalStrength", {"value": 5, "modulus": 7})
PIECES = LongCoTTarget("piece_combinations", {"value": 42})
TYPES = LongCoTTarget("HM", {"value": {"q1": "(Nat × Nat)", "q2": 3}})
MEMORY = LongCoTTarget("DistMem", {"value": [15, 392, -2]})
BOARD = LongCoTTarget("uci_to_fen", {"value": f"{START} w KQkq - 0 1"})
MATH = LongCoTTarget("dag", {"parts": ["5√3/3", "4/3", "2^{10}"]}, "the question")
TARGETS = [BLOCKS, HANOI, SOKOBAN, SUDOKU, NUMBER, MODULAR, PIECES, TYPES, MEMORY, BOARD, MATH]


def samples(**settings):
    benchmark = LongCoTMini(**settings)
    return [benchmark.sample(info.sample_id) for info in benchmark.infos()]


@pytest.mark.parametrize("length", [512, 1024, 4096])
def test_a_puzzle_is_as_large_as_fits(length):
    for sample in samples(lengths=(length,), samples=6):
        (message,) = sample.prompt.messages()
        least = 0.6 if sample.info.task_group == "logic: Sudoku" else 0.93
        assert least * length < count_tokens(message["content"]) <= length


def test_the_bytes_are_the_same_on_every_machine():
    digest = hashlib.sha256()
    benchmark = LongCoTMini(lengths=(512, 2048), samples=12)
    for info in benchmark.infos():
        sample = benchmark.sample(info.sample_id)
        digest.update(repr((sample.prompt.messages(), benchmark.target_bytes(sample.target))).encode())
    assert digest.hexdigest() == SHA256


def test_another_seed_and_another_index_give_another_puzzle():
    first = samples(lengths=(512,), samples=7)
    assert first == samples(lengths=(512,), samples=7)
    assert len({sample.prompt.context_text for sample in (*first, *samples(lengths=(512,), samples=7, seed=1))}) == 14


async def test_the_oracle_scores_1_and_answers_without_understanding_0():
    benchmark = LongCoTMini(lengths=(512,), samples=6)
    for info in benchmark.infos():
        sample = benchmark.sample(info.sample_id)
        answer = benchmark.oracle(sample.target)
        assert (await benchmark.score(sample.target, answer)).value == 1
        # The answer is not a part of the prompt.
        (message,) = sample.prompt.messages()
        assert answer.removeprefix("solution = ") not in message["content"].split()
        assert not re.search(r"solution = [\[\d]+[\d,]", message["content"])
        for constant in benchmark.constants([]):
            assert (await benchmark.score(sample.target, constant(sample.without_target()))).lenient == 0


async def test_every_template_has_an_oracle():
    benchmark = LongCoTMini()
    for target in TARGETS:
        score = await benchmark.score(target, f"I thought.\n{benchmark.oracle(target)}")
        assert (score.value, score.format_ok, score.details["domain"]) == (1, True, DOMAIN_OF[target.template])


@pytest.mark.parametrize(
    ("target", "answer", "value", "lenient"),
    [
        (NUMBER, "solution = 42 hours", 1, 1),
        (NUMBER, "**Solution=42**, not 41", 1, 1),
        (NUMBER, "solution = 41\nNo. solution = 42", 1, 1),
        (NUMBER, "solution = 42, or solution = 41", 0, 0),
        (NUMBER, "It is 42", 1, 1),
        (NUMBER, "It is 42 or 43", 0, 0),
        (NUMBER, "solution = ", 0, 0),
        (NUMBER, "solution = $\\boxed{42}$", 1, 1),
        (LongCoTTarget("Dungeon", {"value": 1234}), "solution = 1,234", 0, 1),
        (MODULAR, "solution = 12", 1, 1),
        (MODULAR, "solution = -2", 1, 1),
        (MODULAR, "solution = 6", 0, 0),
        (PIECES, "42\nsolution = none", 1, 1),
        (PIECES, "solution = none\nof 42 pieces", 1, 1),
        (BLOCKS, "solution = [[2, 1, 2], [0, 0, 2]]", 1, 1),
        (BLOCKS, "solution = [['2', '1', '2'], ['0', '0', '2']] and [1]", 1, 1),
        (BLOCKS, "moves [[2, 1, 2], [0, 0, 2]], that is all", 1, 1),
        (BLOCKS, "[[2, 1, 2], [0, 0, 2]]\nsolution = as above", 0, 1),
        (BLOCKS, "solution = [[0, 0, 2], [2, 1, 2]]", 0, 0),
        (BLOCKS, "solution = [[2, 1, 2], [0, 0, 5]]", 0, 0),
        (BLOCKS, "solution = [[2, 1, -1], [0, 0, 2]]", 0, 0),
        (BLOCKS, "solution = []", 0, 0),
        (HANOI, "solution = [[2, 0, 2], [0, 1, 2]]", 1, 1),
        (HANOI, "solution = [[0, 1, 0], [0, 0, 1], [2, 0, 2], [0, 1, 2]]", 1, 1),
        (HANOI, "solution = [[0, 1, 2], [2, 0, 2]]", 0, 0),
        (SOKOBAN, "solution = L", 1, 1),
        (SOKOBAN, "solution = u L", 1, 1),
        (SOKOBAN, "moves: l.", 1, 1),
        (SOKOBAN, "solution = U, L", 0, 1),
        (SOKOBAN, "solution = R", 0, 0),
        (SOKOBAN, "I do not know", 0, 0),
        (SUDOKU, f"solution = {GRID}", 1, 1),
        (SUDOKU, f"```\n{GRID}\n```", 1, 1),
        (SUDOKU, f"solution = the grid {GRID[:3]}", 0, 0),
        (SUDOKU, f"solution = {[GRID[1], GRID[0], *GRID[2:]]}", 0, 0),
        (TYPES, 'solution = {"q2": 3, "q1": "(Nat × Nat)"}', 1, 1),
        (TYPES, 'first {"q1": 1} then {"q1": "(Nat × Nat)", "q2": 3}', 1, 1),
        (TYPES, 'solution = {"q1": "(Nat×Nat)", "q2": "3"}', 0, 1),
        (TYPES, "solution = {'q1': '(Nat × Nat)', 'q2': 3}", 0, 0),
        (TYPES, 'solution = {"q1": "(Nat × Nat)"}', 0, 0),
        (MEMORY, "solution = [15, 392, -2]", 1, 1),
        (MEMORY, "solution = 15, 392, -2", 1, 1),
        (MEMORY, "[1]\nthe answers are 15, 392, -2", 0, 0),
        (MEMORY, "solution = [15, 392]", 0, 0),
        (BOARD, f"solution = {START} b - - 9 99", 1, 1),
        (BOARD, f"The board is {START}. Done", 1, 1),
        (BOARD, f'solution = {{"final_fen": "{START} w"}}', 1, 1),
        (BOARD, f"solution = **{START}**", 0, 1),
        (BOARD, f"solution = {START[:-1]}", 0, 0),
        (BOARD, "solution = 44/8/8/8/8/8/8/8", 0, 0),
        (MATH, "solution = [5/sqrt(3), 1 1/3 , 1024]", 0, 0),
        (MATH, "solution = [5/sqrt(3), 8/6, 1024]", 1, 1),
        (MATH, "solution = [$\\frac{5√3}{3}$, (4)/(3), 2^(11)/2]", 1, 1),
        (MATH, "so [5√3/3, 4/3, 2**10] it is", 1, 1),
        (MATH, "solution = 5√3/3, 4/3, 1024", 0, 1),
        (MATH, "solution = [5√3/3, 1.333333, 1024]", 0, 0),
        (MATH, "solution = [5√3/3, 4/3]", 0, 0),
        (MATH, "solution = [\\dfrac{5\\sqrt{3}}{3}, 4/3, 1024]", 0, 1),
    ],
)
async def test_answers_are_read_as_officially(target, answer, value, lenient):
    score = await score_answer(target, answer)
    assert (score.value, score.lenient) == (value, lenient)
    assert score.format_ok == bool(re.search(r"solution\s*=\s*\S", answer, re.IGNORECASE))


async def test_no_answer_scores_0():
    for target in TARGETS:
        score = await score_answer(target, None)
        assert (score.value, score.lenient, score.format_ok) == (0, 0, False)


HOSTILE = [
    "solution = " + "9" * 5000, "solution = [" * 3000, "[" * 20_000, "{" * 20_000, '{"a":' * 3000, '{"' * 100_000,
    "1" * 200_000,
    "solution = " * 20_000, "solution = [[" + "1, " * 50_000, "solution = [" + "9^" * 900 + "9, 4/3, 1]",
    "solution = [" + "(" * 990 + "1" + ")" * 990 + ", 4/3, 1]", "solution = [9999999!, 2^99999999, 1/0]",
    "solution = {" + "'a': " * 3000, "\ud800 solution = \ud800",
    f"solution = [0x{'f' * 9000}]", f"solution = {{'a': 0x{'f' * 9000}}}",
]  # fmt: skip


@pytest.mark.parametrize("answer", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_answer_is_only_wrong(answer):
    assert not any(accepts(target, answer) or accepts_leniently(target, answer) for target in TARGETS)


async def test_a_judge_is_asked_about_mathematical_answers_that_no_rule_accepts():
    asked = []

    async def judge(question, response, correct, **kwargs):
        asked.append((question, response, correct))
        return Judgement("same" in response, "", "")

    right = "solution = [5√3/3, 4/3, 1024]"
    assert (await score_answer(MATH, right, judge)).value == 1 and not asked
    assert (await score_answer(MATH, " the same, in words ", judge)).value == 1
    assert (await score_answer(MATH, "other", judge)).value == 0
    assert (await score_answer(NUMBER, "the same", judge)).value == 0
    assert (await score_answer(MATH, " ", judge)).value == 0
    assert asked == [("the question", text, "5√3/3, 4/3, 2^{10}") for text in ("the same, in words", "other")]


def test_rows_may_carry_their_target():
    benchmark = LongCoTMini()
    for target in TARGETS:
        assert benchmark.target_of({"target": json.loads(benchmark.target_bytes(target))}) == target
    for wrong in ({}, {"target": 4}, {"target": {"template": "med1", "facts": {}}}, {"target": {"template": []}}):
        with pytest.raises(ValueError, match="expected an object with template and facts"):
            benchmark.target_of(wrong)
    with pytest.raises(ValueError, match=re.escape("facts (boxes, goals, player, walls)")):
        benchmark.target_of({"target": {"template": "Sokoban", "facts": {"walls": []}}})


# --- rows, in our words, in the forms of the hub and of the official repository


def puzzle(template):
    lines = {
        "BlocksWorld": "Initial state: [[0], [1, 2], []]\nGoal state: [[], [1], [2, 0]]",
        "RandomHanoi": "Initial state: [[2], [1, 0], []]\nGoal state: [[], [1], [2, 0]]",
        "Dungeon": "Grid layout: [[0, 1, -2], [-5, -1, 0], [1, -2, -1]]",
        "PackagingMinWaste": "Packages: [2, 3, 5]\nSuppliers: [[4, 8], [2, 8]]\nThe least waste (mod 1000000007).",
        "TrapezoidCounting": "Points: [[-3, 2], [3, 0], [2, 3], [3, 2], [2, -3]]",
        "WizardsTotalStrength": "Strength array: [1, 3, 1, 2]\nThe strength (mod 1000000007).",
        "Sokoban": "Grid: [['#', '#', '#', '#', '#'], ['#', '.', '$', '@', '#'], ['#', '#', '#', '#', '#']]\n"
        "Player start location: (1, 3)\nBox start locations: [(1, 2)]\nGoal locations: [(1, 1)]",
        "Sudoku": "Block size: 2 x 2\nPuzzle grid: [[1, 0, 0, 4], [0, 0, 1, 0], [0, 1, 0, 0], [4, 0, 0, 1]]",
    }[template]
    return f"\nAn example.\nInitial state: [[9]]\nPoints: [[1, 1]]\n\nThe puzzle:\n{lines}\n\nsolution = ...\n\n"


ANSWERS = {
    "HM": {"q1": "Nat"}, "MCM": {"Q1": 3}, "DistMem": [1, 2], "uci_to_fen": f"{START} w - - 0 1",
    "piece_combinations": "391365", "linear": ["1/2", "3"], "dag": ["all integers", "3"],
}  # fmt: skip
FACTS = {
    "BlocksWorld": BLOCKS.facts, "RandomHanoi": HANOI.facts, "Sudoku": SUDOKU.facts, "Sokoban": LEVEL,
    "Dungeon": {"value": 2}, "TrapezoidCounting": {"value": 2},
    "PackagingMinWaste": {"value": 6, "modulus": 1000000007},
    "WizardsTotalStrength": {"value": 44, "modulus": 1000000007},
}  # fmt: skip


def hub_row(template, number=1):
    prompt = puzzle(template) if template in LOGIC else f"A question about {template}.\n\nGive solution = <answer>"
    return {
        "question_id": f"{template}_{number}", "domain": DOMAIN_OF[template], "difficulty": "easy",
        "template": template, "prompt": prompt, "answer": json.dumps(ANSWERS.get(template)), "canary": "a guid",
    }  # fmt: skip


def official_row(template):
    row = hub_row(template)
    problem = {"template": template, "instance": {"unread": 1}, "solution": 9}
    return {k: row[k] for k in ("question_id", "prompt")} | {"problem": problem, "answer": ANSWERS.get(template)}


def written(folder, official, templates=(*LOGIC, *ANSWERS)):
    for domain in sorted(set(map(DOMAIN_OF.get, templates))):
        rows = [(official_row if official else hub_row)(name) for name in templates if DOMAIN_OF[name] == domain]
        file = folder / domain / ("easy.json" if official else "easy.jsonl")
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps({"questions": rows}) if official else "\n".join(map(json.dumps, rows)))
        (file.parent / ("hard.json" if official else "hard.jsonl")).write_text("{}")
    return str(folder)


@pytest.mark.parametrize("official", [True, False])
async def test_rows_of_both_forms_give_the_same_samples(tmp_path, official):
    benchmark = LongCoTMini(source=written(tmp_path, official))
    infos = {info.sample_id: info for info in benchmark.infos()}
    assert len(infos) == len(LOGIC) + len(ANSWERS)
    for template in (*LOGIC, *ANSWERS):
        sample_id = f"longcot-{DOMAIN_OF[template]}-{template}_1"
        assert infos[sample_id].task_group == f"{DOMAIN_OF[template]}: {template}"
        sample = benchmark.sample(sample_id)
        (message,) = sample.prompt.messages()
        assert message["content"] == hub_row(template)["prompt"].strip("\n")
        assert "solution =" in sample.prompt.query
        assert (await benchmark.score(sample.target, benchmark.oracle(sample.target))).value == 1
        if template in FACTS:
            assert {key: sorted(value) if key == "walls" else value for key, value in sample.target.facts.items()} == (
                FACTS[template]
            )
    assert benchmark.sample("longcot-math-linear_1").target.question == hub_row("linear")["prompt"]
    assert "files_sha256" in benchmark.provenance()["logic"]


def test_templates_take_turns_and_domains_are_chosen(tmp_path):
    source = written(tmp_path, False)
    groups = [info.task_group for info in LongCoTMini(source=source, domains=("chess", "cs"), samples=3).infos()]
    assert groups == ["chess: uci_to_fen", "chess: piece_combinations", "cs: HM"]


def test_one_file_may_have_all_domains_and_needs_each_chosen_one(tmp_path):
    path = tmp_path / "all.jsonl"
    rows = [hub_row("HM"), hub_row("linear"), hub_row("HM", 2) | {"template": "easy1", "domain": "chemistry"}]
    path.write_text("\n".join(map(json.dumps, rows)))
    infos = LongCoTMini(source=str(path), domains=("math", "cs")).infos()
    assert [info.sample_id for info in infos] == ["longcot-math-linear_1", "longcot-cs-HM_1"]
    with pytest.raises(DataError, match="found no row of chess: expected rows of each domain"):
        LongCoTMini(source=str(path), domains=("cs", "chess")).infos()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"template": "med1"}, "cs, row 2: template is 'med1': expected one of HM, MCM, DistMem"),
        ({"prompt": ""}, "cs, row 2: prompt is '': expected a string"),
        ({"question_id": "HM_1"}, "two rows have the question_id HM_1"),
    ],
)
def test_rows_of_another_form_are_refused(tmp_path, changes, message):
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, [hub_row("HM"), hub_row("MCM") | changes])))
    with pytest.raises(DataError, match=re.escape(message)):
        LongCoTMini(source=str(path), domains=("cs",)).infos()


@pytest.mark.parametrize(
    ("template", "changes", "message"),
    [
        ("Sudoku", {"prompt": "Solve it.\nsolution = ..."}, "the prompt has no line that begins with 'Puzzle grid'"),
        ("WizardsTotalStrength", {"prompt": "\nStrength array: [1]\nx"}, "no complete instance of WizardsTotal"),
        ("HM", {"answer": "[1]"}, "answer is [1]: expected the form of HM"),
        ("uci_to_fen", {"answer": '"8/8"'}, "answer is '8/8': expected the form of uci_to_fen"),
        ("linear", {"answer": "[]"}, "answer is []: expected the form of linear"),
    ],
)
def test_a_row_without_its_facts_is_refused(tmp_path, template, changes, message):
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(hub_row(template) | changes))
    benchmark = LongCoTMini(source=str(path), domains=(DOMAIN_OF[template],))
    with pytest.raises(DataError, match=re.escape(message)):
        benchmark.sample(benchmark.infos()[0].sample_id)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"domains": ["chemistry"]}, "domains is ['chemistry']: expected"),
        ({"templates": ["RandomHanoi"]}, "templates is ['RandomHanoi']: expected"),
        ({"lengths": [100]}, "lengths is [100]: expected"),
    ],
)
def test_invalid_settings_are_refused_with_their_key(settings, message):
    with pytest.raises(SettingError, match=re.escape("benchmark.longcot_mini." + message)):
        make(LongCoTMini, settings, "benchmark.longcot_mini")


SHA256 = "355404250203f13920d0decc429554ba67acb6ab9ec05f6b60129e98faa6dc67"
