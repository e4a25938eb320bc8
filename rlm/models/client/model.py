"""A model behind an endpoint that speaks OpenAI's chat protocol: one call, its retries, and what they cost."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial

from rlm.models.chat import (
    ContextOverflow,
    Cost,
    CostState,
    FailedAttempt,
    FatalModelError,
    ModelError,
    Reply,
    Sampling,
    TokenUsage,
)
from rlm.models.client.connection import Connection
from rlm.models.client.endpoint import Endpoint
from rlm.models.client.faults import Fault, Verdict, status_fault
from rlm.models.client.limiter import EndpointDown, Outcome, backoff
from rlm.models.client.replies import Parsed, parse_reply
from rlm.models.prices import PriceTable, default_prices
from rlm.models.tokens import count_tokens

_OUTCOMES = {Verdict.RETRY: Outcome.FAILED, Verdict.LATER: Outcome.REFUSED}


class OpenAIModel:
    """A ChatModel over HTTP. Models with equal endpoints share its limiter and connections on each event loop.

    prices: where None, the tables that come with the project. Safe to use from several event loops, one after the
    other or at once; `aclose` gives back the connections of the loop it is called on.
    """

    def __init__(
        self,
        name: str,
        endpoint: Endpoint,
        *,
        context_window: int | None = None,
        sampling: Sampling | None = None,
        prices: PriceTable | None = None,
    ) -> None:
        self.name = name
        self.endpoint = endpoint
        self.context_window = context_window
        self.sampling = sampling or Sampling()
        self._prices = prices

    def __repr__(self) -> str:
        return f"OpenAIModel({self.name!r} at {self.endpoint.base_url})"

    @property
    def address(self) -> str:
        """The endpoint's address, by which the cache tells two endpoints that serve one model name apart."""
        return self.endpoint.base_url.rstrip("/")

    @cached_property
    def prices(self) -> PriceTable:
        return self._prices if self._prices is not None else default_prices()

    async def complete(self, messages: Sequence[Mapping[str, str]], *, epoch: int = 0, occurrence: int = 0) -> Reply:
        """Answer, with as many attempts as the endpoint's settings allow.

        A seed is sent as it is for the first call and differs for each further epoch and occurrence, so that a model
        which honours it can still answer differently when it is asked again. Where the endpoint reports no usage, the
        tokens are counted here and the cost is an estimate with state unknown. Raises ContextOverflow, FatalModelError
        (names the key's environment variable or the model) or ModelError.
        """
        connection = await Connection.of(self.endpoint, self)
        request = partial(self._request, messages, epoch, occurrence)
        failures: list[FailedAttempt] = []
        budget = _RetryBudget(self.endpoint)
        while True:
            try:
                parsed, latency_s = await self._attempt(connection, request, failures)
                break
            except EndpointDown:
                last = f", last {failures[-1].kind}: {failures[-1].message}" if failures else ""
                told = f"the endpoint answered nobody for {self.endpoint.patience_s:g} s{last}"
                fault = Fault("endpoint_down", told, Verdict.GIVE_UP)
            except Fault as caught:
                fault = caught
            if fault.verdict is Verdict.FILTERED:
                return Reply("", "content_filter", model=self.name, failures=(*failures, _failed(fault, 0.0)))
            # An endpoint that never answered is more likely a wrong address than an outage.
            wait = budget.wait(fault, outage=connection.limiter.in_outage and connection.reached)
            failures.append(_failed(fault, wait or 0.0))
            if wait is None:
                raise self._error(fault, failures, connection)
            await asyncio.sleep(wait)
        usage, cost = parsed.usage, self._cost(parsed)
        if usage is None:
            usage, cost = await self._estimate(messages, parsed)
        finish_reason = parsed.finish_reason
        if finish_reason == "unknown" and usage.completion_tokens >= (self.sampling.max_output_tokens or math.inf):
            finish_reason = "length"
        return Reply(
            text=parsed.text,
            finish_reason=finish_reason,
            reasoning=parsed.reasoning,
            usage=usage,
            cost=cost,
            model=parsed.model or self.name,
            latency_s=latency_s,
            failures=tuple(failures),
        )

    async def aclose(self) -> None:
        """Give back the connections of the running loop, unless another model uses them."""
        await Connection.leave(self.endpoint, self)

    def _request(self, messages: Sequence[Mapping[str, str]], epoch: int, occurrence: int) -> bytes:
        sampling = self.sampling
        seed = sampling.seed
        if seed is not None and (epoch or occurrence):
            seed = (seed + 1_000_003 * epoch + 7_919 * occurrence) % 2**31
        settings = {
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            self.endpoint.output_limit_key: sampling.max_output_tokens,
            "seed": seed,
            "reasoning_effort": sampling.reasoning_effort,
        }
        body = {"model": self.name, "messages": [dict(message) for message in messages]}
        body |= {key: value for key, value in settings.items() if value is not None} | dict(sampling.extra)
        # A lone surrogate has no UTF-8 form: it goes out as a question mark.
        return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")

    async def _attempt(
        self, connection: Connection, request: Callable[[], bytes], failures: list[FailedAttempt]
    ) -> tuple[Parsed, float]:
        """One request and its seconds; the slot is held only while it is on the wire. Raises Fault or EndpointDown."""
        slot = await connection.limiter.acquire(id(failures), ahead=bool(failures))
        sent = asyncio.get_running_loop().time()
        outcome, retry_after_s = Outcome.UNKNOWN, None
        try:
            # Written only now: thousands of calls may wait, each with a prompt of many megabytes.
            status, headers, body = await connection.post(self.endpoint, request())
            if not 200 <= status < 300:
                raise status_fault(status, headers, connection.redact(body))
            parsed, fault = parse_reply(body, headers)
            if fault is not None:
                # Read again for what may be told of it.
                fault = parse_reply(connection.redact(body), headers)[1] or fault
                # A reply that cannot be used may have been billed all the same.
                if parsed.usage is not None:
                    fault.usage, fault.cost = parsed.usage, self._cost(parsed)
                raise fault
            outcome = Outcome.ANSWERED
        except Fault as fault:
            outcome, retry_after_s = _OUTCOMES.get(fault.verdict, Outcome.ANSWERED), fault.retry_after_s
            raise
        finally:
            connection.limiter.release(slot, outcome, retry_after_s)
        return parsed, asyncio.get_running_loop().time() - sent

    def _error(self, fault: Fault, failures: Sequence[FailedAttempt], connection: Connection) -> ModelError:
        where = f"{self.name} at {self.endpoint.base_url}"
        if fault.verdict is Verdict.OVERFLOW:
            return ContextOverflow(f"{where}: the prompt does not fit: {fault}", failures)
        if fault.verdict is Verdict.FATAL:
            return FatalModelError(f"{where}: {self._hint(fault.kind)}: {fault}", failures)
        if not connection.reached and fault.kind == "no_connection":
            return FatalModelError(f"{where}: nothing answers at endpoint.base_url: {fault}", failures)
        tries = f" (attempt {len(failures)})" if len(failures) > 1 else ""
        return ModelError(f"{where}: {fault.kind.replace('_', ' ')}{tries}: {fault}", failures)

    def _hint(self, kind: str) -> str:
        key = self.endpoint.api_key_env or "no key is configured (endpoint.api_key_env)"
        return {
            "bad_credentials": f"the API key is refused ({key})",
            "no_quota": f"the account has no quota or credit left ({key})",
            "unknown_model": "the endpoint does not know this model, or the address is wrong",
        }.get(kind, "the endpoint refuses the request")

    def _cost(self, parsed: Parsed) -> Cost:
        if self.endpoint.free:
            return Cost()
        if parsed.usage is None:
            return Cost(parsed.charged_usd or 0.0, parsed.charged_usd or 0.0, CostState.UNKNOWN)
        return self.prices.cost(self.name, parsed.usage, self.endpoint.base_url, parsed.charged_usd)

    async def _estimate(self, messages: Sequence[Mapping[str, str]], parsed: Parsed) -> tuple[TokenUsage, Cost]:
        texts = [str(message.get("content") or "") for message in messages]
        prompt = sum([await asyncio.to_thread(count_tokens, text) for text in texts])
        reasoning = count_tokens(parsed.reasoning)
        usage = TokenUsage(prompt, 0, count_tokens(parsed.text) + reasoning, reasoning)
        if self.endpoint.free:
            return usage, Cost()
        cost = self.prices.cost(self.name, usage, self.endpoint.base_url, parsed.charged_usd)
        return usage, replace(cost, state=CostState.UNKNOWN)


class _RetryBudget:
    """How much longer one call is tried: max_retries for its own faults, patience_s for the endpoint's."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._own, self._all = 0, 0
        self._waited_s = 0.0

    def wait(self, fault: Fault, *, outage: bool) -> float | None:
        """Seconds until the next attempt, None to give up. What fails in an outage is not held against the call."""
        endpoint = self._endpoint
        if fault.verdict not in (Verdict.RETRY, Verdict.LATER):
            return None
        theirs = outage or fault.verdict is Verdict.LATER
        if not theirs and self._own >= endpoint.max_retries:
            return None
        wait = fault.retry_after_s
        if wait is None:
            wait = backoff(self._all if theirs else self._own, endpoint.backoff_s, endpoint.max_backoff_s)
        self._all += 1
        self._own += not theirs
        self._waited_s += wait if theirs else 0.0
        return wait if self._waited_s <= endpoint.patience_s else None


def _failed(fault: Fault, wait_s: float) -> FailedAttempt:
    return FailedAttempt(fault.kind, str(fault), wait_s, fault.usage, fault.cost)
