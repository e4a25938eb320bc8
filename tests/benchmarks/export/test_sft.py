"""`rlm-eval export sft`: the turns of successful samples, repaired, in the formats that trainers read."""

import json

import pytest

from benchmarks.cli import main
from rlm import RLM, ScriptedModel

SECRET = "zebra-4711"
LOOK = f"```python\nword = '{SECRET}'\nprint(llm_query('say a part'))\n```"
REPLIES = [LOOK, "Let me think about it.", "```repl\nprint(1\n```", f"{LOOK}\nFINAL(no)", "FINAL(word)"]


def trajectory(replies=REPLIES):
    """The packed trajectory of an RLM that makes these replies."""
    model = RLM(model=ScriptedModel(replies, "root"), sub_model=ScriptedModel(lambda _: " a part ", "sub"))
    result = model.completion("some context", "Which word?")
    assert (result.answer, result.stop_reason) == (SECRET, "answer")
    return result.trajectory.to_gzip()


@pytest.fixture(scope="module")
def packed():
    return trajectory()


@pytest.fixture
def run(make_run, make_rows, packed):
    """Two epochs of a success, a failure, a stopped sample, a protected success and an oracle."""
    paths = [f"trajectories/{i}.jsonl.gz" for i in range(4)]
    rows = make_rows(
        "rlm", [1.0, 1.0, 0.0, 1.0], trajectory=paths, sample_id=["a", "a", "b", "c"], epoch=[0, 1, 0, 0],
        stop_reason=["answer", "answer", "answer", "max_turns"], target='"gold"',
    )  # fmt: skip
    secret = make_rows("rlm", [1.0], benchmark="browsecomp_plus", protected=True, trajectory=paths[0])
    path = make_run("run", [rows, secret, make_rows("oracle", [1.0])])
    (path / "trajectories").mkdir()
    for name in paths:
        (path / name).write_bytes(packed)
    return path


def export(capsys, *words):
    code = main(["export", "sft", *map(str, words)])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_turns_of_successes_are_exported_with_counts_of_what_was_dropped(run, tmp_path, capsys):
    out = tmp_path / "out"
    code, printed, _ = export(capsys, run, out)
    counts = json.loads((out / "counts.json").read_text())
    assert code == 0
    assert counts["samples"] == {"kept": 2, "no_trajectory": 1, "protected": 1, "score": 1, "stop_reason": 1}
    # The second epoch made the same calls.
    assert counts["root"]["turns"] == {"duplicate": 3, "kept": 3, "no_step": 2, "syntax_error": 2}
    assert counts["sub"]["turns"] == {"duplicate": 3, "kept": 1}
    assert counts["root"]["repairs"] == {"fence": 2, "refused_final": 1, "variable": 1}
    assert "root: 3 kept, 3 duplicate, 2 no_step, 2 syntax_error; repaired: 2 fence" in printed
    root, sub = lines(out / "root.jsonl"), lines(out / "sub.jsonl")
    assert [row["turn"] for row in root] == [1, 4, 5]
    assert [row["completion"][0]["content"] for row in root] == [
        LOOK.replace("python", "repl"), LOOK.replace("python", "repl"), "FINAL_VAR(word)"
    ]  # fmt: skip
    # The history of the last turn is complete, with the turns that were not exported.
    assert [one["role"] for one in root[-1]["prompt"]][:2] == ["system", "user"]
    assert sum(one["role"] == "assistant" for one in root[-1]["prompt"]) == 4
    assert [(row["prompt"][0]["content"], row["completion"][0]["content"]) for row in sub] == [("say a part", "a part")]
    assert {row["role"] for row in root} == {"root"} and {row["role"] for row in sub} == {"sub"}


def test_no_target_and_no_protected_sample_is_exported(run, tmp_path, capsys):
    out = tmp_path / "out"
    export(capsys, run, out, "--min-score=0", "--min-turns=1")
    texts = b"".join(path.read_bytes() for path in out.iterdir())
    assert b"gold" not in texts and b"browsecomp_plus" not in texts


def test_datasets_loads_both_parts_in_the_format_of_trl(run, tmp_path, capsys):
    import datasets

    out = tmp_path / "out"
    export(capsys, run, out)
    cache = str(tmp_path / "cache")
    for part, n in (("root", 3), ("sub", 1)):
        rows = datasets.load_dataset(str(out), part, split="train", cache_dir=cache)
        assert rows.to_list() == lines(out / f"{part}.jsonl") and len(rows) == n
        # trl's conversational prompt-completion format: lists of messages with a role and a content, the prompt up to a
        # user's message, the completion one of the assistant.
        for row in rows:
            assert all(set(one) == {"role", "content"} for one in row["prompt"] + row["completion"])
            assert row["prompt"][-1]["role"] == "user"
            assert [one["role"] for one in row["completion"]] == ["assistant"]
            assert row["completion"][0]["content"].strip()


def test_a_part_without_rows_has_no_files(run, tmp_path, capsys):
    out = tmp_path / "out"
    code, printed, _ = export(capsys, run, out, "--max-chars=10")
    assert code == 0 and "wrote:" not in printed
    assert sorted(path.name for path in out.iterdir()) == ["README.md", "counts.json"]
    assert "config_name" not in (out / "README.md").read_text()
    out = tmp_path / "some"
    export(capsys, run, out, "--max-chars=100")
    assert not (out / "root.jsonl").exists() and (out / "sub.parquet").is_file()
    assert (out / "README.md").read_text().count("config_name") == 1


def test_long_turns_and_short_samples_are_dropped(run, tmp_path, capsys):
    export(capsys, run, tmp_path / "short", "--max-chars=100")
    counts = json.loads((tmp_path / "short" / "counts.json").read_text())
    assert counts["root"]["turns"] == {"no_step": 2, "syntax_error": 2, "too_long": 6}
    assert counts["sub"]["turns"] == {"duplicate": 3, "kept": 1}
    code, out, err = export(capsys, run, tmp_path / "none", "--min-turns=6")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "no sample passes min_score=0.5 and min_turns=6" in err and "2 for turns" in err
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["sft", "RUN", "--min-score=2"], "--min-score is 2.0: expected a number from 0 to 1"),
        (["sft", "RUN", "--min-score=nan"], "--min-score is nan: expected a number from 0 to 1"),
        (["sft", "RUN", "--max-chars=0"], "--max-chars is 0: expected at least 1"),
        (["sft", "RUN", "--min-turns=x"], "argument --min-turns: invalid int value: 'x'"),
        (["hf", "RUN", "out", "--min-turns=1"], "--min-turns was given for hf: it applies only to sft"),
        (["hf", "RUN"], "OUT is missing: expected a file, folder or URL"),
    ],
)
def test_words_that_do_not_fit_end_with_one_line(run, capsys, words, told):
    assert main(["export", *(str(run) if word == "RUN" else word for word in words)]) == 2
    printed = capsys.readouterr()
    assert told in printed.err and printed.err.count("\n") == 1 and printed.out == ""
