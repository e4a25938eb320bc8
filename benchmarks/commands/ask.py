"""`rlm-eval ask`: one question over files, folders or standard input, with any method and model."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.commands.parser import Parser
from benchmarks.config.errors import ConfigError
from benchmarks.config.outside_runs import compose_outside_runs
from benchmarks.config.schema import RunConfig
from rlm.documents import decode, headed, read_file, read_folder
from rlm.terminal import counted, printable, unguarded
from rlm.trajectory import Event

SHOWN_CHARS = 600
# A session gets at least this multiple of the context's size as memory, because its code splits the context.
MEMORY_SHARE = 3


def main(argv: Sequence[str]) -> int:
    """Print the answer; print turns, cost and the trajectory's path on standard error. Raises ConfigError."""
    parser = Parser(
        prog="rlm-eval ask",
        description="Ask one question over files, folders or standard input (-).",
        epilog="Arguments with an = that are not files are configuration, as for `rlm-eval run`: method=[rlm] "
        "model=openai limits.max_cost_usd=0.5",
    )
    parser.add_argument("question", metavar="QUESTION", help="the question, in quotes")
    parser.add_argument("paths", nargs="+", metavar="PATH", help="a file, a folder, or - for standard input")
    parser.add_argument("--quiet", action="store_true", help="print only the answer")
    parser.add_argument("--save", type=Path, help="new file of the trajectory (default: results/asks/TIME.jsonl.gz)")
    words = parser.parse_intermixed_args(argv)
    overrides = [word for word in words.paths if "=" in word and not _exists(word)]
    paths = [word for word in words.paths if word not in overrides]
    if not paths:
        raise ConfigError("ask needs at least one PATH: a file, a folder, or - for standard input")
    if not words.question.strip():
        raise ConfigError("QUESTION is empty: expected a question over the files")
    config = compose_outside_runs(overrides)
    if len(config.method) != 1:
        raise ConfigError(f"method is {list(config.method)}: expected one method, such as method=[rlm]")
    context = read_context(paths, quiet=words.quiet)
    if not any(word.startswith("repl.memory_bytes=") for word in overrides):
        memory = max(config.repl.memory_bytes, MEMORY_SHARE * _size(context))
        config = replace(config, repl=replace(config.repl, memory_bytes=memory))
    # This fails before any call is paid for.
    live = Live(words.save, quiet=words.quiet)
    return asyncio.run(_ask(config, context, words.question, live))


async def _ask(config: RunConfig, context: str | list[str], question: str, live: Live) -> int:
    from benchmarks.config.methods import build_methods
    from benchmarks.running.model_set import ModelSet
    from rlm.completion import one_line
    from rlm.methods.method import Method
    from rlm.models.chat import FatalModelError

    models = ModelSet(config, None)
    try:
        (method,) = build_methods(config, models.roles()).values()
        if not isinstance(method, Method):
            raise ConfigError("method: reference rows cannot answer questions; choose a method")
        result = await method.acompletion(context, question, on_event=live)
    except FatalModelError as error:
        raise ConfigError(one_line(error)) from error
    finally:
        await models.aclose()
        live.close()
    usage = result.usage
    live.tell(
        f"{result.stop_reason}, {counted(usage.root_calls, 'root call')}, {counted(usage.sub_calls, 'sub-call')}, "
        f"{counted(usage.tokens.total, 'token')}, ${usage.cost.usd:.4f} ({usage.cost.state}), {result.wall_s:.1f} s"
    )
    if result.answer is None:
        _print_line(f"rlm-eval: no answer: {result.error or result.stop_reason}")
        return 1
    if sys.stdout.isatty():
        print(printable(result.answer))
    else:
        # A file or another program gets the answer verbatim.
        print(_encodable(result.answer), file=unguarded(sys.stdout))
    return 0


