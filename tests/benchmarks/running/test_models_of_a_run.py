"""Several models in one run: one folder, one report, each model addressed by its name."""

import json
import textwrap

import pandas as pd
import pytest

from benchmarks.config.compose import compose
from benchmarks.config.errors import ConfigError
from benchmarks.report.build import make_tables
from benchmarks.report.compare import NotComparable, compare
from benchmarks.report.runs import load_calls, load_runs, refresh_tables
from benchmarks.running.estimate import estimate
from benchmarks.running.rows import CALL_TIME_COLUMNS, TIME_COLUMNS
from benchmarks.running.run import run

WORDS = ["benchmark=[sniah]", "benchmark.sniah.lengths=[512]", "benchmark.sniah.samples=3", "method=[base,oracle]"]
PLUGIN = """
    from rlm.models.scripted import ScriptedModel

    class Fixed(ScriptedModel):
        def __init__(self, name: str, reply: str):
            super().__init__(lambda messages: reply, name, usd_per_million=(1.0, 2.0))
"""


@pytest.fixture
def models(in_folder, monkeypatch):
    """Configuration of the models one, two and copy, of which the last has the name of the first."""
    (in_folder / "fixed_models.py").write_text(textwrap.dedent(PLUGIN))
    monkeypatch.syspath_prepend(str(in_folder))
    folder = in_folder / "mine" / "model"
    folder.mkdir(parents=True)
    for choice, name, reply in (("one", "model-1", "yes"), ("two", "model-2", "no"), ("copy", "model-1", "perhaps")):
        keys = f"root:\n  _target_: fixed_models.Fixed\n  name: {name}\n  reply: 'Answer: {reply}'\n"
        (folder / f"{choice}.yaml").write_text(f"# {choice}.\n{keys}")
    return f"hydra.searchpath=[file://{in_folder / 'mine'}]"


def go(models, name, *words):
    outcome = run(compose([models, *WORDS, *words, f"run_dir={name}"]))
    assert outcome.state == "finished"
    return outcome.path


def answers(folder):
    samples = pd.read_parquet(folder / "samples.parquet")
    samples = samples[samples["method"] == "base"]
    return {model: sorted(set(rows["prediction"])) for model, rows in samples.groupby("model", sort=False)}


def without_times(folder):
    """The tables of a run and of its report without times, as bytes and CSV."""
    for name, times in (("samples", TIME_COLUMNS), ("calls", CALL_TIME_COLUMNS)):
        pd.read_parquet(folder / f"{name}.parquet").drop(columns=list(times)).to_parquet(folder / name)
    found = load_runs([folder])
    tables = {table.name: table.values for table in make_tables(found.samples, load_calls(found), "base")}
    tables["cost"] = tables["cost"][tables["cost"]["quantity"] != "runtime, s"]
    texts = [table[[name for name in table if not name.endswith("_s")]].to_csv() for table in tables.values()]
    return [(folder / "samples").read_bytes(), (folder / "calls").read_bytes(), *texts]


def test_a_run_of_several_models_has_their_rows_calls_and_pairs(models):
    folder = go(models, "both", "model=[one,two]", "model.two.root.reply=changed")
    samples, calls = (pd.read_parquet(folder / f"{name}.parquet") for name in ("samples", "calls"))
    assert answers(folder) == {"model-1": ["Answer: yes"], "model-2": ["changed"]}
    assert len(samples) == 9 and samples["model"].isna().sum() == 3, "reference rows stand once"
    assert calls.groupby("sample_model").size().to_dict() == {"model-1": 3, "model-2": 3}
    assert samples["trajectory"].nunique() == 6
    found = load_runs([folder])
    tables = {table.name: table for table in make_tables(found.samples, load_calls(found), "base")}
    (pair,) = tables["pairs"].values.to_dict("records")
    assert (pair["family"], pair["model"], pair["baseline_model"], pair["n"]) == ("models", "model-2", "model-1", 3)
    assert list(tables["calls"].values["calls_per_sample"]) == [1.0, 1.0]
    before = (folder / "samples.parquet").read_bytes()
    refresh_tables(folder)
    assert (folder / "samples.parquet").read_bytes() == before, "the journal alone gives the same table"


