"""The parsing process: reads files from its parent over a pipe, under hard limits, and answers with data or a code.

Started as `python -m llm_service.retrieval.loaders.worker MEMORY_BYTES`. Everything it reads is hostile until shown
otherwise, so whatever a parser raises becomes a code, and the parent kills and replaces the process when it hangs or
dies.

Frame in: 4 bytes name length, 8 bytes content length (big endian), name, content. Frame out: 1 byte `D` or `F`, 8 bytes
length, then the document as JSON or the code.
"""

import logging
import os
import resource
import struct
import sys
from typing import BinaryIO

from llm_service.retrieval.loaders.content import UnreadableDocument
from llm_service.retrieval.loaders.formats import load

REQUEST_HEADER = struct.Struct(">IQ")
REPLY_HEADER = struct.Struct(">cQ")
DOCUMENT, FAILURE = b"D", b"F"
MAX_TEXT_BYTES = 64 * 1024 * 1024
MAX_SCRATCH_FILE_BYTES = 256 * 1024 * 1024
MAX_OPEN_FILES = 64


def main() -> None:
    """Serve requests until the parent closes the pipe."""
    limit_resources(int(sys.argv[1]))
    requests = sys.stdin.buffer
    # Parsers print to stdout when they like; the replies keep the real one for themselves.
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    logging.disable(logging.CRITICAL)  # what parsers log quotes the file
    while header := requests.read(REQUEST_HEADER.size):
        name_length, content_length = REQUEST_HEADER.unpack(header)
        name = requests.read(name_length).decode()
        kind, body = answer(name, requests.read(content_length))
        _reply(replies, kind, body)
        if body == b"parsing_memory":
            return


def answer(name: str, content: bytes) -> tuple[bytes, bytes]:
    """The document as JSON, or the code that says why there is none."""
    try:
        encoded = load(name, content).to_json()
    except UnreadableDocument as unreadable:
        return FAILURE, unreadable.code.encode()
    except MemoryError:
        return FAILURE, b"parsing_memory"
    except RecursionError:
        return FAILURE, b"nesting_too_deep"
    except Exception:  # noqa: BLE001  a parser's failure on a hostile file is a property of the file; this process is the fence
        return FAILURE, b"broken_file"
    return (DOCUMENT, encoded) if len(encoded) <= MAX_TEXT_BYTES else (FAILURE, b"too_much_text")


def limit_resources(memory_bytes: int) -> None:
    """Hard limits on address space, written files, open files; no core dumps, since they would hold the document."""
    for kind, limit in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_FSIZE, MAX_SCRATCH_FILE_BYTES),
        (resource.RLIMIT_NOFILE, MAX_OPEN_FILES),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (limit, limit))


def _reply(replies: BinaryIO, kind: bytes, body: bytes) -> None:
    replies.write(REPLY_HEADER.pack(kind, len(body)))
    replies.write(body)
    replies.flush()


if __name__ == "__main__":
    main()
