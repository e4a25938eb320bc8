"""The configuration: which keys make another run, and which only another way to carry it out."""

import pytest

from benchmarks.cli import main
from benchmarks.config.compose import compose
from benchmarks.config.errors import ConfigError
from benchmarks.config.explain import explain
from benchmarks.config.outside_runs import compose_outside_runs
from benchmarks.running.run import run

OPENAI = ["model=openai", "benchmark=[sniah]", "method=[base]", "judge=gpt_4_1"]
LOCAL = ["model=local", "benchmark=[sniah]", "method=[base]"]


@pytest.mark.parametrize(
    ("words", "key"),
    [
        *((OPENAI, f"model.endpoint.{key}=1") for key in (
            "max_concurrency", "connect_s", "read_timeout_s", "total_s", "max_retries", "backoff_s", "max_backoff_s",
            "max_outage_wait_s", "first_byte_s", "patience_s",
        )),
        (OPENAI, "model.endpoint.api_key_env=KEY"),
        (OPENAI, "judge.endpoint.max_outage_wait_s=1"),
        (LOCAL, "model.slots=1"),
        (LOCAL, "model.threads=1"),
        *((LOCAL, key) for key in (
            "name=other", "run_dir=other", "resume=false", "retry_errors=false", "fail_on_error=3",
            "concurrency.samples=1", "budget.max_cost_usd=3", "cache.mode=replay", "executor=ray",
        )),
    ],
)  # fmt: skip
def test_how_a_run_is_carried_out_is_no_part_of_what_it_is(words, key):
    assert compose([*words, key]).hash == compose(words).hash


@pytest.mark.parametrize(
    ("words", "key"),
    [
        (OPENAI, "model.root.name=gpt-5-mini"),
        (OPENAI, "model.root.reasoning_effort=low"),
        (OPENAI, "model.endpoint.base_url=http://127.0.0.1:1/v1"),
        (OPENAI, "judge.root.name=gpt-5"),
        (OPENAI, "judge=none"),
        (LOCAL, "model.context_window=1024"),
        *((LOCAL, key) for key in ("seed=1", "limit=3", "epochs=2", "method=[rlm]", "limits.max_turns=3")),
    ],
)
def test_what_determines_the_results_is(words, key):
    before, after = compose(words), compose([*words, key])
    assert after.hash != before.hash
    assert after.run_name != before.run_name


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("benchmark.sniah.seed=x", "benchmark.sniah.seed is 'x': expected an integer"),
        ("benchmark.sniah.seed=null", "benchmark.sniah.seed is null: expected an integer"),
        ("benchmark.sniah.seed={a: 1}", "benchmark.sniah.seed is {'a': 1}: expected an integer"),
        ("benchmark.sniah.source=0", "benchmark.sniah.source is 0: expected a string"),
        ("benchmark.sniah.variants=true", "benchmark.sniah.variants is true: expected a list of single_1,"),
        ("benchmark.sniah.lengths=[512,a]", "benchmark.sniah.lengths is [512, 'a']: expected a list of integers"),
        ("benchmark.sniah.encoding=1", "benchmark.sniah.encoding is 1: expected a string"),
        ("method.rlm.prompt=[1]", "method.rlm.prompt is [1]: expected a string"),
        ("method.rlm.sub_context_chars=x", "method.rlm.sub_context_chars is 'x': expected an integer"),
        ("method.rlm.max_depth=nan", "method.rlm.max_depth is nan: expected an integer"),
        ("limits.max_wall_s=1e400", "limits.max_wall_s is inf: expected a number of at least 0, or null"),
        (
            f"benchmark.sniah.samples={10**30}",
            f"benchmark.sniah.samples is {10**30}: expected an integer from 1 to 1000000",
        ),
        (f"benchmark.sniah.lengths=[{10**30}]", f"benchmark.sniah.lengths is [{10**30}]: expected a list of integers"),
        (f"epochs={10**30}", f"epochs is {10**30}: expected an integer from 1 to 1000000"),
        ("epochs=1000000", "the plan has 50,000,000 samples"),
        *((f"model.endpoint.api_key_env={value}", "model.endpoint.api_key_env is ") for value in ("1", "[x]", "''")),
        ("method.rlm=x", "method.rlm is 'x': "),
        ("run_dir=5", "run_dir is 5: expected a path, or null"),
        ("cache.path=[x]", "cache.path is ['x']: expected a path, or null"),
        ("limits.max_turns=1.5", "limits.max_turns is 1.5: expected an integer of at least 0, or null"),
        ("limits.max_output_chars=null", "limits.max_output_chars is null: expected an integer"),
        ("repl.confinement=none", "repl.confinement is 'none': expected confined, unsafe or"),
        ("repl.cell_s=soon", "repl.cell_s is 'soon': expected a number above 0"),
        ("repl.memory_bytes=-1", "repl.memory_bytes is -1: expected an integer above 0"),
        ("+repl.memory=1", "there is no key 'repl.memory'; did you mean 'repl.memory_bytes'?"),
        ("model.root.context_window=-1", "model.root.context_window is -1: expected an integer of at least 1"),
        ("model.root.max_output_tokens=0", "model.root.max_output_tokens is 0: expected an integer of at least 1"),
        ("model.sub.temperature=-0.5", "model.sub.temperature is -0.5: expected a number of at least 0"),
        ("executor._target_=nowhere.Executor", "executor._target_ is 'nowhere.Executor'"),
        ("model.endpoint.free=maybe", "model.endpoint.free is 'maybe': expected true or false"),
    ],
)
def test_a_value_of_the_wrong_kind_is_one_clear_line(word, told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "test")
    with pytest.raises(ConfigError) as caught:
        run(compose(["model=openai", "benchmark=[sniah]", "benchmark.sniah.lengths=[512]", "method=[rlm]", word]))
    assert str(caught.value).startswith(told) and "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"not a database at all, but long enough to be taken for one" * 9, b"{}"])
