"""Rows that are generated together, one token each at a time, each with the adapter of its own: the tensors of it.

Rows join and leave between two tokens. Knows no queue, no thread and no text; the model is any causal one whose forward
takes PEFT's `adapter_names`.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.nn.functional import pad
from transformers import DynamicCache

Forward = Callable[..., Any]


class Batch:
    """`forward` is asked with `adapter_names`, one for each row, as `Batch.names` holds them."""

    def __init__(self, forward: Forward) -> None:
        self.names: list[str] = []
        self._forward = forward
        self._layers: list[tuple[torch.Tensor, torch.Tensor]] = []
        self._mask = torch.zeros((0, 0), dtype=torch.long)

    def join(self, prompt: Sequence[int], name: str) -> torch.Tensor:
        """Add a row with its prompt; returns the logits of its first token."""
        ids = torch.tensor([prompt])
        output = self._forward(input_ids=ids, adapter_names=[name], use_cache=True, logits_to_keep=1)
        theirs = _layers_of(output.past_key_values)
        own = self._mask.shape[1]
        # Shorter rows are filled up at their beginning, so that every row's next token stands in the same column.
        ours_short, theirs_short = max(0, len(prompt) - own), max(0, own - len(prompt))
        mask = pad(torch.ones_like(ids), (theirs_short, 0))
        if self.names:
            self._layers = [
                (_joined(keys, ours_short, more[0], theirs_short), _joined(values, ours_short, more[1], theirs_short))
                for (keys, values), more in zip(self._layers, theirs, strict=True)
            ]
            self._mask = torch.cat((pad(self._mask, (ours_short, 0)), mask))
        else:
            self._layers, self._mask = theirs, mask
        self.names.append(name)
        return _last_logits(output)[0]

    def step(self, tokens: Sequence[int]) -> torch.Tensor:
        """Feed each row its newest token; returns the logits of the next ones, a row each."""
        positions = self._mask.sum(dim=1, keepdim=True)
        self._mask = pad(self._mask, (0, 1), value=1)
        output = self._forward(
            input_ids=torch.tensor(tokens).unsqueeze(1),
            attention_mask=self._mask,
            position_ids=positions,
            past_key_values=_cache_of(self._layers),
            adapter_names=list(self.names),
            use_cache=True,
        )
        self._layers = _layers_of(output.past_key_values)
        return _last_logits(output)

    def leave(self, rows: set[int]) -> None:
        """Drop rows, and the columns that only they needed."""
        if not rows:
            return
        kept = [row for row in range(len(self.names)) if row not in rows]
        self.names = [self.names[row] for row in kept]
        if not kept:
            self._layers, self._mask = [], torch.zeros((0, 0), dtype=torch.long)
            return
        self._mask = self._mask[kept]
        blank = int((self._mask.sum(dim=0) == 0).sum())
        self._mask = self._mask[:, blank:]
        self._layers = [(keys[kept][:, :, blank:], values[kept][:, :, blank:]) for keys, values in self._layers]


def _joined(ours: torch.Tensor, ours_short: int, theirs: torch.Tensor, theirs_short: int) -> torch.Tensor:
    return torch.cat((pad(ours, (0, 0, ours_short, 0)), pad(theirs, (0, 0, theirs_short, 0))))


def _cache_of(layers: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> DynamicCache:
    cache = DynamicCache()
    for number, (keys, values) in enumerate(layers):
        cache.update(keys, values, number)
    return cache


def _layers_of(cache: Any) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return [(layer.keys, layer.values) for layer in cache.layers]


def _last_logits(output: Any) -> torch.Tensor:
    logits: torch.Tensor = output.logits[:, -1]
    return logits
