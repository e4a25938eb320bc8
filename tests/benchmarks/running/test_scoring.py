"""The scoring of one answer: cut, scored, judged, and no fault of a plug-in scorer passes for a score."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.running.scoring import MAX_UNREAD, BudgetSpent, Scorer, ScorerFault, UnreadableJudge
from benchmarks.sample import Score
from benchmarks.scoring.judge import LlmJudge
from rlm.limits import Budget
from rlm.models.chat import Cost, CostState, ModelError, Reply, Sampling


class Suite:
    """A plug-in suite whose scorer is a function of the answer and the judge."""

    name, metric, scorer, protected = "theirs", "accuracy", "theirs-1", False

    def __init__(self, scorer, max_answer_tokens=None):
        self._scorer = scorer
        self.max_answer_tokens = max_answer_tokens

    async def score(self, target, answer, judge=None):
        found = self._scorer(answer, judge)
        return await found if hasattr(found, "__await__") else found


class Model:
    name, context_window, sampling = "judging", None, Sampling()

    def __init__(self, *replies):
        self._replies = list(replies)

    async def complete(self, messages, *, epoch=0, occurrence=0):
        reply = self._replies.pop(0) if len(self._replies) > 1 else self._replies[0]
        if isinstance(reply, Exception):
            raise reply
        return Reply(reply, cost=Cost(0.01, 0.01, CostState.KNOWN))


def raises(error):
    def scorer(answer, judge):
        raise error

    return scorer


@pytest.mark.parametrize(
    ("scorer", "message"),
    [
        (raises(KeyError("the target")), "score() raised KeyError"),
        (raises(SystemExit(3)), "score() raised SystemExit"),
        (raises(RecursionError()), "score() raised RecursionError"),
        (lambda answer, judge: 1.0, "score() returned a float: expected a Score"),
        (lambda answer, judge: None, "score() returned a NoneType: expected a Score"),
        (
            lambda answer, judge: Score(math.nan, 0, True, ""),
            "score() returned value nan: expected a number",
        ),
        (lambda answer, judge: Score(1.5, 0, True, ""), "score() returned value 1.5: expected a number"),
        (lambda answer, judge: Score(-1, 0, True, ""), "score() returned value -1: expected a number"),
        (lambda answer, judge: Score("1", 0, True, ""), "score() returned value '1': expected a number"),
        (
            lambda answer, judge: Score(1, None, True, ""),
            "score() returned lenient None: expected a number",
        ),
        (lambda answer, judge: Score(1, 1, True, 3), "score() returned prediction 3: expected a string"),
        (lambda answer, judge: Score(1, 1, True, "", {"cost_usd": 99.0}), "detail 'cost_usd' has the name of a column"),
        (lambda answer, judge: Score(1, 1, True, "", {"status": "ok"}), "detail 'status' has the name of a column"),
        (lambda answer, judge: Score(1, 1, True, "", {"f1": [1]}), "detail 'f1' is [1]: expected a number"),
        (lambda answer, judge: Score(1, 1, True, "", ["f1"]), "details are ['f1']: expected a mapping"),
    ],
)
async def test_a_fault_of_a_scorer_is_one_line_that_names_its_suite(scorer, message):
    with pytest.raises(ScorerFault) as fault:
        await Scorer().score(Suite(scorer), "the target", "an answer")
    assert str(fault.value).startswith("benchmark.theirs: ") and message in str(fault.value)
    assert "\n" not in str(fault.value) and "the target" not in str(fault.value)


async def test_what_a_judge_cost_before_it_failed_is_known():
    async def twice(answer, judge):
        await judge("q", "a", "c")
        await judge("q", "b", "c")

    calls = []
    judge = LlmJudge(Model("correct: yes", ModelError("down")))
    with pytest.raises(ModelError):
        await Scorer(judge).score(Suite(twice), "target", "an answer", judge_calls=calls)
    assert [call.cost.usd for call in calls if not call.error] == [0.01]


async def test_a_score_becomes_plain_values():
    def scorer(answer, judge):
        return Score(np.float32(1.0) + 1e-12, np.float64(0.5), np.bool_(True), "it", {"n": np.int64(3)})

    score = (await Scorer().score(Suite(scorer), None, "an answer")).score
    assert (score.value, score.lenient, score.format_ok, score.details) == (1.0, 0.5, True, {"n": 3})
    assert type(score.value) is float and type(score.format_ok) is bool


@pytest.mark.parametrize(("limit", "scored", "cut"), [(None, "needle at the end", False), (2, "needle at", True)])
async def test_only_the_start_of_a_long_answer_is_scored(limit, scored, cut):
    seen = []

    def scorer(answer, judge):
        seen.append(answer)
        return Score(0, 0, True, "")

    found = await Scorer().score(Suite(scorer, limit), None, "needle at the end")
    assert seen == [scored] and found.answer_cut is cut


async def by_judge(answer, judge):
    verdict = await judge("question", answer, "correct answer")
    return Score(float(verdict.correct is True), 0.0, True, answer)


async def by_a_judge_whose_failures_are_hidden(answer, judge):
    try:
        return await by_judge(answer, judge)
    except Exception:
        return Score(0.0, 0.0, True, answer)


@pytest.mark.parametrize("scorer", [by_judge, by_a_judge_whose_failures_are_hidden])
async def test_a_failed_judge_is_no_score(scorer):
    judge = Scorer(LlmJudge(Model(ModelError("no such model"))))
    with pytest.raises(ModelError, match="no such model"):
        await judge.score(Suite(scorer), None, "an answer")


@pytest.mark.parametrize("scorer", [by_judge, by_a_judge_whose_failures_are_hidden])
async def test_a_budget_spent_before_the_judge_answers_leaves_the_sample_unfinished(scorer):
    budget = Budget(max_cost_usd=0.005)
    judge = Scorer(LlmJudge(Model("correct: yes")), budget)
    found = await judge.score(Suite(scorer), None, "an answer")
    assert found.score.value == 1.0 and [call.cost.usd for call in found.judge_calls] == [0.01]
    with pytest.raises(BudgetSpent):
        await judge.score(Suite(scorer), None, "an answer")


async def test_a_judge_that_never_gives_a_verdict_ends_the_run_with_its_first_replies():
    judge = Scorer(LlmJudge(Model("I cannot\nsay.")))
    for _ in range(MAX_UNREAD - 1):
        await judge.score(Suite(by_judge), None, "an answer")
    with pytest.raises(UnreadableJudge) as ended:
        await judge.score(Suite(by_judge), None, "an answer")
    assert "'I cannot say.'" in str(ended.value) and "judge.prompt" in str(ended.value)


async def test_a_judge_that_gave_a_verdict_once_may_fail_to_give_one_later():
    judge = Scorer(LlmJudge(Model("correct: yes", "no verdict")))
    for _ in range(2 * MAX_UNREAD):
        await judge.score(Suite(by_judge), None, "an answer")


async def test_the_judge_is_not_asked_where_the_scorer_does_not_ask():
    found = await Scorer(SimpleNamespace(open=LlmJudge(Model("x")).open)).score(
        Suite(lambda answer, judge: Score(1, 1, True, "")), None, "an answer"
    )
    assert found.judge_calls == ()
