"""OpenAIModel: a model behind an endpoint with OpenAI's chat protocol; its calls, retries and their cost."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

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
from rlm.models.client.cache_marks import with_cache_marks
from rlm.models.client.connection import Connection, Response
from rlm.models.client.endpoint import Endpoint
from rlm.models.client.faults import Action, Fault, is_prompt_overflow, status_fault
from rlm.models.client.limiter import EndpointDown, RequestResult
from rlm.models.client.messages import content, encodable, kind_of, seed_of
from rlm.models.client.replies import ResponseBody, read_response
from rlm.models.client.retries import RetryBudget
from rlm.models.client.usage import CUT_CHARS_PER_TOKEN, is_prompt_cut, prompt_is_unreported, reply_is_unreported
from rlm.models.client.waits import daily_quota, resumption
from rlm.models.prices import PriceTable, default_prices
from rlm.models.tokens import count_tokens

# A text longer than this is counted in a thread.
_LONG = 20_000
_LONG_BODY = 200_000
_STREAM_HINT = "; gateways end requests that are silent for long: set model.endpoint.stream=true"


class OpenAIModel:
    """A ChatModel over HTTP. Models with equal endpoints share its limiter and connections on each event loop.

    prices: None takes the bundled tables. Safe to use from several event loops, one after the other
    or at once; `aclose` closes the connections of the loop that it is called on.
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
        """The endpoint's address, by which the cache separates two endpoints that serve one model name."""
        return self.endpoint.base_url.rstrip("/")

    @property
    def priced(self) -> bool:
        """True if the model's tokens are known to cost something."""
        price = self.prices.price(self.name, self.endpoint.base_url)
        return price is not None and price.cost(TokenUsage(prompt_tokens=1, completion_tokens=1)).usd > 0

    @cached_property
    def prices(self) -> PriceTable:
        return self._prices if self._prices is not None else default_prices()

    async def complete(self, messages: Sequence[Mapping[str, str]], *, epoch: int = 0, occurrence: int = 0) -> Reply:
        """Answer the messages, with as many attempts as the endpoint's settings allow.

        The configured seed is sent with the first call. Each further epoch and occurrence gets another seed, so that a
        model that honours it can still give different answers. A cap on output tokens that the endpoint rejects as too
        large is replaced once by one that fits. If the endpoint reports no usage, tokens are counted here and the cost
        is an estimate with state unknown. Raises ContextOverflow, FatalModelError (it names the variable of the key, or
        the model) or ModelError.
        """
        seed = seed_of(self.sampling.seed, epoch, occurrence)
        return await Call(self, messages, await Connection.of(self.endpoint, self), seed).reply()

    async def aclose(self) -> None:
        """Close the connections of the running loop, unless another model uses them."""
        await Connection.leave(self.endpoint, self)


