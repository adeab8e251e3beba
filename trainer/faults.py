"""Says in the bank's words why a training run could not go on: no room on the disk, no memory. Knows no training."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import torch

from llm_service.errors import HaechiError, Unavailable

_NO_ROOM: Final = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))
# Libraries written in Rust and C++ say it in a sentence only.
_NO_ROOM_SAID: Final = (*(f"os error {number}" for number in sorted(_NO_ROOM)), "PytorchStreamWriter", "unexpected pos")
_NO_MEMORY_SAID: Final = ("can't allocate memory", "out of memory", "bad_alloc", "Cannot allocate memory")


@contextmanager
def in_clear_words() -> Iterator[None]:
    """Turn a full disk and exhausted memory into domain errors; anything else passes as it is.

    Raises `Unavailable` (training_disk_full, training_out_of_memory).
    """
    try:
        yield
    except Exception as error:  # tokenizers raises plain `Exception` where a file cannot be written
        clear = _clear(error)
        if clear is None:
            raise
        raise clear from error


def _clear(error: Exception) -> HaechiError | None:
    if _is_no_room(error):
        return Unavailable(
            "training_disk_full",
            "the disk of the run's folder is full; make room and start the run again: it goes on from its newest whole "
            "checkpoint",
        )
    if _is_no_memory(error):
        return Unavailable(
            "training_out_of_memory",
            "memory is exhausted; take a recipe with a smaller batch_size or maximum_tokens, or with "
            "activation_checkpointing, and start the run again",
        )
    return None


def _is_no_room(error: Exception) -> bool:
    if isinstance(error, OSError):
        return error.errno in _NO_ROOM
    return any(said in str(error) for said in _NO_ROOM_SAID)


def _is_no_memory(error: Exception) -> bool:
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return any(said in str(error) for said in _NO_MEMORY_SAID)
