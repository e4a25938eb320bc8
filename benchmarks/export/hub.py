"""Exports a run as a data set folder for `datasets` and the hub: samples and calls as parquet, and a card."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from benchmarks.export.tables import RunTables, empty_folder, read_run
from benchmarks.report.about import NOTES
from benchmarks.report.runs import load_runs
from benchmarks.report.tables.formats import markdown, markdown_cell
from benchmarks.report.tables.scores import scores_display, scores_table
from benchmarks.sources.protect import PREFIX

_CARD = """---
pretty_name: {quoted}
configs:
{configs}tags:
- recursive-language-models
- evaluation
---

# {title}

Results of the run `{name}` of rlm-eval{state}. `samples` has a row for each benchmark, method, model, sample and epoch,
`calls` one for each model call. run.json has the configuration, data revisions, prompt hashes and prices.

```python
from datasets import load_dataset

samples = load_dataset("{folder}", "samples", split="train")
```

{scores}
{protected}"""
_DEFAULT = "  default: true\n"
_PROTECTED = """
## Protected benchmarks

Texts of {names} begin with `{prefix}` and are encoded, as the authors of the data set ask: do not publish them as
plain text. `benchmarks.sources.protect.unseal` of rlm-eval decodes them.
"""


def export_hub(path: Path, out: Path) -> list[Path]:
    """Write the data set folder of a run, and return its files. Raises ConfigError.

    Texts of protected benchmarks stay sealed.
    """
    run = read_run(path)
    empty_folder(out)
    tables = [name for name in ("samples", "calls") if (path / f"{name}.parquet").is_file()]
    for name in tables:
        shutil.copyfile(path / f"{name}.parquet", out / f"{name}.parquet")
    (out / "run.json").write_text(json.dumps(run.manifest, indent=2, default=str) + "\n", encoding="utf-8")
    (out / "README.md").write_text(_card(run, tables, out.name), encoding="utf-8")
    return [out / "README.md", *(out / f"{name}.parquet" for name in tables), out / "run.json"]


def _card(run: RunTables, tables: list[str], folder: str) -> str:
    name = str(run.manifest.get("name") or run.path.name)
    state = run.manifest.get("state")
    configs = "".join(
        f"- config_name: {table}\n  data_files: {table}.parquet\n{_DEFAULT if table == 'samples' else ''}"
        for table in tables
    )
    sealed = sorted(set(run.samples.loc[run.samples["protected"].fillna(False).astype(bool), "benchmark"]))
    return _CARD.format(
        title=markdown_cell(f"rlm-eval run {name}"),
        # A JSON string is also a valid YAML string.
        quoted=json.dumps(f"rlm-eval run {name}"),
        name=markdown_cell(name).replace("`", "'"),
        configs=configs,
        state="" if state == "finished" else f" ({state}, not finished)",
        folder=folder,
        scores=NOTES["scores"] + markdown(scores_display(scores_table(load_runs([run.path]).samples))),
        protected=_PROTECTED.format(names=", ".join(sealed), prefix=PREFIX) if sealed else "",
    )
