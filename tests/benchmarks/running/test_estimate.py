"""The estimate: known tokens and prices give known sums, what is not known is said to be so."""

import math
import runpy
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.cli import main
from benchmarks.commands.run import MOST_HOURS
from benchmarks.config.compose import compose
from benchmarks.config.errors import ConfigError
from benchmarks.config.plugins import conf_dir
from benchmarks.running.estimate import embedded_hours, estimate
from benchmarks.running.estimate_calls import Calls, Sample, expected_calls
from benchmarks.running.estimate_habits import PLAIN, REASONING, SMALL, Task, habits_of
from benchmarks.running.estimate_time import cell_hours, in_words, sample_seconds
from benchmarks.running.model_set import ModelSet
from rlm.limits import Limits
from rlm.methods.base import BaseTruncated, PlainModel
from rlm.methods.codeact.loop import CodeAct
from rlm.methods.combinators import RLMCombinators
from rlm.methods.compaction import Compaction
from rlm.methods.map_reduce import MapReduce
from rlm.methods.rlm import RLM, RLMCompacted
from rlm.methods.selfconsistency import RLMSelfConsistency
from rlm.models.chat import Sampling
from rlm.models.scripted import ScriptedModel

ROOT = Path(__file__).parents[3]
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
    assert (base["prompt_tokens"], base["completion_tokens"]) == (20_000, 4_000)
    assert base["usd"] == pytest.approx(20_000 * 2e-6 + 4_000 * 10e-6)


def test_a_cached_prefix_costs_the_cached_price():
    words = ["method=[codeact_bm25]", "benchmark=[oolong]", "benchmark.oolong.lengths=[10000]"]
    words += ["benchmark.oolong.samples=1", *WORDS[6:], "model.root.context_window=400000"]
    full, _ = estimate(compose(["model=openai", *words])).to_dict("records")
    cached, _ = estimate(compose(["model=openai", *words, "+prices.priced.cached=0.2"])).to_dict("records")
    # 20 turns over the prompt of CodeAct and the text; a turn adds 450 tokens of the reply and 2,000 of its output.
    assert full["prompt_tokens"] == cached["prompt_tokens"] == 20 * 10_500 + 2_450 * 190
    new = 10_500 + 2_450 * 19
    assert full["usd"] - cached["usd"] == pytest.approx((full["prompt_tokens"] - new) * 1.8e-6, rel=1e-3)


def test_epochs_multiply_and_the_last_row_adds_up():
    table = estimate(compose([*WORDS, "epochs=3", "method=[base,base_truncated]"]))
    assert list(table["benchmark"]) == ["sniah", "sniah", "all"]
    assert list(table["samples"]) == [6, 6, 12]
    assert table["usd"].iloc[-1] == pytest.approx(2 * 3 * 0.08)


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


def summed(method, tokens, task=Task.LABELS, **sample):
    calls = expected_calls(method, Sample(tokens, task=task, **sample))
    return {call.role: (call.calls, call.prompt_tokens, call.completion_tokens) for call in calls}


def model(window, **settings):
    one = ScriptedModel(["x"], context_window=window)
    one.sampling = Sampling(**settings)
    return one


