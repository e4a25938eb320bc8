"""The command line: bad input ends at once, with one clear line and exit code 2."""

import gzip
import json
import os
import subprocess
import sys

import pytest

from benchmarks.cli import COMMANDS, main


def cli(*words, cwd=None, **environment):
    """Run rlm-eval in a process of its own, without keys of this machine."""
    kept = {key: value for key, value in os.environ.items() if not key.endswith(("_API_KEY", "_BASE_URL"))}
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.cli", *words],
        capture_output=True, text=True, timeout=120, cwd=cwd, env=kept | environment,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["rnu"], "did you mean 'run'?"),
        (["run", "limts.max_turns=3"], "limits.max_turns"),
        (["run", "limits.max_cost=3"], "limits.max_cost_usd"),
        (["run", "+limits.max_cost=3"], "limits.max_cost_usd"),
        (["run", "benchmark=[snia]"], "did you mean 'sniah'?"),
        (["run", "benchmark=[sniah,oolng]"], "did you mean 'oolong'?"),
        (["run", "method=[bas]"], "did you mean 'base'?"),
        (["run", "model=locl"], "did you mean 'local'?"),
        (["run", "+experiment=quickstrat"], "did you mean 'quickstart'?"),
        (["run", "benchmark=[]"], "benchmark is empty"),
        (["run", "limit=0"], "limit is 0"),
        (["run", "limit=many"], "limit is 'many'"),
        (["run", "epochs=0"], "epochs is 0"),
        (["run", "limits.max_turns=-1"], "limits.max_turns is -1"),
        (["run", "cache.mode=sometimes"], "cache.mode is 'sometimes'"),
        (["run", "name=../up"], "name is '../up'"),
        (["run", "concurrency.samples=0"], "concurrency.samples is 0"),
        (["run", "seed="], "seed"),
        (["run", "benchmark=["], ""),
        (["run", "benchmark=5"], "benchmark=5"),
        (["run", "method=[[rlm]]"], "method=[[rlm]]"),
        (["run", "~limits"], "limits is missing"),
        (["run", "++limits=3"], "limits is 3: expected a section"),
        (["run", "~concurrency.samples"], "concurrency.samples is missing"),
        (["run", "~executor"], "executor is missing"),
        (["run", "report.baseline=[x]"], "report.baseline is ['x']"),
        (["run", "benchmark.sniah.lenghts=[512]"], "benchmark.sniah.lengths"),
        (["run", "benchmark.sniah.lengths=[10]"], "benchmark.sniah"),
        (["run", "model=openai", "method=[base]"], "OPENAI_API_KEY"),
        (["run"], "min on the embedded model: begin with +experiment=quickstart, or set limit=5"),
        (["data", "sniah", "--limit", "5"], "there is no flag --limit: settings are written KEY=VALUE, such as limit="),
        (["estimate", "--limit=5"], "such as limit=5"),
        (["report"], "the following arguments are required: PATH; see `rlm-eval report --help`"),
        (["compare", "a", "b", "--max-drop", "x"], "argument --max-drop: invalid float value: 'x'"),
        (["doctor", "x"], "unrecognized arguments: x"),
        (["data", "snia"], "did you mean 'sniah'?"),
        (["data", "sniah", "limitt=3"], "'limit'"),
        (["report", "nowhere"], "nowhere"),
        (["report", "long" * 70], "File name too long"),
        (["view", "long" * 70], "File name too long"),
        (["ask", "notes.txt", "A question at the wrong place? " * 10], "File name too long"),
        (["rescore", "nowhere"], "nowhere"),
        (["score", "sniah", "nowhere.jsonl"], "nowhere.jsonl cannot be read: No such file or directory"),
        (["score"], "the following arguments are required: BENCHMARK, FILE; see `rlm-eval score --help`"),
        (["data"], "the following arguments are required: BENCHMARK;"),
        (["compare"], "the following arguments are required: BASE, NEW;"),
        (["export", "pdf", "run", "out"], "argument FORM: invalid choice: 'pdf'"),
        (["view", ".", "--port", "x"], "argument --port: invalid int value: 'x'"),
        (["list", "nothing"], "argument GROUP: invalid choice: 'nothing'"),
        (["doctor", "--fast"], "unrecognized arguments: --fast"),
        (["ask", " ", "."], "QUESTION is empty"),
        (["ask", "Why?", ".", "method=[base,rlm]"], "method is ['base', 'rlm']: expected one method"),
        (["run", "model=scripted"], "model.script is not set: expected a value, as in model.script=VALUE"),
        (["run", "model=scripted", "model.script=no"], "expected a file that can be read: No such file or directory"),
        (["data", "sniah", "benchmark.sniah.source=/no"], "rlm-eval: benchmark.sniah.source is '/no': expected"),
        (["run", "limits.frobnicate=1"], "known: limits.max_answer_bytes, limits.max_calls"),
        (["run", "frobnicate=1"], "known: benchmark, budget, cache, concurrency, epochs,"),
    ],
)
def test_bad_input_ends_in_one_clear_line_and_exit_code_2(words, told, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.endswith(("_API_KEY", "_BASE_URL"))]:
        monkeypatch.delenv(name)
    code = main(words)
    printed = capfd.readouterr()
    assert code == 2, printed.err
    assert printed.err.startswith("rlm-eval: ")
    assert printed.err.count("\n") == 1
    assert told in printed.err
    assert printed.out == ""
    assert list(tmp_path.iterdir()) == []


