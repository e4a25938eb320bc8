"""Batches of a run: which of its requests are batched, the check of the settings, and the lines about them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.config.errors import ConfigError
from benchmarks.config.models import ModelSection
from benchmarks.config.schema import RunConfig
from rlm.methods.method import Method
from rlm.models.chat import FatalModelError

if TYPE_CHECKING:
    from rlm.models.batch.batcher import Batcher
    from rlm.models.batch.journal import Submitted
    from rlm.models.batch.model import BatchModel
    from rlm.models.chat import ChatModel
    from rlm.models.client.endpoint import Endpoint

FOLDER = "batches"


class Batches:
    """The batches of a run. folder: holds the journal of submitted batches and their results. Raises ConfigError."""

    def __init__(self, folder: Path, at_once: int) -> None:
        from rlm.models.batch.gathering import Gathering
        from rlm.models.batch.journal import BatchJournal

        self.gathering = Gathering(at_once)
        try:
            self.journal = BatchJournal(folder)
        except FatalModelError as error:
            raise ConfigError(str(error)) from error
        self._batchers: list[Batcher] = []
        self._endpoints: dict[str, Endpoint] = {}

    def model(self, inner: ChatModel, part: str) -> BatchModel:
        """Return the model that sends its requests in batches. part: separates two models of one name."""
        from rlm.models.batch.batcher import Batcher
        from rlm.models.batch.model import BatchModel
        from rlm.models.client.model import OpenAIModel

        assert isinstance(inner, OpenAIModel)
        batcher = Batcher(inner.name, inner.endpoint, self.journal, self.gathering)
        self._batchers.append(batcher)
        self._endpoints[inner.endpoint.base_url] = inner.endpoint
        return BatchModel(inner, batcher, part)

    def note(self) -> str:
        """Return the number of waiting requests as a text for the line of progress; empty if there are none."""
        counts = [batcher.waiting for batcher in self._batchers]
        waiting, batches, done = (sum(column) for column in zip(*counts, strict=True)) if counts else (0, 0, 0)
        if not waiting:
            return ""
        where = f"{batches} batch{'es' * (batches > 1)} ({done} requests done there)" if batches else "the next batch"
        return f"{waiting} request{'s wait' if waiting > 1 else ' waits'} for {where}"

    def left(self) -> Iterator[str]:
        """Yield a line for each batch that continues without this process, with the ways to resume and to cancel it."""
        for batch in self.journal.open:
            endpoint = self._endpoints.get(batch.address)
            cancel = f", or cancel it: {_cancel_command(endpoint, batch)}" if endpoint and batch.batch_id else ""
            yield (
                f"{batch.batch_id or batch.file_id} of {batch.model} continues at the endpoint with {len(batch.ids)} "
                f"requests; run the same command to get its results{cancel}"
            )


def batched_methods(config: RunConfig) -> list[str]:
    """Return the names of the methods that make one call for each sample, whose requests can be batched."""
    classes = {name: target.target for name, target in config.method.items()}
    return [name for name, kind in classes.items() if isinstance(kind, type) and getattr(kind, "one_call", False)]


def is_batched(section: ModelSection) -> bool:
    """True if the root's requests of a section are sent in batches."""
    root = section.hosted.get("root")
    return root is not None and root.endpoint.batch


def check_batches(config: RunConfig) -> None:
    """Raise ConfigError for settings of batches that a run cannot follow."""
    if config.judge and any(model.endpoint.batch for model in config.judge.models.hosted.values()):
        raise ConfigError("judge.endpoint.batch is true: expected false, because verdicts are not sent in batches")
    batched = [section for section in config.models.values() if is_batched(section)]
    for section in config.models.values():
        for role, model in section.hosted.items():
            own = model.settings.endpoint is not None
            if role != "root" and model.endpoint.batch and (own or section not in batched):
                key = f"{section.where}.{role}.endpoint.batch" if own else f"{section.where}.endpoint.batch"
                raise ConfigError(f"{key} is true: expected false, because only requests of the root are batched")
    if not batched:
        return
    key = f"{batched[0].where}.endpoint.batch"
    if config.executor.name.rpartition(".")[2] != "LocalExecutor":
        raise ConfigError(f"{key} is true: expected executor=local, whose samples wait in one process")
    if not batched_methods(config):
        methods = ", ".join(config.method)
        raise ConfigError(
            f"{key} is true: expected a method with one call for each sample, such as base, because only its requests "
            f"are batched; method is [{methods}]"
        )


def check_left(config: RunConfig) -> None:
    """Raise ConfigError if the run has submitted a batch and now calls its model without batches."""
    from rlm.models.batch.journal import BatchJournal

    folder = config.folder / FOLDER
    if config.cache.mode == "replay" or not folder.is_dir():
        return
    roots = [section.hosted["root"] for section in config.models.values() if is_batched(section)]
    known = {(root.name, root.endpoint.base_url) for root in roots}
    try:
        left = [batch for batch in BatchJournal(folder).open if (batch.model, batch.address) not in known]
    except FatalModelError as error:
        raise ConfigError(str(error)) from error
    if left:
        one = left[0]
        raise ConfigError(
            f"model.endpoint.batch is false, but {one.batch_id or one.file_id} with {len(one.ids)} requests to "
            f"{one.model} was submitted: set it to true to get its results, or remove {folder} to pay for them again"
        )


def batch_notes(config: RunConfig) -> Iterator[str]:
    """Yield lines that name the batched methods, the price of their requests and the methods without batches."""
    roots = [section.hosted["root"] for section in config.models.values() if is_batched(section)]
    if not roots:
        return
    names = batched_methods(config)
    for root in roots:
        price = f"{1 - root.endpoint.batch_discount:.0%} of the price (model.endpoint.batch_discount)"
        yield f"{', '.join(names)}: requests to {root.name} are sent in batches, which take up to 24 h, at {price}"
    targets = {name: target.target for name, target in config.method.items() if name not in names}
    others = [name for name, kind in targets.items() if isinstance(kind, type) and issubclass(kind, Method)]
    if others:
        yield f"{', '.join(others)}: not sent in batches, because their calls depend on each other"


def _cancel_command(endpoint: Endpoint, batch: Submitted) -> str:
    version = f"?api-version={endpoint.api_version}" if endpoint.kind == "azure" else ""
    base = endpoint.base_url.rstrip("/") + ("/openai" if endpoint.kind == "azure" else "")
    header = "api-key: $" if endpoint.kind == "azure" else "Authorization: Bearer $"
    key = f' -H "{header}{endpoint.api_key_env}"' if endpoint.api_key_env else ""
    return f"curl -X POST{key} '{base}/batches/{batch.batch_id}/cancel{version}'"
