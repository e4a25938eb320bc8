"""The page in real Chromium: hostile and large texts, contexts, runs under way, files beside the page."""

import shutil
import threading
import time

import page_run
import pandas as pd
import pytest

from benchmarks.report.page import html
from benchmarks.report.page.html import write_page
from benchmarks.report.runs import load_runs

pytestmark = pytest.mark.browser

row, trajectory = page_run.row, page_run.trajectory


class TestHostile:
    def hostile_page(self, tmp_path, text, large=False):
        name = text.encode("utf-8", "replace").decode().replace("\0", "")
        events = trajectory(question=text, reply=text, code=text, output=text)
        events += [
            {"id": len(events) + i, "parent": None, "depth": 0, "at": 1, "kind": kind, text: text, "text": text}
            for i, kind in enumerate(["notice", "limit", "__proto__", "constructor", text])
        ]
        one = row("sniah", "rlm", name[:100], prediction=name, extracted=name, error=name, task_group=name, model=name,
                  stop_reason=name, status=name, metric=name, cluster=name)  # fmt: skip
        other = one | {"method": name}
        run = page_run.write_run(tmp_path / "run", [one, other], {("sniah", "rlm", name[:100], 0): events}, name=name)
        table = pd.DataFrame({name: [name]})
        return write_page(load_runs([run]), tmp_path / "out", {name: table}, [], notes={name: name})[0]

    def visit(self, page, made):
        for part in ("overview", "samples", "figures", "sample/0", "compare/0/1"):
            page.open(made, part)
            page.until(lambda part=part: page.css("h1") and (part != "sample/0" or page.css(".turn")))
            page.run("document.querySelectorAll('details').forEach((node) => node.unfold())")
            page.run(
                "document.querySelectorAll('main *').forEach((node) => node.dispatchEvent(new Event('mouseover')))"
            )
            assert page.run("return window.hacked") is None
            assert page.css("main script, main iframe, main object, main svg[onload], main img[onerror]") == []
            assert page.css("a[href^='javascript:']") == []
            # Names and cells show marks of direction as escapes; a block of text stands alone.
            turned = "[...document.querySelectorAll('main *, title')].filter((node) => !node.closest('pre')"
            turned += " && [...node.childNodes].some((one) => one.nodeType === 3 && one.data.includes('\u202e')))"
            assert page.run(f"return {turned}.map((node) => node.outerHTML.slice(0, 80))") == []

    def test_texts_of_models_and_data_never_run(self, page, tmp_path):
        made = self.hostile_page(tmp_path, page_run.HOSTILE)
        self.visit(page, made)
        page.open(made, "sample/0")
        page.until(lambda: page.css(".turn"))
        text = "document.querySelector('.trajectory').textContent"
        assert page.run(f"return {text}.includes('<script>window.hacked = 1</script>')")
        # What turns the direction of text is written out in code.
        code = "document.querySelector('pre.python').textContent"
        assert page.run(f"return {code}.includes('\\\\u202e') && !{code}.includes('\\u202e')")
        page.css(".find")[0].send_keys("<script>")
        page.until(lambda: page.css(".found"))
        assert page.complaints() == []

    def test_addresses_cannot_lead_out(self, page, demo):
        for part in ("sample/99999", "sample/-1", "compare/1", "samples?sort=__proto__&method=%3Cb%3E", "constructor",
                     "samples?text=%", "sample/1/../../x", "<img src=x onerror=window.hacked=1>"):  # fmt: skip
            page.open(demo, part)
            page.until(lambda: page.css("h1"))
            assert page.run("return window.hacked") is None
        assert page.complaints() == []

    def test_injected_markup_is_stopped_by_the_policy(self, page, demo):
        page.open(demo)
        page.run(
            "const box = document.createElement('div');"
            'box.innerHTML = \'<img src=x onerror="window.hacked=1"><iframe src="data:text/html,x"></iframe>\';'
            "document.body.append(box)"
        )
        time.sleep(0.3)
        assert page.run("return window.hacked") is None
        assert any("Content Security Policy" in message for message in page.complaints())

    def test_megabytes_in_a_cell_do_not_hang_the_page(self, page, tmp_path):
        big = 'def f(x):\n    return \'<b>\' + x  # \u2603 """ \n' * 75_000
        assert len(big) > 3_000_000
        events = trajectory(code=big, output=big + "the very end")
        run = page_run.write_run(tmp_path / "run", [row("sniah", "rlm", "s")], {("sniah", "rlm", "s", 0): events})
        made = write_page(load_runs([run]), tmp_path / "out", {}, [])[0]
        page.open(made, "sample/0")
        page.until(lambda: page.css(".turn"))
        shown = page.run("return document.querySelector('.trajectory').textContent.length")
        assert shown < 100_000
        more = page.css("pre.python + .more")[0]
        assert "Show 200,000 more" in more.text
        more.click()
        assert page.run("return document.querySelector('pre.python').textContent.length") > 200_000
        page.css(".find")[0].send_keys("the very end")
        page.until(lambda: page.css(".found"), 60)
        assert page.run("return CSS.highlights.get('found').size") >= 1

    def test_deep_trees_and_broken_lines_are_shown_in_part(self, page, tmp_path):
        deep = [{"id": i, "parent": i - 1 if i else None, "kind": "child", "depth": i, "at": i, "query": f"level {i}"}
                for i in range(3000)]  # fmt: skip
        lines = page_run.jsonl(deep) + '{"kind": "turn", cut\nnull\n[1]\n{"id": 5, "parent": 5, "kind": "turn"}\n{}\n'
        run = page_run.write_run(tmp_path / "run", [row("sniah", "rlm", "s")], {("sniah", "rlm", "s", 0): lines})
        page.open(write_page(load_runs([run]), tmp_path / "out", {}, [])[0], "sample/0")
        page.until(lambda: page.css("details.child"))
        assert "unreadable line" in page.css(".trajectory")[0].text
        assert page.complaints() == []

    def test_five_thousand_sub_calls_are_shown_piece_by_piece(self, page, tmp_path):
        calls = [{"id": 1 + i, "parent": 0, "kind": "call", "depth": 1, "at": 1 + i / 1000, "call_id": i, "role": "sub",
                  "messages": [], "reply": f"reply {i}", "prompt_tokens": 5, "completion_tokens": 1, "cost_usd": 0.001,
                  "latency_s": 0.5} for i in range(5000)]  # fmt: skip
        cell = {"id": 9000, "parent": 0, "kind": "cell", "depth": 0, "at": 7, "code": "x", "status": "ok", "wall_s": 6}
        events = [{"id": 0, "parent": None, "kind": "turn", "depth": 0, "at": 0, "number": 1}, *calls, cell]
        run = page_run.write_run(tmp_path / "run", [row("sniah", "rlm", "s")], {("sniah", "rlm", "s", 0): events})
        page.open(write_page(load_runs([run]), tmp_path / "out", {}, [])[0], "sample/0")
        page.until(lambda: page.css("details.sub-calls"))
        page.run("document.querySelector('details.sub-calls').unfold()")
        assert len(page.css("details.call")) == 100
        page.css(".find")[0].send_keys("reply 350")
        page.until(lambda: page.css(".found"))
        assert len(page.css("details.call")) < 600


