"""The documentation is true: its commands run or, where they need more, can be composed; its output is real.

A comment before a fenced block of README.md, CONTRIBUTING.md or docs/*.md determines how it is tested:

- `<!-- run -->`: run in a folder of the page, after the blocks before it. Commands of model=openai and openai/NAME
  reach a scripted server on loopback. `<!-- run: exit 1 -->`: the last command ends with that code.
  `rlm-eval serve` runs until the end of the page on a free port, which replaces 8321 in later blocks.
- `<!-- not run: WHY -->`: every `rlm-eval` command in it is composed and its options are looked up.
- `<!-- file: NAME -->`: written to the folder of the page under that name.
- `<!-- copy of: PATH -->`: the exact text of a file of the checkout.
- `<!-- output -->`: lines that the block before it prints, in this order; `...` stands for any text.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.cli import COMMANDS, main
from benchmarks.config.compose import compose

pytestmark = pytest.mark.long
ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
RUNNABLE = ("bash", "sh", "shell", "console", "python")
MARKS = ("run", "not run", "file", "copy of", "output")

_BLOCK = re.compile(
    r"^(?:<!-- (?P<mark>[a-z ]+?)(?:: (?P<argument>[^\n]*?))? -->\n+)?```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
# Anything but plain commands of rlm-eval, which need no shell.
_SHELL = re.compile(r"[|<>&;$`*]|^\s*(?!rlm-eval )\S", re.MULTILINE)
_OF_THE_SHELL = re.compile(r"[|<>&;)]|\d>")
_PORT = re.compile(r"listening: http://127\.0\.0\.1:(\d+)")
_SHOWN_PORT = "8321"

# Files that readers have.
OWN_FILES = {
    "book.txt": "It was night. The keeper of the key is: Ada. " * 50,
    "logs/api.log": "Failed first is: auth.\n",
}


@dataclass(frozen=True)
class Block:
    """A fenced block of a page: its mark, its language, its text and its line."""

    mark: str
    argument: str
    language: str
    text: str
    line: int


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            found["mark"] or "", found["argument"] or "", found["language"], found["text"],
            text.count("\n", 0, found.start()) + 1,
        )
        for found in _BLOCK.finditer(text)
    ]  # fmt: skip


def commands_of(text: str) -> list[list[str]]:
    """The words of each `rlm-eval` command of a block, without redirections and pipes."""
    found = []
    for line in _joined(text).splitlines():
        words = shlex.split(line, comments=True)
        start = next((place for place, word in enumerate(words) if word.rsplit("/", 1)[-1] == "rlm-eval"), None)
        if start is not None:
            stop = next((i for i in range(start, len(words)) if _OF_THE_SHELL.match(words[i])), len(words))
            found.append(words[start + 1 : stop])
    return found


def _joined(text: str) -> str:
    return text.replace("\\\n", " ")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_block_that_could_run_says_whether_it_does(page):
    for block in blocks_of(page):
        assert block.mark in ("", *MARKS), f"{page.name} line {block.line}: {block.mark!r} is an unknown mark"
        if block.language in RUNNABLE:
            assert block.mark in MARKS, f"{page.name} line {block.line}: expected <!-- run --> or <!-- not run: WHY -->"
        if block.mark in ("not run", "file", "copy of"):
            assert block.argument, f"{page.name} line {block.line}: {block.mark} needs a reason or a path"
        if block.mark == "copy of":
            assert block.text == (ROOT / block.argument).read_text(encoding="utf-8"), f"{block.argument} has changed"


@pytest.fixture
def own_servers(json_servers, monkeypatch):
    """Servers that report their models, as those of a reader do."""
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", "https://name.openai.azure.com")
    with contextlib.ExitStack() as stack:
        for variable, table in (("VLLM_BASE_URL", json_servers.VLLM), ("OLLAMA_BASE_URL", json_servers.OLLAMA)):
            server = stack.enter_context(json_servers.json_server(table))
            monkeypatch.setenv(variable, server.base_url)
        yield


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_that_do_not_run_here_can_be_composed(page, monkeypatch, own_servers):
    monkeypatch.chdir(ROOT)
    # The pages' servers, which report their models and windows.
    monkeypatch.setattr(
        "rlm.models.served.served_models", lambda endpoint: [SimpleNamespace(name="m", context_window=32768)]
    )
    monkeypatch.setattr("rlm.models.served.served_window", lambda endpoint, name: 32768)
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", "https://name.openai.azure.com")
    for block in blocks_of(page):
        if block.mark != "not run" or block.language == "python":
            continue
        for words in commands_of(block.text):
            told = f"{page.name} line {block.line}: rlm-eval {shlex.join(words)}"
            command, rest = words[0], words[1:]
            assert command in COMMANDS, told
            flags = {word.partition("=")[0] for word in rest if word.startswith("--")}
            assert flags <= flags_of(command), f"{told}: no such option"
            overrides = [once(word) for word in rest if is_override(word)]
            if command in ("data", "score"):
                overrides = [f"benchmark=[{rest[0]}]", *overrides]
            if overrides and not any("searchpath" in word for word in rest):
                compose(overrides)


def test_links_and_pages_named_in_the_code_lead_somewhere():
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        links = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", re.sub(r"`[^`\n]*`", "", text))
        assert [link for link in links if not (page.parent / link).exists()] == [], page.name
        paths = re.findall(r"`((?:scripts|rlm|benchmarks|conf|tests|docs)/[\w./-]*)`", text)
        assert [path for path in paths if "NAME" not in path and not (ROOT / path).exists()] == [], page.name
    for file in (file for folder in ("rlm", "benchmarks", "conf", "scripts") for file in (ROOT / folder).rglob("*")):
        if file.is_file() and file.suffix in (".py", ".yaml", ".md", ""):
            named = re.findall(r"\bdocs/[\w-]+\.md", file.read_text(encoding="utf-8", errors="ignore"))
            assert [page for page in named if not (ROOT / page).is_file()] == [], file


def test_the_picture_of_the_rooms_names_every_room():
    text = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    for package in ("benchmarks", "rlm"):
        picture = re.search(rf"^ {package}/\n((?: [+|].*\n)+)", text, re.MULTILINE)[1]
        rooms = {path.stem for path in (ROOT / package).iterdir() if path.is_dir() or path.suffix == ".py"}
        assert rooms - {"__init__", "__pycache__"} - set(re.findall(r"\w+", picture)) == set()


def is_override(word: str) -> bool:
    return re.match(r"[+~]?[\w./@]+=", word) is not None and not word.startswith("hydra")


def once(word: str) -> str:
    """One value of a sweep."""
    key, _, value = word.partition("=")
    return word if value[:1] in "[{'\"" else f"{key}={value.split(',')[0]}"


def flags_of(command: str) -> set[str]:
    if command == "run":
        return {"--help", "--cfg", "--multirun", "--config-dir", "--yes"}
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
        main([command, "--help"])
    return set(re.findall(r"--[\w-]+", said.getvalue()))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_blocks_of_a_page_run_and_print_what_it_shows(page, tmp_path, monkeypatch, scripted_endpoint, forks):
    monkeypatch.chdir(tmp_path)
    # The command of an installation, which tests/test_wheel.py runs, takes a second longer to begin.
    command = forks.command("rlm-eval", forks.RLM_EVAL)
    folders = [str(command), str(Path(sys.executable).parent), os.environ["PATH"]]
    monkeypatch.setenv("PATH", os.pathsep.join(folders))
    monkeypatch.setenv("OPENAI_BASE_URL", scripted_endpoint)
    monkeypatch.setenv("OPENAI_API_KEY", "for-tests")
    # Tables are as wide as the terminal, which the pages take to have 100 columns.
    monkeypatch.setenv("COLUMNS", "100")
    for name, text in OWN_FILES.items():
        write(Path(name), text)
    with Reader() as reader:
        for block in blocks_of(page):
            try:
                reader.take(block)
            except Exception as error:
                raise AssertionError(f"{page.name} line {block.line}: {error}") from error


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


class Reader:
    """Follows a page as a reader would: keeps files, variables, servers and the last output."""

    def __init__(self) -> None:
        self.variables: dict[str, Any] = {"__name__": "__main__"}
        self.printed = ""
        self.port = _SHOWN_PORT
        self.servers: list[subprocess.Popen] = []

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        for server in self.servers:
            server.terminate()
            server.wait(20)
            server.stdout.close()

    def take(self, block: Block) -> None:
        text = block.text.replace(_SHOWN_PORT, self.port)
        if block.mark == "file":
            write(Path(block.argument), text)
        elif block.mark == "output":
            check_output(text, self.printed)
        elif block.mark == "run" and block.language == "python":
            self.printed = self.execute(text)
        elif block.mark == "run":
            wanted = int(block.argument.removeprefix("exit ") or 0)
            plain = not _SHELL.search(_joined(text))
            self.printed = self.call(commands_of(text), wanted) if plain else self.shell(text, wanted)

    def call(self, commands: list[list[str]], wanted: int) -> str:
        """Run commands of rlm-eval in this process, which is fast; the last must end with the expected code."""
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            for place, words in enumerate(commands, 1):
                code = self.serve(words) if words[0] == "serve" else main(words)
                told = f"rlm-eval {shlex.join(words)} ended with {code}"
                assert code == (wanted if place == len(commands) else 0), told
        return said.getvalue()

    def shell(self, text: str, wanted: int) -> str:
        done = subprocess.run(["bash", "-euo", "pipefail", "-c", text], capture_output=True, text=True, timeout=120)
        assert done.returncode == wanted, f"ended with {done.returncode}: {done.stderr[-500:]}"
        return done.stdout

    def execute(self, text: str) -> str:
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            exec(compile(text, "<page>", "exec"), self.variables)
        return said.getvalue()

    def serve(self, words: list[str]) -> int:
        server = subprocess.Popen(["rlm-eval", *words, "server.port=0"], stdout=subprocess.PIPE, text=True)
        self.servers.append(server)
        found = _PORT.match(server.stdout.readline())
        assert found, f"rlm-eval {shlex.join(words)} did not listen"
        self.port = found[1]
        print(found[0])
        return 0


def check_output(shown: str, printed: str) -> None:
    """Check that the shown lines were printed one after the other, except where a line `...` stands between them.

    Runs of spaces and of dashes count as one, since columns of a table may grow.
    """
    parts = [part.strip("\n") for part in re.split(r"^\.\.\.$", _narrow(shown), flags=re.MULTILINE)]
    wanted = r"[\s\S]*".join(_lines(part) for part in parts)
    assert re.search(wanted, _narrow(printed)), f"shown:\n{shown}\nprinted:\n{printed[-3000:]}"


def _narrow(text: str) -> str:
    return re.sub(r"-{3,}:?", "---", re.sub(r"[ \t]+", " ", text))


def _lines(part: str) -> str:
    return "\n".join(".*".join(map(re.escape, line.rstrip().split("..."))) + " *" for line in part.splitlines())


@pytest.fixture(scope="module")
def scripted_endpoint(fake_openai) -> Iterator[str]:
    """Address of a server that answers like a model that finds the words after `is:`."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    server = fake_openai.FakeOpenAI(reply=reply)
    asyncio.run_coroutine_threadsafe(server.__aenter__(), loop).result(20)
    yield server.base_url
    asyncio.run_coroutine_threadsafe(server.__aexit__(), loop).result(20)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(20)
    loop.close()


