"""rlm-eval as a Hydra application: other packages' configuration, keys with a slip, flags, completion."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(sys.executable).with_name("rlm-eval")
METHOD = """
from dataclasses import dataclass
from rlm import Answer, Method

@dataclass(kw_only=True)
class Shouted(Method):
    mark: str = "!"

    async def answer(self, prompt, tree):
        reply = await tree.call(self.model, prompt.messages())
        return Answer(reply.text.upper() + self.mark)
"""
MODEL = """
from rlm.models.chat import Reply, Sampling

class Constant:
    context_window, sampling = None, Sampling()

    def __init__(self, name: str, said: str = "yes"):
        self.name, self._said = name, said

    async def complete(self, messages, *, epoch=0, occurrence=0):
        return Reply(self._said, model=self.name)

    async def aclose(self):
        pass
"""
BENCHMARK = """
import json
from benchmarks.sample import Sample, SampleInfo, Score
from rlm import Prompt

class Yes:
    name, metric, scorer, protected = "yes", "exact match", "my_evals/yes-v1", False

    def __init__(self, samples: int = 2):
        self._ids = [f"yes-{number}" for number in range(samples)]

    def infos(self):
        return [SampleInfo(name, cluster=name, task_group="yes", complexity="constant") for name in self._ids]

    def sample(self, sample_id):
        info = next(info for info in self.infos() if info.sample_id == sample_id)
        return Sample(info, Prompt("A text.", "Is it one?"), target="yes")

    async def score(self, target, answer, judge=None):
        return Score(float(answer == target), float(answer == target), bool(answer), answer or "")

    def oracle(self, target):
        return target

    def constants(self, samples):
        return [lambda sample: "no"]

    def target_of(self, row):
        return row["target"]

    def target_bytes(self, target):
        return json.dumps(target).encode()

    def provenance(self):
        return {"source": "generated"}
"""
FILES = {
    "my_evals/__init__.py": "",
    "my_evals/methods.py": METHOD,
    "my_evals/conf/method/shouted.yaml": (
        "# @package method.shouted\n# The base model, shouting.\n_target_: my_evals.methods.Shouted\n"
        "# What the answer ends with.\nmark: '!'\n"
    ),
    "my_evals/conf/method/base.yaml": "# @package method.base\n# Not ours.\n_target_: my_evals.methods.Shouted\n",
    "my_evals/models.py": MODEL,
    "my_evals/conf/model/constant.yaml": (
        "# Says the same to everything.\nroot:\n  _target_: my_evals.models.Constant\n"
        "  # Name in tables.\n  name: constant\n"
    ),
    "my_evals/benchmarks.py": BENCHMARK,
    "my_evals/conf/benchmark/yes.yaml": (
        "# @package benchmark.yes\n# Is it one?\n_target_: my_evals.benchmarks.Yes\n# How many.\nsamples: 2\n"
    ),
    "my_evals/conf/experiment/loud.yaml": (
        "# @package _global_\n# One loud sample.\ndefaults:\n  - override /method: [shouted]\n"
        "limit: 1\nbenchmark:\n  sniah:\n    lengths: [512]\n"
    ),
    "my_evals-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: my-evals\nVersion: 1.0\n",
    "my_evals-1.0.dist-info/entry_points.txt": (
        "[rlm_eval.conf]\nmy_evals = my_evals.conf\ngone = package_that_is_gone.conf\n"
    ),
}


@pytest.fixture
def program(tmp_path, forks):
    """Run rlm-eval in an empty folder, where a package of somebody else's is installed."""
    installed = tmp_path / "installed"
    for name, text in FILES.items():
        path = installed / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "script.jsonl").write_text(json.dumps({"match": "", "reply": "said"}) + "\n")

    def run(*words, **environment):
        environment = {**os.environ, "PYTHONPATH": str(installed), **environment}
        return forks.run(forks.RLM_EVAL, *words, cwd=tmp_path, env=environment)

    return run


SCRIPTED = ("model=scripted", "model.script=script.jsonl")


def test_choices_of_other_packages_are_listed_and_ours_come_first(program):
    listed = program("list")
    lines = [" ".join(line.split()) for line in listed.stdout.splitlines()]
    assert "shouted The base model, shouting." in lines and "loud One loud sample." in lines
    assert "Not ours." not in listed.stdout
    assert listed.stderr.count("entry point gone of rlm_eval.conf is 'package_that_is_gone.conf'") == 1


def test_a_method_and_an_experiment_of_another_package_run(program, tmp_path):
    done = program("run", "+experiment=loud", *SCRIPTED, "run_dir=done", "method.shouted.mark=?")
    assert done.returncode == 0, done.stderr
    import pandas as pd

    rows = pd.read_parquet(tmp_path / "done" / "samples.parquet")
    assert rows["prediction"].tolist() == ["SAID?"] and rows["method"].tolist() == ["shouted"]


