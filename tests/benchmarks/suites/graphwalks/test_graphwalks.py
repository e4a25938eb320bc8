"""GraphWalks: graphs that fill their length, results checked by another search, F1 of the last line, and rows."""

import hashlib
import itertools
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.sources.files import DataError
from benchmarks.suites.graphwalks import GraphWalks
from benchmarks.suites.graphwalks.generator import at_depth, parents
from benchmarks.suites.graphwalks.scorer import score_answer
from rlm.models.tokens import count_tokens
from rlm.validation import SettingError, make

NODES = st.lists(st.sampled_from("abcdefgh"), min_size=2, max_size=2).map(tuple)
QUESTION = re.compile(r"(?:from|of) node (\w+)(?: and give the nodes at depth (\d))?\.")


def samples(**settings):
    benchmark = GraphWalks(**settings)
    return [benchmark.sample(info.sample_id) for info in benchmark.infos()]


def edges_of(sample):
    return [tuple(line.split(" -> ")) for line in sample.prompt.context.splitlines() if " -> " in line]


@pytest.mark.parametrize("encoding", ["o200k_base", "qwen3"])
@pytest.mark.parametrize("length", [512, 1024, 20_000])
def test_the_complete_prompt_fills_its_length_to_within_an_edge(length, encoding):
    for sample in samples(lengths=(length,), samples=4, encoding=encoding):
        (message,) = sample.prompt.messages()
        assert length - 45 < count_tokens(message["content"], encoding) <= length


def test_results_are_those_of_the_edges_in_the_prompt():
    for sample in samples(lengths=(2048,), samples=16):
        edges = edges_of(sample)
        node, depth = QUESTION.search(sample.prompt.query).groups()
        if sample.info.task_group == "parents":
            assert depth is None and set(sample.target) == {a for a, b in edges if b == node}
        else:
            # The distances by relaxation of all edges, another algorithm than the generator's.
            distance = {node: 0}
            for _ in range(int(depth)):
                for a, b in edges:
                    if a in distance:
                        distance[b] = min(distance.get(b, 99), distance[a] + 1)
            assert set(sample.target) == {each for each, steps in distance.items() if steps == int(depth)}
        assert sample.target == tuple(sorted(set(sample.target))) and node not in sample.target
        assert len(set(edges)) == len(edges) and all(a != b for a, b in edges)


@given(st.lists(NODES, max_size=30), st.sampled_from("abcdefgh"), st.integers(1, 4))
def test_depth_is_the_length_of_the_shortest_path(edges, start, depth):
    reached = [{start}]
    for _ in range(depth):
        reached.append({b for a, b in edges if a in reached[-1]})
    assert at_depth(edges, start, depth) == reached[-1] - set().union(*reached[:-1])
    assert start not in parents(edges, start)


def test_problems_and_depths_take_turns():
    infos = GraphWalks(lengths=(512, 1024), samples=4).infos()
    assert [(info.task_group, info.length) for info in infos[:4]] == [
        ("bfs", 512), ("bfs", 1024), ("parents", 512), ("parents", 1024),
    ]  # fmt: skip
    depths = [QUESTION.search(s.prompt.query)[2] for s in samples(lengths=(2048,), samples=5, problems=("bfs",))]
    assert depths == ["1", "2", "3", "4", "1"]


def test_the_bytes_are_the_same_on_every_machine():
    digest = hashlib.sha256()
    for sample in samples(lengths=(512, 4096), samples=6):
        digest.update(repr((sample.prompt.messages(), sample.target)).encode())
    assert digest.hexdigest() == SHA256


def test_another_seed_gives_another_graph():
    assert samples(lengths=(512,), samples=1) == samples(lengths=(512,), samples=1)
    assert samples(lengths=(512,), samples=1) != samples(lengths=(512,), samples=1, seed=1)


@pytest.mark.parametrize(
    ("answer", "value", "lenient", "format_ok"),
    [
        ("Final Answer: [a, b]", 1, 1, True),
        ("I looked.\nFinal Answer:[b,a]", 1, 1, True),
        ("Final Answer: [a]", 2 / 3, 2 / 3, True),
        ("Final Answer: [a, b, c, d]", 2 / 3, 2 / 3, True),
        ("Final Answer: [c]", 0, 0, True),
        ("Final Answer: []", 0, 0, True),
        ("Final Answer: ['a', 'b']", 0, 1, True),
        ("Final Answer: [a, b]\n", 0, 1, False),
        ("Final Answer: [a, b]\nThat is all.", 0, 1, False),
        ("**Final answer:** [a, b]", 0, 1, False),
        ("The nodes are [a, b].", 0, 1, False),
        ("Final Answer: a, b", 0, 0, False),
        ("", 0, 0, False),
        (None, 0, 0, False),
    ],
)
async def test_f1_of_the_nodes_in_the_last_line(answer, value, lenient, format_ok):
    score = await GraphWalks(lengths=(512,)).score(("a", "b"), answer)
    assert (score.value, score.lenient, score.format_ok) == (pytest.approx(value), pytest.approx(lenient), format_ok)