def test_the_process_of_a_refused_command_ends_with_its_line_and_exit_code(tmp_path):
    done = cli("run", "limts.max_turns=3", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    assert done.stderr.startswith("rlm-eval: ") and list(tmp_path.iterdir()) == []


def test_help_names_every_command_and_an_example(capsys):
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    for command, line in COMMANDS.items():
        assert f"\n  {command:<10}{line}\n" in shown
    assert "+experiment=quickstart" in shown


def test_without_a_command_the_usage_is_shown_and_the_exit_code_is_2(capsys):
    assert main([]) == 2
    assert "usage: rlm-eval" in capsys.readouterr().out


def test_list_has_one_line_for_everything_that_can_be_chosen(capsys):
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    choices = [line for line in lines if line.startswith("  ")]
    assert {"sniah", "oolong_pairs", "codeqa", "base", "rlm", "openai", "local", "quickstart"} <= {
        line.split()[0] for line in choices
    }
    assert all(len(line.split(maxsplit=1)) == 2 for line in choices), "every choice says what it is"


def test_doctor_names_the_keys_that_are_set_and_shows_none(capsys, monkeypatch):
    monkeypatch.setenv("OPENROUTER_API_KEY", "secret-7")
    monkeypatch.delenv("JUDGE_BASE_URL", raising=False)
    main(["doctor"])
    shown = capsys.readouterr().out
    lines = [line.split() for line in shown.splitlines()]
    assert ["set", "OPENROUTER_API_KEY"] in lines and ["-", "JUDGE_BASE_URL"] in lines
    assert "secret-7" not in shown


def test_data_gives_a_row_a_sample_and_targets_only_when_asked(capsys):
    words = ["data", "sniah", "benchmark.sniah.lengths=[512]", "benchmark.sniah.samples=2"]
    assert main(words) == 0
    plain = capsys.readouterr().out
    rows = [json.loads(line) for line in plain.splitlines()]
    wanted = {"sample_id", "query", "context_chars", "context_tokens", "context_sha256", "cluster"}
    assert len(rows) == 2
    assert all(wanted <= row.keys() and "target" not in row for row in rows)
    assert main([*words, "--targets"]) == 0
    first = capsys.readouterr().out
    assert main([*words, "--targets"]) == 0
    assert capsys.readouterr().out == first
    assert all(json.loads(line)["target"] for line in first.splitlines())


def test_score_takes_predictions_made_elsewhere(capsys, tmp_path):
    words = ["benchmark.sniah.lengths=[512]", "benchmark.sniah.samples=3"]
    assert main(["data", "sniah", "--targets", *words]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    file = tmp_path / "predictions.jsonl"
    answers = [f"I think it is {rows[0]['target']}.", "no idea", None]
    file.write_text(
        "".join(
            json.dumps({"sample_id": row["sample_id"], "prediction": answer}) + "\n"
            for row, answer in zip(rows, answers, strict=True)
        )
    )
    assert main(["score", "sniah", str(file), *words]) == 0
    scored = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["score"] for row in scored] == [1.0, 0.0, 0.0]
    assert "target" not in scored[0]


@pytest.mark.parametrize(
    "name",
    [
        "sniah",
        "oolong",
        "oolong_pairs",
        "browsecomp_plus",
        "codeqa",
        "mrcr",
        "graphwalks",
        "ruler",
        "longbench_v2",
        "oolong_real",
        "longcot_mini",
    ],
)
def test_rows_of_data_with_predictions_added_are_scored(name, capsys, tmp_path):
    words = {"browsecomp_plus": ["benchmark.browsecomp_plus.documents=[5]", "benchmark.browsecomp_plus.queries=2"]}
    words = words.get(name, [f"benchmark.{name}.lengths=[1024]", f"benchmark.{name}.samples=2"])
    assert main(["data", name, "--targets", *words]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    file = tmp_path / "predictions.jsonl"
    file.write_text("".join(json.dumps(row | {"prediction": "nothing of use"}) + "\n" for row in rows))
    assert main(["score", name, str(file), *words]) == 0
    assert [json.loads(line)["score"] for line in capsys.readouterr().out.splitlines()] == [0.0] * len(rows)


ROW = b'{"prediction": "Answer: 41", "target": "[42]", "answer_type": "NUMERIC"}'


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf" + ROW + b"\r\n\r\n" + ROW,
        gzip.compress(ROW + b"\n" + ROW, mtime=0),
        ROW.replace(b"{", b'{"seconds": NaN, "tokens": 1e999, ') + b"\n" + ROW + b"\n",
    ],
    ids=["byte order mark, other line ends", "gzipped", "numbers that JSON does not have"],
)
def test_predictions_are_read_as_other_tools_write_them(content, capsys, tmp_path):
    file = tmp_path / "predictions.jsonl"
    file.write_bytes(content)
    assert main(["score", "oolong", str(file)]) == 0

    def refuse(name):
        raise AssertionError(f"{name} is no JSON")

    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line, parse_constant=refuse)["score"] for line in lines] == [0.75, 0.75]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "no rows"),
        ("\n\n", "no rows"),
        ("[" * 100_000, "line 1"),
        ("not json\n", "line 1"),
        ('{"sample_id": "x", "prediction": "y"}\n', "line 1"),
        ('{"prediction": "y"}\n', "neither sample_id nor target"),
        ('{"sample_id": "x"}\n', "prediction"),
        ("[1]\n", "line 1"),
    ],
)
def test_a_bad_row_of_predictions_is_named(content, told, capsys, tmp_path):
    file = tmp_path / "predictions.jsonl"
    file.write_text(content)
    assert main(["score", "sniah", str(file), "benchmark.sniah.lengths=[512]"]) == 2
    assert told in capsys.readouterr().err


