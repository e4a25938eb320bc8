"""The files of the page: what is in them, what is kept out, and the server that shows them."""

import base64
import contextlib
import gzip
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import urllib.request
import zlib
from html import unescape

import page_run
import pandas as pd
import pytest

from benchmarks.cli import main
from benchmarks.config.errors import ConfigError
from benchmarks.report.page import html, site, view
from benchmarks.report.page.html import json_for_html, write_page
from benchmarks.report.runs import load_runs
from benchmarks.running.contexts import ContextFiles, find_context, read_context

row, jsonl, trajectory = page_run.row, page_run.jsonl, page_run.trajectory


def data_of(page):
    text = page.read_text(encoding="utf-8")
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)[1])


def column(data, name):
    stored = data["samples"]["columns"][name]
    return stored.get("values") or [None if code < 0 else stored["words"][code] for code in stored["codes"]]


def one_sample(folder, events=None, **changes):
    made = row("sniah", "rlm", "s-1", **changes)
    return page_run.write_run(folder, [made], {("sniah", "rlm", "s-1", 0): events} if events else {})


class TestPage:
    def test_small_run_is_one_file_that_asks_for_nothing_else(self, tmp_path):
        run = page_run.demo(tmp_path / "run")
        written = write_page(load_runs([run]), tmp_path / "out", {}, [])
        assert written == [tmp_path / "out" / "report.html"]
        assert [file.name for file in (tmp_path / "out").iterdir()] == ["report.html"]
        text = unescape(written[0].read_text(encoding="utf-8"))
        assert not re.search(r'(?:src|href)="(?!#|data:)', text)
        assert "default-src 'none'" in text and "unsafe-inline" not in text and "unsafe-eval" not in text
        assert not re.search(r"\bon\w+=", text.split('id="data"')[0])

    def test_trajectories_of_a_large_run_are_files_beside_the_page(self, tmp_path, monkeypatch):
        monkeypatch.setattr(html, "INLINE_BYTES", 1000)
        run = page_run.demo(tmp_path / "run")
        page, folder = write_page(load_runs([run]), tmp_path / "out", {}, [])
        numbers = column(data_of(page), "trajectory")
        assert sorted(numbers) == list(range(48)) and len(list(folder.iterdir())) == 48
        said = (folder / f"{numbers[5]}.js").read_text()
        packed = re.fullmatch(rf'rlmTrajectory\({numbers[5]}, "([A-Za-z0-9+/=]+)"\);\n', said)[1]
        assert gzip.decompress(base64.b64decode(packed)).decode() == jsonl(trajectory())

    def test_small_report_takes_away_the_folder_of_a_larger_one(self, tmp_path):
        stale = tmp_path / "out" / html.FOLDER / "0.js"
        stale.parent.mkdir(parents=True)
        stale.write_text("old")
        write_page(load_runs([one_sample(tmp_path / "run", trajectory())]), tmp_path / "out", {}, [])
        assert not stale.exists()

    def test_hostile_texts_cannot_end_their_element(self, tmp_path):
        run = one_sample(tmp_path / "run", trajectory(reply=page_run.HOSTILE), prediction=page_run.HOSTILE[:-20])
        table = pd.DataFrame({"<b>name": [page_run.HOSTILE[:-20]], "n": [1]})
        page = write_page(load_runs([run]), tmp_path / "out", {"<i>title": table}, [])[0]
        text = page.read_text(encoding="utf-8")
        data = re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1]
        assert not set("<>&\u2028\u2029") & set(data)
        assert text.count("<script") == text.count("</script>") == 3
        assert column(data_of(page), "prediction")[0].startswith("<script>")

    def test_texts_are_cut_for_the_list(self, tmp_path):
        run = one_sample(tmp_path / "run", prediction="x" * 10**6)
        page = write_page(load_runs([run]), tmp_path / "out", {}, [])[0]
        assert column(data_of(page), "prediction")[0].endswith(" […999,000 characters…] " + "x" * 500)
        assert page.stat().st_size < 200_000

    def test_trajectory_outside_the_run_folder_is_left_out(self, tmp_path):
        secret = tmp_path / "secret.jsonl.gz"
        secret.write_bytes(gzip.compress(b'{"kind": "turn"}'))
        run = one_sample(tmp_path / "run")
        table = pd.read_parquet(run / "samples.parquet")
        for path in ("../secret.jsonl.gz", str(secret), "trajectories", "no/such/file", "a\0b"):
            table.assign(trajectory=path).to_parquet(run / "samples.parquet")
            page = write_page(load_runs([run]), tmp_path / "out", {}, [])[0]
            assert data_of(page)["samples"]["columns"]["trajectory"]["values"] == [None]

    def test_tables_sort_by_their_numbers(self, tmp_path):
        table = pd.DataFrame({
            "score": ["9.5 [1.0, 20.0]", "56.0* [42.3, 68.8]", ""], "cost, USD": [1.5, float("nan"), 0.001],
            "failures": ["2 limit", "", "10 errors"], "method": ["rlm", "base", "4x"],
        })  # fmt: skip
        page = write_page(load_runs([one_sample(tmp_path / "run")]), tmp_path / "out", {"Scores": table}, [])[0]
        (shown,) = data_of(page)["tables"]
        assert shown["keys"][:2] == [[9.5, 56.0, None], [1.5, None, 0.001]]
        assert shown["keys"][3] is None
        assert [head["numeric"] for head in shown["columns"]] == [True, True, False, False]
        assert shown["rows"][2][1] == "$0.0010"

    def test_no_sample_and_no_run(self, tmp_path):
        page = write_page(load_runs([page_run.write_run(tmp_path / "run", [], {})]), tmp_path / "out", {}, [])[0]
        assert data_of(page)["samples"]["size"] == 0
        with pytest.raises(ConfigError, match="not a run folder"):
            write_page(load_runs([tmp_path]), tmp_path / "out", {}, [])


