"""The file of stored calls: unknown versions, read-only folders, other machines, full disks, shared files, kills."""

import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections import Counter

import pytest

from rlm.models.cache.model import CallStore
from rlm.models.cache.requests import describe_request
from rlm.models.chat import FatalModelError, Reply, Sampling


@pytest.fixture
def path(tmp_path):
    return tmp_path / "calls.sqlite"


def fill(path, count):
    store = CallStore(path)
    for number in range(count):
        store.put(number.to_bytes(32, "big"), "m", Reply(f"{number} " + "x" * 1000))
    store.close()


def test_the_write_ahead_log_is_emptied_while_calls_are_stored(path, monkeypatch):
    monkeypatch.setattr("rlm.models.cache.store.FOLD_EVERY", 20)
    store, log, largest = CallStore(path), path.with_name("calls.sqlite-wal"), 0
    for number in range(5000):
        store.put(number.to_bytes(32, "big"), "m", Reply(f"{number} " + "x" * 1000))
        if log.stat().st_size < largest:
            break
        largest = log.stat().st_size
    else:
        pytest.fail("the log only grew")
    assert len(store) == number + 1
    store.close()


def test_the_readable_records_of_a_file_cut_short_are_kept(path, caplog):
    fill(path, 500)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])
    store = CallStore(path)
    assert 100 < len(store) < 500
    assert store.put(b"n" * 32, "m", Reply("new"))
    store.close()
    assert "calls were kept" in caplog.text
    assert path.with_name("calls.sqlite.damaged").exists()


def test_a_file_overwritten_in_the_middle_keeps_both_ends(path):
    fill(path, 500)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 8192] = b"\xff" * 8192
    path.write_bytes(content)
    store = CallStore(path)
    assert store.get((0).to_bytes(32, "big")).text.startswith("0 ")
    assert store.get((499).to_bytes(32, "big")).text.startswith("499 ")
    store.close()


def test_a_changed_record_is_set_aside_reported_and_asked_again(path, caplog):
    fill(path, 3)
    with sqlite3.connect(path) as file:
        file.execute("""UPDATE calls SET outcome = '{"text": "cu' WHERE key = ?""", ((0).to_bytes(32, "big"),))
        file.execute(
            "UPDATE calls SET outcome = replace(outcome, '1 x', '7 x') WHERE key = ?", ((1).to_bytes(32, "big"),)
        )
    store = CallStore(path)
    keys = [number.to_bytes(32, "big") for number in range(3)]
    assert [store.get(key) is None for key in keys] == [True, True, False]
    assert caplog.text.count("is set aside: its checksum does not match") == 2
    assert store.put(keys[0], "m", Reply("asked again")) and store.get(keys[0]).text == "asked again"
    store.close()
    with sqlite3.connect(path) as file:
        assert file.execute("SELECT count(*) FROM set_aside").fetchone() == (2,)


GOOD = '{"cost":[0.0,0.0,"free"],"finish_reason":"stop","latency_s":1.0,"text":"T","usage":[1,0,1,0,false]}'


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("outcome", b"a blob", "its outcome is not a text"),
        ("outcome", 5, "it cannot be read"),
        ("model", b"m", "its model is not a text"),
        ("checksum", b"0", "its checksum is not a text"),
        ("request", b"{", "its request is not a text"),
        ("request", "{", "it cannot be read"),
        ("outcome", "[" * 5000, "it cannot be read"),
        ("outcome", GOOD.replace('"T"', '["T"]'), "is not a text"),
        ("outcome", GOOD.replace('"stop"', "1"), "is not a text"),
        ("outcome", GOOD.replace("[1,0,1,0,false]", "[-1,0,1,0,false]"), "is not a number of tokens"),
        ("outcome", GOOD.replace("[1,0,1,0,false]", '["1",0,1,0,false]'), "is not a number of tokens"),
        ("outcome", GOOD.replace("1.0", "NaN"), "is not an amount"),
        ("outcome", GOOD.replace("0.0", "1e999"), "is not an amount"),
        ("outcome", GOOD.replace("1.0", "9" * 400), "is not an amount"),
        ("outcome", GOOD.replace('"free"', '"cheap"'), "it cannot be read"),
        ("outcome", GOOD.replace("}", ',"failures":[5]}'), "it cannot be read"),
        ("outcome", GOOD.replace("}", f',"more":[{"[]," * 600_000}[]]}}'), "more than"),
        ("outcome", GOOD + " " * 100_000, "it has more than"),
    ],
)
def test_a_value_of_another_type_is_set_aside_and_asked_again(path, column, value, reason, caplog, monkeypatch):
    fill(path, 2)
    if reason == "it has more than":
        monkeypatch.setattr("rlm.models.cache.database.LONGEST", 100_000)
    file = sqlite3.connect(path)
    if column == "outcome":
        file.execute("UPDATE calls SET checksum = NULL")
    file.execute(f"UPDATE calls SET {column} = ? WHERE key = ?", (value, bytes(32)))
    file.commit()
    file.close()
    store = CallStore(path)
    assert store.get(bytes(32)) is None and reason in caplog.text
    assert store.get((1).to_bytes(32, "big")).text.startswith("1 ")
    assert store.put(bytes(32), "m", Reply("asked again")) and store.get(bytes(32)).text == "asked again"
    assert store.export(path.with_name("out.jsonl.gz")) == 2
    store.close()


