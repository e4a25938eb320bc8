"""`rlm-eval ask`: questions over files, folders and standard input, asked of scripted models and a real session."""

import errno
import gzip
import io
import json
import os
import pty
import signal
import subprocess
import sys
import tracemalloc
import zlib
from pathlib import Path

import pytest

from benchmarks.cli import main
from benchmarks.commands.ask import read_context

LOOK = "```repl\nprint(type(context).__name__, len(context), str(context)[:200])\n```"
PROGRAM = Path(sys.executable).with_name("rlm-eval")


@pytest.fixture
def ask(tmp_path, monkeypatch, capsys):
    """Ask with a root that looks at its context and then gives `reply`; exit code, standard output and error."""
    monkeypatch.chdir(tmp_path)

    def run(*words, reply="FINAL(4711)", question="Which number?"):
        rules = [{"match": "Which number", "reply": LOOK, "times": 1}, {"match": "", "reply": reply}]
        (tmp_path / ".script").write_text("".join(json.dumps(rule) + "\n" for rule in rules))
        code = main(["ask", question, *words, "model=scripted", "model.script=.script"])
        return (code, *capsys.readouterr())

    return run


def write(folder, **files):
    for name, content in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


def test_a_file_is_the_context_and_only_the_answer_is_printed(ask, tmp_path):
    write(tmp_path, book="The number is 4711.")
    code, out, err = ask("book")
    assert (code, out) == (0, "4711\n")
    assert "str 19 The number is 4711." in err
    assert "answer, 2 root calls, 0 sub-calls" in err and "$0.0000 (free)" in err


def test_a_folder_is_a_document_for_each_text_file_and_the_rest_is_told(ask, tmp_path):
    write(tmp_path, src__b="two", src__a="one", src__sub__c="three", src__x=b"\0\1", src___git="not skipped")
    write(tmp_path, **{"src__.git__config": "no", "src__node_modules__m": "no"})
    (tmp_path / "src" / "link").symlink_to(tmp_path / "src" / "a")
    (tmp_path / "src" / "round").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "src" / "fifo")
    _, _, err = ask("src")
    assert "list 4 ['File: _git\\n\\nnot skipped', 'File: a\\n\\none'" in err
    assert "skipped, not text: src/x" in err
    assert "skipped, a symbolic link: src/link" in err and "skipped, a symbolic link: src/round" in err
    assert "skipped, not a file: src/fifo" in err


def test_files_folders_and_standard_input_go_together(ask, tmp_path, monkeypatch):
    write(tmp_path, a="one", f__b="two")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"three")))
    _, _, err = ask("a", "f", "-")
    assert "['File: a\\n\\none', 'File: f/b\\n\\ntwo', 'File: standard input\\n\\nthree']" in err


def test_a_symbolic_link_that_is_named_is_followed(ask, tmp_path):
    write(tmp_path, a="one")
    (tmp_path / "link").symlink_to("a")
    assert "str 3 one" in ask("link")[2]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("é".encode(), "é"),
        ("é".encode("utf-8-sig"), "é"),
        ("é".encode("utf-16"), "é"),
        ("é".encode("utf-32"), "é"),
        (b"caf\xe9", "caf\ufffd"),
    ],
)
def test_text_is_utf_8_or_what_its_mark_says(ask, tmp_path, data, text):
    write(tmp_path, a=data)
    assert f"str {len(text)} {text}" in ask("a")[2]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nowhere"], "nowhere cannot be read: No such file"),
        (["binary"], "binary is not a text file"),
        (["empty"], "there is no text in empty"),
        (["folder"], "there is no text in folder"),
        (["/proc/self/mem"], "/proc/self/mem cannot be read: "),
        (["limits.max_turns=1"], "ask needs at least one PATH"),
        (["text", "method=[rlm,base]"], "expected one method"),
        (["text", "method=[floor]"], "reference rows cannot answer questions"),
        (["text", "limits.max_turn=1"], "did you mean 'limits.max_turns'?"),
        (["text", "--save", "text/x"], "--save text/x cannot be written"),
        (["text", "--save", "text"], "--save text exists: name a new file"),
        (["/dev/zero"], "/dev/zero is not a text file"),
    ],
)
def test_what_cannot_be_asked_ends_with_one_line_and_exit_code_2(ask, tmp_path, words, told):
    write(tmp_path, text="x", binary=b"\0", empty="")
    (tmp_path / "folder").mkdir()
    code, out, err = ask(*words)
    assert (code, out) == (2, "")
    assert told in err.splitlines()[-1]
    assert (tmp_path / "text").read_text() == "x"
    assert not list(tmp_path.glob("results/asks/*"))


def test_unreadable_files_and_folders_in_a_folder_are_told(ask, tmp_path, monkeypatch):
    write(tmp_path, f__a="one", f__b="two", f__c__d="three", f__e="four")
    # By hand, for root may read everything.
    monkeypatch.setattr(Path, "open", _refusing(Path.open, "b"))
    monkeypatch.setattr(Path, "iterdir", _refusing(Path.iterdir, "c"))
    _, _, err = ask("f")
    assert "skipped, Permission denied: f/b" in err and "skipped, Permission denied: f/c" in err
    assert "list 2 ['File: a\\n\\none', 'File: e\\n\\nfour']" in err


def _refusing(real, name):
    def call(path, *args, **options):
        if path.name == name:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path, *args, **options)

    return call


