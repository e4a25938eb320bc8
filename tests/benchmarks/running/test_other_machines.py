"""What rlm-eval says where there is no Linux, or another processor: clear words, and what needs no session still works.

Such a machine is made of this one: its name is changed, and what only Linux has is taken out of the standard library.
"""

import json

import pytest

MACHINE = """
import fcntl, os, platform, signal, socket, sys, sysconfig
for module in [name for name in sys.modules if name.partition(".")[0] in ("rlm", "benchmarks")]:
    del sys.modules[module]
# It reads a file that is named after the real system.
sysconfig.get_config_vars()
system, machine = sys.argv[1:3]
if system == "darwin":
    sys.platform = system
    platform.system = lambda: "Darwin"
    for module in (fcntl, os, signal, socket):
        for name in dir(module):
            if name.startswith(("F_SEAL", "F_ADD_SEALS", "MFD_", "memfd", "pidfd", "O_PATH", "sched_get", "CLONE_")):
                delattr(module, name)
    # What Python 3.13 has where there is no sched_getaffinity.
    os.process_cpu_count = os.cpu_count
platform.machine = lambda: machine
"""
PROGRAM = """
from benchmarks.cli import main
sys.exit(main(sys.argv[3:]))
"""
LIBRARY = """
from rlm import RLM, PlainModel, ScriptedModel
model = ScriptedModel(lambda messages: "FINAL(1)")
print(PlainModel(model=model).completion("Which?").answer, RLM(model=model).completion("Which?").error)
"""


@pytest.fixture
def on(tmp_path, forks):
    """Run rlm-eval on a machine of that system and processor, which imports our packages there."""
    (tmp_path / "script.jsonl").write_text(json.dumps({"match": "", "reply": "FINAL(1)"}) + "\n")

    def run(system, machine, *words, program=PROGRAM):
        return forks.run(MACHINE + program, system, machine, *words, cwd=tmp_path)

    return run


SMALL = (
    "benchmark=[sniah]", "benchmark.sniah.lengths=[512]", "limit=1", "model=scripted", "model.script=script.jsonl",
)  # fmt: skip


def test_doctor_says_on_macos_what_does_not_work(on):
    done = on("darwin", "arm64", "doctor")
    assert done.returncode == 1, done.stderr
    assert "Darwin" in done.stdout and "arm64" in done.stdout
    assert "no   linux: sessions need Linux, this is darwin" in done.stdout
    assert "refuse to start: sessions need Linux, this is darwin: run in a Linux container" in done.stdout
    assert "unsafe" not in done.stdout


@pytest.mark.parametrize("repl", ["confined", "unsafe"])
def test_a_run_with_a_session_is_refused_on_macos_confined_or_not(on, repl, tmp_path):
    done = on("darwin", "arm64", "run", *SMALL, "method=[base,rlm]", f"repl={repl}")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert "method.rlm runs model-written code, and sessions need Linux, this is darwin" in done.stderr
    assert not (tmp_path / "results").exists()


def test_a_program_is_told_on_macos_why_there_is_no_answer(on):
    done = on("darwin", "arm64", program=LIBRARY)
    assert done.stdout.startswith("FINAL(1) ReplError: sessions need Linux, this is darwin: run in a"), done.stderr


def test_a_question_and_a_server_are_refused_on_macos_where_they_need_a_session(on, tmp_path):
    for words in (["ask", "Which?", "script.jsonl"], ["serve"]):
        done = on("darwin", "arm64", *words, *SMALL[-2:])
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
        assert "sessions need Linux, this is darwin" in done.stderr
    done = on("darwin", "arm64", "ask", "Which?", "script.jsonl", *SMALL[-2:], "method=[base]", "--quiet")
    assert (done.returncode, done.stdout) == (0, "FINAL(1)\n")


def test_methods_without_a_session_run_on_macos(on):
    done = on("darwin", "arm64", "run", *SMALL, "method=[base,base_truncated]", "run_dir=done")
    assert done.returncode == 0, done.stderr
    assert "run: done" in done.stdout


def test_a_processor_without_a_filter_is_named(on):
    done = on("linux", "riscv64", "doctor")
    assert "riscv64" in done.stdout and "no   seccomp" in done.stdout