class TestContext:
    def test_a_context_is_read_and_searched_in_pieces_from_files_and_from_the_run_folder(
        self, page, tmp_path, monkeypatch
    ):
        from selenium.webdriver.common.keys import Keys

        from benchmarks.report.page import contexts, site, view
        from benchmarks.running.contexts import ContextFiles

        monkeypatch.setattr(contexts, "PIECE_CHARS", 100)
        run = page_run.write_run(tmp_path / "run", [row("sniah", "rlm", "s")], {})
        text = "<b>start</b> Needle " + "x" * 75 + "border" + "y" * 150 + " needle, the end"
        ContextFiles(run).write("sniah", "s", text, protected=False)

        def search():
            page.until(lambda: page.css(".context summary"))
            page.css(".context summary")[0].click()
            page.until(lambda: page.texts(".context .meta") == ["267 characters · part 1 of 3"])
            assert page.texts(".context pre")[0].startswith("<b>start</b>")
            field = page.css(".context input")[0]
            for wanted, part in (("needle", 1), ("needle", 3), ("needle", 1), ("border", 1)):
                field.clear()
                field.send_keys(wanted, Keys.ENTER)
                page.until(lambda part=part: f"part {part} of 3" in page.texts(".context .meta")[0])
                page.until(lambda: page.run("return CSS.highlights.get('found')?.size") == 1)
            field.clear()
            field.send_keys("nowhere", Keys.ENTER)
            page.until(lambda: page.texts(".context .meta") == ["no match"])
            page.css(".context button[aria-label^=Next]")[1].click()
            page.until(lambda: page.texts(".context .meta") == ["267 characters · part 2 of 3"])
            assert len(page.texts(".context pre")[0]) <= 100 and page.complaints() == []

        page.open(write_page(load_runs([run]), run / "report", {}, [])[0], "sample/0")
        search()
        shutil.rmtree(run / "report" / contexts.CONTEXTS)
        server = view.bind(site.Site.of([run], tmp_path / "scratch"))
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            page.driver.get(f"{view.address(server)}#sample/0")
            search()
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


