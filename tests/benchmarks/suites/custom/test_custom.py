"""Custom: formats are read alike, bad rows refused with their place, targets hidden, runs work end to end."""

import asyncio
import csv
import gzip
import hashlib
import io
import json
import os
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.cli import main
from benchmarks.config.compose import compose
from benchmarks.config.errors import ConfigError
from benchmarks.report.compare import compare
from benchmarks.running.estimate import estimate
from benchmarks.running.run import run
from benchmarks.sources.files import DataError
from benchmarks.suites.custom import Custom
from rlm.validation import SettingError, make

ROOT = Path(__file__).parents[4]
ROWS = [
    {"id": "a", "question": "Who keeps the key?", "answer": ["Ada Lovelace", "Ada"], "context": "Ada Lovelace has it."},
    {"id": "b", "question": "Who sleeps?", "answer": ["Bob Smith"], "context": 'Bob Smith, "soundly";\nsays Eve.'},
]


def _csv(rows: list[dict]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows({k: json.dumps(v) if isinstance(v, list) else v for k, v in row.items()} for row in rows)
    return text.getvalue().encode()


def _parquet(rows: list[dict]) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows), sink)
    return sink.getvalue().to_pybytes()


def _jsonl(rows: list[dict]) -> bytes:
    return "\n".join(map(json.dumps, rows)).encode()


WRITERS = {
    "jsonl": _jsonl,
    "json": lambda rows: json.dumps(rows, indent=1).encode(),
    "csv": _csv,
    "parquet": _parquet,
    "csv with a byte order mark.csv": lambda rows: b"\xef\xbb\xbf" + _csv(rows),
}
ENDINGS = [*WRITERS, "jsonl.gz", "json.gz", "csv.gz", "parquet.gz"]


def write(folder: Path, ending: str, rows: list[dict]) -> Path:
    data = WRITERS[ending.removesuffix(".gz")](rows)
    path = folder / f"rows.{ending}"
    path.write_bytes(gzip.compress(data) if ending.endswith(".gz") else data)
    return path


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def custom(source: Path | None, **changes) -> Custom:
    return make(Custom, {"source": str(source) if source else None} | changes, "benchmark.custom")


def samples(benchmark: Custom) -> list:
    return [benchmark.sample(info.sample_id) for info in benchmark.infos()]


def refusal(source: Path, **changes) -> str:
    with pytest.raises((DataError, SettingError)) as caught:
        custom(source, **changes).infos()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("ending", ENDINGS)
def test_every_format_gives_the_same_samples(ending, tmp_path):
    found = samples(custom(write(tmp_path, ending, ROWS), instruction=None))
    assert [sample.info.sample_id for sample in found] == ["a", "b"]
    assert [sample.prompt.query for sample in found] == [row["question"] for row in ROWS]
    assert [sample.prompt.context for sample in found] == [row["context"] for row in ROWS]
    assert [list(sample.target.answers) for sample in found] == [row["answer"] for row in ROWS]


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_bad_row_between_good_ones_is_refused_with_its_place_in_every_format(ending, tmp_path):
    rows = [ROWS[0], ROWS[1] | {"answer": ["..."]}, ROWS[1] | {"id": "c"}]
    message = refusal(write(tmp_path, ending, rows))
    # In csv the second row begins on line 3; in the indented json on line 11.
    place = {"csv": "line 3", "par": "row 2", "jso": "line 2"}[ending[:3]] if not ending.startswith("json.") else "line"
    place = "line" if ending in ("json", "json.gz") else place
    assert f"rows.{ending}, {place}" in message
    assert "column answer is ['...']" in message or "column answer is '[\"...\"]'" in message
    assert "expected text with a word" in message