def test_damaged_requests_and_texts_do_not_hide_the_nearest_one(path):
    store = CallStore(path)
    messages = [{"role": "user", "content": "abc"}]
    request, (identifier,) = describe_request(messages, Sampling(), 0, 0)
    store.put(b"k" * 32, "m", Reply("x"), request, [(identifier, "abc")])
    for number, broken in enumerate([b"\0", 5, "[]", "{", '{"messages":[1],"settings":{}}', '{"messages":5}']):
        values = bytes([number]) * 32, "m", GOOD, None, broken
        store._file.execute("INSERT INTO calls VALUES (?, ?, ?, ?, ?)", values)
    asked = [{"role": "user", "content": "abd"}]
    assert "recorded 'abc', now 'abd'" in store.nearest_difference("m", asked, Sampling(), 0, 0)
    for broken in (5, b"\0", "[]", "{"):
        store._file.execute("UPDATE texts SET text = ?", (broken,))
        assert "the recorded text is damaged" in store.nearest_difference("m", asked, Sampling(), 0, 0)
    store.close()


def test_a_store_that_is_a_fifo_is_refused(path):
    os.mkfifo(path)
    with pytest.raises(FatalModelError, match="it is not a regular file"):
        CallStore(path)
    path.unlink()
    recording = path.with_name("calls.jsonl.gz")
    os.mkfifo(recording)
    with pytest.raises(FatalModelError, match="is not a regular file"):
        CallStore(recording)


def test_a_changed_record_under_a_new_call_is_replaced(path):
    fill(path, 1)
    key = (0).to_bytes(32, "big")
    with sqlite3.connect(path) as file:
        file.execute("UPDATE calls SET checksum = '0000000000000000'")
    store = CallStore(path)
    assert store.put(key, "m", Reply("new"))
    assert store.get(key).text == "new"
    store.close()


def test_a_file_that_is_no_store_of_a_known_version_is_refused_and_left_unchanged(tmp_path):
    text, foreign, later = (tmp_path / name for name in ("text.sqlite", "foreign.sqlite", "later.sqlite"))
    text.write_bytes(b"some notes of mine, not a database " * 50)
    with sqlite3.connect(foreign) as other:
        other.execute("CREATE TABLE mine (x)")
    fill(later, 1)
    with sqlite3.connect(later) as other:
        other.execute("PRAGMA user_version = 9")
    for path, message in ((text, "not a store"), (foreign, "another program"), (later, "version 9")):
        before = path.read_bytes()
        with pytest.raises(FatalModelError, match=message) as caught:
            CallStore(path)
        assert "\n" not in str(caught.value)
        assert path.read_bytes() == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_can_be_replayed_from(path):
    fill(path, 3)
    path.chmod(0o444)
    path.parent.chmod(0o555)
    try:
        store = CallStore(path)
        assert len(store) == 3
        with pytest.raises(FatalModelError, match="cannot write"):
            store.put(b"new", "m", Reply("x"))
        store.close()
    finally:
        path.parent.chmod(0o755)


