"""Scripted models: replies in order, by function and by a file of rules."""

import json

import pytest

from rlm.models import scripted
from rlm.models.chat import ContextOverflow, CostState, ModelError, Reply, Sampling
from rlm.models.scripted import ScriptedModel, ScriptExhausted
from rlm.models.tokens import count_tokens


def user(text):
    return [{"role": "user", "content": text}]


def script(tmp_path, *rows):
    path = tmp_path / "script.jsonl"
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows))
    return str(path)


class TestList:
    async def test_answers_in_order_counts_tokens_and_records_requests(self):
        model = ScriptedModel(["one", Reply("two", "length"), "three"])
        replies = [await model.complete(user(f"question {n}")) for n in range(3)]
        assert [reply.text for reply in replies] == ["one", "two", "three"]
        assert [reply.finish_reason for reply in replies] == ["stop", "length", "stop"]
        assert replies[0].usage.prompt_tokens == count_tokens("question 0")
        assert replies[0].usage.completion_tokens == count_tokens("one")
        assert replies[0].model == "scripted" and replies[0].cost.state == CostState.FREE
        assert model.requests == [user(f"question {n}") for n in range(3)]

    async def test_raises_an_exception_of_the_list_and_continues(self):
        model = ScriptedModel([ModelError("down"), "up"])
        with pytest.raises(ModelError, match="down"):
            await model.complete(user("a"))
        assert (await model.complete(user("a"))).text == "up"

    async def test_list_that_has_ended_raises(self):
        model = ScriptedModel(["only"])
        await model.complete(user("a"))
        with pytest.raises(ScriptExhausted):
            await model.complete(user("a"))

    async def test_prompt_over_the_window_raises_and_takes_no_reply(self):
        model = ScriptedModel(["short"], context_window=10)
        with pytest.raises(ContextOverflow, match="10"):
            await model.complete(user("word " * 20))
        assert (await model.complete(user("word"))).text == "short"

    async def test_reply_is_cut_at_its_cap_and_at_the_end_of_the_window(self):
        long = "one two three four five six seven eight nine ten"
        capped = await ScriptedModel([long], sampling=Sampling(max_output_tokens=3)).complete(user("a"))
        assert capped.truncated and capped.usage.completion_tokens == 3 and long.startswith(capped.text)
        windowed = await ScriptedModel([long], context_window=6).complete(user("one two"))
        assert windowed.truncated and windowed.usage.prompt_tokens + windowed.usage.completion_tokens <= 6

    async def test_price_a_million_makes_a_known_cost(self):
        reply = await ScriptedModel(["b"], usd_per_million=(2.0, 10.0)).complete(user("a"))
        assert reply.cost.state == CostState.KNOWN
        assert reply.cost.usd == pytest.approx((1 * 2.0 + 1 * 10.0) / 1e6)

    async def test_latency_is_waited_and_reported(self, monkeypatch):
        waited = []

        async def sleep(seconds):
            waited.append(seconds)

        monkeypatch.setattr(scripted.asyncio, "sleep", sleep)
        reply = await ScriptedModel(["a"], latency_s=0.05).complete(user("a"))
        assert waited == [0.05] and reply.latency_s == 0.05


class TestFunction:
    async def test_answers_from_the_messages(self):
        model = ScriptedModel(lambda messages: messages[-1]["content"].upper())
        assert (await model.complete(user("loud"))).text == "LOUD"

    async def test_may_return_a_reply_or_an_exception(self):
        model = ScriptedModel(lambda messages: Reply("x", reasoning="thought") if messages else ModelError("none"))
        assert (await model.complete(user("a"))).reasoning == "thought"
        with pytest.raises(ModelError):
            await model.complete([])


class TestFile:
    async def test_first_rule_that_fits_answers_with_its_groups(self, tmp_path):
        path = script(
            tmp_path,
            {"match": "(?i)nothing like it", "reply": "no"},
            {"match": "capital of (?P<land>\\w+)", "reply": "The capital of \\g<land> is far."},
            "",
            {"role": "sub", "reply": "from below"},
            {"reply": "from above"},
        )
        models = scripted.build({"kind": "scripted", "script": path})
        assert set(models) == {"root", "sub", "compactor"}
        assert (await models["root"].complete(user("the\ncapital of Peru?"))).text == "The capital of Peru is far."
        assert (await models["sub"].complete(user("?"))).text == "from below"
        assert (await models["compactor"].complete(user("?"))).text == "from above"

    async def test_rule_with_times_gives_way_to_the_next(self, tmp_path):
        model = scripted.build({"script": script(tmp_path, {"reply": "first", "times": 2}, {"reply": "then"})})["root"]
        assert [(await model.complete(user("?"))).text for _ in range(3)] == ["first", "first", "then"]

    async def test_no_rule_and_rules_with_errors_raise(self, tmp_path):
        path = script(
            tmp_path,
            {"match": "^long", "error": "context_overflow"},
            {"match": "^down", "error": "error"},
        )
        model = scripted.build({"script": path})["root"]
        with pytest.raises(ContextOverflow):
            await model.complete(user("long"))
        with pytest.raises(ModelError, match="rule 2"):
            await model.complete(user("down"))
        with pytest.raises(ModelError, match="no rule matches the call of role root whose last message begins 'other'"):
            await model.complete(user("other"))

    async def test_settings_reach_every_role(self, tmp_path):
        config = {
            "kind": "scripted",
            "script": script(tmp_path, {"reply": "hello there you"}),
            "context_window": 50,
            "max_output_tokens": 1,
            "usd_per_million": [1, 2],
        }
        model = scripted.build(config)["sub"]
        reply = await model.complete(user("?"))
        assert model.context_window == 50 and reply.truncated and reply.cost.usd == pytest.approx(3e-6)

    @pytest.mark.parametrize(
        "row",
        [
            "not json",
            "[1]",
            {"match": "("},
            {"match": "(", "reply": "x"},
            {"match": 3, "reply": "x"},
            {"match": "a", "reply": "\\1"},
            {"reply": "\\q"},
            {"reply": "x", "role": "boss"},
            {"reply": "x", "times": 0},
            {"reply": "x", "error": "error"},
            {"error": "explode"},
            {"reply": 4},
            {"replies": "x"},
        ],
    )
    def test_line_that_is_not_a_rule_is_named(self, tmp_path, row):
        path = script(tmp_path, {"reply": "fine"}, row)
        with pytest.raises(ValueError, match=r"script\.jsonl, line 2") as caught:
            scripted.build({"script": path})
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("script", None),
            ("script", "/no/such/script.jsonl"),
            ("scripts", "x"),
            ("context_window", 0),
            ("latency_s", -1),
            ("max_output_tokens", 1.5),
            ("usd_per_million", [1]),
            ("usd_per_million", "12"),
        ],
    )
    def test_wrong_setting_is_one_line_that_names_the_key(self, tmp_path, key, value):
        config = {"kind": "scripted", "script": script(tmp_path, {"reply": "x"})} | {key: value}
        with pytest.raises(ValueError, match=key) as caught:
            scripted.build(config)
        assert "\n" not in str(caught.value)