@pytest.mark.parametrize(
    ("ending", "data", "message"),
    [
        ("jsonl", b'{"question": "q"\n', "line 1 is not JSON"),
        ("jsonl", _jsonl(ROWS[:1]) + b"\n[1]\n", "line 2 is a list: expected an object"),
        ("jsonl", _jsonl(ROWS[:1]) + b'\n{"question": "q\xff"}\n', "line 2 is not JSON"),
        (
            "jsonl",
            _jsonl([{"question": "q", "context": "c"}]),
            "line 1 has no column answer; its columns: question, context",
        ),
        ("jsonl.gz", gzip.compress(_jsonl(ROWS), mtime=0)[:-9], "cannot be read"),
        ("json", b'[{"question": 1}', "line 1"),
        ("csv", b"question,answer,context\nq,a b\n", "line 2: 2 cells: expected 3"),
        ("csv", b"question,answer,context\nq,a b,c\nq,\xff,c\n", "line 3 is not UTF-8"),
        ("csv", b'question,answer,context\nq,"a b"c,c\n', "line 2 is not CSV"),
        ("csv", b"question,question,context\nq,a,c\n", "line 1: the header names a column twice"),
        ("csv", b"question,gold,context\nq,a,c\n", "line 1 has no column answer; its columns: question, gold, context"),
        ("parquet", b"PAR1", "is not a valid parquet file"),
        ("parquet.gz", gzip.compress(b"no", mtime=0), "is not a valid parquet file"),
        ("parquet", _parquet([{"question": "q", "gold": "x"}]), "has no column answer; its columns: question, gold"),
        ("jsonl", b"", "has no rows"),
        ("csv", b"question,answer,context\n", "has no rows"),
        ("xlsx", b"x", "expected a file that ends in"),
    ],
)
def test_a_file_that_is_not_in_its_format_is_refused(ending, data, message, tmp_path):
    path = tmp_path / f"rows.{ending}"
    path.write_bytes(data)
    assert message in refusal(path)


@pytest.mark.parametrize(
    ("changes", "settings", "message"),
    [
        ({"question": ""}, {}, "column question is '': expected text"),
        ({"question": 3}, {}, "column question is 3: expected text"),
        ({"answer": None}, {}, "column answer is null: expected text, a number, or a list"),
        ({"answer": []}, {}, "column answer is []: expected at least one answer"),
        ({"answer": ["x", None]}, {}, "column answer is ['x', None]: expected"),
        ({"answer": {"text": "x"}}, {}, "column answer is {'text': 'x'}: expected"),
        ({"answer": "five"}, {"scorer": "number"}, "column answer is 'five': expected a number"),
        ({"answer": "(("}, {"scorer": "regex"}, "column answer is '((': expected a regular expression"),
        ({"answer": "x " * 400}, {"scorer": "contains"}, "expected at most 256 tokens"),
        ({"answer": "x y z"}, {"scorer": "contains", "max_answer_tokens": 2}, "expected at most 2 tokens, not 3"),
        ({"answer": "\ud800"}, {}, "expected text without lone surrogates"),
        ({"context": None}, {}, "line 1 has no context: expected one of the columns context, context_file, documents"),
        ({"context": 5}, {}, "column context is 5: expected text"),
        ({"context": " "}, {}, "column context is ' ': expected text"),
        ({"documents": ["x"]}, {}, "line 1 has context and documents: expected one of the columns"),
        ({"context": None, "documents": []}, {}, "column documents is []: expected a list of texts"),
        ({"context": None, "documents": ["x", 5]}, {}, "column documents is ['x', 5]: expected a list of texts"),
        ({"context": None, "documents": ["a.txt", "b.txt"]}, {}, "expected the path of a text file, relative to"),
        ({"context": None, "context_file": "no.txt"}, {}, "column context_file is 'no.txt': expected the path"),
        ({"context": None, "context_file": "../out.txt"}, {}, "expected a file below"),
        ({"context": None, "context_file": "link.txt"}, {}, "expected a file below"),
        ({"context": None, "context_file": "binary"}, {}, "expected the path of a text file that is not empty"),
        ({"context": None, "context_file": "x\0y"}, {}, "expected the path of a text file"),
        ({"length": 0}, {}, "column length is 0: expected an integer of at least 1"),
        ({"length": 1.5}, {}, "column length is 1.5: expected an integer"),
        ({"length": "²"}, {}, "column length is '²': expected an integer"),
        ({"cluster": ["x"]}, {}, "column cluster is ['x']: expected text or an integer"),
        ({"choices": ["x", "y"]}, {}, "only benchmark.custom.scorer=choice shows them"),
        ({}, {"scorer": "choice"}, "column choices is null: expected a list of 2 to 26"),
        ({"choices": ["x", "x"]}, {"scorer": "choice"}, "expected a list of 2 to 26 different texts"),
        ({"choices": ["x", "A"], "answer": "A"}, {"scorer": "choice"}, "expected one letter from A to B"),
        ({"choices": ["x", "y"], "answer": 0}, {"scorer": "choice"}, "expected one letter from A to B"),
        ({}, {"columns": {"answer": "gold"}}, "has no column gold; its columns: "),
        ({}, {"columns": {"cluster": "topic"}}, "benchmark.custom.columns.cluster is 'topic': expected a column of"),
        ({}, {"columns": {"anser": "gold"}}, "did you mean 'benchmark.custom.columns.answer'"),
        ({}, {"scorer": "f2"}, "benchmark.custom.scorer is 'f2'"),
        ({}, {"max_answer_tokens": 0}, "benchmark.custom.max_answer_tokens is 0: expected"),
        ({}, {"root": "absent"}, "benchmark.custom.root is 'absent': expected an existing folder"),
    ],
)
def test_a_bad_row_or_setting_is_refused_with_what_was_got_and_expected(changes, settings, message, tmp_path):
    (tmp_path / "out.txt").write_text("secret")
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "link.txt").symlink_to(tmp_path / "out.txt")
    (folder / "binary").write_bytes(b"\0\1")
    row = {key: value for key, value in (ROWS[0] | changes).items() if value is not None or key == "answer"}
    assert message in refusal(write(folder, "jsonl", [row]), **settings)