def test_a_model_with_the_root_of_another_one_leaves_finished_samples_alone(models):
    before = pd.read_parquet(go(models, "grown", "model=one") / "samples.parquet")
    grown = go(models, "grown", "model=[one,copy]")
    samples = pd.read_parquet(grown / "samples.parquet")
    kept = samples[samples["model"].isna() | (samples["model"] == "model-1")]
    assert list(kept["started_at"]) == list(before["started_at"])
    assert without_times(grown) == without_times(go(models, "at_once", "model=[one,copy]"))


def test_a_run_grown_by_a_model_equals_the_run_made_at_once(models):
    go(models, "grown", "model=one")
    grown = go(models, "grown", "model=[one,two]")
    assert without_times(grown) == without_times(go(models, "at_once", "model=[one,two]"))
    added = [session.get("added") for session in json.loads((grown / "run.json").read_text())["sessions"]]
    assert added == [None, {"model": ["two"]}]
    for words, line in (
        (["model=[two,copy,one]"], "model: the models of the run come first"),
        (["model=[one,copy]"], "model.two.root._target_"),
        (["model=[one,two]", "model.two.root.reply=x"], "model.two.root.reply: 'Answer: no' -> 'x'"),
    ):
        with pytest.raises(ConfigError, match="these keys differ") as refused:
            go(models, "grown", *words)
        assert line in str(refused.value)


def test_models_of_one_name_keep_their_own_replies(models):
    folder = go(models, "same", "model=[one,copy]")
    assert answers(folder) == {"model-1": ["Answer: yes"], "model-1 (copy)": ["Answer: perhaps"]}


def test_runs_of_several_models_are_compared_model_by_model(models):
    both, one, again = (
        go(models, "both", "model=[one,two]"), go(models, "one", "model=one"), go(models, "again", "model=[one,two]")
    )  # fmt: skip
    assert [arm.method for arm in compare(both, again).arms] == ["base, model-1", "base, model-2"]
    assert [arm.method for arm in compare(both, one).arms] == ["base, model-1"]
    with pytest.raises(NotComparable, match="no method in common: base, model-1, base, model-2 in the first"):
        compare(both, go(models, "copy", "model=copy", "model.root.name=model-3"))


def test_an_estimate_names_each_model(models):
    table = estimate(compose([models, *WORDS, "model=[one,two]"]))
    assert list(table["model"]) == ["model-1", "model-2", ""]
    assert list(table["samples"]) == [3, 3, 6]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["model=[openai,opanai]"], "there is no model 'opanai'; did you mean 'openai'?"),
        (["model=[openai,openai]"], "expected the names of models, each once"),
        (["model=[gpt-4.1,openai]"], "expected the names of models, each once"),
        (["+model=['openai',\"opanai\"]"], "there is no model 'opanai'; did you mean 'openai'?"),
        (["model=[openai,local]", "model.root.temperature=0"], "a key of one of the models, as in model.openai.KEY"),
        (["model=[openai,local]", "model.openai.root.temprature=0"], "model.openai.root.temprature"),
        (["model=[openai,local]", "model.openai.sub=lcal"], "model.openai.sub is 'lcal': there is no model 'lcal'"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_list_of_models_is_one_line(words, line):
    with pytest.raises(ConfigError) as refused:
        compose(["benchmark=[sniah]", "method=[base]", *words])
    assert line in str(refused.value) and "\n" not in str(refused.value)


def test_each_model_has_the_keys_of_a_single_one(monkeypatch):
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    words = ["model.openai.name=gpt-4.1", "model.openai.sub=local", "model.local.root.max_output_tokens=7"]
    config = compose(["+experiment=quickstart", "model=[openai,local]", *words, "cache.mode=replay"])
    openai, local = config.models["openai"], config.models["local"]
    assert openai.hosted["root"].name == "gpt-4.1" and openai.paid_for("sub") is None
    assert local.roles.local["root"] is not None and config.plain["model"]["local"]["root"]["max_output_tokens"] == 7
    assert set(config.plain["model"]) == {"openai", "local"}, "an experiment's keys of its own model are dropped"
    with pytest.raises(ConfigError, match=r"model is \[openai, local\]: expected one model, as in model=openai"):
        _ = config.model
    assert compose(["model=[openai]", "benchmark=[sniah]"]).model.hosted["root"].name == "gpt-5"