def test_folders_may_be_deep_and_names_need_not_be_text(ask, tmp_path):
    write(tmp_path, f__a="one")
    deep = tmp_path / "f"
    for _ in range(400):
        deep = deep / "x"
        deep.mkdir()
    (deep / "last").write_text("two")
    (tmp_path / "f" / os.fsdecode(b"b\xff")).write_text("three")
    assert "list 3 [" in ask("f")[2]


def test_standard_input_that_is_closed_is_told(ask, monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    assert ask("-")[2] == "rlm-eval: standard input is closed\n"


def test_limits_and_method_are_chosen_as_for_a_run(ask, tmp_path):
    write(tmp_path, a="x")
    code, out, err = ask("a", "limits.max_calls=0")
    assert (code, out) == (1, "")
    assert "rlm-eval: no answer: max_calls" in err
    assert ask("a", "method=[base]")[1].startswith("```repl")


def test_a_setting_may_be_longer_than_the_name_of_a_file(ask, tmp_path):
    write(tmp_path, book="4711")
    code, _, err = ask("book", f"method.rlm.prompt={'long' * 70}")
    assert (code, err.count("\n")) == (2, 1) and "method.rlm.prompt is 'longlong" in err


def test_quiet_prints_nothing_but_the_answer(ask, tmp_path):
    write(tmp_path, f__a="one", f__b=b"\0")
    assert ask("f", "--quiet") == (0, "4711\n", "")


def test_the_trajectory_is_kept(ask, tmp_path):
    write(tmp_path, a="x")
    ask("a", "--save", "kept/t.jsonl.gz")
    # Also of two in one second.
    errs = [ask("a")[2], ask("a")[2]]
    kept = [tmp_path / "kept" / "t.jsonl.gz", *tmp_path.glob("results/asks/*.jsonl.gz")]
    assert len(kept) == 3
    assert all(err.count("trajectory: results/asks/") == 1 for err in errs)
    for path in kept:
        events = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
        assert [event["kind"] for event in events][-1] == "answer"


def test_control_characters_do_not_reach_the_terminal(ask, tmp_path):
    write(tmp_path, a="\x1b]0;evil\x07 \x1b[2J")
    _, out, err = ask("a", reply="FINAL(\ud800 ok)")
    assert "\x1b" not in err and "\x07" not in err
    assert out == "? ok\n"


def test_control_characters_of_the_answer_do_not_reach_the_terminal_either(tmp_path, forks):
    write(tmp_path, a="x", script='{"match": "", "reply": "FINAL(\\u001b[2Jdone)"}\n')
    ours, theirs = pty.openpty()
    program = forks.command("rlm-eval", forks.RLM_EVAL) / "rlm-eval"
    command = [program, "ask", "Which?", "a", "model=scripted", "model.script=script", "--quiet"]
    subprocess.run(command, cwd=tmp_path, stdout=theirs, check=True)
    os.close(theirs)
    shown = os.read(ours, 4096)
    os.close(ours)
    assert b"\x1b" not in shown and b"done" in shown


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_what_is_cut_short_is_kept(tmp_path, forks, number, code):
    slow = "```repl\nimport time\ntime.sleep(600)\n```"
    write(tmp_path, a="x", script=json.dumps({"match": "", "reply": slow}) + "\n")
    words = ["ask", "Which?", "a", "model=scripted", "model.script=script", "--save", "t.jsonl.gz"]
    process = forks.start(forks.RLM_EVAL, *words, cwd=tmp_path)
    for line in process.stderr:
        if "time.sleep" in line:
            break
    process.send_signal(number)
    rest = process.stderr.read()
    assert process.wait(60) == code
    process.close()
    assert "Traceback" not in rest
    # A file without its end is read up to there.
    unpacked = zlib.decompressobj(wbits=31).decompress((tmp_path / "t.jsonl.gz").read_bytes())
    events = [json.loads(line) for line in unpacked.splitlines()]
    assert "call" in [event["kind"] for event in events]


def test_a_trajectory_that_cannot_be_written_any_more_does_not_cost_the_answer(tmp_path):
    write(tmp_path, a="x", script='{"match": "", "reply": "done"}\n')
    # Files may have no length, as on a full disk.
    asked = f"ulimit -f 0; exec {PROGRAM} ask Which? a model=scripted model.script=script 'method=[base]'"
    done = subprocess.run(["bash", "-c", asked], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr
    assert done.stderr.count("can no longer be written: [Errno 27] File too large") == 1


def test_a_session_has_room_for_its_context_unless_it_is_told_how_much(ask, tmp_path):
    write(tmp_path, a="x" * 40_000_000)
    told = "rlm-eval: no answer: ReplError: the session could not be started"
    assert ask("a", "repl.memory_bytes=60000000")[0] == 1 and told in ask("a", "repl.memory_bytes=60000000")[2]
    assert ask("a")[:2] == (0, "4711\n")


def test_a_long_file_is_in_memory_once(tmp_path):
    size = 64 << 20
    write(tmp_path, log=b"a line of a log\n" * (size // 16), f__log=b"a line of a log\n" * (size // 16))
    for path, least in ((tmp_path / "log", 1.0), (tmp_path / "f", 2.0)):
        tracemalloc.start()
        try:
            context = read_context([str(path)], quiet=True)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert context
        # A document of several is copied once, behind its heading.
        assert peak < (least + 0.1) * size