def test_an_id_twice_is_refused_with_both_places(tmp_path):
    message = refusal(write(tmp_path, "jsonl", [ROWS[0] | {"id": 7}, ROWS[1] | {"id": "7"}]))
    assert "line 2: column id is '7': expected each id once; " in message and "line 1 has the same" in message


def test_contexts_are_texts_files_or_documents_of_either(tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "one.txt").write_text("first file")
    (tmp_path / "d" / "two words.md").write_text("second file")
    asked = {"question": "Which?", "answer": "first"}
    path = write(
        tmp_path,
        "jsonl",
        [
            asked | {"context_file": "d/one.txt"},
            asked | {"documents": ["d/one.txt", "d/two words.md"]},
            asked | {"documents": ["a text", "another text."]},
            asked | {"context": "d/one.txt"},
        ],
    )
    found = samples(custom(path))
    assert [sample.prompt.context for sample in found] == [
        "first file",
        ("first file", "second file"),
        ("a text", "another text."),
        "d/one.txt",
    ]
    before = custom(path).provenance()
    (tmp_path / "d" / "one.txt").write_text("other words")
    assert custom(path).provenance()["context_files_sha256"] != before["context_files_sha256"]
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    path = path.rename(moved / path.name)
    assert "expected the path of a text file" in refusal(path)
    assert samples(custom(path, root=str(tmp_path)))[0].prompt.context == "other words"


def test_rows_that_share_a_context_are_one_cluster_unless_they_name_theirs(tmp_path):
    rows = [
        ROWS[0],
        ROWS[0] | {"id": "c"},
        ROWS[1],
        ROWS[1] | {"id": "d", "cluster": 5, "group": "who", "length": "4096"},
    ]
    infos = custom(write(tmp_path, "jsonl", rows)).infos()
    assert infos[0].cluster == infos[1].cluster != infos[2].cluster
    assert (infos[3].cluster, infos[3].task_group, infos[3].length) == ("5", "who", 4096)
    assert (infos[0].task_group, infos[0].length) == ("all", None)


def test_other_names_and_parts_of_columns_are_read(tmp_path):
    rows = [{"q": "Which?", "answers": {"text": ["Ada"], "start": [3]}, "passage": "Ada.", "context": "not this"}]
    names = {"question": "q", "answer": "answers.text", "context": "passage"}
    for ending in ("jsonl", "parquet"):
        (sample,) = samples(custom(write(tmp_path, ending, rows), columns=names))
        assert (sample.target.answers, sample.prompt.context) == (("Ada",), "Ada.")


@pytest.mark.parametrize("answer", ["B", "b", "(B)", "second", ["B"]])
def test_a_choice_is_named_by_letter_or_text(answer, tmp_path):
    benchmark = custom(
        write(tmp_path, "jsonl", [ROWS[0] | {"answer": answer, "choices": ["first", "second"]}]), scorer="choice"
    )
    (sample,) = samples(benchmark)
    assert "(A) first\n(B) second" in sample.prompt.query
    assert benchmark.target_bytes(sample.target) == b'"B"'
    assert asyncio.run(benchmark.score(sample.target, benchmark.oracle(sample.target))).value == 1


