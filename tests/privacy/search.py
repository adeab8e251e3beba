"""Finds canaries in whatever a platform leaves behind: bytes of files, of keys, of log lines, in any encoding.

Knows neither the platform nor the law: it is handed places with bytes, unpacks what is recognisably packed, and looks
for every spelling of every canary in every encoding.
"""

import base64
import io
import json
import re
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import quote

from tests.privacy.canaries import Canary

LEAST_NEEDLE_BYTES: Final = 6
LEAST_DIGITS: Final = 9
UNPACKED_BYTES: Final = 64_000_000
PACKED_IN_PACKED: Final = 3
SEPARATORS: Final = b" -._/()+,:;\t\r\n"
# Files that are laid out in advance are mostly zeros.
ZEROS: Final = re.compile(rb"\0{64,}")
GZIP: Final = b"\x1f\x8b\x08"
ZIP: Final = b"PK\x03\x04"
# RFC 1950: the four headers that zlib writes for its levels.
ZLIB: Final = re.compile(rb"\x78[\x01\x5e\x9c\xda]")

Encode = Callable[[str], bytes | None]


def _codec(name: str) -> Encode:
    def encode(text: str) -> bytes | None:
        try:
            return text.encode(name)
        except UnicodeEncodeError:
            return None  # this text does not exist in this encoding

    return encode


def _json(text: str) -> bytes:
    return json.dumps(text)[1:-1].encode()


def _every_sign(form: str) -> Encode:
    return lambda text: "".join(form.format(ord(sign)) for sign in text).encode()


def _octets(form: str) -> Encode:
    return lambda text: "".join(form.format(octet) for octet in text.encode()).encode()