def test_a_store_that_is_something_else_is_one_clear_line(content, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "store.sqlite").write_bytes(content)
    with pytest.raises(ConfigError, match=r"^cache\.path: .*store\.sqlite") as caught:
        run(compose([*LOCAL, "benchmark.sniah.lengths=[512]", "cache.path=store.sqlite"]))
    assert "\n" not in str(caught.value)
    assert (tmp_path / "store.sqlite").read_bytes() == content
    assert not (tmp_path / "results").exists()


def test_former_endpoint_keys_are_accepted_with_a_warning(capsys):
    config = compose([*OPENAI, "model.endpoint.first_byte_s=7", "++judge.endpoint.patience_s=8"])
    assert config.model.hosted["root"].endpoint.read_timeout_s == 7
    assert config.judge.models.hosted["root"].endpoint.max_outage_wait_s == 8
    assert "the key is now judge.endpoint.max_outage_wait_s" in capsys.readouterr().err


@pytest.mark.parametrize("value", ["", "  "])
def test_an_environment_variable_that_is_set_but_empty_counts_as_unset(value, monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", value)
    assert compose(OPENAI).model.hosted["root"].endpoint.base_url == "https://api.openai.com/v1"


@pytest.mark.parametrize("section", ["concurrency", "limits", "budget", "cache", "report", "server", "repl"])
def test_the_defaults_of_the_schema_are_those_of_the_configuration_files(section):
    config = compose(LOCAL)
    assert getattr(config, section) == type(getattr(config, section))()


@pytest.mark.parametrize("key", ["stop_grace_s", "budget.max_tokens", "budget.max_cost_usd", "fail_on_error"])
def test_null_is_no_limit_and_a_negative_limit_is_refused(key):
    section, _, name = key.rpartition(".")
    config = compose([*LOCAL, f"{key}=null"])
    assert getattr(getattr(config, section) if section else config, name) is None
    with pytest.raises(ConfigError, match=rf"^{key} is -1: expected an? .* of at least 0, or null$"):
        compose([*LOCAL, f"{key}=-1"])


def test_a_launcher_whose_package_is_missing_says_what_to_install():
    error = Exception("In 'hydra/launcher/slurm': Could not find 'hydra/launcher/submitit_slurm'\n\nAvailable options")
    assert "pip install 'rlm-eval[slurm]'" in str(explain(error))


@pytest.mark.parametrize(
    ("words", "prompts"),
    [
        (["model=local"], {"rlm": "recursive/small_coder-v1"}),
        (["model=local", "+small_coder@method.rlm=rlm"], {"rlm": "recursive/small_coder-v1"}),
        (["model=local", "+paper@method.rlm=rlm"], {"rlm": "recursive/paper-v1"}),
        (["model=local", "+method@method.mine=rlm", "method=[]"], {"mine": "recursive/small_coder-v1"}),
        (["model=local", "method.rlm.prompt=recursive/paper-v1"], {"rlm": "recursive/paper-v1"}),
        (["model=smollm2"], {"rlm": "recursive/default-v1"}),
        (["model=smollm2", "model.root.weights=qwen2.5-coder-0.5b"], {"rlm": "recursive/small_coder-v1"}),
        (["model=openai", "model.sub=local"], {"rlm": "recursive/default-v1"}),
        (
            ["model=local", "method=[base,rlm_bm25,codeact_subcalls]"],
            {"rlm_bm25": "recursive/small_coder-v1", "codeact_subcalls": "codeact/small_coder-v1"},
        ),
    ],
)
def test_ask_and_serve_choose_the_prompts_of_embedded_weights(words, prompts):
    methods = compose_outside_runs(words).method
    assert {name: one.settings["prompt"] for name, one in methods.items() if "prompt" in one.settings} == prompts
    repeats = {one.settings["repeat_query"] for name, one in methods.items() if name in prompts}
    assert repeats == {words[0] == "model=local" or (len(words) == 2 and "weights" in words[1])}


def test_a_list_of_models_in_an_experiment_file_is_refused(tmp_path, capsys):
    """Hydra would merge the two files into one section without a word."""
    folder = tmp_path / "experiment"
    folder.mkdir()
    (folder / "two.yaml").write_text("# @package _global_\ndefaults:\n  - override /model: [openai, anthropic]\n")
    words = [f"hydra.searchpath=[file://{tmp_path}]", "+experiment=two", "limit=1"]
    with pytest.raises(ConfigError, match=r"model is a list in a configuration file: .* as 'model=\[A,B\]'"):
        compose(words)
    assert main(["run", *words]) == 2
    assert "model is a list in a configuration file" in capsys.readouterr().err