def test_a_changed_file_is_read_again_and_changed_settings_check_it_again(tmp_path):
    path = write(tmp_path, "jsonl", ROWS)
    assert len(custom(path).infos()) == 2
    write(tmp_path, "jsonl", ROWS[:1])
    assert len(custom(path).infos()) == 1
    assert "expected at most 1 tokens" in refusal(path, max_answer_tokens=1)
    assert "expected a number" in refusal(path, scorer="number")


def test_a_folder_gives_the_rows_of_its_files_in_order(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "1.jsonl").write_bytes(_jsonl(ROWS[1:]))
    (folder / "2.csv").write_bytes(_csv(ROWS[:1]))
    (folder / "notes.txt").write_text("not data")
    assert [info.sample_id for info in custom(folder).infos()] == ["b", "a"]


TEXT = st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30)
WORDY = TEXT.map(lambda text: f"{text} word")
ROW = st.fixed_dictionaries(
    {"question": WORDY, "context": WORDY, "answer": st.lists(WORDY, min_size=1, max_size=3)},
    optional={"cluster": WORDY, "group": WORDY},
)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(ROW, min_size=1, max_size=4), ending=st.sampled_from(["jsonl", "csv", "json.gz", "csv.gz", "parquet"])
)
def test_what_is_written_is_read_in_any_format(rows, ending, tmp_path):
    full = [{"cluster": "c", "group": "g"} | row for row in rows]
    found = samples(custom(write(tmp_path, ending, full), instruction=None))
    assert [
        (one.prompt.query, one.prompt.context, list(one.target.answers), one.info.cluster, one.info.task_group)
        for one in found
    ] == [(row["question"].strip(), row["context"], row["answer"], row["cluster"], row["group"]) for row in full]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.binary(max_size=200) | st.text(alphabet='{}[]":,\n questionanswercontext12', max_size=200).map(str.encode),
    ending=st.sampled_from(["jsonl", "json", "csv", "parquet", "jsonl.gz", "csv.gz", "parquet.gz"]),
)
def test_any_bytes_are_read_or_refused_in_one_line(data, ending, tmp_path):
    path = tmp_path / f"any.{ending}"
    path.write_bytes(data)
    try:
        custom(path).infos()
    except DataError as error:
        assert "any." in str(error) and "\n" not in str(error)


# --- the hub


def test_a_data_set_of_the_hub_is_read_at_the_commit_of_its_branch(tmp_path, fake_hub, forks):
    commit = "0123456789abcdef0123456789abcdef01234567"
    files = {"README.md": b"---\nlicense: mit\n---\n", "data/validation-00000-of-00001.parquet": _parquet(ROWS)}
    program = (
        "import json\nfrom benchmarks.suites.custom import Custom\n"
        f"one = Custom(source='maker/rows', split='validation', revision='{commit}')\n"
        "ids = [info.sample_id for info in one.infos()]\n"
        "print(json.dumps([ids, one.sample('b').prompt.context, dict(one.provenance())]))\n"
        "try:\n    Custom(source='maker/absent').infos()\n"
        "except ValueError as error:\n    print(json.dumps(str(error)))\n"
    )
    with fake_hub.fake_hub({("maker/rows", commit): files}) as hub:
        environment = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
        for name in ("HF_HUB_OFFLINE", "HF_TOKEN", "HF_DATASETS_CACHE", "HF_DATASETS_OFFLINE"):
            environment.pop(name, None)
        done = forks.run(program, env=environment)
    assert done.returncode == 0, done.stderr
    (ids, context, made_of), message = map(json.loads, done.stdout.splitlines())
    assert (ids, context) == (["a", "b"], ROWS[1]["context"])
    assert (made_of["repo"], made_of["revision"], made_of["split"]) == ("maker/rows", commit, "validation")
    assert "maker/absent at main cannot be read from the hub" in message and "benchmark.custom.source=DIR" in message


# --- the harness