SNIAH_WORDS = ["benchmark.sniah.lengths=[512]", "benchmark.sniah.samples=2"]


@pytest.fixture
def targets(capsys):
    """Sample id -> target of two samples of S-NIAH."""
    assert main(["data", "sniah", "--targets", *SNIAH_WORDS]) == 0
    rows = map(json.loads, capsys.readouterr().out.splitlines())
    return {row["sample_id"]: row["target"] for row in rows}


def test_several_rows_of_a_sample_are_each_scored_and_told(targets, capsys, tmp_path):
    (first, value), (second, _) = targets.items()
    said = [(first, value), (first, "no idea"), (second, "no idea"), (first, value)]
    file = tmp_path / "predictions.jsonl"
    file.write_text("".join(json.dumps({"sample_id": name, "prediction": text}) + "\n" for name, text in said))
    assert main(["score", "sniah", str(file), *SNIAH_WORDS]) == 0
    printed = capsys.readouterr()
    assert [json.loads(line)["score"] for line in printed.out.splitlines()] == [1.0, 0.0, 0.0, 1.0]
    assert printed.err.splitlines()[-1].startswith(
        "4 rows, mean score 0.5000; 2 rows with the sample_id of an earlier row"
    )


def test_a_target_that_data_has_hidden_is_the_samples_own(targets, capsys, tmp_path):
    file = tmp_path / "predictions.jsonl"
    rows = [{"sample_id": name, "prediction": value, "target": "[protected]"} for name, value in targets.items()]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["score", "sniah", str(file), *SNIAH_WORDS]) == 0
    assert [json.loads(line)["score"] for line in capsys.readouterr().out.splitlines()] == [1.0, 1.0]
    file.write_text(json.dumps(rows[0] | {"sample_id": "another"}))
    assert main(["score", "sniah", str(file), *SNIAH_WORDS]) == 2
    assert "no sample 'another'" in capsys.readouterr().err


def test_a_target_that_is_no_json_is_one_line(capsys, monkeypatch):
    monkeypatch.setattr("benchmarks.suites.sniah.SNIAH.target_bytes", lambda self, target: b"nothing like it")
    assert main(["data", "sniah", "--targets", *SNIAH_WORDS]) == 2
    assert capsys.readouterr().err.startswith("rlm-eval: benchmark.sniah: target_bytes() returned invalid JSON: ")