def test_each_methods_stated_model_of_its_calls():
    given = {"model": model(100_000, max_output_tokens=8_000), "sub_model": model(40_000, max_output_tokens=2_000)}
    assert summed(PlainModel(**given), 50_000) == {"root": (1, 50_000, 600)}
    assert summed(PlainModel(**given), 50_000, Task.PAIRS) == {"root": (1, 50_000, 8_000)}
    assert expected_calls(PlainModel(**given), Sample(92_001)) == []
    room = int(92_000 * 0.95) - 48
    assert summed(BaseTruncated(**given), 200_000) == {"root": (1, room, 600)}
    assert summed(Compaction(**given), 50_000) == {"root": (1, 50_000, 600)}
    piece = int(38_000 * 0.95) - 48
    assert summed(Compaction(**given), 10 * (piece - 1_700)) == {
        "compactor": (10, 10 * piece, 15_000), "root": (1, 2_000, 600),
    }  # fmt: skip
    assert summed(MapReduce(**given), 100_000) == {
        "sub": (5, pytest.approx(110_000), 750), "root": (1, 1_050, 600),
    }  # fmt: skip
    assert summed(MapReduce(**given), 20_000) == {"root": (1, 20_000, 600)}
    grow = 5_600
    assert summed(RLM(**given), 80_000) == {
        "root": (pytest.approx(1 + 89_500 / grow), pytest.approx(802_406, abs=1), pytest.approx(10_189, abs=1)),
        "sub": (400, 80_000, 40_000),
    }  # fmt: skip
    assert summed(RLM(**given, max_turns=4), 80_000, Task.QUESTION) == {
        "root": (4, 4 * 2_500 + grow * 6, 2_400), "sub": (1, 10_000, 200),
    }  # fmt: skip
    assert summed(RLM(**given), 80_000, Task.LOOKUP) == {"root": (2, 5_000 + grow, 1_200)}
    assert set(summed(RLM(**given, max_depth=0), 80_000)) == {"root"}
    assert summed(CodeAct(**given), 50_000, Task.QUESTION) == {"root": (1, 50_500, 600)}
    assert summed(CodeAct(**given), 7_000_000, Task.SEARCH, documents=1000)["root"][0] > 10
    short = {**given, "limits": Limits(max_sub_prompt_tokens=100, max_sub_calls=30)}
    assert summed(RLM(**short), 80_000)["sub"] == (30, 3_000, 1_500)
    assert summed(MapReduce(**short), 100_000)["sub"][0] == 30
    limited = {**given, "limits": Limits(max_calls=7)}
    assert summed(MapReduce(**limited), 1_000_000) == {"sub": (6, pytest.approx(132_000), 900), "root": (1, 1_200, 600)}
    few = {**given, "max_turns": 4}
    assert summed(RLMSelfConsistency(**few, k=3), 80_000, Task.QUESTION) == {
        "root": (12, 3 * (4 * 2_500 + grow * 6), 7_200), "sub": (3, 30_000, 600),
    }  # fmt: skip
    assert summed(RLMCombinators(**given), 80_000, Task.QUESTION) == summed(RLM(**few), 80_000, Task.QUESTION)
    assert expected_calls(RLMCompacted(**few), Sample(80_000)) == expected_calls(RLM(**few), Sample(80_000))
    tight = RLMCompacted(
        **{**given, "model": model(12_500, max_output_tokens=500)}, compactor=model(40_000), max_turns=4
    )
    assert summed(tight, 80_000, Task.QUESTION) == {
        # The history of 19,300 tokens is over 0.75 of the window by 9,925, which two summaries replace.
        "root": (4, 4 * (2_500 + 9_375) / 2, 2_000), "sub": (1, 10_000, 200), "compactor": (2, 18_750, 3_000),
    }  # fmt: skip


def test_a_root_has_the_habits_of_its_family():
    config = compose(["model=smollm2"])
    assert habits_of(ModelSet(config, None).roles()["root"]) == SMALL
    assert habits_of(model(1000, reasoning_effort="medium")) == REASONING
    assert habits_of(model(1000)) == habits_of(model(1000, reasoning_effort="minimal")) == PLAIN


def test_a_method_of_ones_own_states_its_calls_or_is_unknown():
    class Own:
        model = sub_model = ScriptedModel(["x"])

    assert expected_calls(Own(), Sample(1000)) is None
    Own.expected_calls = lambda self, tokens: [tokens]
    assert expected_calls(Own(), Sample(1000)) == [1000]