class TestProtected:
    SECRET = "Zanzibar in 1871"

    @pytest.fixture
    def run(self, tmp_path):
        from benchmarks.sources.protect import seal

        events = trajectory(question=self.SECRET, output=self.SECRET)
        return one_sample(
            tmp_path / "run", events, protected=True, prediction=seal(self.SECRET), extracted=seal(self.SECRET),
            error=self.SECRET, note=self.SECRET, recall=0.5, target=seal(json.dumps({"answer": self.SECRET})),
        )  # fmt: skip

    def test_texts_and_trajectories_are_not_shown(self, run, tmp_path):
        page = write_page(load_runs([run]), tmp_path / "out", {}, [])[0]
        data = data_of(page)
        for name in ("prediction", "extracted", "error", "note", "target"):
            assert column(data, name) == ["[protected]"]
        assert column(data, "trajectory") == [None] and column(data, "recall") == [0.5]
        assert self.SECRET not in page.read_text(encoding="utf-8") and 'id="trajectory-0"' not in page.read_text()

    def test_they_are_shown_where_the_reader_asks_for_them(self, run, tmp_path):
        page = write_page(load_runs([run]), tmp_path / "out", {}, [], reveal=frozenset({"sniah"}))[0]
        assert column(data_of(page), "prediction") == column(data_of(page), "target") == [self.SECRET]
        packed = re.search(r'id="trajectory-0">(.*?)</script>', page.read_text(), re.DOTALL)[1]
        assert self.SECRET in gzip.decompress(base64.b64decode(packed)).decode()

    def test_a_context_is_sealed_and_shown_only_to_who_asks_for_it(self, run, tmp_path):
        ContextFiles(run).write("sniah", "s-1", ["first", self.SECRET], protected=True)
        (file,) = (run / "contexts").rglob("*.sealed")
        assert self.SECRET.encode() not in file.read_bytes() and not file.read_bytes().startswith(b"\x1f\x8b")
        relative = find_context(run, "sniah", "s-1")
        assert self.SECRET in read_context(run, relative)
        page = write_page(load_runs([run]), tmp_path / "out", {}, [])[0]
        assert column(data_of(page), "context_file") == [None] and not (tmp_path / "out" / "report_contexts").exists()
        for reveal in (frozenset(), frozenset({"sniah"})):
            (entry,) = site.Site.of([run], tmp_path / "scratch", reveal).entries
            assert (entry.context(f"0/{relative}", 0) is not None) == bool(reveal)
            assert entry.context(f"0/../../{relative}", 0) is entry.context(f"1/{relative}", 0) is None
        write_page(load_runs([run]), tmp_path / "out", {}, [], reveal=frozenset({"sniah"}))
        script = (tmp_path / "out" / "report_contexts" / "0" / relative / "0.js").read_text()
        packed = json.loads(script[len("rlmContext(...") : -len(");\n")])[-1]
        shown = gzip.decompress(base64.b64decode(packed)).decode()
        assert shown == f"[document 1 of 2]\nfirst\n\n[document 2 of 2]\n{self.SECRET}"

    def test_a_benchmark_that_no_run_has_is_refused(self, run, tmp_path):
        with pytest.raises(ConfigError, match="--reveal is 'oolong': expected one of the benchmarks sniah"):
            write_page(load_runs([run]), tmp_path / "out", {}, [], reveal=frozenset({"oolong"}))


