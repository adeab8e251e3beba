"""Rotates the vault's key on one machine, step by step: the new key first, every value moved, then the old key gone.

Stop it anywhere and begin again: a key file with two keys is a rotation that has not ended. Where the keys come from
outside (production), only the values are moved; the keys are added and removed where they come from.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from llm_service.client import LlmServiceClient
from llm_service.masking.vault_keys import VaultKey, new_vault_key, parse_vault_keys, write_vault_keys
from llm_service.settings import Settings

KEYS_VARIABLE = "HAECHI_VAULT_KEYS"


@dataclass(frozen=True)
class Rotation:
    """What a rotation did: the active key, the values moved, the keys dropped, and the values that stay behind."""

    active: str
    moved: int
    dropped: tuple[str, ...]
    left: int
    keys_are_ours: bool


def keys_are_ours(settings: Settings) -> bool:
    """Whether the keys are the file that this platform made, and not a secret that somebody hands in."""
    return settings.environment == "embedded" and KEYS_VARIABLE not in os.environ


async def rotate(llm_service: LlmServiceClient, settings: Settings) -> Rotation:
    """Rotate, or go on with a rotation. Raises `ServiceError`, and `Misconfigured` for a key file out of order."""
    ours = keys_are_ours(settings)
    if ours:
        _add_key(settings.vault_keys_file)
    moved, finished = 0, False
    while not finished:
        step = await llm_service.rotate_vault_keys()
        moved, finished = moved + step.moved, step.finished
    retired = {key_id: count for key_id, count in step.entries.items() if key_id not in (step.active, "unknown")}
    dropped = tuple(key_id for key_id, count in retired.items() if count == 0) if ours else ()
    if dropped:
        _drop_keys(settings.vault_keys_file, dropped)
        step = await llm_service.rotate_vault_keys()
    return Rotation(step.active, moved, dropped, sum(retired.values()), ours)


def _add_key(file: Path) -> None:
    keys = _keys_of(file)
    if len(keys) < 2:
        _replace(file, (new_vault_key([key.id for key in keys]), *keys))


def _drop_keys(file: Path, dropped: tuple[str, ...]) -> None:
    _replace(file, tuple(key for key in _keys_of(file) if key.id not in dropped))


def _keys_of(file: Path) -> tuple[VaultKey, ...]:
    return parse_vault_keys(file.read_text(encoding="ascii"))


def _replace(file: Path, keys: tuple[VaultKey, ...]) -> None:
    # Written beside and moved over: a crash leaves the old file or the new one, never half of one.
    beside = file.with_name(f"{file.name}.new")
    beside.unlink(missing_ok=True)
    beside.touch(mode=0o600, exist_ok=False)
    with beside.open("w", encoding="ascii") as opened:
        opened.write(write_vault_keys(keys))
        opened.flush()
        os.fsync(opened.fileno())
    beside.replace(file)