LOOK = """I look for it.
```repl
import re
text = context if isinstance(context, str) else "\\n".join(context)
found = re.findall(r"is: ([\\w-]+)[.]", text)
note = llm_query("In one word, what is this about? " + text[:200])
answer = found[-1] if found else "nothing"
print(answer)
```"""


def reply(body: Mapping[str, Any]) -> str:
    """A verdict for a judge, code if there is a REPL and its result in the next turn, else the word after `is:`."""
    messages = body["messages"]
    if "extracted_final_answer:" in str(messages[-1]["content"]):
        return verdict(body["model"], str(messages[-1]["content"]))
    if "```repl" in str(messages[0]["content"]):
        return "FINAL_VAR(answer)" if "REPL output" in str(messages[-1]["content"]) else LOOK
    found = re.findall(r"is: ([\w-]+)[.]", "\n".join(str(message["content"]) for message in messages))
    return found[-1] if found else "nothing"


def verdict(judge: str, text: str) -> str:
    """GPT-4.1 ignores case and punctuation of an answer; every other judge does not."""
    texts = [re.findall(rf"<{tag}>\n(.*?)\n</{tag}>", text, re.DOTALL)[0] for tag in ("correct_answer", "response")]
    if judge == "gpt-4.1":
        texts = [re.sub(r"\W", "", one).lower() for one in texts]
    return f"extracted_final_answer: {texts[1]}\ncorrect: {'yes' if texts[0] == texts[1] else 'no'}\nconfidence: 90"
