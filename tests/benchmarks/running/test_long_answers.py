"""An answer of any size is scored and stored within bounds, and is complete beside the trajectory."""

import gzip
import json

import pandas as pd

from benchmarks import sample
from benchmarks.config.compose import compose
from benchmarks.running import harness
from benchmarks.running.run import run
from benchmarks.running.run_files import read_trajectory


def test_a_long_answer_is_cut_in_its_row_and_complete_in_its_file(in_folder, monkeypatch):
    for module in (sample, harness):
        monkeypatch.setattr(module, "LONGEST_ANSWER", 1000)
    long = "\0\ud800x" * 1000
    (in_folder / "script.jsonl").write_text(json.dumps({"match": "", "reply": long}))
    outcome = run(compose([
        "benchmark=[sniah]", "benchmark.sniah.lengths=[512]", "limit=1", "method=[base]", "model=scripted",
        "model.script=script.jsonl", "run_dir=run",
    ]))  # fmt: skip
    assert outcome.state == "finished"
    (row,) = pd.read_parquet(outcome.path / "samples.parquet").to_dict("records")
    assert row["answer_cut"] and len(row["prediction"]) == 1000
    file = outcome.path / row["trajectory"].replace(".jsonl.gz", ".answer.txt.gz")
    assert gzip.decompress(file.read_bytes()).decode("utf-8", "surrogatepass").strip() == long.strip()
    assert read_trajectory(outcome.path, row["trajectory"])[-1]["kind"] == "answer"