class TestUnderWay:
    def test_the_page_of_a_run_follows_its_journal(self, page, tmp_path, monkeypatch):
        import asyncio
        import fcntl

        from benchmarks.report.page import site, view
        from benchmarks.running.journal import Journal, Record
        from benchmarks.running.rows import SampleRow

        monkeypatch.setattr(site, "REBUILD_S", 0)
        monkeypatch.setattr(site, "BUILDS_APART", 0)
        run = page_run.write_run(tmp_path / "run", [], {})
        (run / "samples.parquet").unlink()
        journal = Journal(run / "journal" / "host.jsonl")

        def add(name):
            asyncio.run(journal.append(Record(SampleRow.read(row("sniah", "rlm", name)))))

        add("a")
        with (run / "run.lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            server = view.bind(site.Site.of([run], tmp_path / "scratch"))
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
            thread.start()
            try:
                page.driver.get(f"{view.address(server)}#samples?method=rlm")
                page.until(lambda: page.texts(".tally") == ["1 of 1 sample · mean score 100.0 · $0.012"])
                assert page.texts(".brand .tag") == ["under way"]
                add("b")
                page.until(lambda: page.texts(".tally") and page.texts(".tally")[0].startswith("2 of 2 samples"))
                assert page.driver.current_url.endswith("#samples?method=rlm") and page.complaints() == []
            finally:
                server.shutdown()
                server.server_close()
                thread.join()
                journal.close()


class TestLargeRun:
    def test_trajectories_beside_the_page_are_read_from_files_and_from_the_server(self, page, tmp_path, monkeypatch):
        from benchmarks.report.page import site, view

        monkeypatch.setattr(html, "INLINE_BYTES", 10)
        rows = [row("sniah", method, "s") for method in ("base", "rlm")]
        run = page_run.write_run(tmp_path / "run", rows, {("sniah", m, "s", 0): trajectory() for m in ("base", "rlm")})
        made, folder = write_page(load_runs([run]), tmp_path / "out", {}, [])
        page.open(made, "compare/0/1")
        page.until(lambda: len(page.css(".half .turn")) >= 4)
        assert page.complaints() == []
        server = view.bind(site.Site.of([made], tmp_path))
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            page.driver.get(f"{view.address(server)}#sample/1")
            page.until(lambda: page.css(".turn"))
            assert page.complaints() == []
        finally:
            server.shutdown()
            server.server_close()
            thread.join()
        for file in folder.iterdir():
            file.unlink()
        page.open(made, "sample/1")
        page.until(lambda: "keep this folder next to the page" in page.css("main")[0].text)