@pytest.mark.parametrize("text", ["</script>", "<!--", "\u2028", "\u2029", "&amp;", "\ud800", "'\"\\"])
def test_json_for_html_reads_back_as_it_was(text):
    made = json_for_html({text: [text]})
    assert json.loads(made) == {text: [text]}
    assert made.isascii() and not set("<>&") & set(made)


def test_one_page_shows_two_runs(tmp_path):
    runs = [
        page_run.write_run(tmp_path / name, [row("sniah", "rlm", "s", score=score)], {("sniah", "rlm", "s", 0): events},
                           name=name)
        for name, score, events in (("one", 0.0, trajectory()), ("two", 1.0, trajectory(output="other")))
    ]  # fmt: skip
    page = write_page(load_runs(runs), tmp_path / "out", {}, [])[0]
    data = data_of(page)
    assert [run["name"] for run in data["runs"]] == ["one", "two"]
    assert column(data, "run") == [0, 1] and column(data, "score") == [0.0, 1.0]
    assert column(data, "trajectory") == [0, 1]
    assert len(set(re.findall(r'id="trajectory-\d">(.*?)</script>', page.read_text()))) == 2


@contextlib.contextmanager
def served(shown):
    server = view.bind(shown)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class TestView:
    @pytest.fixture
    def server(self, tmp_path):
        folder = tmp_path / "report"
        folder.mkdir()
        (tmp_path / "secret.txt").write_text("secret")
        (folder / "report.html").write_text("<p>page</p>")
        (folder / "table.csv").write_text("a,b")
        (folder / "link").symlink_to(tmp_path / "secret.txt")
        with served(site.Site.of([tmp_path], tmp_path / "scratch")) as server:
            yield server

    def ask(self, server, path, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=10)
        connection.putrequest("GET", path, skip_host="Host" in headers)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        response = connection.getresponse()
        content = response.read()
        connection.close()
        return response, content

    def test_serves_the_page_and_its_files_on_loopback_alone(self, server):
        assert server.server_address[0] == "127.0.0.1"
        with urllib.request.urlopen(view.address(server)) as response:
            assert response.read() == b"<p>page</p>"
            assert response.headers["Content-Type"].startswith("text/html")
            assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert self.ask(server, "/table.csv")[1] == b"a,b"

    @pytest.mark.parametrize(
        "path",
        ["/../secret.txt", "/%2e%2e/secret.txt", "/..%2fsecret.txt", "//secret.txt", "/link", "/.", "/%00", "/no.html",
         "/....//secret.txt", "/report.html/../../secret.txt"],
    )  # fmt: skip
    def test_nothing_outside_the_folder_is_served(self, server, path):
        response, content = self.ask(server, path)
        assert response.status == 404 and b"secret" not in content.replace(b"secret.txt", b"")

    @pytest.mark.parametrize("host", ["evil.example", "evil.example:80", ""])
    def test_a_name_that_is_not_this_host_is_refused(self, server, host):
        assert self.ask(server, "/", Host=host)[0].status == 403

    def test_a_run_that_has_gone_on_gets_a_new_page(self, tmp_path):
        run = one_sample(tmp_path / "run")
        page = site.find_page(run)
        first = page.stat().st_mtime_ns
        assert site.find_page(run).stat().st_mtime_ns == first
        os.utime(page, ns=(0, 0))
        (run / "journal" / "host.jsonl").touch()
        assert site.find_page(run).stat().st_mtime_ns > 0

    def test_path_without_a_report_or_run_is_one_clear_error(self, tmp_path):
        (tmp_path / "notes.txt").write_text("x")
        for path in (tmp_path, tmp_path / "none", tmp_path / "notes.txt"):
            with pytest.raises(ConfigError):
                site.find_page(path)

    def test_the_command_prints_the_address_and_ends_on_ctrl_c(self, tmp_path):
        (tmp_path / "report.html").write_text("<p>page</p>")
        command = [sys.executable, "-m", "benchmarks.cli", "view", str(tmp_path), "--no-browser"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            found = re.fullmatch(r"viewing: (http://127\.0\.0\.1:\d+/)\n", process.stdout.readline())
            assert urllib.request.urlopen(found[1]).read() == b"<p>page</p>"
            process.send_signal(signal.SIGINT)
            out, errors = process.communicate(timeout=30)
        assert (process.returncode, out, errors) == (0, "", "")

    def test_a_folder_of_runs_has_an_index_that_leads_to_each(self, tmp_path):
        for name in ("first", "<script>", "broken"):
            page_run.write_run(
                tmp_path / "runs" / f"run-{len(name)}", [row("sniah", "rlm", "s", score=0.5)], {}, name=name
            )
        (tmp_path / "runs" / "run-6" / "samples.parquet").write_bytes(b"no table")
        asked = tmp_path / "runs" / "asked.jsonl.gz"
        asked.write_bytes(gzip.compress(page_run.jsonl(trajectory()).encode()))
        shown = site.Site.of([tmp_path / "runs"], tmp_path / "scratch")
        index = shown.index().decode()
        assert "rlm 50.0" in index and "&lt;script&gt;" in index and "<script" not in index
        assert "cannot be read" in index and index.count('<a href="') == 4
        number = next(place for place, entry in enumerate(shown.entries) if entry.paths == (asked,))
        with served(shown) as server:
            page = self.ask(server, f"/{number}/")[1].decode()
            assert self.ask(server, "/9/")[0].status == self.ask(server, f"/{number}")[0].status == 404
        data = json.loads(re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1])
        assert column(data, "score") == [None] and column(data, "prediction") == ["Lisbon, Oslo, Rome"]
        assert column(data, "sub_calls") == [7] and data["live"] == ""

    def test_a_folder_without_runs_is_one_clear_error(self, tmp_path, capsys):
        (tmp_path / "data.jsonl").write_text('{"sample_id": "1", "prediction": "x"}\n')
        (tmp_path / "deeper" / "run").mkdir(parents=True)
        assert main(["view", str(tmp_path), "--no-browser"]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"rlm-eval: {tmp_path} has no runs: expected a run folder, a folder of run folders")

    def test_names_on_the_index_show_their_direction_marks(self, tmp_path):
        page_run.write_run(tmp_path / "run", [row("sniah", "rlm\u202e", "s")], {}, name="a\u202eb")
        index = site.Site.of([tmp_path], tmp_path / "scratch").index().decode()
        assert "a\\u202eb" in index and "\u202e" not in index

    def test_a_question_under_way_is_followed_to_its_answer(self, tmp_path, monkeypatch):
        monkeypatch.setattr(site, "REBUILD_S", 0)
        monkeypatch.setattr(site, "BUILDS_APART", 0)
        lines = page_run.jsonl(trajectory()).splitlines(keepends=True)
        file = tmp_path / "asked.jsonl.gz"
        packer = zlib.compressobj(wbits=31)
        file.write_bytes(packer.compress("".join(lines[:5]).encode()) + packer.flush(zlib.Z_SYNC_FLUSH))
        (entry,) = site.Site.of([file], tmp_path / "scratch").entries
        first = data_of(entry.page())
        assert first["live"] == entry.stamp() != "" and column(first, "prediction") == [None]
        with file.open("ab") as rest:
            rest.write(packer.compress("".join(lines[5:]).encode()) + packer.flush())
        assert entry.stamp() == ""
        assert column(data_of(entry.page()), "prediction") == ["Lisbon, Oslo, Rome"]

    def test_port_in_use_is_one_clear_error(self, server, tmp_path):
        with pytest.raises(ConfigError, match=r"--port is .* --port 0 takes a free one"):
            view.bind(site.Site.of([tmp_path], tmp_path / "scratch"), server.server_address[1])
        with pytest.raises(ConfigError, match="port"):
            view.bind(site.Site.of([tmp_path], tmp_path / "scratch"), 99_999)