SECRET = "Quetzalcoatlus"
SCORERS = {
    "exact": {"answer": SECRET},
    "contains": {"answer": [SECRET, "x9"]},
    "f1": {"answer": f"a {SECRET} bird"},
    "choice": {"answer": "B", "choices": ["Ada", "Bob", "Eve"]},
    "number": {"answer": "7319731973197319731"},
    "regex": {"answer": rf"^{SECRET}\b"},
    "set_f1": {"answer": [SECRET, "Ada"]},
}
SCRIPTED = ["benchmark=[custom]", "model=scripted", "model.script=script.jsonl"]
RULES = [
    {"match": r"REPL output", "reply": "FINAL_VAR(seen)"},
    {"match": r"`context` is a", "role": "root", "reply": "```repl\nseen = str(context) + str(sorted(globals()))\n```"},
    {"match": r"", "reply": "Ada"},
]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "script.jsonl").write_text("\n".join(map(json.dumps, RULES)))
    return tmp_path


@pytest.mark.parametrize("scorer", SCORERS)
def test_a_run_scores_oracle_floor_and_methods_and_shows_no_target_to_a_method(scorer, folder):
    asked = {"question": "Which?", "context": "Ada Lovelace met Bob 3 times. " * 30, "note": f"the answer is {SECRET}"}
    rows = [asked | SCORERS[scorer] | {"id": f"r/{place}", "group": f"g{place % 2}"} for place in range(4)]
    if scorer == "choice":
        rows = [row | {"answer": "ABCB"[place]} for place, row in enumerate(rows)]
    rows.append({**rows[0], "id": "last", "documents": ["Ada.", "Eve."]})
    del rows[-1]["context"]
    path = write(folder, "jsonl", rows)
    words = [*SCRIPTED, f"benchmark.custom.source={path}", f"benchmark.custom.scorer={scorer}", "name=run"]
    words.append("method.rlm.prompt=recursive/compact-v1")
    outcome = run(compose([*words, "method=[oracle,floor,base,rlm]"]))
    assert outcome.state == "finished"
    table = pd.read_parquet(outcome.path / "samples.parquet")
    assert table["error"].isna().all() and set(table["metric"]) == {scorer}
    scores = table.groupby("method")["score"].mean()
    assert scores["oracle"] == 1 and scores["floor"] < 1
    # What a model was shown, and what a REPL held: neither the answer nor a column that is not read.
    trajectories = (outcome.path / "trajectories").rglob("*.gz")
    shown = "".join(gzip.decompress(one.read_bytes()).decode() for one in trajectories)
    assert "Ada Lovelace met Bob" in shown
    hidden = "7319731973197319731" if scorer == "number" else SECRET
    assert hidden not in shown and "the answer is" not in shown
    assert hidden not in "".join(table[table["method"] == "rlm"]["prediction"])


def test_estimate_report_compare_data_score_and_export_work_on_it(folder, capsys):
    rows = [row | {"length": 64 * (1 + place)} for place, row in enumerate(ROWS)]
    source = f"benchmark.custom.source={write(folder, 'csv', rows)}"
    words = [*SCRIPTED, source]
    table = estimate(compose([*words, "method=[base]"]))
    assert table["samples"].iloc[0] == 2 and table["prompt_tokens"].iloc[0] == 64 + 128
    assert main(["run", *words, "method=[base,oracle]", "name=one"]) == 0
    capsys.readouterr()
    assert main(["report", "results/runs/one"]) == 0
    assert "custom" in capsys.readouterr().out
    run(compose([*words, "method=[base,oracle]", "name=two"]))
    found = compare(Path("results/runs/one"), Path("results/runs/two"))
    assert found is not None
    assert main(["compare", "results/runs/one", "results/runs/two"]) in (0, 2)
    capsys.readouterr()
    assert main(["data", "custom", "--targets", source]) == 0
    listed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["target"] for row in listed] == [["Ada Lovelace", "Ada"], "Bob Smith"]
    assert not any("target" in row for row in _data(source, capsys))
    given = [row | {"prediction": "ada"} for row in listed]
    (folder / "given.jsonl").write_text("\n".join(map(json.dumps, given)))
    assert main(["score", "custom", "given.jsonl", source]) == 0
    assert [json.loads(line)["score"] for line in capsys.readouterr().out.splitlines()] == [1.0, 0.0]
    assert main(["export", "calls", "results/runs/one", "calls.jsonl.gz"]) == 0
    assert main(["rescore", "results/runs/one"]) == 0