def test_a_benchmark_and_a_model_of_another_package_run(program, tmp_path):
    words = (
        "benchmark=[yes]",
        "method=[base,oracle,floor]",
        "model=constant",
        "run_dir=done",
        "benchmark.yes.samples=3",
    )
    done = program("run", *words)
    assert done.returncode == 0, done.stderr
    import pandas as pd

    rows = pd.read_parquet(tmp_path / "done" / "samples.parquet")
    assert rows.groupby("method")["score"].agg(list).to_dict() == {
        "base": [1.0] * 3, "floor": [0.0] * 3, "oracle": [1.0] * 3,
    }  # fmt: skip
    assert set(rows["model"].dropna()) == {"constant"}
    # A second time nothing is asked again.
    assert program("run", *words).returncode == 0
    listed = program("data", "yes", "--targets", "limit=1").stdout
    assert json.loads(listed)["target"] == "yes"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("+model.endpoint.base_url=x",), "model.endpoint: expected root, sub, compactor"),
        (("model.root._target_=my_evals.models.Constent",), "model.root._target_ is 'my_evals.models.Constent'"),
        (("model.root.name=5",), "model.root.name is 5: expected a string"),
        (("+model.root.sayd=no",), "did you mean 'model.root.said'?"),
        (("++model.sub.name=5",), "model.sub has no _target_"),
    ],
)
def test_what_is_wrong_in_a_model_of_another_package_is_told(program, words, told):
    done = program("run", "benchmark=[yes]", "method=[base]", "model=constant", *words)
    assert done.returncode == 2
    assert told in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("benchmark.sniah.lenghts=[512]", "did you mean 'benchmark.sniah.lengths'?"),
        ("method.rlm.max_dept=2", "did you mean 'method.rlm.max_depth'?"),
        ("model.latencys=1", "did you mean 'model.latency_s'?"),
        ("method.shouted.marks=2", "did you mean 'method.shouted.mark'?"),
        ("limits.max_cost=1", "did you mean 'limits.max_cost_usd'?"),
        ("server.prot=1", "did you mean 'server.port'?"),
        ("method=[shoutd]", "there is no method 'shoutd'; did you mean 'shouted'?"),
        ("benchmark=[oolongs]", "did you mean 'oolong'?"),
        ("+experiment=lound", "did you mean 'loud'?"),
        ("judge=gpt4", "did you mean 'gpt_4_1'?"),
    ],
)
def test_a_slip_in_a_key_or_a_choice_names_the_nearest_good_one(program, word, told):
    first = ["method=[rlm,shouted]"] if not word.startswith("method=") else []
    done = program("run", *first, *SCRIPTED, word)
    assert done.returncode == 2
    assert told in done.stderr.splitlines()[-1]


def test_hydras_flags_do_what_they_do_elsewhere(program):
    shown = program("run", "--cfg", "job", "limit=3", *SCRIPTED)
    assert shown.returncode == 0 and "\nlimit: 3\n" in shown.stdout
    assert program("run", "--cfg", "job", "-p", "limits", *SCRIPTED).stdout.startswith("# @package limits\n")
    assert "method: agent_cli, base," in program("run", "--help").stdout
    assert "--multirun" in program("run", "--hydra-help").stdout
    assert "my_evals" in program("run", "--info", "searchpath").stdout


def test_a_sweep_makes_a_run_of_each_combination(program, tmp_path):
    done = program("run", "-m", "+experiment=loud", *SCRIPTED, "seed=1,2", "model.latency_s=0")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("run: ") == 2
    assert len(list((tmp_path / "results" / "runs").iterdir())) == 2


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("rlm-eval ru", "run"),
        ("rlm-eval run meth", "method="),
        ("rlm-eval run model=scr", "model=scripted"),
        ("rlm-eval serve server.po", "server.port="),
        ("rlm-eval run +experiment=lo", "+experiment=loud"),
        ("rlm-eval report ", ""),
    ],
)
def test_the_shell_completes_commands_keys_and_choices(program, line, offered):
    done = program("-sc", "query=bash", COMP_LINE=line)
    assert done.returncode == 0, done.stderr
    assert offered in done.stdout.split() if offered else not done.stdout.split()


@pytest.mark.parametrize("words", [("-sc", "install=bash"), ("run", "-sc", "install=bash")])
def test_completion_in_a_real_shell(program, words):
    script = program(*words).stdout
    asked = f"""{script}
COMP_LINE="rlm-eval run model=scr" COMP_POINT=22 COMP_CWORD=2
hydra_bash_completion
echo "offered: ${{COMPREPLY[@]}}"
"""
    path = f"{PROGRAM.parent}:{os.environ['PATH']}"
    done = subprocess.run(["bash", "-c", asked], capture_output=True, text=True, env={**os.environ, "PATH": path})
    assert done.stdout.splitlines()[-1] == "offered: model=scripted", done.stderr
