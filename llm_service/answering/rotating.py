"""Moves the vault to its newest key, batch by batch: stop it anywhere and begin again. Knows no cryptography."""

import time
from dataclasses import dataclass
from functools import partial
from typing import Final

from llm_service.masking.vault import Vault
from llm_service.store import audit
from llm_service.store.transactions import Transactions

BATCH_ENTRIES: Final = 200
ACTOR: Final = "service"


@dataclass(frozen=True)
class Rotated:
    """How far a rotation has come. `entries` counts by key id, and under "unknown" those whose key is nowhere.

    `finished` says that no entry is left that could still be moved; `damaged` ones never can be.
    """

    active: str
    moved: int
    damaged: int
    entries: dict[str, int]
    finished: bool


class KeyRotation:
    """Reads the keys again and re-encrypts; at most `longest_seconds` a call, so that callers see it move."""

    def __init__(self, transactions: Transactions, vault: Vault, longest_seconds: float = 5.0) -> None:
        self._transactions = transactions
        self._vault = vault
        self._longest_seconds = longest_seconds

    async def rotate(self) -> Rotated:
        """Go on with the rotation. Raises `Misconfigured` when the keys cannot be read, and `VaultUnavailable`."""
        self._vault.reload_keys()
        deadline = time.monotonic() + self._longest_seconds
        moved = damaged = 0
        last_id: int | None = 0
        while last_id is not None and time.monotonic() < deadline:
            batch = await self._transactions.run(partial(self._vault.reencrypt, after=last_id, limit=BATCH_ENTRIES))
            moved, damaged, last_id = moved + batch.moved, damaged + batch.damaged, batch.last_id
        entries = await self._transactions.read(self._vault.entries_by_key)
        rotated = Rotated(self._vault.active_key_id, moved, damaged, entries, finished=last_id is None)
        if moved:
            details = {"moved": moved, "damaged": damaged, "finished": rotated.finished}
            await self._transactions.run(
                partial(
                    audit.record,
                    actor=ACTOR,
                    action="keys.rotated",
                    subject_kind="vault_key",
                    subject_id=rotated.active,
                    details=details,
                )
            )
        return rotated
