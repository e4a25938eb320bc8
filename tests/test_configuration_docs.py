"""docs/configuration.md is what conf/ says, and conf/ has a sentence for every key."""

import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / "scripts" / "configuration_docs.py"


@pytest.fixture
def docs():
    spec = importlib.util.spec_from_file_location("configuration_docs", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_up_to_date_and_every_key_has_a_description(docs, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", [str(SCRIPT), "--check"])
    code = docs.main()
    assert (code, capsys.readouterr().out) == (0, "docs/configuration.md is up to date\n")


def test_an_outdated_page_and_a_key_without_a_description_are_reported(docs, monkeypatch, capsys, tmp_path):
    conf = tmp_path / "conf"
    (conf / "method").mkdir(parents=True)
    (conf / "config.yaml").write_text("# All.\n# Told.\na: 1\nb: 2\nc:\n  # Told.\n  d:\n  - 3\n  - 4\n")
    monkeypatch.setattr(docs, "ROOT", tmp_path)
    monkeypatch.setattr(docs, "OUT", tmp_path / "configuration.md")
    monkeypatch.setattr("sys.argv", [str(SCRIPT), "--check"])
    assert docs.main() == 1
    assert capsys.readouterr().out.splitlines()[1:] == ["no description: conf/config.yaml: b"]
    monkeypatch.setattr("sys.argv", [str(SCRIPT)])
    assert docs.main() == 0
    assert "| `c.d` | `[3, 4]` | Told. |" in (tmp_path / "configuration.md").read_text()


def test_the_head_of_a_file_is_no_comment_of_its_first_key(docs):
    lines = ["# @package method.rlm", "# About the file.", "# About the key.", "prompt: a"]
    assert list(docs._keys(lines)) == [("prompt", "a", "About the key.")]
