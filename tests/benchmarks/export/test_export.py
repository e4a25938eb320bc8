"""`rlm-eval export`: what `datasets`, Inspect's reader and Inspect's page make of a run."""

import json
import re
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from benchmarks.cli import main
from benchmarks.sources.protect import seal

SCRIPT = [
    {"match": "", "role": "sub", "reply": "a part"},
    {"match": "", "reply": "```repl\nx = llm_query('say a part')\nprint(x, len(context))\n```\nFINAL_VAR(x)"},
]
SECRET = "what nobody may read"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run of two samples with the base model and an RLM, by a script."""
    folder = tmp_path_factory.mktemp("run")
    script = folder / "script.jsonl"
    script.write_text("".join(json.dumps(rule) + "\n" for rule in SCRIPT))
    words = ["benchmark=[sniah]", "benchmark.sniah.lengths=[512]", "benchmark.sniah.samples=2", "model=scripted"]
    words += ["method=[rlm,base,oracle]", f"model.script={script}", f"run_dir={folder / 'done'}"]
    assert main(["run", *words]) == 0
    return folder / "done"


@pytest.fixture
def protected_run(make_run, make_rows):
    rows = make_rows("rlm", [1.0, 0.0], benchmark="browsecomp_plus", protected=True, prediction=seal(SECRET))
    return make_run("protected", rows)


@pytest.fixture
def collector():
    """A collector of traces: its address, and the spans that it received."""
    trace = pytest.importorskip(
        "opentelemetry.proto.collector.trace.v1.trace_service_pb2",
        reason="in an environment of its own: scripts/check_exports",
    )
    spans = []

    class Taker(BaseHTTPRequestHandler):
        def do_POST(self):
            if self.path != "/v1/traces":
                self.send_error(404)
                return
            sent = trace.ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["content-length"])))
            spans.extend(span for r in sent.resource_spans for scope in r.scope_spans for span in scope.spans)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Taker) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1/traces", spans
        server.shutdown()


def export(form, run, out, capsys):
    code = main(["export", form, str(run), str(out)])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_datasets_loads_the_folder_of_a_run(run, tmp_path, capsys):
    import datasets

    code, out, _ = export("hf", run, tmp_path / "set", capsys)
    assert code == 0 and "README.md" in out
    cache = str(tmp_path / "cache")
    samples = datasets.load_dataset(str(tmp_path / "set"), split="train", cache_dir=cache)
    calls = datasets.load_dataset(str(tmp_path / "set"), "calls", split="train", cache_dir=cache)
    assert sorted(set(samples["method"])) == ["base", "oracle", "rlm"] and len(samples) == 6
    assert {"root", "sub"} == set(calls["role"])
    card = (tmp_path / "set" / "README.md").read_text()
    assert re.search(r"\| sniah +\| oracle +\| .*\| 100\.0 \[15\.8, 100\.0\] +\| +2 \|", card)
    assert "Scores are in percent" in card
    assert json.loads((tmp_path / "set" / "run.json").read_text())["state"] == "finished"


def test_protected_texts_stay_sealed_in_a_data_set(protected_run, tmp_path, capsys):
    import pandas as pd

    export("hf", protected_run, tmp_path / "set", capsys)
    assert pd.read_parquet(tmp_path / "set" / "samples.parquet")["prediction"].tolist() == [seal(SECRET)] * 2
    assert "Texts of browsecomp_plus begin with `sealed:`" in (tmp_path / "set" / "README.md").read_text()
    assert not any(SECRET.encode() in path.read_bytes() for path in (tmp_path / "set").iterdir())


def test_an_unfinished_run_is_exported_as_far_as_it_is(run, tmp_path, capsys):
    import pandas as pd

    copy = shutil.copytree(run, tmp_path / "copy")
    (journal,) = (copy / "journal").glob("*.jsonl")
    journal.write_text("".join(journal.read_text().splitlines(keepends=True)[:3]))
    for name in ("samples", "calls"):
        (copy / f"{name}.parquet").unlink()
    (copy / "run.json").write_text((copy / "run.json").read_text().replace('"state": "finished"', '"state": "killed"'))
    assert export("hf", copy, tmp_path / "set", capsys)[0] == 0
    assert len(pd.read_parquet(tmp_path / "set" / "samples.parquet")) == 3
    assert "(killed, not finished)" in (tmp_path / "set" / "README.md").read_text()


def test_a_run_that_cannot_be_exported_ends_with_one_line(run, tmp_path, capsys):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("x")
    (tmp_path / "folder.jsonl.gz").mkdir()
    cases = {
        ("hf", tmp_path, tmp_path / "a"): "is not a run folder",
        ("hf", run, tmp_path / "full"): "is not empty: expected a new folder",
        ("calls", run, tmp_path / "calls.txt"): "that ends in .jsonl.gz",
        ("calls", run, tmp_path / "folder.jsonl.gz"): "cannot be written: Is a directory",
        ("calls", run, tmp_path / "full" / "file" / "calls.jsonl.gz"): "cannot be written: File exists",
    }
    for words, told in cases.items():
        code, out, err = export(*words, capsys)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert told in err


@pytest.mark.parametrize(("form", "module"), [("inspect", "inspect_ai.log"), ("otel", "opentelemetry.sdk.resources")])
def test_without_its_library_the_extra_is_named(run, tmp_path, capsys, monkeypatch, form, module):
    monkeypatch.setitem(sys.modules, module.split(".")[0], None)
    monkeypatch.setitem(sys.modules, module, None)
    code, _, err = export(form, run, tmp_path / "out", capsys)
    assert code == 2 and f"pip install 'rlm-eval[{form}]'" in err


def test_a_collector_gets_a_trace_a_sample_in_the_conventions(run, capsys, collector):
    address, spans = collector
    code, out, _ = export("otel", run, address, capsys)
    assert (code, out) == (0, f"sent: {address} (6 traces)\n")
    roots = [span for span in spans if not span.parent_span_id]
    assert sorted(span.name for span in roots) == [
        f"invoke_agent {name}" for name in ("base", "oracle", "rlm") for _ in "ab"
    ]
    root = next(span for span in roots if span.name == "invoke_agent rlm")
    tree = {span.name: _attributes(span) for span in spans if span.parent_span_id == root.span_id}
    assert set(tree) == {"chat scripted", "execute_tool python"}
    assert "llm_query" in tree["execute_tool python"]["gen_ai.tool.call.arguments"]
    assert all(
        root.start_time_unix_nano <= span.start_time_unix_nano <= span.end_time_unix_nano
        for span in spans
        if span.trace_id == root.trace_id
    )
    calls = [_attributes(span) for span in spans if span.name == "chat scripted" and span.trace_id == root.trace_id]
    assert sorted(call["rlm_eval.role"] for call in calls) == ["root", "sub"]
    assert all(call["gen_ai.usage.input_tokens"] > 0 and call["gen_ai.operation.name"] == "chat" for call in calls)
    (score,) = root.events
    assert score.name == "gen_ai.evaluation.result"


def test_a_collector_gets_no_protected_text(protected_run, capsys, collector):
    address, spans = collector
    assert export("otel", protected_run, address, capsys)[0] == 0
    assert len(spans) == 2 and not any(SECRET in str(span) or seal(SECRET) in str(span) for span in spans)


def test_an_address_that_accepts_no_traces_is_an_error(run, capsys, collector):
    address, _ = collector
    for out, told in {"traces": "expected the URL of an OTLP endpoint", address[:-9]: "does not accept"}.items():
        code, printed, err = export("otel", run, out, capsys)
        assert (code, printed) == (2, "") and told in err


def _attributes(span):
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in span.attributes}


def test_inspect_reads_the_logs(run, tmp_path, capsys):
    log = pytest.importorskip("inspect_ai.log", reason="in an environment of its own: scripts/check_exports")
    code, out, _ = export("inspect", run, tmp_path / "logs", capsys)
    assert code == 0 and out.count(".eval") == 3
    read = {one.eval.solver: one for one in (log.read_eval_log(file) for file in (tmp_path / "logs").glob("*.eval"))}
    assert set(read) == {"rlm", "base", "oracle"}
    assert read["oracle"].results.scores[0].metrics["mean"].value == 1.0
    rlm = read["rlm"]
    assert (rlm.status, rlm.eval.task, rlm.eval.model) == ("success", "sniah", "scripted")
    sample = rlm.samples[0]
    assert [message.role for message in sample.messages][-1] == "assistant"
    assert "FINAL_VAR(x)" in sample.messages[-1].text and sample.output.completion == "a part"
    kinds = [event.event for event in sample.events]
    assert kinds.count("model") == 2 and kinds.count("tool") == 1
    cell = next(event for event in sample.events if event.event == "tool")
    assert "a part" in cell.result
    usage = sample.model_usage["scripted"]
    assert usage.total_tokens == usage.input_tokens + usage.output_tokens > 0


def test_inspect_gets_no_protected_text(protected_run, tmp_path, capsys):
    log = pytest.importorskip("inspect_ai.log", reason="in an environment of its own: scripts/check_exports")
    export("inspect", protected_run, tmp_path / "logs", capsys)
    (file,) = (tmp_path / "logs").glob("*.eval")
    written = log.read_eval_log(file).model_dump_json()
    assert SECRET not in written and seal(SECRET) not in written and "[protected]" in written


@pytest.mark.browser
def test_inspects_own_page_opens_the_logs(run, tmp_path, capsys):
    pytest.importorskip("inspect_ai.log", reason="in an environment of its own: scripts/check_exports")
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not browser or not driver:
        pytest.skip("chromium and chromedriver are not installed (Debian: chromium, chromium-driver)")
    export("inspect", run, tmp_path / "logs", capsys)
    inspect = Path(sys.executable).with_name("inspect")
    bundle = [inspect, "view", "bundle", "--log-dir", tmp_path / "logs", "--output-dir", tmp_path / "site"]
    subprocess.run(bundle, check=True, capture_output=True)
    serving = subprocess.Popen(
        [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", tmp_path / "site"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        port = serving.stdout.readline().split("port ")[1].split()[0]
        options = webdriver.ChromeOptions()
        options.binary_location = browser
        for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1400,1000"):
            options.add_argument(argument)
        page = webdriver.Chrome(options, webdriver.ChromeService(driver))
        try:
            shown = _text_of(page, f"http://127.0.0.1:{port}/", "sniah")
            assert "sniah" in shown and "scripted" in shown
            shown = _text_of(page, f"http://127.0.0.1:{port}/#/logs/sniah_rlm.eval", "a part")
            assert "a part" in shown
        finally:
            page.quit()
    finally:
        serving.terminate()
        serving.wait()


def _text_of(page, address, wanted):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    page.get(address)
    WebDriverWait(page, 60).until(lambda driver: wanted in driver.find_element(By.TAG_NAME, "body").text)
    return page.find_element(By.TAG_NAME, "body").text
