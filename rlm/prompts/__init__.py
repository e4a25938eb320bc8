"""Loads prompt files, which hold the named parts of a method's prompt as Jinja blocks."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment, Template
    from jinja2.runtime import Context

FOLDER = Path(__file__).parent
# The maximum chain of templates, for files that extend each other in a cycle.
_MOST_TEMPLATES = 8
# The line that begins a message of a worked example.
_TURN = re.compile(r"^--- (user|assistant) ---[ \t]*$", re.MULTILINE)


class PromptError(ValueError):
    """A prompt file that does not exist, is not a template, or lacks a part or a variable."""


@dataclass(frozen=True)
class PromptFile:
    """The parts of a prompt. name: the requested name or path; sha256: the hash of the files of `templates`.

    The first template is the prompt's own; each template extends the next one.
    """

    name: str
    sha256: str
    templates: tuple[Template, ...]

    def render(self, part: str, **variables: Any) -> str:
        """Render a part and strip it. Raises PromptError for a part or a variable that does not exist."""
        from jinja2 import UndefinedError

        context = self._context(variables)
        if part not in context.blocks:
            raise PromptError(f"prompt {self.name} has no part {part!r}; it has: {', '.join(context.blocks)}")
        try:
            return "".join(context.blocks[part][0](context)).strip()
        except UndefinedError as error:
            raise PromptError(f"prompt {self.name}, part {part!r}: {error}") from error

    def turns(self, part: str, **variables: Any) -> list[dict[str, str]]:
        """Render a part that holds worked examples and return them as chat messages.

        Each message begins with a line `--- user ---` or `--- assistant ---`. An empty part gives no messages. Raises
        PromptError as `render` does, and for messages that do not alternate from a user's to an assistant's.
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
    from jinja2 import TemplateError, meta

    environment = _environment()
    own = FOLDER / f"{name}.md"
    path: Path | None = own if own.is_file() else Path(name)
    digest = hashlib.sha256()
    templates: list[Template] = []
    try:
        while path is not None and len(templates) < _MOST_TEMPLATES:
            source = path.read_text(encoding="utf-8")
            digest.update(source.encode())
            templates.append(environment.from_string(source))
            parent = next(meta.find_referenced_templates(environment.parse(source)), None)
            path = FOLDER / parent if parent else None
        return PromptFile(name, digest.hexdigest(), tuple(templates))
    except (OSError, UnicodeDecodeError, TemplateError) as error:
        known = sorted(str(p.relative_to(FOLDER).with_suffix("")) for p in FOLDER.glob("*/*.md"))
        raise PromptError(f"prompt is {name!r}: expected a path or one of {', '.join(known)} ({error})") from error


@cache
def _environment() -> Environment:
    from jinja2 import FileSystemLoader, StrictUndefined
    from jinja2.sandbox import SandboxedEnvironment

    return SandboxedEnvironment(
        loader=FileSystemLoader(FOLDER), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
