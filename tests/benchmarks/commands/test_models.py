"""`rlm-eval models`: the table, JSON rows, and refusals of one line."""

import json
from pathlib import Path

import pytest

from benchmarks.cli import main
from rlm.models.embedded.weights import known_weights


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "rlm-eval" / "weights"


def test_the_table_names_all_weights_and_how_to_get_them(capsys):
    assert main(["models"]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["name", "size", "licence", "sha256", "state", "where"]
    row = next(row for row in rows if row.startswith("qwen2.5-coder-1.5b"))
    assert row.split() == [
        "qwen2.5-coder-1.5b", "1.1", "GB", "Apache-2.0", "cc324af070c2", "absent",
        "rlm-eval", "models", "fetch", "qwen2.5-coder-1.5b",
    ]  # fmt: skip
    assert len(rows) == len(known_weights())


def test_json_rows_have_the_complete_sum_and_the_sources(capsys, cache):
    assert main(["models", "--json", "qwen2.5-coder-0.5b"]) == 0
    (row,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert row["sha256"] == known_weights()["qwen2.5-coder-0.5b"].sha256
    assert row["state"] == "absent" and Path(row["path"]).parent == cache
    assert row["sources"][0].startswith("hub Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF@ebb20151")


def test_a_name_prints_all_facts(capsys):
    assert main(["models", "qwen2.5-coder-1.5b"]) == 0
    assert f"sha256: {known_weights()['qwen2.5-coder-1.5b'].sha256}\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["fetch"], "fetch needs a name: expected one or more of smollm2-135m, qwen2.5-coder-0.5b"),
        (["fetch", "qwen2.5-coder-1.5"], "there is no model 'qwen2.5-coder-1.5': expected one of smollm2-135m, qwen"),
        (["fetsh", "smollm2-135m"], "there is no model 'fetsh': expected one of smollm2-135m"),
        (["--jsn"], "unrecognized arguments: --jsn"),
    ],
)
def test_a_wrong_word_is_one_line_and_exit_code_2(words, told, capsys):
    assert main(["models", *words]) == 2
    error = capsys.readouterr().err
    assert told in error and error.count("\n") == 1


def test_a_foreign_file_is_shown_and_refused(capsys, cache):
    cache.mkdir(parents=True)
    known_weights()["qwen2.5-coder-0.5b"].path.write_bytes(b"GGUF")
    main(["models"])
    assert "wrong size" in capsys.readouterr().out
    assert main(["models", "fetch", "qwen2.5-coder-0.5b"]) == 2
    assert "has 4 bytes: expected the 491,400,064 bytes" in capsys.readouterr().err
