"""The estimate: known tokens and prices give known sums, what is not known is said to be so."""

import math
from dataclasses import replace

import pytest

from benchmarks.cli import main
from benchmarks.commands.run import MOST_HOURS
from benchmarks.config.compose import compose
from benchmarks.config.errors import ConfigError
from benchmarks.config.plugins import conf_dir
from benchmarks.running.estimate import Calls, embedded_hours, estimate, expected_calls
from benchmarks.running.estimate_time import cell_hours, in_words
from benchmarks.running.model_set import ModelSet
from rlm.limits import Limits
from rlm.methods.base import BaseTruncated, PlainModel
from rlm.methods.codeact.loop import CodeAct
from rlm.methods.combinators import RLMCombinators
from rlm.methods.compaction import Compaction
from rlm.methods.map_reduce import MapReduce
from rlm.methods.rlm import RLM, RLMCompacted
from rlm.methods.selfconsistency import RLMSelfConsistency
from rlm.models.scripted import ScriptedModel

# Two samples of 10,000 tokens each, at 2 dollars a million input tokens and 10 a million output tokens.
WORDS = [
    "model=openai", "benchmark=[sniah]", "benchmark.sniah.lengths=[10000]", "benchmark.sniah.samples=2",
    "method=[base]", "cache.mode=replay", "model.root.name=priced", "model.root.context_window=100000",
    "+prices.priced={input:2,output:10}",
]  # fmt: skip


def row(*words, benchmark="sniah"):
    table = estimate(compose([*WORDS, *words])).set_index("benchmark")
    return table.loc[benchmark]


def test_known_tokens_and_prices_give_the_known_sums():
    base = row()
    assert (base["samples"], base["calls"], base["over_window"]) == (2, 2, 0)
    assert (base["prompt_tokens"], base["completion_tokens"]) == (20_000, 1_000)
    assert base["usd"] == pytest.approx(20_000 * 2e-6 + 1_000 * 10e-6)


def test_epochs_multiply_and_the_last_row_adds_up():
    table = estimate(compose([*WORDS, "epochs=3", "method=[base,base_truncated]"]))
    assert list(table["benchmark"]) == ["sniah", "sniah", "all"]
    assert list(table["samples"]) == [6, 6, 12]
    assert table["usd"].iloc[-1] == pytest.approx(2 * 3 * 0.05)


def test_what_does_not_fit_costs_nothing_and_is_counted():
    base = row("model.root.context_window=9000")
    assert (base["calls"], base["over_window"], base["usd"]) == (0, 2, 0.0)


def test_a_model_without_a_price_makes_the_dollars_unknown_and_their_sum_too():
    words = ["model.root.name=nobody-prices-this", "method=[base]"]
    assert row(*words)["usd"] != row(*words)["usd"]
    assert row(*words, benchmark="all")["usd"] != row(*words, benchmark="all")["usd"]


def test_a_free_endpoint_and_the_embedded_model_cost_nothing():
    assert row("model.endpoint.free=true", "model.root.name=nobody-prices-this")["usd"] == 0.0
    local = compose(["model=local", "benchmark=[sniah]", "benchmark.sniah.lengths=[512]", "method=[base,rlm]"])
    assert (estimate(local)["usd"] == 0.0).all()


def summed(calls):
    return {call.role: (call.calls, call.prompt_tokens, call.completion_tokens) for call in calls}


def test_each_methods_stated_model_of_its_calls():
    def model(window):
        return ScriptedModel(["x"], context_window=window)

    given = {"model": model(100_000), "sub_model": model(40_000)}
    assert summed(expected_calls(PlainModel(**given), 50_000)) == {"root": (1, 50_000, 500)}
    assert expected_calls(PlainModel(**given), 200_000) == []
    assert summed(expected_calls(BaseTruncated(**given), 200_000)) == {"root": (1, 90_000, 500)}
    assert summed(expected_calls(Compaction(**given), 50_000)) == {"root": (1, 50_000, 500)}
    assert summed(expected_calls(Compaction(**given), 340_000)) == {
        "compactor": (10, 360_000, 15_000), "root": (1, 2_000, 500),
    }  # fmt: skip
    assert summed(expected_calls(MapReduce(**given), 100_000)) == {
        "sub": (5, pytest.approx(110_000), 750), "root": (1, 1_050, 500),
    }  # fmt: skip
    assert summed(expected_calls(RLM(**given, max_depth=1), 100_000)) == {
        "root": (8, 62_000, 4_700), "sub": (10, 100_000, 4_000),
    }  # fmt: skip
    short = {**given, "limits": Limits(max_sub_prompt_tokens=5_000)}
    assert summed(expected_calls(RLM(**short), 100_000))["sub"] == (20, 100_000, 8_000)
    assert summed(expected_calls(MapReduce(**short), 100_000))["sub"] == (40, pytest.approx(110_000), 6_000)
    assert summed(expected_calls(RLM(**given, max_depth=0), 100_000)) == {"root": (12, 129_000, 7_100)}
    assert expected_calls(RLMCompacted(**given), 100_000) == expected_calls(RLM(**given), 100_000)
    tight = RLMCompacted(**{**given, "model": model(10_000)}, compactor=model(40_000))
    assert summed(expected_calls(tight, 100_000)) == {
        "root": (8, 60_000, 4_700), "sub": (10, 100_000, 4_000), "compactor": (2, 15_000, 3_000),
    }  # fmt: skip
    assert summed(expected_calls(RLMSelfConsistency(**given, k=3), 100_000)) == {
        "root": (24, 186_000, 14_100), "sub": (30, 300_000, 12_000),
    }  # fmt: skip
    assert summed(expected_calls(RLMCombinators(**given), 100_000)) == {
        "root": (4, 19_000, 2_300), "sub": (10, 100_000, 4_000),
    }  # fmt: skip
    assert summed(expected_calls(CodeAct(**given), 50_000))["root"] == (6, 315_000, 3_500)


