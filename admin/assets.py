"""The files browsers are given: held to the hashes that the build wrote, and asked for by them, so caches keep them.

The console does not start on a file that is missing, changed or not listed.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from llm_service.errors import Misconfigured

DIRECTORY: Final = Path(__file__).with_name("static")
MANIFEST: Final = "manifest.json"
DIGITS_OF_HASH: Final = 12
KEPT_FOR: Final = "public, max-age=31536000, immutable"


def checked_assets(directory: Path = DIRECTORY) -> Mapping[str, str]:
    """The URL path of every asset by its name. Raises `Misconfigured` (console_assets_changed)."""
    listed: dict[str, str] = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))
    present = {path.name for path in directory.iterdir()} - {MANIFEST}
    changed = sorted(present ^ listed.keys())
    changed += [name for name in sorted(present & listed.keys()) if _sha256(directory / name) != listed[name]]
    if changed:
        raise Misconfigured(
            "console_assets_changed",
            f"not as the build wrote them: {', '.join(changed)}; install the package again, or build admin/ui",
        )
    return {name: f"/static/{name}?v={sha256[:DIGITS_OF_HASH]}" for name, sha256 in listed.items()}


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Assets(StaticFiles):
    """Serves the assets; what is asked for by its hash never changes."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        by_hash = b"v=" in scope.get("query_string", b"")
        response.headers["Cache-Control"] = KEPT_FOR if by_hash and response.status_code < 400 else "no-cache"
        return response
