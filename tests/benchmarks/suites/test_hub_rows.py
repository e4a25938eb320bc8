"""The readers of MRCR, GraphWalks and LongCoT-Mini, over the routes of the hub, at their pinned revisions."""

import io
import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.suites.graphwalks.rows import REVISION as GRAPHS
from benchmarks.suites.longcot_mini.rows import REVISION as PUZZLES
from benchmarks.suites.mrcr.rows import REVISION as CONVERSATIONS

ROOT = Path(__file__).parents[3]
CLIENT = """
from benchmarks.sources.files import DataError
from benchmarks.suites.graphwalks import GraphWalks
from benchmarks.suites.longcot_mini import LongCoTMini
from benchmarks.suites.mrcr import MRCR

mrcr = MRCR(source="hub", needles=(2,), lengths=(8192,))
print(len(mrcr.infos()), mrcr.infos()[0].sample_id, mrcr.sample("mrcr-2needles-000").target.answer)
walks = GraphWalks(source="hub", problems=("bfs",))
print(len(walks.infos()), walks.sample(walks.infos()[0].sample_id).target)
longcot = LongCoTMini(source="hub", domains=("chess",), samples=1000)
print(len(longcot.infos()), longcot.sample("longcot-chess-7").target.facts)
for wrong in (
    LongCoTMini(source="hub", domains=("logic",)),
    MRCR(source="hub", needles=(4,), lengths=(8192,)), GraphWalks(source="hub", lengths=(1048576,)),
):
    try:
        wrong.infos()
    except DataError as error:
        print(error)
"""


def parquet(rows):
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), file, row_group_size=50)
    return file.getvalue()


def test_rows_of_the_hub_are_read_and_counted(tmp_path, fake_hub, forks):
    messages = [
        {"role": "user", "content": "Write a poem."}, {"role": "assistant", "content": "kite " * 5000},
        {"role": "user", "content": "Prepend Qx7 to the 1st poem."},
    ]  # fmt: skip

    def conversation(needles, number):
        # Two of the rows can be in the shortest bin; the others are not read completely.
        chars = 25_000 if number in (0, 799) else 3_000_000
        prompt = json.dumps(messages) if chars == 25_000 else "not read"
        row = {"prompt": prompt, "answer": "Qx7kite", "random_string_to_prepend": "Qx7"}
        return row | {"n_needles": needles, "n_chars": chars}

    graph = {
        "prompt": "a -> b\n\nOperation:\nBFS",
        "answer_nodes": ["b", "a"],
        "prompt_chars": 9,
        "problem_type": "bfs",
    }
    data = {
        ("openai/mrcr", CONVERSATIONS): {
            "2needle/2needle_0.parquet": parquet([conversation(2, n) for n in range(400)]),
            "2needle/2needle_1.parquet": parquet([conversation(2, n) for n in range(400, 800)]),
            "4needle/4needle_0.parquet": parquet([conversation(4, n) for n in range(799)]),
        },
        ("openai/graphwalks", GRAPHS): {
            "graphwalks_128k_and_shorter.parquet": parquet([graph] * 30 + [graph | {"problem_type": "parents"}] * 720),
            "graphwalks_256k_to_1mil.parquet": parquet([graph] * 3),
        },
    }
    question = {"template": "piece_combinations", "prompt": "How many?\nsolution = <integer>", "answer": '"39"'}
    data["LongHorizonReasoning/longcot", PUZZLES] = {
        "data/all/easy/0.parquet": b"not read",
        "data/chess/easy.parquet": parquet([question | {"question_id": str(n)} for n in range(100)]),
        "data/chess/hard.parquet": b"not read",
        "data/logic/easy.parquet": parquet([question | {"question_id": "1"}]),
    }
    with fake_hub.fake_hub(data) as hub:
        environment = {**os.environ, "HF_ENDPOINT": hub.url, "PYTHONPATH": str(ROOT), "HF_HOME": str(tmp_path)}
        for unwanted in ("HF_HUB_OFFLINE", "HF_TOKEN", "HF_DATASETS_CACHE", "HF_DATASETS_OFFLINE"):
            environment.pop(unwanted, None)
        done = forks.run(CLIENT, cwd=tmp_path, env=environment)
    assert done.stdout.splitlines() == [
        "2 mrcr-2needles-000 Qx7kite",
        "30 ('a', 'b')",
        "100 {'value': 39}",
        f"LongHorizonReasoning/longcot at {PUZZLES}: found 1 rows: expected 105 rows",
        f"openai/mrcr at {CONVERSATIONS}: found 799 rows with n_needles = one of 1 values: expected 800 rows",
        f"openai/graphwalks at {GRAPHS}: found 3 rows: expected 400 rows",
    ], done.stderr