def test_the_command_needs_no_key_and_makes_no_call(capsys, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    assert main(["estimate", *WORDS]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "0.08" in lines[2] and "20,000" in lines[2]
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
    assert note.endswith("the estimate assumes 40 samples of 83,000 to 8,300,000 tokens")


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
        (["epochs=1000", "limit=1"], True),
        (["+experiment=quickstart"], False),
        (["limit=5"], False),
        (["limit=20", "benchmark=[codeqa]", "method=[map_reduce]"], True),
        (["model=openai"], False),
        (["model=openai", "model.sub=local", "benchmark=[oolong]"], True),
    ],
)
def test_the_hours_of_the_embedded_model_are_estimated(words, refused):
    hours = embedded_hours(compose(words))
    assert (hours > MOST_HOURS) == refused
    assert (hours == 0) == (words == ["model=openai"])


@pytest.mark.parametrize(("experiment", "minutes"), [("quickstart", 5), ("ci", 20), ("laptop_curves", 33)])
def test_runs_of_the_embedded_model_take_at_most_twice_or_half_as_long(experiment, minutes):
    assert 0.5 < embedded_hours(compose([f"+experiment={experiment}"])) * 60 / minutes < 2


def test_the_base_models_call_takes_time_once_for_all_methods_that_make_it():
    words = [
        "model=local",
        "benchmark=[sniah]",
        "benchmark.sniah.lengths=[512]",
        "method=[base,base_truncated]",
        "limit=2",
    ]
    first, second, _ = estimate(compose(words))["hours"]
    assert first > 0 == second
    first, second, _ = estimate(compose([*words, "cache.mode=off"]))["hours"]
    assert first == second > 0


def test_the_published_costs_are_mostly_within_a_factor_of_two(no_hub):
    ratios = runpy.run_path(str(ROOT / "scripts" / "estimate_ratios.py"))
    for experiment, least in (("paper_table1_gpt5", 27), ("paper_table1_qwen3_coder", 20)):
        known = ratios["known_cells"](experiment)
        assert len(known) == 30
        assert sum(0.5 <= cell.ratio() <= 2 for cell in known) == least


BUDGETS = [
    (page.name, line.split()[2:])
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
    for line in page.read_text(encoding="utf-8").splitlines()
    if line.startswith("rlm-eval run ") and "budget.max_cost_usd=" in line and not line.endswith("\\")
]


@pytest.mark.parametrize(("page", "words"), BUDGETS)
def test_the_budgets_of_the_documented_commands_are_twice_their_estimates(page, words, no_hub):
    config = compose([*(word.replace("'", "") for word in words), "cache.mode=replay"])
    assert 2 * estimate(config)["usd"].iloc[-1] <= config.budget.max_cost_usd


# Seconds of a sample, and its calls: a public run of another RLM and of plain calls with hosted models
# (github.com/tensor-systems/droste, benchmarks/results, July 2026). Calls, prompt and completion tokens of the root,
# and of sub-calls.
PUBLIC = [
    (39.0, (1, 93_393, 1_885), None), (13.4, (1, 93_374, 1_066), None), (81.1, (1, 23_088, 8_044), None),
    (7.3, (1, 217_145, 101), None), (4.7, (1, 213_285, 126), None), (2.4, (1, 31_117, 8), None),
    (30.5, (4.0, 14_057, 1_881), (21.4, 37_663, 17_025)), (30.2, (3.0, 10_683, 2_473), (66, 21_616, 3_610)),
    (30.3, (6.8, 60_362, 2_131), (2.5, 4_579, 367)), (53.7, (6.5, 45_485, 3_039), (2.5, 5_098, 234)),
    (4.8, (2.5, 3_511, 294), None),
]  # fmt: skip


@pytest.mark.parametrize(("seconds", "root", "sub"), PUBLIC)
def test_published_seconds_are_within_a_factor_of_two(hosted, seconds, root, sub):
    _, model = hosted
    calls = [Calls("root", *root), *([Calls("sub", *sub)] if sub else [])]
    assert 0.5 < sample_seconds([calls], RLM(model=model)) / seconds < 2


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
    samples = [[Calls("root", 1, 40_000, 800)]] * 2
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