def test_a_method_of_ones_own_states_its_calls_or_is_unknown():
    class Own:
        model = sub_model = ScriptedModel(["x"])

    assert expected_calls(Own(), 1000) is None
    Own.expected_calls = lambda self, tokens: [tokens]
    assert expected_calls(Own(), 1000) == [1000]


def test_the_command_needs_no_key_and_makes_no_call(capsys, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    assert main(["estimate", *WORDS]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "0.05" in lines[2] and "20,000" in lines[2]
    assert main(["estimate", *WORDS, "model.root.name=nobody-prices-this"]) == 0
    assert "unknown" in capsys.readouterr().out


@pytest.fixture
def no_hub(monkeypatch):
    def refuse(*_, **__):
        raise ConnectionError("no network")

    monkeypatch.setattr("huggingface_hub.HfApi.dataset_info", refuse)
    for key in ("OPENAI_API_KEY", "FIREWORKS_API_KEY"):
        monkeypatch.delenv(key, raising=False)


EXPERIMENTS = sorted(path.stem for path in (conf_dir() / "experiment").glob("*.yaml"))


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_is_estimated_without_network_key_or_recording(experiment, no_hub, capsys):
    assert main(["estimate", f"+experiment={experiment}"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("| all ")


def test_sizes_are_assumed_and_reported_if_the_hub_cannot_be_read(no_hub):
    notes = []
    words = ["+experiment=browsecomp_scaling", "limit=40", "method=[base,rlm]"]
    table = estimate(compose([*words, "cache.mode=replay"]), tell=notes.append)
    assert list(table["samples"]) == [40, 40, 80]
    (note,) = notes
    assert note.startswith("benchmark.browsecomp_plus: the hub cannot be read; ")
    assert note.endswith("the estimate assumes 40 samples of 70,000 to 7,000,000 tokens")


def test_data_of_a_folder_that_cannot_be_read_are_not_guessed(tmp_path):
    with pytest.raises(ConfigError, match=r"benchmark\.codeqa"):
        estimate(compose(["benchmark=[codeqa]", f"benchmark.codeqa.source={tmp_path}", "model=local"]))


def test_an_estimate_needs_no_weights(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    config = compose(["model=local", "benchmark=[sniah]", "benchmark.sniah.lengths=[512]", "method=[base]", "limit=2"])
    assert list(estimate(config)["calls"]) == [2, 2]
    assert embedded_hours(config) > 0


@pytest.mark.parametrize(
    ("words", "refused"),
    [
        ([], True),
        (["epochs=100", "limit=1"], True),
        (["+experiment=quickstart"], False),
        (["limit=5"], True),
        (["limit=5", "benchmark.sniah.lengths=[1024]"], False),
        (["model=openai"], False),
        (["model=openai", "model.sub=local"], True),
    ],
)
def test_the_hours_of_the_embedded_model_are_estimated(words, refused):
    hours = embedded_hours(compose(words))
    assert (hours > MOST_HOURS) == refused
    assert (hours == 0) == (words == ["model=openai"])


@pytest.fixture(scope="module")
def hosted():
    """The configuration of an endpoint, and its model."""
    config = compose(WORDS)
    return config, ModelSet(config, None).roles()["root"]


@pytest.mark.parametrize(
    ("samples_at_once", "epochs", "max_concurrency", "waits"),
    [(1, 1, 64, 2), (8, 1, 64, 1), (8, 1, 1, 2), (1, 3, 64, 6)],
)
def test_the_time_of_calls_to_an_endpoint(hosted, monkeypatch, samples_at_once, epochs, max_concurrency, waits):
    config, model = hosted
    monkeypatch.setattr(model, "endpoint", replace(model.endpoint, max_concurrency=max_concurrency))
    config = replace(config, epochs=epochs, concurrency=replace(config.concurrency, samples=samples_at_once))
    samples = [[Calls("root", 1, 10_000, 600)]] * 2
    hours = cell_hours(samples, PlainModel(model=model), config)
    assert hours == pytest.approx(waits * (1 + 1 + 10) / 3600)


@pytest.mark.parametrize(("depth", "waits"), [(1, 2), (2, 8)])
def test_sub_calls_and_children_have_their_own_concurrency(hosted, depth, waits):
    config, model = hosted
    method = RLM(model=model, max_depth=depth, sub_call_concurrency=16, children_concurrency=4)
    assert cell_hours([[Calls("sub", 32, 0, 0)]], method, config) == pytest.approx(waits / 3600)


def test_the_time_of_another_model_is_unknown(tmp_path, capsys):
    script = tmp_path / "script.jsonl"
    script.write_text('{"match": "", "reply": "x"}\n')
    words = ["benchmark=[sniah]", "benchmark.sniah.lengths=[512]", "method=[base]", "limit=1"]
    assert main(["estimate", *words, "model=scripted", f"model.script={script}"]) == 0
    assert "| unknown" in capsys.readouterr().out.splitlines()[-1]
    assert main(["estimate", *words, "model=local"]) == 0
    assert "| under a minute" in capsys.readouterr().out.splitlines()[-1]


@pytest.mark.parametrize(
    ("hours", "text"), [(0.001, "under a minute"), (0.2, "12 min"), (3.4, "3 h"), (math.nan, "unknown")]
)
def test_hours_are_rounded_for_reading(hours, text):
    assert in_words(hours) == text
