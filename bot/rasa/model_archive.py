"""The one trained model of this process: what it was trained from, and proof that the file is the one that was trained.

Rasa serves the newest archive of a folder when the named one is missing; here a missing or changed archive is an error.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from bot.rasa.settings import PROJECT

ARCHIVE_NAME = "haechi.tar.gz"
MANIFEST_NAME = "manifest.json"
TRAINED_FROM = ("config.yml", "domain.yml", "data/**/*.yml", "components/*.py")


class ModelRefused(Exception):
    """The archive is missing or is not the one that was trained; says what to do."""


@dataclass(frozen=True)
class Manifest:
    """Both values are SHA-256 in hexadecimal."""

    sources: str
    archive: str


def sources_sha256(project: Path = PROJECT) -> str:
    """One hash over everything a model is made from: names and contents, in order."""
    digest = hashlib.sha256()
    for path in sorted({path for pattern in TRAINED_FROM for path in project.glob(pattern)}):
        digest.update(path.relative_to(project).as_posix().encode() + b"\0")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def is_current(models: Path) -> bool:
    """Whether the archive in `models` is intact and was trained from today's sources."""
    try:
        return _read(models).sources == sources_sha256() and bool(verified_archive(models))
    except ModelRefused:
        return False


def verified_archive(models: Path) -> Path:
    """The path of the trained archive. Raises ModelRefused."""
    manifest, archive = _read(models), models / ARCHIVE_NAME
    if not archive.is_file():
        raise ModelRefused("The trained model is missing; run: python -m bot.rasa.train")
    if hashlib.sha256(archive.read_bytes()).hexdigest() != manifest.archive:
        raise ModelRefused("The model file was changed after training; delete it and run: python -m bot.rasa.train")
    return archive


def record(models: Path) -> Manifest:
    """Write the manifest of a freshly trained archive and delete every other archive beside it."""
    archive = models / ARCHIVE_NAME
    for other in models.glob("*.tar.gz"):
        if other != archive:
            other.unlink()
    manifest = Manifest(sources_sha256(), hashlib.sha256(archive.read_bytes()).hexdigest())
    (models / MANIFEST_NAME).write_text(json.dumps(asdict(manifest), indent=1), encoding="ascii")
    return manifest


def _read(models: Path) -> Manifest:
    path = models / MANIFEST_NAME
    if not path.is_file():
        raise ModelRefused("There is no trained model; run: python -m bot.rasa.train")
    return Manifest(**json.loads(path.read_text(encoding="ascii")))
