"""BatchModel: a model behind an endpoint whose calls are sent in batches."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence

from rlm.models.batch.batcher import Batcher
from rlm.models.batch.gathering import Gathering
from rlm.models.batch.journal import Submitted
from rlm.models.cache.model import call_key
from rlm.models.chat import ChatModel, Reply, Sampling
from rlm.models.client.connection import Connection, Response
from rlm.models.client.faults import Action, Fault, error_fault
from rlm.models.client.messages import content, seed_of
from rlm.models.client.model import Call, OpenAIModel
from rlm.models.client.replies import ResponseBody
from rlm.structure import parsed_json

# A request that fails for a passing reason, such as a batch that expires, is sent in at most so many batches.
MOST_BATCHES = 3


class _Wrapper:
    """A model with the name, window, sampling and price of its inner model."""

    def __init__(self, inner: ChatModel) -> None:
        self.inner = inner

    @property
    def name(self) -> str:
        return self.inner.name

    @property
    def context_window(self) -> int | None:
        return self.inner.context_window

    @property
    def sampling(self) -> Sampling:
        return self.inner.sampling

    @property
    def priced(self) -> bool:
        return getattr(self.inner, "priced", False)

    async def aclose(self) -> None:
        await self.inner.aclose()


class BatchModel(_Wrapper):
    """Answers calls like its inner model, but sends their requests in batches, at the price of batches.

    part: separates two models of one name. A call can take a day. Raises as OpenAIModel does, and FatalModelError if
    batches cannot be submitted, polled or read; submitted batches then go on.
    """

    inner: OpenAIModel

    def __init__(self, inner: OpenAIModel, batcher: Batcher, part: str = "") -> None:
        super().__init__(inner)
        self.batcher = batcher
        self.part = part

    @property
    def address(self) -> str:
        return self.inner.address

    async def complete(self, messages: Sequence[Mapping[str, str]], *, epoch: int = 0, occurrence: int = 0) -> Reply:
        """Answer the messages from a batch."""
        key = call_key(self.inner, messages, epoch, occurrence, address=f"{self.part} {self.address}")
        connection = await Connection.of(self.inner.endpoint, self.inner)
        seed = seed_of(self.sampling.seed, epoch, occurrence)
        return await _BatchCall(self, messages, connection, seed, key).reply()

    async def aclose(self) -> None:
        await self.batcher.aclose()
        await self.inner.aclose()


class _BatchCall(Call):
    """A call whose attempts are requests of batches."""

    def __init__(
        self,
        model: BatchModel,
        messages: Sequence[Mapping[str, str]],
        connection: Connection,
        seed: int | None,
        key: bytes,
    ) -> None:
        super().__init__(model.inner, messages, connection, seed)
        self.price_share = 1.0 - model.inner.endpoint.batch_discount
        self._batcher = model.batcher
        self._key = key
        self._tried: set[Submitted] = set()

    async def attempt(self) -> tuple[ResponseBody, float]:
        """Wait for the result of a batch; returns the reply and the seconds."""
        loop = asyncio.get_running_loop()
        sent = loop.time()
        body = {name: one for name, one in self.request().items() if name not in ("stream", "stream_options")}
        # Another cap on output tokens makes another request.
        key = hashlib.sha256(self._key + str(self.output_cap).encode()).hexdigest()[:40]
        line = await self._batcher.send(key, body, self._tried)
        if not line.status:
            raise error_fault(500, {}, {"error": parsed_json(line.body, 1_000)})
        return await self.read(Response(line.status, {}, line.body)), loop.time() - sent

    def wait(self, fault: Fault) -> float | None:
        """Return 0 to send the request in a further batch, None to give up."""
        return 0.0 if fault.action in (Action.RETRY, Action.LATER) and len(self._tried) < MOST_BATCHES else None


class GatheredModel(_Wrapper):
    """A model whose calls give their sample's place in the gathering to other samples while they wait."""

    def __init__(self, inner: ChatModel, gathering: Gathering) -> None:
        super().__init__(inner)
        self.gathering = gathering

    async def complete(self, messages: Sequence[Mapping[str, str]], *, epoch: int = 0, occurrence: int = 0) -> Reply:
        work = self.inner.complete(messages, epoch=epoch, occurrence=occurrence)
        return await self.gathering.call(work, sum(len(content(message)) for message in messages))
