"""The generated world: questions need their number of documents, and a document states only its own facts."""

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.suites.browsecomp_plus.documents import document
from benchmarks.suites.browsecomp_plus.questions import HOPS, ask
from benchmarks.suites.browsecomp_plus.world import RELATIONS, World

ROOT = Path(__file__).parents[4]


@pytest.fixture(scope="module")
def world() -> World:
    return World(7, 400)


@pytest.fixture(scope="module")
def documents(world) -> dict[str, str]:
    return {entity.docid: document(world, entity) for entity in world.entities}


def test_names_and_docids_are_unique(world):
    assert len({entity.name for entity in world.entities}) == len({entity.docid for entity in world.entities}) == 400


def test_every_relation_leads_to_one_other_entity_of_its_class(world):
    for entity in world.entities:
        assert set(entity.links) == set(RELATIONS[entity.what])
        for relation, what in RELATIONS[entity.what].items():
            other = world.linked(entity, relation)
            assert other.what == what
            assert other is not entity


@pytest.mark.parametrize("index", range(12))
def test_each_document_on_the_path_names_the_next_and_the_last_has_the_answer(world, documents, index):
    question = ask(world, index)
    assert len(question.path) == HOPS[index % 3]
    for here, there in zip(question.path, question.path[1:], strict=False):
        assert there.name in documents[here.docid]
    assert question.answer in documents[question.path[-1].docid]


@pytest.mark.parametrize("index", range(12))
def test_a_question_names_neither_its_path_nor_its_answer(world, index):
    question = ask(world, index)
    assert not any(entity.name in question.text for entity in question.path)
    assert question.answer not in question.text


def test_every_sentence_that_states_a_trait_is_in_one_document_only(world, documents):
    texts = list(documents.values())
    for entity in world.entities[::40]:
        text = documents[entity.docid]
        # A full stop after a capital is an initial's.
        own = [s for s in re.split(r"(?<=[^A-Z]\.)\s+", text) if entity.name in s]
        assert len(own) >= len(entity.traits) + len(entity.links)
        for value in entity.traits.values():
            stated = [s for s in own if value in s]
            assert stated
            assert sum(stated[0] in other for other in texts) == 1


def test_hard_negatives_share_a_trait_or_a_part_of_the_name(world):
    for entity in world.entities[::25]:
        for other in world.alike(entity):
            assert other.what == entity.what
            assert set(other.traits.items()) & set(entity.traits.items()) or set(other.name.split()) & set(
                entity.name.split()
            )


def test_documents_have_several_thousand_tokens_and_differ(documents):
    sizes = [len(text) for text in documents.values()]
    assert min(sizes) > 10_000
    assert max(sizes) < 60_000
    assert len(set(documents.values())) == len(documents)


@pytest.mark.parametrize("size", [50, 100, 5000])
def test_worlds_of_any_size_have_questions_of_every_kind(size):
    small = World(1, size)
    assert {len(ask(small, index).path) for index in range(6)} == set(HOPS)


def test_the_same_seed_gives_the_same_bytes_in_any_process(world, documents):
    code = (
        "import hashlib; from benchmarks.suites.browsecomp_plus.world import World\n"
        "from benchmarks.suites.browsecomp_plus.documents import document\n"
        "from benchmarks.suites.browsecomp_plus.questions import ask\n"
        "w = World(7, 400)\n"
        "t = ''.join(document(w, e) for e in w.entities) + ''.join(ask(w, i).text for i in range(9))\n"
        "print(hashlib.sha256(t.encode()).hexdigest())"
    )
    text = "".join(documents.values()) + "".join(ask(world, index).text for index in range(9))
    other = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "5"},
    )  # fmt: skip
    assert other.stdout.strip() == hashlib.sha256(text.encode()).hexdigest()


def test_a_small_world_is_the_same_on_every_machine():
    small = World(0, 50)
    text = "".join(document(small, entity, (10, 20)) for entity in small.entities) + ask(small, 0).text
    assert (
        hashlib.sha256(text.encode()).hexdigest() == "3a7aab8c51fa48108f407c521dd936e9ed1351b94c7baafadd1513d52bc1b680"
    )
