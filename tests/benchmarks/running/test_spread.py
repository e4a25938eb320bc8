"""The order in which a limit takes samples, and settings by which a suite grows."""

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.config.compose import compose
from benchmarks.running.samples import built_sample, load_benchmarks
from benchmarks.running.spread import spread_order

SAMPLES = st.lists(st.tuples(st.none() | st.integers(1, 5), st.sampled_from("abc")), max_size=40)


@given(SAMPLES)
def test_it_is_a_permutation_whose_prefixes_spread_over_lengths(samples):
    lengths, groups = [length for length, _ in samples], [group for _, group in samples]
    order = spread_order(lengths, groups)
    assert sorted(order) == list(range(len(samples)))
    left, taken = Counter(lengths), Counter()
    for place in order:
        # A length is taken again only when the others have had their turn, or have no sample left.
        assert all(taken[other] >= taken[lengths[place]] for other in left if taken[other] < left[other])
        taken[lengths[place]] += 1


@given(SAMPLES)
def test_samples_of_one_length_and_group_keep_their_order(samples):
    order = spread_order([length for length, _ in samples], [group for _, group in samples])
    for cell in set(samples):
        places = [place for place in order if samples[place] == cell]
        assert places == sorted(places)


def test_lengths_begin_at_both_ends_and_groups_take_turns():
    order = spread_order([n for n in range(8) for _ in range(3)], ["a", "b", "c"] * 8)
    cells = [divmod(place, 3) for place in order]
    assert [length for length, _ in cells[:8]] == [0, 7, 3, 1, 5, 2, 4, 6]
    for stop in range(1, 25):
        counts = Counter(group for _, group in cells[:stop])
        assert max(counts.values()) - min(counts[group] for group in range(3)) <= 2
    assert len(set(cells)) == 24


def ids(*words):
    _, infos = load_benchmarks(compose(["benchmark=[sniah]", "method=[base]", "model=openai", *words]))
    return infos["sniah"]


def test_a_limit_is_a_prefix_of_a_larger_one_and_covers_the_curve():
    chosen = [list(ids(f"limit={limit}")) for limit in (3, 10, 400, 10_000)]
    for few, more in pairwise(chosen):
        assert few == more[: len(few)]
    assert set(chosen[-1]) == set(ids())
    three = [(info.length, info.task_group) for info in ids("limit=3").values()]
    assert three == [(8192, "single_1"), (1048576, "single_3"), (65536, "single_2")]


@pytest.mark.parametrize(
    ("suite", "small", "large"),
    [
        ("sniah", ["lengths=[512]", "samples=2"], ["lengths=[300,512]", "samples=4"]),
        (
            "oolong",
            ["lengths=[1024]", "samples=2", "subsets=[trec_coarse]"],
            ["lengths=[512,1024]", "samples=3", "subsets=[spam,trec_coarse]"],
        ),
        ("oolong_pairs", ["lengths=[512]", "samples=2"], ["lengths=[512,1024]", "samples=4"]),
        ("codeqa", ["lengths=[512]", "samples=2"], ["lengths=[512,1024]", "samples=4"]),
        ("browsecomp_plus", ["documents=[5]", "queries=2"], ["documents=[3,5]", "queries=4"]),
        ("mrcr", ["lengths=[2048]", "samples=2"], ["lengths=[1024,2048]", "samples=4"]),
        ("graphwalks", ["lengths=[512]", "samples=2"], ["lengths=[512,1024]", "samples=4"]),
        ("longcot_mini", ["lengths=[512]", "samples=2"], ["lengths=[512,1024]", "samples=4"]),
        (
            "ruler",
            ["lengths=[1024]", "samples=1", "tasks=[vt,fwe]"],
            ["lengths=[1024,2048]", "samples=2", "tasks=[vt,qa_1,fwe]"],
        ),
        ("longbench_v2", ["lengths=[1024]", "samples=2"], ["lengths=[1024,2048]", "samples=4"]),
    ],
)
def test_settings_by_which_a_suite_grows_keep_its_samples(suite, small, large):
    common = ["world_documents=50", "sentences=[8,16]"] if suite == "browsecomp_plus" else []
    common += ["packages=[packaging,anyio,click]"] if suite == "codeqa" else []
    common += ["domains=[single_document,structured]"] if suite == "longbench_v2" else []
    built = []
    for keys in (small, large):
        words = [f"benchmark.{suite}.{key}" for key in [*keys, *common]]
        benchmarks, infos = load_benchmarks(compose([f"benchmark=[{suite}]", "method=[base]", "model=openai", *words]))
        assert {key.partition("=")[0] for key in keys} == set(benchmarks[suite].grows_by)
        built.append({name: built_sample(benchmarks[suite], name) for name in infos[suite]})
    few, more = built
    assert len(few) == 2 and len(more) >= 8
    for name, sample in few.items():
        assert more[name].target_sha256 == sample.target_sha256
        assert more[name].sample.prompt == sample.sample.prompt
