"""Loads prompt files, which hold the named parts of a method's prompt as Jinja blocks."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlm.reading import read_text

if TYPE_CHECKING:
    from jinja2 import Environment, Template
    from jinja2.runtime import Context

FOLDER = Path(__file__).parent
# The most bytes of a text for models that a setting names. Longer ones fit no window.
MAX_PROMPT_BYTES = 4 << 20
# The maximum chain of templates, for files that extend each other in a cycle.
_MOST_TEMPLATES = 8
# The line that begins a message of a worked example.
_TURN = re.compile(r"^--- (user|assistant) ---[ \t]*$", re.MULTILINE)


class PromptError(ValueError):
    """A prompt file that does not exist, is not a template, or lacks a part or a variable."""


@dataclass(frozen=True)
class PromptFile:
    """The parts of a prompt. name: the requested name or path; sha256: the hash of the files of `templates`.

    The first template is the prompt's own; each template extends the next one. own: the names of its outermost blocks
    that it does not call itself.
    """

    name: str
    sha256: str
    templates: tuple[Template, ...]
    own: tuple[str, ...] = ()

    def render(self, part: str, **variables: Any) -> str:
        """Render a part and strip it. Raises PromptError if it does not exist or cannot be rendered."""
        context = self._context(variables)
        if part not in context.blocks:
            raise PromptError(f"prompt {self.name} has no part {part!r}; it has: {', '.join(context.blocks)}")
        try:
            return "".join(context.blocks[part][0](context)).strip()
        except Exception as error:
            # A part may hold any expression, such as an unknown variable, 1 / 0 or a call that is not allowed.
            raise PromptError(f"prompt {self.name}, part {part!r}: {str(error) or type(error).__name__}") from error

    def check(self, parts: Collection[str], *samples: Mapping[str, Any]) -> None:
        """Render the parts with each sample of their variables.

        Raises PromptError if a part is missing or cannot be rendered, or if the prompt's own file has other parts.
        """
        if missing := sorted(set(parts) - set(self.parts)):
            raise PromptError(f"prompt is {self.name!r}: expected a file with the part {missing[0]!r}")
        known = {*parts, *(block for template in self.templates[1:] for block in template.blocks)}
        if unknown := [name for name in self.own if name not in known]:
            near = get_close_matches(unknown[0], sorted(known), n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(known))}"
            raise PromptError(f"prompt {self.name} has the unknown part {unknown[0]!r}; {hint}")
        for sample in samples:
            for part in sorted(parts):
                self.render(part, **sample)

    def turns(self, part: str, **variables: Any) -> list[dict[str, str]]:
        """Render a part that holds worked examples and return them as chat messages.

        Each message begins with a line `--- user ---` or `--- assistant ---`. An empty part gives no messages. Raises
        PromptError as `render` does, and for messages that are empty or do not alternate between user and assistant.
        """
        before, *pieces = _TURN.split(self.render(part, **variables))
        messages = [
            {"role": role, "content": text.strip()} for role, text in zip(pieces[::2], pieces[1::2], strict=True)
        ]
        roles = [message["role"] for message in messages]
        if before.strip() or roles != ["user", "assistant"] * (len(roles) // 2):
            raise PromptError(
                f"prompt {self.name}, part {part!r}: expected messages that begin with the lines '--- user ---' and "
                "'--- assistant ---' in turn"
            )
        if not all(message["content"] for message in messages):
            raise PromptError(f"prompt {self.name}, part {part!r}: expected messages with text; one of them is empty")
        return messages

    def completed(self, options: str) -> PromptFile:
        """Return this prompt with the parts of another file, such as `options/recursive-v1`, that it does not have."""
        return replace(self, templates=(*self.templates, *load_prompt(options).templates))

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of all parts."""
        return tuple(self._context({}).blocks)

    def _context(self, variables: dict[str, Any]) -> Context:
        context = self.templates[0].new_context(variables)
        for template in self.templates[1:]:
            for name, block in template.blocks.items():
                context.blocks.setdefault(name, []).append(block)
        return context


@cache
def load_prompt(name: str) -> PromptFile:
    """Load a prompt by name, such as `recursive/default-v1` for a file of this folder, or by path.

    A file may extend one of this folder: `{% extends "recursive/default-v1.md" %}`. Raises PromptError.
    """
    from jinja2 import TemplateError, meta, nodes

    environment = _environment()
    bundled = FOLDER / f"{name}.md"
    digest = hashlib.sha256()
    templates: list[Template] = []
    own: tuple[str, ...] = ()
    try:
        path: Path | None = bundled if bundled.is_file() else Path(name)
        while path is not None and len(templates) < _MOST_TEMPLATES:
            source = read_text(path, MAX_PROMPT_BYTES)
            digest.update(source.encode())
            templates.append(environment.from_string(source))
            tree = environment.parse(source)
            if len(templates) == 1:
                blocks = [node.name for node in tree.body if isinstance(node, nodes.Block)]
                own = tuple(block for block in blocks if f"self.{block}(" not in source)
            parent = next(meta.find_referenced_templates(tree), None)
            path = FOLDER / parent if parent else None
        return PromptFile(name, digest.hexdigest(), tuple(templates), own)
    except (OSError, UnicodeDecodeError, TemplateError, RecursionError) as error:
        known = sorted(str(p.relative_to(FOLDER).with_suffix("")) for p in FOLDER.glob("*/*.md"))
        raise PromptError(f"prompt is {name!r}: expected a path or one of {', '.join(known)} ({error})") from error


@cache
def _environment() -> Environment:
    from jinja2 import FileSystemLoader, StrictUndefined
    from jinja2.sandbox import SandboxedEnvironment

    return SandboxedEnvironment(
        loader=FileSystemLoader(FOLDER), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
