"""Guards the formats that are ZIP archives of XML before a library opens them: bombs, entities, encryption.

Knows no format's content. Limits follow the known attacks: overlapping or extremely compressed members
(https://www.bamsoftware.com/hacks/zipbomb/) and entity expansion (CWE-776).
"""

import io
import re
import zipfile

from llm_service.retrieval.loaders.content import UnreadableDocument

MAX_MEMBERS = 20_000
MAX_EXPANDED_BYTES = 400 * 1024 * 1024
MAX_XML_MEMBER_BYTES = 120 * 1024 * 1024
MAX_RATIO = 200
RATIO_MATTERS_ABOVE_BYTES = 8 * 1024 * 1024
XML_HEAD_BYTES = 4096
COMPOUND_FILE_MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ENCRYPTED = 0x1
_DECLARATION = re.compile(rb"<!\s*(?:DOCTYPE|ENTITY)", re.IGNORECASE)
_XML_SUFFIXES = (".xml", ".rels", ".hpf", ".vml", ".opf", ".rdf")


def check_archive(content: bytes) -> None:
    """Raise `UnreadableDocument` unless the archive is safe to open.

    Codes: `password_protected` (an encrypted Office file is a compound file around ciphertext, [MS-OFFCRYPTO] 2.3),
    `broken_file`, `expands_too_much`, `forbidden_xml`.
    """
    if content.startswith(COMPOUND_FILE_MAGIC):
        raise UnreadableDocument("password_protected" if is_encrypted_office(content) else "broken_file")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            _check_sizes(archive)
            for member in archive.infolist():
                if member.filename.lower().endswith(_XML_SUFFIXES):
                    _check_head(archive, member)
    except (zipfile.BadZipFile, NotImplementedError, EOFError, OSError) as error:
        raise UnreadableDocument("broken_file") from error


def is_encrypted_office(content: bytes) -> bool:
    """True if a compound file holds an `EncryptedPackage` stream, whose name stands in the directory in UTF-16."""
    return "EncryptedPackage".encode("utf-16-le") in content


def _check_sizes(archive: zipfile.ZipFile) -> None:
    members = archive.infolist()
    if len(members) > MAX_MEMBERS:
        raise UnreadableDocument("expands_too_much")
    expanded = 0
    for member in members:
        if member.flag_bits & _ENCRYPTED:
            raise UnreadableDocument("password_protected")
        expanded += member.file_size
        is_xml = member.filename.lower().endswith(_XML_SUFFIXES)
        steep = member.file_size > MAX_RATIO * max(member.compress_size, 1)
        if (steep and member.file_size > RATIO_MATTERS_ABOVE_BYTES) or (
            is_xml and member.file_size > MAX_XML_MEMBER_BYTES
        ):
            raise UnreadableDocument("expands_too_much")
    if expanded > MAX_EXPANDED_BYTES:
        raise UnreadableDocument("expands_too_much")


def _check_head(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
    # Declarations can only stand before the root element, so the head is enough; office formats never need one.
    with archive.open(member) as stream:
        head = stream.read(XML_HEAD_BYTES)
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        head = head.decode("utf-16", errors="ignore").encode()
    if _DECLARATION.search(head):
        raise UnreadableDocument("forbidden_xml")
