"""The ten subsets of oolong-synth: their labels, and the words that describe their lines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from benchmarks.suites.oolong.windows import LABELS

SubsetName = Literal[
    "trec_coarse", "spam", "agnews", "app_reviews", "formality", "imdb", "metaphors", "multinli", "negation", "yahoo"
]
NAMES: tuple[SubsetName, ...] = get_args(SubsetName)


@dataclass(frozen=True)
class Subset:
    """A subset.

    name: the value of the data set's column `dataset`. split: its split on the hub. labels: the names of the labels.
    line: what a line holds. items: its plural. classified: the start of a sentence that "one of N categories" ends.
    """

    name: str
    split: str
    labels: tuple[str, ...]
    line: str
    items: str
    classified: str

    @property
    def prefix(self) -> str:
        """The start of ids and groups; empty for trec_coarse, the subset of the paper's runs."""
        return "" if self is TREC_COARSE else self.name


TREC_COARSE = Subset(
    "trec_coarse", "validation", LABELS, "a general-knowledge question that the user asked", "questions",
    "The answer to each question falls into",
)  # fmt: skip

SUBSETS: dict[str, Subset] = {
    subset.name: subset
    for subset in (
        TREC_COARSE,
        Subset(
            "spam", "validation", ("ham", "spam"), "a text message that the user received", "messages",
            "Each message is unwanted advertising or fraud (spam) or any other message (ham), and so belongs to",
        ),
        Subset(
            "agnews", "test", ("World", "Sports", "Business", "Sci/Tech"), "a headline with the first sentence of the "
            "news", "articles", "The topic of each article falls into",
        ),
        Subset(
            "app_reviews", "test", ("negative", "positive"), "a review that the user wrote about an app", "reviews",
            "No review is neutral, and the opinion of each falls into",
        ),
        Subset(
            "formality", "test", ("formal", "informal"), "a sentence that the user wrote", "sentences",
            "No sentence is in a neutral style, and the style of each falls into",
        ),
        Subset(
            "imdb", "test", ("negative", "positive"), "a review that the user wrote about a film", "reviews",
            "No review is neutral, and the opinion of each falls into",
        ),
        Subset(
            "metaphors", "test", ("correct", "incorrect"), "a sentence with a metaphor and, after the mark <-->, a "
            "literal sentence that may have its meaning", "pairs", "The literal sentence of each pair falls into",
        ),
        Subset(
            "multinli", "test", ("entailment", "neutral", "contradiction"), "two sentences, separated by the mark ->",
            "pairs", "The relation of the second sentence to the first falls into",
        ),
        Subset(
            "negation", "test", ("True", "False"), "a sentence that makes one claim", "claims",
            "The truth of each claim falls into",
        ),
        Subset(
            "yahoo", "test",
            ("Society & Culture", "Science & Mathematics", "Health", "Education & Reference", "Computers & Internet",
             "Sports", "Business & Finance", "Entertainment & Music", "Family & Relationships",
             "Politics & Government"),
            "a question that the user asked on a website, with its details", "questions",
            "The topic of each question falls into",
        ),
    )
}  # fmt: skip


def group_of(subset: Subset, group: str) -> str:
    """Return the task group of a sample: that of the data set, after the name of a subset other than trec_coarse."""
    return f"{subset.prefix}: {group}" if subset.prefix else group


def subset_of(task_group: str) -> Subset:
    """Return the subset of a task group."""
    return SUBSETS[task_group.partition(": ")[0]] if ": " in task_group else TREC_COARSE
