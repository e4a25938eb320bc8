"""A run folder grows, and the grown run equals the run made at once but for times."""

import json

import pandas as pd
import pytest

from benchmarks.config.compose import compose
from benchmarks.config.errors import ConfigError
from benchmarks.report.about import facts_of
from benchmarks.report.build import make_tables
from benchmarks.report.runs import load_calls, load_runs
from benchmarks.running.rows import CALL_TIME_COLUMNS, TIME_COLUMNS
from benchmarks.running.run import run

CELL = "```repl\nfound = llm_query('PART ' + str(context)[:60])\nprint('read it')\n```"
RULES = [
    {"match": "read it", "reply": "FINAL_VAR(found)"},
    {"match": "`context` is a", "role": "root", "reply": CELL},
    {"match": "PART (.*)", "reply": "it begins with \\1"},
    {"match": "", "reply": "<answer>1000000</answer>"},
]  # fmt: skip
WORDS = [
    "model=scripted", "model.script=rules.jsonl", "benchmark=[sniah]", "benchmark.sniah.lengths=[512,1024,2048]",
    "benchmark.sniah.samples=4", "model.usd_per_million=[1,2]",
]  # fmt: skip
OOLONG = ["benchmark.oolong.lengths=[1024]", "benchmark.oolong.samples=6"]
BOTH = ["benchmark=[sniah,oolong]", *OOLONG]


@pytest.fixture
def runs(in_folder):
    """Carry out a run of the scripted model in a folder: runs("name", "key=value", ...)."""
    (in_folder / "rules.jsonl").write_text("".join(json.dumps(rule) + "\n" for rule in RULES))

    def carry_out(name, *words):
        common = [word for word in WORDS if not ("benchmark=[oolong]" in words and "sniah" in word)]
        outcome = run(compose([*common, *words, f"run_dir={name}"]))
        assert outcome.state == "finished"
        return outcome.path

    return carry_out


def without_times(folder):
    """samples.parquet and calls.parquet without times, as bytes, and the tables of the report without times, as CSV."""
    for name, times in (("samples", TIME_COLUMNS), ("calls", (*CALL_TIME_COLUMNS, "cache_hit"))):
        pd.read_parquet(folder / f"{name}.parquet").drop(columns=list(times)).to_parquet(folder / name)
    found = load_runs([folder])
    tables = {table.name: table.values for table in make_tables(found.samples, load_calls(found), "base")}
    tables["cost"] = tables["cost"][tables["cost"]["quantity"] != "runtime, s"]
    texts = [table[[name for name in table if not name.endswith("_s")]].to_csv() for table in tables.values()]
    return [(folder / "samples").read_bytes(), (folder / "calls").read_bytes(), *texts]


def test_a_grown_run_equals_the_run_made_at_once(runs):
    last = [*BOTH, "limit=3", "epochs=2", "method=[oracle,floor,rlm,base]"]
    runs("grown", *BOTH, "limit=1", "method=[base,oracle,floor]")
    runs("grown", *BOTH, "limit=3", "method=[base,oracle,floor]")
    paid = pd.read_parquet("grown/samples.parquet").set_index(["benchmark", "method", "sample_id"])["started_at"]
    runs("grown", *BOTH, "limit=3", "epochs=2", "method=[base,oracle,floor]")
    grown = runs("grown", *last)
    assert without_times(grown) == without_times(runs("at_once", *last))

    samples = pd.read_parquet(grown / "samples.parquet")
    kept = samples[samples["epoch"] == 0].set_index(["benchmark", "method", "sample_id"])["started_at"]
    assert (kept[paid.index] == paid).all(), "finished samples are kept"
    sessions = [session.get("added") for session in json.loads((grown / "run.json").read_text())["sessions"]]
    assert sessions == [
        None,
        {"limit": [1, 3], "samples": {"sniah": [1, 3], "oolong": [1, 3]}},
        {"epochs": [1, 2]},
        {"method": ["rlm"]},
    ]
    assert "limit 1 -> 3, sniah 1 -> 3 samples" in facts_of(load_runs([grown]).runs[0])["added"]


