"""Parameters of the estimate: how three families of models work in a method's loop, and how a context is read.

Sources. *Measured here*: recorded runs of the embedded coder (results/recorded), tokens of real OOLONG windows, the
visible tokens of public root replies. *Public run*: records of another RLM's samples with hosted models on the same
benchmarks (github.com/tensor-systems/droste, benchmarks/results, July 2026). *Paper*: arXiv:2512.24601v3, appendices C
and E. *Fitted*: chosen so that the estimate is near the costs of the paper's Table 1; `FITTED` names them.
`scripts/estimate_ratios.py --fit` prints how well they predict costs that they were not fitted to.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Task(StrEnum):
    """The kinds of questions, by the part of the context that they need."""

    LOOKUP = "one passage, which a search for the question's words finds"
    SEARCH = "facts in several of many documents"
    QUESTION = "a question about one long text"
    LABELS = "every line has to be understood"
    PAIRS = "every line has to be understood, and the answer is a long list"


# The kind of questions by the name of a suite's class; any other suite has questions about a text.
TASKS = {
    "SNIAH": Task.LOOKUP,
    "Ruler": Task.LOOKUP,
    "MRCR": Task.LOOKUP,
    "BrowseCompPlus": Task.SEARCH,
    "Oolong": Task.LABELS,
    "OolongReal": Task.LABELS,
    "OolongPairs": Task.PAIRS,
}
# Turns of a loop for a simple look-up. Public run on S-NIAH: 2.5; embedded coder: 2.
LOOKUP_TURNS = 2
# Tokens that sub-calls write for each token that they read: labels of lines (public run on OOLONG: 0.45), or a short
# reply about a piece of text (public run: 0.05 on BrowseComp-Plus and 0.08 on CodeQA, with much shorter prompts).
LABEL_TOKENS, NOTE_TOKENS = 0.5, 0.02
# Tokens of the system prompt of CodeAct.
CODEACT_PROMPT = 500
# Tokens of the passages that one SEARCH shows: 20,000 characters.
SEARCH_RESULT = 5000
# Tokens of one summary of the compactor, and of a note of map_reduce.
SUMMARY, NOTE = 1500, 150
# o200k_base tokens for each declared token of OOLONG's rows, whose lengths count the labels; windows of 16K and 32K.
OOLONG_DECLARED = 0.70
# Tokens of Qwen's tokenizer for each one of o200k_base on OOLONG's lines, in the recorded calls.
QWEN_ON_OOLONG = 1.2


@dataclass(frozen=True)
class Habits:
    """The habits of one family of models, as root and as sub-model.

    reply: tokens that a turn or a direct answer writes, reasoning included. shown: the part of them that stays in the
    history. output: tokens of a cell's output. listed: tokens of an answer that is a long list. prompt: tokens of an
    RLM's system prompt and first message; kept: the part of them that a local server reads once for all samples.
    codeact_turns, depth0_turns, rlm_turns: turns of a loop that does more than a look-up; rlm_turns is for max_depth 1
    and more. searched: the share of a context that sub-calls read if it need not be read completely. labelled: the
    times they read a context that has to be. sub_calls: the number of sub-calls for such a context, if it is not larger
    by their size.
    """

    reply: float
    shown: float
    output: float
    listed: float
    prompt: float
    kept: float
    codeact_turns: float
    depth0_turns: float
    rlm_turns: float
    searched: float
    labelled: float
    sub_calls: float


# reply: public run, 1,900 tokens an answer on OOLONG. shown: mean of 31 public replies of GPT-5 as a root. listed:
# mean of 14 replies of the public run on OOLONG-Pairs. sub_calls: paper, about ten.
REASONING = Habits(
    reply=2000, shown=450, output=2000, listed=8000, prompt=2500, kept=0,
    codeact_turns=20, depth0_turns=14, rlm_turns=8, searched=1 / 8, labelled=1, sub_calls=10,
)  # fmt: skip
# reply: visible tokens of public roots without reasoning, 180 to 780. output: 20,000 characters, the most that is
# shown, as this family runs several blocks in one turn (paper, E.2). sub_calls: paper, 500 on OOLONG.
PLAIN = Habits(
    reply=600, shown=600, output=5000, listed=8000, prompt=2500, kept=0,
    codeact_turns=20, depth0_turns=20, rlm_turns=25, searched=1 / 8, labelled=1, sub_calls=500,
)  # fmt: skip
# Recorded calls of Qwen2.5-Coder-1.5B: 4 turns unless it looks something up, 40 tokens a reply, no sub-calls.
SMALL = Habits(
    reply=40, shown=40, output=130, listed=40, prompt=1350, kept=1280,
    codeact_turns=2.5, depth0_turns=4, rlm_turns=4, searched=0, labelled=0, sub_calls=0,
)  # fmt: skip
# The fields that are fitted to published costs: to GPT-5's for REASONING, and the last two to Qwen3-Coder's for PLAIN,
# which has the others from REASONING.
FITTED = {
    "reasoning": ("codeact_turns", "depth0_turns", "rlm_turns", "searched"),
    "plain": ("depth0_turns", "rlm_turns"),
}


def habits_of(model: Any) -> Habits:
    """Return the habits of a root: SMALL for embedded weights, REASONING if a reasoning effort is set, else PLAIN."""
    from rlm.models.embedded.model import EmbeddedModel

    if isinstance(model, EmbeddedModel):
        return SMALL
    effort = getattr(model, "sampling", None) and model.sampling.reasoning_effort
    return PLAIN if effort in (None, "", "none", "minimal") else REASONING