def _base64(shift: int, codec: str = "utf-8") -> Encode:
    """The characters of base64 that depend on the text alone, whatever stands before and behind it."""

    def encode(text: str) -> bytes:
        inside = text.encode(codec)
        encoded = base64.b64encode(b"\0" * shift + inside)
        return encoded[-(-shift * 8 // 6) : (shift + len(inside)) * 8 // 6]

    return encode


ENCODINGS: Final[Mapping[str, Encode]] = {
    "UTF-8": _codec("utf-8"),
    "UTF-8, decomposed": lambda text: unicodedata.normalize("NFD", text).encode(),
    "UTF-16 LE": _codec("utf-16-le"),
    "UTF-16 BE": _codec("utf-16-be"),
    "CP949": _codec("cp949"),
    "JSON escapes": _json,
    "JSON escapes of every sign": _every_sign("\\u{:04x}"),
    "JSON in JSON": lambda text: json.dumps(json.dumps(text)[1:-1])[1:-1].encode(),
    "Python bytes": lambda text: repr(text.encode())[2:-1].encode(),
    "Python escapes of every octet": _octets("\\x{:02x}"),
    "percent": lambda text: quote(text, safe="").encode(),
    "percent, lower case": lambda text: re.sub("%..", lambda octet: octet[0].lower(), quote(text, safe="")).encode(),
    "percent of every octet": _octets("%{:02X}"),
    "quoted-printable": _octets("={:02X}"),
    "HTML decimal": _every_sign("&#{};"),
    "HTML hexadecimal": _every_sign("&#x{:x};"),
    "HTML hexadecimal, upper case": _every_sign("&#x{:X};"),
    "hexadecimal": lambda text: text.encode().hex().encode(),
    "hexadecimal, upper case": lambda text: text.encode().hex().upper().encode(),
    "base64 at 0": _base64(0),
    "base64 at 1": _base64(1),
    "base64 at 2": _base64(2),
    "base64 of UTF-16": _base64(0, "utf-16-le"),
}
DIGITS_ONLY: Final = "digits only"


@dataclass(frozen=True)
class Place:
    """Something that may hold a leak: what it is called, its bytes, and whether it is a log."""

    name: str
    content: bytes
    is_log: bool = False


@dataclass(frozen=True)
class Leak:
    """A canary where it must not be. Shows its type and place, since a report is a log too."""

    type: str
    encoding: str
    place: str
    is_certain: bool


@dataclass
class Search:
    """Looks for canaries in places and counts what it did."""

    canaries: tuple[Canary, ...]
    places: int = 0
    searched_bytes: int = 0
    _plain: dict[bytes, tuple[Canary, str]] = field(init=False)
    _digits: dict[bytes, tuple[Canary, str]] = field(init=False)

    def __post_init__(self) -> None:
        self._plain = dict(_needles(self.canaries))
        self._digits = dict(_digit_needles(self.canaries))

    @property
    def needles(self) -> int:
        """How many different byte strings are looked for."""
        return len(self._plain) + len(self._digits)

    def leaks(self, places: Iterable[Place]) -> list[Leak]:
        """Every canary found, once for each place and encoding. Hard names are looked for in logs only."""
        return [leak for place in places for leak in self._leaks_of(place)]

    def _leaks_of(self, place: Place) -> list[Leak]:
        self.places += 1
        found: dict[tuple[str, str], Leak] = {}
        for content in _unpacked(place.content):
            self.searched_bytes += len(content)
            squeezed = content.translate(None, SEPARATORS)
            for needles, haystack in ((self._plain, content), (self._digits, squeezed)):
                for needle, (canary, encoding) in needles.items():
                    if needle in haystack and (canary.is_certain or place.is_log):
                        leak = Leak(canary.type, encoding, place.name, canary.is_certain)
                        found.setdefault((canary.type, encoding), leak)
        return list(found.values())


def files_below(directory: Path, name: str, log_folders: tuple[str, ...] = ()) -> Iterator[Place]:
    """Every regular file below a directory, its name included; those below a log folder are logs."""
    for path in sorted(directory.rglob("*")):
        relative = path.relative_to(directory)
        if path.is_file() and not path.is_symlink():
            is_log = any(part in log_folders for part in relative.parts)
            yield Place(f"{name}/{relative}", str(relative).encode() + b"\n" + path.read_bytes(), is_log)


def _needles(canaries: Iterable[Canary]) -> Iterator[tuple[bytes, tuple[Canary, str]]]:
    for canary in canaries:
        for spelling in canary.known_as:
            for name, encode in ENCODINGS.items():
                needle = encode(spelling)
                if needle is not None and len(needle) >= LEAST_NEEDLE_BYTES:
                    yield needle, (canary, name)


def _digit_needles(canaries: Iterable[Canary]) -> Iterator[tuple[bytes, tuple[Canary, str]]]:
    for canary in canaries:
        for spelling in canary.known_as:
            squeezed = unicodedata.normalize("NFKC", spelling).encode().translate(None, SEPARATORS)
            if sum(48 <= octet <= 57 for octet in squeezed) >= LEAST_DIGITS:
                yield squeezed, (canary, DIGITS_ONLY)


def _unpacked(content: bytes, depth: int = 0) -> Iterator[bytes]:
    """The bytes, and what is packed in them by gzip, zlib or zip, however deep within reason."""
    content = ZEROS.sub(b"\0" * 8, content)
    yield content
    if depth < PACKED_IN_PACKED:
        for member in (*_deflated(content), *_zipped(content)):
            yield from _unpacked(member, depth + 1)


def _deflated(content: bytes) -> Iterator[bytes]:
    starts = [match.start() for match in re.finditer(re.escape(GZIP), content)]
    for start in (*starts, *(match.start() for match in ZLIB.finditer(content))):
        try:
            # Window bits + 32: zlib tells gzip and zlib apart by the header.
            member = zlib.decompressobj(zlib.MAX_WBITS | 32).decompress(content[start:], UNPACKED_BYTES)
        except zlib.error:
            continue  # two bytes that only look like a header
        if member:
            yield member


def _zipped(content: bytes) -> Iterator[bytes]:
    start = content.find(ZIP)
    if start < 0:
        return
    try:
        with zipfile.ZipFile(io.BytesIO(content[start:])) as archive:
            for member in archive.infolist():
                yield member.filename.encode() + b"\n" + archive.read(member)
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, zlib.error):
        return  # broken or locked: nobody can read it there either