def test_settings_of_a_suite_and_benchmarks_grow_too(runs):
    small = ["method=[floor,base]", "benchmark.sniah.lengths=[1024]", "benchmark.sniah.samples=2"]
    runs("grown", *small)
    large = [*BOTH, "method=[floor,base]", "benchmark.sniah.lengths=[512,1024]", "benchmark.sniah.samples=3"]
    assert without_times(runs("grown", *large)) == without_times(runs("at_once", *large))


def test_the_floor_is_computed_over_all_samples_again(runs):
    """The best constant over the first samples is not the best over all of them."""
    words = ["method=[floor]", "benchmark=[oolong]", *OOLONG]
    runs("grown", "limit=1", *words)
    grown, at_once = (runs(name, *words) for name in ("grown", "at_once"))
    answers = [pd.read_parquet(folder / "samples.parquet")["prediction"].tolist() for folder in (grown, at_once)]
    assert answers[0] == answers[1]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["limit=1"], "limit: 2 -> 1"),
        (["limit=2", "epochs=1", "seed=3"], "seed: 0 -> 3"),
        (["limit=3", "model.max_output_tokens=50"], "model.max_output_tokens: None -> 50"),
        (["limit=3", "limits.max_turns=3"], "limits.max_turns: 50 -> 3"),
        (["limit=2", "method=[rlm]"], "method.base._target_: 'rlm.methods.base.PlainModel' -> '(absent)'"),
        (["limit=2", "benchmark.sniah.samples=8"], "benchmark.sniah.samples: 4 -> 8"),
        (["limit=2", "benchmark=[sniah]"], "benchmark.oolong._target_: 'benchmarks.suites.oolong.Oolong' -> '("),
    ],
)  # fmt: skip
def test_other_changes_are_refused_with_their_keys(runs, words, line):
    chosen = [] if any(word.startswith("method") for word in words) else ["method=[base,map_reduce]"]
    folder = runs("grown", "limit=2", "method=[base]", *BOTH)
    before = (folder / "run.json").read_text(), (folder / "samples.parquet").read_bytes()
    with pytest.raises(ConfigError, match="these keys differ: ") as refused:
        runs("grown", *chosen, *([] if "benchmark=[sniah]" in words else BOTH), *words)
    assert line in str(refused.value) and "\n" not in str(refused.value)
    assert "map_reduce" not in str(refused.value), "an addition is no difference"
    assert ((folder / "run.json").read_text(), (folder / "samples.parquet").read_bytes()) == before


def test_a_prompt_with_another_text_is_refused(runs):
    folder = runs("grown", "limit=1", "method=[rlm]")
    manifest = json.loads((folder / "run.json").read_text())
    described = manifest["methods"]["rlm"]
    for key, what in (("prompt_sha256", "its prompt"), ("prompt_options_sha256", "the options of")):
        manifest["methods"]["rlm"] = described | {key: "0" * 64}
        (folder / "run.json").write_text(json.dumps(manifest))
        with pytest.raises(ConfigError, match=rf"made with another version of {what} recursive/"):
            runs("grown", "limit=2", "method=[rlm]")


def test_a_folder_whose_limit_took_the_first_samples_keeps_them(runs):
    folder = runs("old", "limit=2", "method=[base]")
    manifest = json.loads((folder / "run.json").read_text())
    first = [f"sniah-single_1-{length}-000" for length in (512, 1024)]
    assert manifest["benchmarks"]["sniah"]["sample_ids"] != first
    manifest["benchmarks"]["sniah"]["sample_ids"] = first
    (folder / "run.json").write_text(json.dumps(manifest))
    runs("old", "limit=3", "method=[base]")
    assert pd.read_parquet(folder / "samples.parquet")["sample_id"].tolist()[:2] == first