def _data(source: str, capsys) -> list[dict]:
    assert main(["data", "custom", source]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_rows_with_their_own_target_are_scored_without_a_source(folder, capsys):
    rows = [
        {"prediction": "the answer is 41.9", "target": 42},
        {"prediction": "40", "target": ["42", 40.0]},
        {"prediction": None, "target": "42"},
        {"prediction": "The result: 42 or 43", "target": "43"},
    ]
    (folder / "p.jsonl").write_text("\n".join(map(json.dumps, rows)))
    words = ["score", "custom", "p.jsonl", "benchmark.custom.scorer=number", "benchmark.custom.tolerance=0.1"]
    assert main(words) == 0
    scored = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(row["score"], row["lenient_score"]) for row in scored] == [(1, 1), (1, 1), (0, 0), (0, 1)]
    (folder / "p.jsonl").write_text('{"prediction": "x", "target": "about five"}')
    assert main(words) == 2
    assert "p.jsonl line 1: target is 'about five': expected a number" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["run", "data", "estimate"])
def test_commands_without_rows_end_in_one_line_and_code_2(command, folder, capsys):
    (folder / "bad.jsonl").write_bytes(_jsonl([ROWS[0], ROWS[1] | {"answer": None}]))
    words = ["data", "custom"] if command == "data" else [command, "benchmark=[custom]", "method=[base]"]
    words += ["model=scripted", "model.script=script.jsonl"]
    for source, message in (
        ("null", "benchmark.custom has no samples"),
        ("bad.jsonl", "bad.jsonl, line 2: column answer is null"),
    ):
        assert main([*words, f"benchmark.custom.source={source}"]) == 2
        said = capsys.readouterr().err.strip()
        assert message in said and len(said.splitlines()) == 1


def test_the_scorer_judge_needs_a_judge(folder):
    source = f"benchmark.custom.source={write(folder, 'jsonl', ROWS)}"
    words = [*SCRIPTED, "method=[oracle]", source, "benchmark.custom.scorer=judge"]
    with pytest.raises(ConfigError, match=r"judge is none: expected a judge, such as judge=gpt_4_1"):
        run(compose(words))


def test_a_judged_run_gives_the_judge_question_answer_and_rubric(go, server, in_folder):
    (in_folder / "rules.md").write_text("Half a name is enough.")
    verdict = {"match": "<correct_answer>", "text": "correct: yes\nconfidence: 70"}
    judging = server({"rules": [verdict]})
    source = f"benchmark.custom.source={write(in_folder, 'jsonl', ROWS)}"
    words = ["benchmark=[custom]", source, "benchmark.custom.scorer=judge", "benchmark.custom.rubric=rules.md"]
    outcome = go(judging, *words, "judge=gpt_4_1", "model=openai", "method=[base,oracle,floor]", "run_dir=run")
    table = pd.read_parquet(outcome.path / "samples.parquet").set_index("method")
    assert outcome.state == "finished" and set(table["judged_by"]) == {"judge"} and table["score"].eq(1).all()
    assert set(table["scorer"]) == {
        "custom judge-1 rubric=" + hashlib.sha256(b"Half a name is enough.").hexdigest()[:12]
    }
    assert table["judge_cost_usd"].gt(0).all()


def test_a_long_answer_is_scored_up_to_the_limit_of_the_suite(folder):
    rules = [{"match": "", "reply": "x " * 300 + "Ada Lovelace"}]
    (folder / "script.jsonl").write_text("\n".join(map(json.dumps, rules)))
    source = f"benchmark.custom.source={write(folder, 'jsonl', ROWS[:1])}"
    words = [*SCRIPTED, source, "benchmark.custom.scorer=contains", "method=[base]"]
    for limit, score in (("auto", 0), ("null", 1), ("400", 1)):
        outcome = run(compose([*words, f"benchmark.custom.max_answer_tokens={limit}", f"name=limit-{limit}"]))
        row = pd.read_parquet(outcome.path / "samples.parquet").iloc[0]
        assert (row["score"], bool(row["answer_cut"])) == (score, limit == "auto")