class Live:
    """Writes the events of a completion to a new file as they happen, so that a kill loses none, and prints them."""

    def __init__(self, path: Path | None, *, quiet: bool) -> None:
        """path: None takes a new name below results/asks.

        Raises ConfigError if the file exists or cannot be written.
        """
        self._quiet = quiet
        self._usd = 0.0
        self._empty = True
        self._path = path or _free_name(Path("results") / "asks")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = gzip.open(self._path, "xt", encoding="utf-8")  # noqa: SIM115
        except OSError as error:
            taken = isinstance(error, FileExistsError) and self._path.exists()
            why = "exists: name a new file" if taken else f"cannot be written: {error.strerror or error}"
            raise ConfigError(f"--save {self._path} {why}") from error

    def __call__(self, event: Event) -> None:
        self._usd += event.get("cost_usd") or 0.0
        self._keep(json.dumps(event, default=str))
        if not self._quiet:
            self._show(event)

    def close(self) -> None:
        """Print the path of the events. Without any event, there is no file."""
        with contextlib.suppress(OSError):
            self._file.close()
        if self._empty:
            self._path.unlink(missing_ok=True)
        else:
            self.tell(f"trajectory: {self._path}")

    def tell(self, text: str) -> None:
        if not self._quiet:
            _print_line(text)

    def _keep(self, line: str) -> None:
        self._empty = False
        try:
            self._file.write(line + "\n")
            self._file.flush()
        except (OSError, ValueError) as error:
            # A full disk must not prevent the answer.
            if not self._file.closed:
                _print_line(f"rlm-eval: {self._path} can no longer be written: {error}")
                with contextlib.suppress(OSError):
                    self._file.close()

    def _show(self, event: Event) -> None:
        indent = "  " * event["depth"]
        head = f"{indent}[{event['at']:.1f} s, ${self._usd:.4f}]"
        match event["kind"]:
            case "call" if event["role"] == "root":
                said = event["reply"] or event["error"] or ""
                _print_line(f"{head} {event['model']}:\n{_indented(said, indent)}")
            case "call":
                failed = f", failed: {event['error']}" if event["error"] else ""
                _print_line(f"{head} {event['role']}: {counted(event['prompt_tokens'], 'token')}{failed}")
            case "cell":
                _print_line(f"{head} output:\n{_indented(event.get('stdout') or event.get('error') or '', indent)}")
            case "limit" | "notice":
                _print_line(f"{indent}{event['kind']}: {event.get('reason') or event.get('text')}")


def _exists(word: str) -> bool:
    try:
        return Path(word).exists()
    except OSError:
        # A long setting is no name of a file.
        return False


def read_context(paths: Sequence[str], *, quiet: bool) -> str | list[str]:
    """Return the text of one file; for several files or a folder, a document per file that begins with its name.

    Raises UnreadablePath, and ConfigError if there is no text.
    """
    if len(paths) == 1 and not Path(paths[0]).is_dir():
        context: str | list[str] = _standard_input() if paths[0] == "-" else read_file(Path(paths[0]))
    else:
        context = [headed(name, text) for name, text in _documents(paths, quiet=quiet)]
    if not context:
        raise ConfigError(f"there is no text in {', '.join(paths)}")
    return context


def _documents(paths: Sequence[str], *, quiet: bool) -> Iterator[tuple[str, str]]:
    for name in paths:
        path = Path(name)
        if name == "-":
            yield "standard input", _standard_input()
        elif path.is_dir():
            for file, text in read_folder(path, None if quiet else _tell_skipped):
                # With several folders, a bare file name may occur twice.
                yield str(file if len(paths) > 1 else file.relative_to(path)), text
        else:
            yield name, read_file(path)


def _standard_input() -> str:
    if sys.stdin is None:
        raise ConfigError("standard input is closed")
    text = decode(sys.stdin.buffer.read())
    if text is None:
        raise ConfigError("standard input is not text")
    return text


def _size(context: str | list[str]) -> int:
    """Return the bytes that a context takes in memory."""
    return sum(map(sys.getsizeof, [context] if isinstance(context, str) else context))


def _free_name(folder: Path) -> Path:
    stem, number = time.strftime("%Y-%m-%d_%H-%M-%S"), 1
    while (path := folder / f"{stem}{f'_{number}' if number > 1 else ''}.jsonl.gz").exists():
        number += 1
    return path


def _tell_skipped(path: Path, why: str) -> None:
    _print_line(f"skipped, {why}: {path}")


def _indented(text: str, indent: str) -> str:
    cut = text if len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]} ... ({len(text):,} characters)"
    return "\n".join(f"{indent}  {line}" for line in cut.splitlines())


def _print_line(text: str) -> None:
    print(printable(text), file=sys.stderr, flush=True)


def _encodable(text: str) -> str:
    """Replace characters that the encoding of standard output lacks by question marks."""
    encoding = sys.stdout.encoding or "utf-8"
    return text.encode(encoding, "replace").decode(encoding)
