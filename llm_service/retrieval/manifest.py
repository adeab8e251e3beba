"""Who may see which file of a directory: `audience.yaml`, or one audience for the whole directory. Fails closed.

Knows nothing of the files' content.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from llm_service.client import GROUP_PATTERN, MAXIMUM_GROUPS, Audience
from llm_service.errors import InvalidInput

MANIFEST_NAME = "audience.yaml"
DEFAULT_AUDIENCE: tuple[Audience, ...] = ("staff",)


@dataclass(frozen=True)
class Declaration:
    """What the people who hand in a document say about it; None where they say nothing."""

    audience: tuple[Audience, ...]
    title: str | None = None
    in_force_from: date | None = None
    groups: tuple[str, ...] = ()
    """Whose members may see it, of its audience; everybody of the audience where it is empty."""
    mask_names: bool = False
    """Whether person names are masked too, not only numbers, addresses and the like."""


class Manifest:
    """The declarations of a directory."""

    def __init__(self, rules: Sequence["_Rule"]) -> None:
        # The longest matching path decides, whatever the order of the lines.
        self._rules = sorted(rules, key=lambda rule: len(rule.path), reverse=True)

    def declaration(self, path: str) -> Declaration | None:
        """What is declared for a file, None if no line covers it: such a file is shown to nobody."""
        for rule in self._rules:
            prefix = rule.path.rstrip("/")
            if path == prefix or path.startswith(f"{prefix}/") or prefix in {"", "."}:
                audience = tuple(dict.fromkeys(rule.audience))
                groups = tuple(sorted(set(rule.groups)))
                return Declaration(audience, rule.title, rule.in_force_from, groups, rule.mask_names)
        return None


def read_manifest(directory: Path, audience: Sequence[Audience] | None) -> Manifest:
    """The directory's own `audience.yaml`; without one, `audience` for every file, and staff only if that is None.

    Raises `InvalidInput` if the file is not valid, or if both are given: which of them a person meant cannot be known.
    """
    file = directory / MANIFEST_NAME
    if not file.is_file():
        return Manifest([_Rule(path="", audience=list(audience or DEFAULT_AUDIENCE))])
    if audience is not None:
        raise InvalidInput("audience_given_twice", f"the directory has its own {MANIFEST_NAME}; leave out --audience")
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
        return Manifest(_Manifest.model_validate(content).documents)
    except (yaml.YAMLError, UnicodeDecodeError, ValidationError) as error:
        raise InvalidInput(
            "audience_file_invalid", f"{MANIFEST_NAME} is not valid: see docs/formats.md for its form"
        ) from error


class _Rule(BaseModel):
    model_config = ConfigDict(extra="forbid")

    path: str
    audience: list[Literal["staff", "customer"]] = Field(min_length=1)
    # Written `groups: []`, it would be unclear whether everybody or nobody is meant: such a file is refused.
    groups: list[Annotated[str, Field(pattern=GROUP_PATTERN)]] = Field(
        default_factory=list, min_length=1, max_length=MAXIMUM_GROUPS
    )
    title: str | None = Field(default=None, min_length=1, max_length=300)
    in_force_from: date | None = None
    mask_names: bool = False


class _Manifest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    documents: list[_Rule]
