"""The files browsers are given: the chat, the gateway's own page, a demonstration; held to the hashes of the build.

The gateway does not start on a file that is missing, changed or not listed. `bot/widget` is where they come from.
"""

import hashlib
import json
from pathlib import Path
from typing import Final

from bot.gateway.errors import AssetsChanged

DIRECTORY: Final = Path(__file__).with_name("static")
MANIFEST: Final = "manifest.json"


def check_assets(directory: Path = DIRECTORY) -> None:
    """Raises `AssetsChanged` unless every file is as the build wrote it."""
    listed: dict[str, str] = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))
    present = {path.name for path in directory.iterdir()} - {MANIFEST}
    changed = sorted(present ^ listed.keys())
    changed += [name for name in sorted(present & listed.keys()) if _sha256(directory / name) != listed[name]]
    if changed:
        raise AssetsChanged(changed)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
