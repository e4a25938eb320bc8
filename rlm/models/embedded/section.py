"""The section `model` with `kind: embedded`: each role may have weights, a window and slots of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from typing import Annotated, Any, Literal

from annotated_types import Ge

from rlm.models.chat import Sampling
from rlm.models.embedded.model import DEFAULT_SAMPLING, EmbeddedModel, ServerSettings, find_weights


@dataclass(frozen=True, kw_only=True)
class EmbeddedRole:
    """One role of the embedded model: its sampling, and settings of its server; null takes the section's value."""

    max_output_tokens: Annotated[int, Ge(1)] | None = None
    temperature: Annotated[float, Ge(0)] | None = None
    top_p: Annotated[float, Ge(0)] | None = None
    seed: int | None = None
    extra: Mapping[str, Any] | None = None
    context_window: int | None = None
    slots: int | None = None
    threads: int | None = None
    weights: str | None = None

    @property
    def sampling(self) -> Sampling:
        return replace(DEFAULT_SAMPLING, **_given(self, Sampling))


@dataclass(frozen=True, kw_only=True)
class EmbeddedModels:
    """A configuration with `kind: embedded`. Roles with equal settings share a server. A null stands for the default.

    The settings of a server in the section are the defaults of those in the roles.
    """

    kind: Literal["embedded"] = "embedded"
    context_window: int | None = None
    slots: int | None = None
    threads: int | None = None
    weights: str | None = None
    root: EmbeddedRole | None = None
    sub: EmbeddedRole | None = None
    compactor: EmbeddedRole | None = None

    def __post_init__(self) -> None:
        for role in ("root", "sub", "compactor"):
            self.server(role)

    def server(self, role: str) -> ServerSettings:
        """Return the settings of the role's server. Raises ValueError, which begins with the key."""
        own = _given(getattr(self, role) or EmbeddedRole(), ServerSettings)
        with _named(role, own):
            return ServerSettings(**_given(self, ServerSettings) | own)

    def build(self, *, replay: bool = False) -> dict[str, EmbeddedModel]:
        """Build the models by role. replay: no call will be made, so neither weights nor llama.cpp are needed.

        Raises ValueError, one line, if they are needed and not on this machine.
        """
        models = {}
        for role in ("root", "sub", "compactor"):
            settings = getattr(self, role) or EmbeddedRole()
            server = self.server(role)
            if not replay:
                with _named(role, _given(settings, ServerSettings)):
                    find_weights(server.weights)
            models[role] = EmbeddedModel(**asdict(server), sampling=settings.sampling)
        return models


@contextmanager
def _named(role: str, own: Mapping[str, Any]) -> Iterator[None]:
    """Put the role before the key that an error begins with, if the role states this key itself."""
    try:
        yield
    except ValueError as error:
        key = str(error).partition(" ")[0]
        raise ValueError(f"{role}.{error}" if key in own else str(error)) from None


def _given(settings: object, kind: type) -> dict[str, Any]:
    """Return the values of the fields of `kind` that the settings state."""
    values = {field.name: getattr(settings, field.name, None) for field in fields(kind)}
    return {name: value for name, value in values.items() if value is not None}