def test_stores_of_other_machines_are_read_and_not_written(tmp_path):
    fill(tmp_path / "a.sqlite", 3)
    store = CallStore(tmp_path / "b.sqlite", read_also=sorted(tmp_path.glob("*.sqlite")))
    assert store.get((2).to_bytes(32, "big")).text.startswith("2 ")
    store.put(b"new", "m", Reply("x"))
    store.close()
    first = CallStore(tmp_path / "a.sqlite")
    assert len(first) == 3
    first.close()


WRITER = """
import sys
from rlm.models.chat import Reply
from rlm.models.cache.model import CachedModel, CallStore
from rlm.models.cache.requests import describe_request
from rlm.models.chat import FatalModelError, Reply, Sampling
store = CallStore(sys.argv[1])
for number in range(int(sys.argv[2])):
    store.put(number.to_bytes(32, "big"), "m", Reply(sys.argv[3]))
    print(number, flush=True)
"""


def writer(path, count, text):
    return subprocess.Popen([sys.executable, "-c", WRITER, path, str(count), text], stdout=subprocess.PIPE, text=True)


FULL_DISK = """
import resource, sys
from rlm.models.cache.requests import describe_request
from rlm.models.chat import FatalModelError, Reply, Sampling
from rlm.models.cache.model import CachedModel, CallStore
from rlm.models.cache.requests import describe_request
from rlm.models.chat import FatalModelError, Reply, Sampling
store = CallStore(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
try:
    for number in range(1000):
        store.put(number.to_bytes(32, "big"), "m", Reply("x" * 1000))
except FatalModelError as error:
    print(number, error)
"""


def test_a_full_disk_is_reported_in_one_line_and_loses_no_stored_call(path):
    done = subprocess.run([sys.executable, "-c", FULL_DISK, path], capture_output=True, text=True)
    stored, message = done.stdout.split(" ", 1)
    assert message.startswith(f"cannot write the stored model calls in {path}: ")
    assert done.stdout.count("\n") == 1
    store = CallStore(path)
    assert len(store) == int(stored) > 10
    assert store.put(b"room again", "m", Reply("x"))
    store.close()


def test_several_processes_share_one_file(path):
    writers = [writer(path, 200, str(name)) for name in range(4)]
    for process in writers:
        process.communicate()
    assert [process.returncode for process in writers] == [0] * 4
    store = CallStore(path)
    assert len(store) == 200
    store.close()


def test_a_stored_call_survives_the_kill_of_its_process(path):
    process = writer(path, 100_000, "kept")
    stored = [int(process.stdout.readline()) for _ in range(300)]
    process.send_signal(signal.SIGKILL)
    stored += [int(line) for line in process.stdout.read().split("\n")[:-1]]
    process.wait()
    process.stdout.close()
    store = CallStore(path)
    assert all(store.get(number.to_bytes(32, "big")).text == "kept" for number in stored)
    store.close()


CALLER = """
import asyncio, sys
from rlm.models.cache.model import CachedModel, CallStore
from rlm.models.build import Endpoint, OpenAIModel

async def main():
    store = CallStore(sys.argv[2])
    model = CachedModel(OpenAIModel("m", Endpoint(sys.argv[1], max_concurrency=6, free=True)), store)
    print("begun", flush=True)
    asked = [[{"role": "user", "content": str(number)}] for number in range(90)]
    replies = await asyncio.gather(*map(model.complete, asked))
    await model.aclose()
    store.close()
    print(len({reply.text for reply in replies}))

asyncio.run(main())
"""


async def test_a_run_killed_again_and_again_pays_twice_only_for_what_was_on_the_wire(path, fake_openai):
    random.seed(5)
    kills = 0
    async with fake_openai.FakeOpenAI(latency_s=0.03) as server:
        while True:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-c", CALLER, server.base_url, path, stdout=asyncio.subprocess.PIPE
            )
            await process.stdout.readline()
            if kills < 6:
                before = len(server.paid)
                while len(server.paid) < before + random.randrange(20) and process.returncode is None:
                    await asyncio.sleep(0.005)
                process.kill()
                kills += 1
                await process.wait()
                continue
            assert await process.stdout.read() == b"90\n"
            await process.wait()
            break
        asked = Counter(entry.sha256 for entry in server.log)
        paid = Counter(entry.sha256 for entry in server.paid)
    assert len(paid) == 90
    # Six requests at most were on the wire, answered but not yet read, or asked and not yet answered.
    assert sum(paid.values()) - 90 <= kills * 6
    assert sum(asked.values()) - 90 <= kills * 6
