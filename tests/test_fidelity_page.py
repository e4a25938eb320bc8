"""docs/fidelity.md names keys and choices that exist."""

import re
from pathlib import Path

from benchmarks.config.compose import compose
from benchmarks.config.identity import flat
from rlm.methods.base import BaseBm25
from rlm.methods.codeact import CodeAct
from rlm.methods.combinators import RLMCombinators
from rlm.methods.reference import Reference
from rlm.methods.rlm import RLMCompacted
from rlm.methods.selfconsistency import RLMSelfConsistency
from rlm.validation import setting_types

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "fidelity.md").read_text(encoding="utf-8")
METHODS = [
    "base", "base_bm25", "codeact_bm25", "codeact_subcalls", "compaction", "map_reduce", "opencode", "opencode_offload",
    "rlm",
]  # fmt: skip
SUITES = ["sniah", "oolong", "oolong_pairs", "browsecomp_plus", "codeqa"]


def named_keys() -> list[str]:
    """The names in backticks in the last column of each table whose last column is `key`."""
    rows = [line.strip("| ").split(" | ") for line in PAGE.splitlines() if line.startswith("|")]
    cells = [line.rstrip("| ").rpartition("|")[2] for line in PAGE.splitlines() if re.match(r"\|.*`[^|]*\|$", line)]
    assert len(rows) > 60
    return [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]


def test_every_key_and_choice_of_the_page_exists() -> None:
    config = compose([f"benchmark=[{','.join(SUITES)}]", f"method=[{','.join(METHODS)}]", "model=openai"]).plain
    known = set(flat(config)) | {"repl", "limits.max_turns", "limits.max_tokens"}
    # The package needs an environment of its own.
    known |= {f"method.reference_rlms.{name}" for name in setting_types(Reference)}
    kinds = RLMCompacted, RLMSelfConsistency, RLMCombinators, CodeAct, BaseBm25
    of_methods = {name for kind in kinds for name in setting_types(kind)}
    of_suites = {key.rpartition(".")[2] for key in known if key.startswith("benchmark.")}
    found = named_keys()
    assert len(found) > 40
    for name in found:
        if "=" in name:
            group, _, choice = name.partition("=")
            if group in ("model", "judge"):
                assert (ROOT / "conf" / group / f"{choice}.yaml").is_file(), name
            else:
                assert group in known, name
        elif name.endswith("_official"):
            assert (ROOT / "conf" / "judge" / f"{name}.yaml").is_file(), name
        else:
            assert name in known or name in of_methods or name in of_suites, name


def test_the_options_of_the_authors_are_all_on_the_page() -> None:
    presets = [(ROOT / "conf" / "paper" / name).read_text(encoding="utf-8") for name in ("rlm.yaml", "bm25.yaml")]
    options = {match for text in presets for match in re.findall(r"^(\w+):", text, re.MULTILINE)}
    assert options and options <= set(named_keys())


def test_every_arm_and_suite_is_on_the_page() -> None:
    text = re.sub(r"(?ms)^```.*?^```$", "", PAGE)
    named = set(re.findall(r"`([^`\n]+)`", text))
    arms = {path.stem for path in (ROOT / "conf" / "method").glob("*.yaml")}
    assert arms - named == set()
    titles = ("OOLONG:", "OOLONG-Pairs:", "BrowseComp-Plus:", "CodeQA:", "S-NIAH:")
    assert all(f"| {title}" in PAGE for title in titles)
    suites = {path.stem for path in (ROOT / "conf" / "benchmark").glob("*.yaml")}
    assert suites - named - set(SUITES) == set()
