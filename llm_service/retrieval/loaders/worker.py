"""The parsing process: reads files from its parent over a pipe, under hard limits, and answers with data or a code.

Started as `python -m llm_service.retrieval.loaders.worker MEMORY_BYTES CPU_SECONDS`. Everything it reads is hostile
until shown otherwise, so whatever a parser raises becomes a code, and the parent kills and replaces the process when it
hangs or dies.

Frame in: 4 bytes name length, 8 bytes content length (big endian), name, content. Frame out: 1 byte `D` or `F`, 8 bytes
length, then the document as JSON or the code.
"""

import logging
import math
import os
import resource
import struct
import sys
from typing import BinaryIO, Final

from llm_service.retrieval.loaders.content import FailureCode, UnreadableDocument
from llm_service.retrieval.loaders.formats import load

REQUEST_HEADER = struct.Struct(">IQ")
REPLY_HEADER = struct.Struct(">cQ")
DOCUMENT, FAILURE = b"D", b"F"
OUT_OF_MEMORY: Final = "parsing_memory"
MAX_TEXT_CHARACTERS = 10_000_000
MAX_REPLY_BYTES = 128 * 1024 * 1024
MAX_SCRATCH_FILE_BYTES = 256 * 1024 * 1024
MAX_OPEN_FILES = 64


def main() -> None:
    """Serve requests until the parent closes the pipe."""
    memory_bytes, cpu_seconds = map(int, sys.argv[1:3])
    limit_resources(memory_bytes)
    requests = sys.stdin.buffer
    # Parsers print to stdout when they like; the replies keep the real one for themselves.
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    logging.disable(logging.CRITICAL)  # what parsers log quotes the file
    while header := requests.read(REQUEST_HEADER.size):
        name_length, content_length = REQUEST_HEADER.unpack(header)
        name = requests.read(name_length).decode()
        content = requests.read(content_length)
        allow_cpu(cpu_seconds)
        kind, body = answer(name, content)
        _reply(replies, kind, body)
        if body == OUT_OF_MEMORY.encode():
            return


def answer(name: str, content: bytes) -> tuple[bytes, bytes]:
    """The document as JSON, or the code that says why there is none."""
    try:
        document = load(name, content)
        if sum(len(block.text) for block in document.blocks) > MAX_TEXT_CHARACTERS:
            return FAILURE, b"too_much_text"
        return DOCUMENT, document.to_json()
    except Exception as error:  # noqa: BLE001  what a parser raises on a hostile file is a property of the file
        return FAILURE, code_of(error).encode()


def code_of(error: Exception) -> FailureCode:
    """The code for whatever a loader or its library raised."""
    if isinstance(error, UnreadableDocument):
        return error.code
    if isinstance(error, MemoryError):
        return OUT_OF_MEMORY
    if isinstance(error, ImportError):
        return "parser_crashed"  # no fault of the file: a library is missing or found no memory to load
    # lxml's own errors are SyntaxErrors; libxml2 stops at 256 levels and says so.
    too_deep = isinstance(error, RecursionError) or (isinstance(error, SyntaxError) and "depth" in str(error))
    return "nesting_too_deep" if too_deep else "broken_file"


def limit_resources(memory_bytes: int) -> None:
    """Hard limits on address space, written files, open files; no core dumps, since they would hold the document."""
    for kind, limit in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_FSIZE, MAX_SCRATCH_FILE_BYTES),
        (resource.RLIMIT_NOFILE, MAX_OPEN_FILES),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (limit, limit))


def allow_cpu(seconds: int) -> None:
    """Let the next file use this much; without it, a process whose parent was killed could spin for ever."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = math.ceil(used.ru_utime + used.ru_stime) + seconds + 1
    resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.RLIM_INFINITY))


def _reply(replies: BinaryIO, kind: bytes, body: bytes) -> None:
    replies.write(REPLY_HEADER.pack(kind, len(body)))
    replies.write(body)
    replies.flush()


if __name__ == "__main__":
    main()
