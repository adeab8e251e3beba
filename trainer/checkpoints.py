"""Checkpoints that are whole or not there: a mark is written last, and only what carries a true mark is resumed from.

Knows file names and hashes, no model and no trainer.
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

MARK: Final = "whole.json"
_CHECKPOINT: Final = re.compile(r"^checkpoint-([0-9]{1,9})$")
_BLOCK_BYTES: Final = 1 << 20


def mark_whole(checkpoint: Path) -> None:
    """Say that a checkpoint is finished: its files reach the disk first, then the mark with their hashes appears.

    Raises OSError if the disk is full; the checkpoint then counts as half-written.
    """
    hashes = {}
    for path in _files(checkpoint):
        _flush(path)
        hashes[path.relative_to(checkpoint).as_posix()] = sha256_of_file(path)
    write_atomically(checkpoint / MARK, json.dumps(hashes, indent=1, sort_keys=True))


def is_whole(checkpoint: Path) -> bool:
    """Whether every file that the mark names is there, unchanged."""
    try:
        hashes: dict[str, str] = json.loads((checkpoint / MARK).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return False
    return all(
        (checkpoint / name).is_file() and sha256_of_file(checkpoint / name) == told for name, told in hashes.items()
    )


def newest_whole(run_dir: Path) -> Path | None:
    """The checkpoint of the highest step that is whole; None if training begins from nothing."""
    newest_first = sorted(_checkpoints(run_dir), key=step_of, reverse=True)
    return next((checkpoint for checkpoint in newest_first if is_whole(checkpoint)), None)


def delete_half_written(run_dir: Path) -> tuple[str, ...]:
    """Delete what is not whole, and say what it was. For one process before training, never beside a trainer."""
    broken = [checkpoint for checkpoint in _checkpoints(run_dir) if not is_whole(checkpoint)]
    for checkpoint in broken:
        shutil.rmtree(checkpoint)
    return tuple(sorted(checkpoint.name for checkpoint in broken))


def step_of(checkpoint: Path) -> int:
    """The step at which a checkpoint was taken."""
    found = _CHECKPOINT.match(checkpoint.name)
    return int(found[1]) if found else -1


def write_atomically(path: Path, text: str) -> None:
    """The file is there whole or, after a crash, as it was before."""
    draft = path.with_name(f".{path.name}.draft")
    draft.write_text(text, encoding="utf-8")
    _flush(draft)
    draft.replace(path)
    _flush(path.parent)


def sha256_of_file(path: Path) -> str:
    """The SHA-256 of a file's bytes, read block by block."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _checkpoints(run_dir: Path) -> list[Path]:
    if not run_dir.is_dir():
        return []
    return [path for path in run_dir.iterdir() if path.is_dir() and _CHECKPOINT.match(path.name)]


def _files(checkpoint: Path) -> Iterator[Path]:
    yield from (path for path in sorted(checkpoint.rglob("*")) if path.is_file() and path.name != MARK)


def _flush(path: Path) -> None:
    """Have the kernel write a file or a directory to the disk (fsync(2))."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
