"""The app package that a Teams administrator uploads: manifest, texts in English and two icons in one zip.

The template stands in `package/`; Microsoft's schema of its version is what the tests hold it to. Knows no settings.
"""

import io
import json
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import UUID

TEMPLATE: Final = Path(__file__).with_name("package")
FILES: Final = ("en.json", "color.png", "outline.png")
VERSION: Final = re.compile(r"\d{1,5}\.\d{1,5}\.\d{1,5}")
MAXIMUM_BANK_CHARACTERS: Final = 32
# A fixed date, so that the same input makes the same bytes.
DATE: Final = (2026, 1, 1, 0, 0, 0)


class PackageError(Exception):
    """A value that no Teams package can carry; the message says which and what it has to look like."""


@dataclass(frozen=True)
class PackageValues:
    """What the bank fills in: `website` is https without a trailing slash, `version` three numbers with dots."""

    app_id: str
    bank: str
    website: str
    version: str = "1.0.0"


def manifest(values: PackageValues) -> dict[str, Any]:
    """The manifest with its placeholders filled in. Raises `PackageError`."""
    _check(values)
    given = {
        "APP_ID": values.app_id.lower(),
        "BANK": values.bank,
        "WEBSITE": values.website.rstrip("/"),
        "VERSION": values.version,
    }
    text = (TEMPLATE / "manifest.json").read_text(encoding="utf-8")
    for name, value in given.items():
        # Escaped as JSON: a quotation mark in a name ends no string.
        text = text.replace("{{" + name + "}}", json.dumps(value, ensure_ascii=False)[1:-1])
    return dict(json.loads(text))


def app_package(values: PackageValues) -> bytes:
    """The zip to upload; the same values make the same bytes. Raises `PackageError`."""
    content = json.dumps(manifest(values), ensure_ascii=False, indent=2).encode() + b"\n"
    files = {"manifest.json": content, **{name: (TEMPLATE / name).read_bytes() for name in FILES}}
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in files.items():
            archive.writestr(zipfile.ZipInfo(name, DATE), body, zipfile.ZIP_DEFLATED)
    return packed.getvalue()


def _check(values: PackageValues) -> None:
    try:
        UUID(values.app_id)
    except ValueError:
        raise PackageError("the app id is the bot's Microsoft App ID, a UUID") from None
    if not 0 < len(values.bank) <= MAXIMUM_BANK_CHARACTERS:
        raise PackageError(f"the bank's name has 1 to {MAXIMUM_BANK_CHARACTERS} characters")
    if not re.fullmatch(r"https://[^\s\"\\{}]+", values.website):
        raise PackageError("the website is an address that begins with https://")
    if not VERSION.fullmatch(values.version):
        raise PackageError("the version is three numbers with dots, such as 1.0.0")