class Call:
    """One call, with its attempts until a reply or an error.

    price_share: the part of the listed price that the endpoint charges for the call.
    """

    price_share = 1.0

    def __init__(
        self, model: OpenAIModel, messages: Sequence[Mapping[str, str]], connection: Connection, seed: int | None
    ) -> None:
        self.model = model
        self.endpoint = model.endpoint
        self.messages = messages
        self.connection = connection
        self.kind = kind_of(model.name, messages)
        self.seed = seed
        self.output_cap: int | None = None
        self.failures: list[FailedAttempt] = []
        self.budget = RetryBudget(model.endpoint)
        self._prompt_tokens: int | None = None

    async def reply(self) -> Reply:
        """Make attempts until one succeeds. Raises ContextOverflow, FatalModelError or ModelError."""
        while True:
            try:
                body, latency_s = await self.attempt()
                return await self._finished(body, latency_s)
            except EndpointDown:
                last = f"; last failure: {self.failures[-1].message}" if self.failures else ""
                message = f"no successful response for {self.endpoint.max_outage_wait_s:g} s{last}"
                refused = bool(self.failures) and self.failures[-1].kind == "rate_limit"
                fault = Fault("rate_limit" if refused else "endpoint_down", message, Action.GIVE_UP)
            except Fault as caught:
                fault = caught
            fault = self._reconsidered(fault)
            fault.redact(self.connection.redactor)
            if fault.action is Action.FILTERED:
                failures = (*self.failures, _failed(fault, 0.0))
                return Reply("", "content_filter", model=self.model.name, failures=failures)
            if fault.action is Action.OVERFLOW and await self._lower_cap(fault):
                self.failures.append(_failed(fault, 0.0))
                continue
            wait = self.wait(fault)
            if wait is None:
                raise self._error(fault)
            self.failures.append(_failed(fault, wait))
            await asyncio.sleep(wait)

    async def attempt(self) -> tuple[ResponseBody, float]:
        """Send one request; returns the reply and the seconds. A slot is held only meanwhile.

        Raises Fault or EndpointDown.
        """
        loop, limiter = asyncio.get_running_loop(), self.connection.limiter
        slot = await limiter.acquire(self, self.kind, ahead=bool(self.failures), since=self.budget.troubled_since)
        sent = loop.time()
        result, retry_after_s = RequestResult.UNKNOWN, None
        try:
            # The body is made this late because thousands of calls may wait, each with a prompt of many megabytes.
            body = await self.read(await self.connection.post(self.endpoint, self.request()))
            result = RequestResult.ANSWERED
        except Fault as fault:
            result, retry_after_s = _result(fault), fault.retry_after_s
            raise
        finally:
            limiter.release(slot, result, retry_after_s)
        return body, loop.time() - sent

    async def read(self, response: Response) -> ResponseBody:
        """Read a response. Raises its Fault."""
        # A long body is read in a thread, so that the event loop continues.
        read = partial(_response, *response)
        body, fault = await asyncio.to_thread(read) if len(response.body) > _LONG_BODY else read()
        if fault is not None:
            # A reply that cannot be used may have been billed.
            if body.usage is not None:
                fault.usage, fault.cost = body.usage, self._cost(body)
            raise fault
        return body

    def request(self) -> dict[str, Any]:
        """Return the body of the request."""
        sampling, endpoint = self.model.sampling, self.endpoint
        settings = {
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            endpoint.output_limit_key: self._cap_sent(),
            "seed": self.seed,
            "reasoning_effort": sampling.reasoning_effort,
        }
        messages = [encodable(one) for one in self.messages]
        if endpoint.cache_control:
            messages = with_cache_marks(messages)
        body: dict[str, Any] = {"model": self.model.name, "messages": messages}
        body |= {key: value for key, value in settings.items() if value is not None}
        if endpoint.stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        return body | {key: value for key, value in sampling.extra.items() if not self._replaced(key)}

    def _cap_sent(self) -> int | None:
        if self.output_cap is not None:
            return self.output_cap
        extra = self.model.sampling.extra.get(self.endpoint.output_limit_key)
        return extra if isinstance(extra, int) else self.model.sampling.max_output_tokens

    def _replaced(self, key: str) -> bool:
        return self.output_cap is not None and key == self.endpoint.output_limit_key

    def _reconsidered(self, fault: Fault) -> Fault:
        """Make the refusal of a daily quota fatal, because no retry of this run can succeed."""
        if _result(fault) is not RequestResult.REFUSED:
            return fault
        if not daily_quota(fault.error, fault.retry_after_s, self.endpoint.max_outage_wait_s):
            return fault
        return Fault("daily_quota", fault.message, Action.FATAL, fault.retry_after_s, error=fault.error)

    async def _lower_cap(self, fault: Fault) -> bool:
        """Set a cap on output tokens that fits, once; returns False if there is none, and the fault remains."""
        sent, room = self._cap_sent(), fault.room
        if self.output_cap is not None or sent is None or room is None:
            return False
        self.output_cap = room.cap(sent, await self._count_prompt(), self.model.context_window)
        fault.kind = "output_cap" if self.output_cap is not None else fault.kind
        return self.output_cap is not None

    def wait(self, fault: Fault) -> float | None:
        """Return the seconds until the next attempt, None to give up."""
        limiter, reached = self.connection.limiter, self.connection.reached
        # If an endpoint has never answered, its address is more likely wrong than the endpoint down.
        outage = reached and limiter.in_outage(self.kind)
        return self.budget.wait(fault, outage=outage, gave_up=limiter.gave_up)

    def _error(self, fault: Fault) -> ModelError:
        """Return the error that ends the call. Its last attempt may have been billed without a report."""
        endpoint = self.endpoint
        last = _failed(fault, 0.0)
        if fault.action in (Action.RETRY, Action.LATER) and not endpoint.free and fault.kind != "no_connection":
            last = replace(last, cost=replace(last.cost, state=CostState.UNKNOWN))
        failures = [*self.failures, last]
        where = f"{self.model.name} at {endpoint.base_url}"
        hint = _STREAM_HINT if fault.silent and not endpoint.stream else ""
        other_keys = {"max_tokens", "max_completion_tokens"} - {fault.error.param}
        if len(other_keys) == 1 and all(key in fault.error.words for key in other_keys):
            hint = f"; set model.endpoint.max_tokens_key={other_keys.pop()}"
        if fault.action is Action.OVERFLOW:
            if is_prompt_overflow(fault):
                return ContextOverflow(f"{where}: the prompt does not fit: {fault}", failures)
            return ModelError(f"{where}: bad request: {fault}; set a smaller max_output_tokens{hint}", failures)
        if fault.action is Action.FATAL:
            return FatalModelError(f"{where}: {self._reason(fault)}: {fault}{hint}", failures)
        if not self.connection.reached and fault.kind == "no_connection":
            return FatalModelError(f"{where}: nothing answers at endpoint.base_url: {fault}", failures)
        attempts = f" (attempt {len(failures)})" if len(failures) > 1 else ""
        return ModelError(f"{where}: {fault.kind.replace('_', ' ')}{attempts}: {fault}{hint}", failures)

    def _reason(self, fault: Fault) -> str:
        key = self.endpoint.api_key_env or "no key is configured in endpoint.api_key_env"
        if fault.kind == "daily_quota":
            return f"rate limit: the quota of this key is used up ({key}); {resumption(fault.retry_after_s)}"
        return {
            "bad_credentials": f"the API key is refused ({key})",
            "no_quota": f"the account has no quota or credit left ({key})",
            "unknown_model": "the endpoint does not know this model, or the address is wrong",
        }.get(fault.kind, "the endpoint refuses the request")

    async def _finished(self, body: ResponseBody, latency_s: float) -> Reply:
        usage, cost = await self._accounted(body)
        finish_reason = body.finish_reason
        if finish_reason == "unknown" and usage.completion_tokens >= (self._cap_sent() or math.inf):
            finish_reason = "length"
        return Reply(
            text=body.text,
            finish_reason=finish_reason,
            reasoning=body.reasoning,
            usage=usage,
            cost=cost,
            model=body.model or self.model.name,
            latency_s=latency_s,
            failures=tuple(self.failures),
            provider=body.provider,
            system_fingerprint=body.system_fingerprint,
            output_cap=self.output_cap,
            prompt_cut=await self._prompt_cut(body.usage),
            tool_calls=body.tool_calls,
        )

    async def _accounted(self, body: ResponseBody) -> tuple[TokenUsage, Cost]:
        """Return usage and cost. Tokens that the endpoint does not report, or reports as 0, are counted here."""
        usage = body.usage or TokenUsage()
        written = body.text + "".join(call.arguments for call in body.tool_calls)
        no_prompt = prompt_is_unreported(body.usage) and bool(self.messages)
        no_reply = reply_is_unreported(body.usage, written + body.reasoning)
        if not (no_prompt or no_reply):
            return usage, self._cost(body)
        if no_prompt:
            usage = replace(usage, prompt_tokens=await self._count_prompt())
        if no_reply:
            reasoning = await _tokens(body.reasoning)
            usage = replace(usage, completion_tokens=await _tokens(written) + reasoning, reasoning_tokens=reasoning)
        if self.endpoint.free:
            return usage, Cost()
        cost = self._priced(usage, body.charged_usd or None)
        return usage, cost if body.charged_usd else replace(cost, state=CostState.UNKNOWN)

    def _cost(self, body: ResponseBody) -> Cost:
        if self.endpoint.free:
            return Cost()
        if body.usage is None:
            return Cost(body.charged_usd or 0.0, body.charged_usd or 0.0, CostState.UNKNOWN)
        return self._priced(body.usage, body.charged_usd)

    def _priced(self, usage: TokenUsage, charged_usd: float | None) -> Cost:
        prices, model = self.model.prices, self.model
        return prices.cost(model.name, usage, self.endpoint.base_url, charged_usd, share=self.price_share)

    async def _prompt_cut(self, usage: TokenUsage | None) -> bool:
        if usage is None or prompt_is_unreported(usage):
            return False
        reported = usage.prompt_tokens
        if usage.clamped and usage.cached_tokens == reported:
            # More cached tokens than prompt tokens were reported, so the prompt tokens do not include them.
            return False
        length = sum(len(content(message)) for message in self.messages)
        # With few characters per reported token, the prompt was not cut and need not be counted.
        if length <= reported * CUT_CHARS_PER_TOKEN:
            return False
        return is_prompt_cut(reported, await self._count_prompt(), "".join(map(content, self.messages)))

    async def _count_prompt(self) -> int:
        """Count the tokens of the messages' texts with the local tokenizer."""
        if self._prompt_tokens is None:
            self._prompt_tokens = sum([await _tokens(content(message)) for message in self.messages])
        return self._prompt_tokens


async def _tokens(text: str) -> int:
    return await asyncio.to_thread(count_tokens, text) if len(text) > _LONG else count_tokens(text)


def _result(fault: Fault) -> RequestResult:
    if fault.kind == "rate_limit" and fault.action is Action.LATER:
        return RequestResult.REFUSED
    return RequestResult.FAILED if fault.action in (Action.RETRY, Action.LATER) else RequestResult.ANSWERED


def _response(status: int, headers: Mapping[str, str], received: bytes) -> tuple[ResponseBody, Fault | None]:
    """Read a response. Raises the Fault of a status without success."""
    if not 200 <= status < 300:
        raise status_fault(status, headers, received)
    return read_response(received, headers)


def _failed(fault: Fault, wait_s: float) -> FailedAttempt:
    return FailedAttempt(fault.kind, str(fault), wait_s, fault.usage, fault.cost)
