"""The files of datasets: `train.jsonl`, `heldout.jsonl` and `manifest.json` in a folder named like the version.

A folder appears whole or not at all, is never changed, and its hash says so. Knows no database and no example's making.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from llm_service.errors import Conflict, NotFound

TRAIN: Final = "train"
HELDOUT: Final = "heldout"
SPLITS: Final = (TRAIN, HELDOUT)
MANIFEST_FILE: Final = "manifest.json"


@dataclass(frozen=True)
class DatasetExample:
    """One row as it is trained on. `source` leads back to feedback, documents and passages; `group` was split by."""

    id: str
    messages: tuple[Mapping[str, str], ...]
    kind: str
    tags: tuple[str, ...]
    source: Mapping[str, Any]
    licence: str
    group: str

    @property
    def content_sha256(self) -> str:
        """Hash of what is learnt: the messages alone."""
        return _sha256(_as_json([dict(message) for message in self.messages]).encode())

    def as_line(self) -> str:
        """The row as one line of JSON, the same bytes for the same row."""
        return _as_json({**asdict(self), "messages": [dict(message) for message in self.messages]})


def read_example(line: str) -> DatasetExample:
    """A row from its line."""
    told = json.loads(line)
    return DatasetExample(**{**told, "messages": tuple(told["messages"]), "tags": tuple(told["tags"])})


class DatasetFiles:
    """The folder of all datasets."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def directory(self, name: str) -> Path:
        """Where the files of a version lie, whether they are there or not."""
        return self._root / name

    def exists(self, name: str) -> bool:
        return (self.directory(name) / MANIFEST_FILE).is_file()

    def write(
        self, name: str, rows: Mapping[str, Sequence[DatasetExample]], manifest: Mapping[str, Any]
    ) -> tuple[Path, str]:
        """Write a version; returns its folder and the hash of its rows. Raises `Conflict` (dataset_exists).

        The manifest is completed by the name, the hash and the counts.
        """
        target = self.directory(name)
        if target.exists():
            raise Conflict("dataset_exists", "the folder of this dataset is there already; versions never change")
        self._root.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = self._root / f".{name}.{uuid4().hex}"
        draft.mkdir(mode=0o700)
        for split in SPLITS:
            _write(draft / f"{split}.jsonl", "".join(f"{row.as_line()}\n" for row in rows.get(split, ())))
        content_sha256 = content_sha256_of(draft)
        counted = {split: len(rows.get(split, ())) for split in SPLITS}
        told = {"name": name, "content_sha256": content_sha256, "counts": counted, **manifest}
        _write(draft / MANIFEST_FILE, json.dumps(told, ensure_ascii=False, indent=2, sort_keys=True) + "\n")
        draft.rename(target)
        return target, content_sha256

    def manifest(self, name: str) -> dict[str, Any]:
        """What a version says of itself. Raises `NotFound` (dataset_files_missing)."""
        self._require(name)
        return dict(json.loads((self.directory(name) / MANIFEST_FILE).read_text(encoding="utf-8")))

    def rows(self, name: str, split: str) -> Iterator[DatasetExample]:
        """The rows of one split, in order. Raises `NotFound` (dataset_files_missing)."""
        self._require(name)
        with (self.directory(name) / f"{split}.jsonl").open(encoding="utf-8") as lines:
            yield from (read_example(line) for line in lines)

    def verify(self, name: str, content_sha256: str) -> None:
        """Raises `Conflict` (dataset_altered) if the files are not those that were frozen."""
        self._require(name)
        if content_sha256_of(self.directory(name)) != content_sha256:
            raise Conflict("dataset_altered", "the dataset's files are not those that were frozen")

    def delete(self, name: str) -> None:
        """Delete a version's files and whatever a crash left half-written."""
        for folder in (self.directory(name), *self._root.glob(f".{name}.*")):
            shutil.rmtree(folder, ignore_errors=not folder.exists())

    def _require(self, name: str) -> None:
        if not self.exists(name):
            raise NotFound("dataset_files_missing", "the files of this dataset are not on this machine")


def content_sha256_of(directory: Path) -> str:
    """SHA-256 over both splits, with their names between them."""
    digest = hashlib.sha256()
    for split in SPLITS:
        digest.update(f"{split}\0".encode())
        digest.update((directory / f"{split}.jsonl").read_bytes())
    return digest.hexdigest()


def _write(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _as_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