def test_two_empty_sets_are_equal():
    assert score_answer((), "Final Answer: []").value == 1
    assert score_answer((), "nothing").value == score_answer((), "Final Answer: [a]").value == 0


@given(st.text(), st.lists(st.text("abcdef0123456789", min_size=1), max_size=8))
def test_any_answer_scores_between_0_and_1(answer, nodes):
    target = tuple(sorted(set(nodes)))
    score = score_answer(target, answer)
    assert 0 <= score.value <= score.lenient <= 1
    listed = f"{answer}\nFinal Answer: [{', '.join(nodes)}]"
    assert score_answer(target, listed).value == 1


async def test_the_oracle_scores_1_and_constants_little():
    benchmark = GraphWalks(lengths=(4096,), samples=6)
    for info in benchmark.infos():
        sample = benchmark.sample(info.sample_id)
        assert (await benchmark.score(sample.target, benchmark.oracle(sample.target))).value == 1
        for constant in benchmark.constants([]):
            assert (await benchmark.score(sample.target, constant(sample.without_target()))).value < 0.5
        assert "Final Answer" not in sample.prompt.context


def test_rows_may_carry_their_target():
    benchmark = GraphWalks(lengths=(512,))
    assert benchmark.target_of({"target": json.loads(benchmark.target_bytes(("a", "b")))}) == ("a", "b")
    for wrong in ({}, {"target": "a"}, {"target": [1]}):
        with pytest.raises(ValueError, match="expected a list of nodes"):
            benchmark.target_of(wrong)


# --- rows in the form of openai/graphwalks


def row(problem, nodes, **changes):
    prompt = (
        "Here is an example:\na -> b\n\nOperation:\nFind the parents of node b.\nFinal Answer: [a]\n\nThe graph:\n"
        "c -> d\nd -> e\n\n\nOperation:\nFind the parents of node d.\n\nEnd with Final Answer: [node, node]\n"
    )
    return {"prompt": prompt, "answer_nodes": nodes, "prompt_chars": 9, "problem_type": problem} | changes


async def test_rows_are_split_at_the_last_operation(tmp_path, own_cache):
    rows = [row("parents", ["d", "c"]), row("bfs", ["e"]), row("parents", []), row("parents", ["x"], prompt="no mark")]
    (tmp_path / "graphwalks_128k_and_shorter.jsonl").write_text("\n".join(map(json.dumps, rows)))
    benchmark = GraphWalks(source=str(tmp_path))
    infos = benchmark.infos()
    assert [(info.sample_id, info.task_group, info.length) for info in infos] == [
        ("graphwalks-131072-001", "bfs", 131072), ("graphwalks-131072-000", "parents", 131072),
        ("graphwalks-131072-002", "parents", 131072), ("graphwalks-131072-003", "parents", 131072),
    ]  # fmt: skip
    sample = benchmark.sample("graphwalks-131072-000")
    (message,) = sample.prompt.messages()
    assert message["content"] == rows[0]["prompt"].rstrip("\n")
    assert (
        sample.prompt.query.startswith("Operation:\nFind the parents of node d.") and "c -> d" in sample.prompt.context
    )
    assert sample.target == ("c", "d")
    assert benchmark.sample("graphwalks-131072-003").prompt.messages()[0]["content"] == "no mark"
    assert len(GraphWalks(source=str(tmp_path), samples=2).infos()) == 2
    assert "files_sha256" in benchmark.provenance()["131072"]


def test_rows_of_another_form_are_refused(tmp_path, own_cache):
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(row("bfs", "e")))
    with pytest.raises(DataError, match="column answer_nodes is 'e': expected list"):
        GraphWalks(source=str(path)).infos()
    path.write_text(json.dumps(row("other", ["e"])))
    with pytest.raises(DataError, match="found no row with problem_type bfs or parents"):
        GraphWalks(source=str(path)).infos()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"problems": ["dfs"]}, "problems is ['dfs']: expected"),
        ({"depths": [5]}, "depths is [5]: expected"),
        ({"lengths": [100]}, "lengths is [100]: expected"),
        (
            {"source": "hub", "lengths": [4096]},
            "lengths is [4096]: expected lengths of the data set, 131072 and 1048576",
        ),
    ],
)
def test_invalid_settings_are_refused_with_their_key(settings, message):
    with pytest.raises(SettingError, match=re.escape("benchmark.graphwalks." + message)):
        make(GraphWalks, settings, "benchmark.graphwalks")


def test_a_length_has_one_graph_for_each_sample():
    graphs = [sample.prompt.context for sample in samples(lengths=(512,), samples=4)]
    assert all(one != other for one, other in itertools.combinations(graphs, 2))


SHA256 = "47595788e322ce4a145d3ab3c052d02803bcd3bfa2f9e0c377f4e26f7d779adc"
