"""Parses files in a child process under limits of memory, time and size; a poison file costs one child, never the
service.

The child is started once and reused (a start takes longer than parsing a statute); it is killed and replaced when it
overruns, dies, or has served its share. Only JSON comes back from it.
"""

import math
import os
import selectors
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Self, cast, get_args

from llm_service.retrieval.loaders.content import FailureCode, LoadedDocument, UnreadableDocument
from llm_service.retrieval.loaders.ocr import ALLOWED_VARIABLE, DOCUMENT_SECONDS, missing_parts
from llm_service.retrieval.loaders.worker import DOCUMENT, MAX_REPLY_BYTES, OUT_OF_MEMORY, REPLY_HEADER, REQUEST_HEADER

PARSING_TIMEOUT_SECONDS = 120.0
PARSING_MEMORY_BYTES = 1024 * 1024 * 1024
MAX_DOCUMENT_BYTES = 50_000_000
FILES_PER_PROCESS = 200
_WORKER = "llm_service.retrieval.loaders.worker"
_ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OMP_THREAD_LIMIT": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "2",
}
_PACKAGE_ROOT = Path(__file__).resolve().parents[3]


class IsolatedParser:
    """One parsing process at a time, started when first needed. Threads share it; each file has it alone."""

    def __init__(
        self,
        timeout_seconds: float = PARSING_TIMEOUT_SECONDS,
        memory_bytes: int = PARSING_MEMORY_BYTES,
        maximum_bytes: int = MAX_DOCUMENT_BYTES,
        ocr: bool = False,
    ) -> None:
        """`ocr` lets it read scanned pages with Tesseract, where that is installed; a file may then take longer."""
        self.reads_scans = ocr and not missing_parts()
        self._timeout_seconds = timeout_seconds + (DOCUMENT_SECONDS if self.reads_scans else 0)
        self._memory_bytes = memory_bytes
        self._maximum_bytes = maximum_bytes
        self._process: subprocess.Popen[bytes] | None = None
        self._served = 0
        self._lock = Lock()

    def parse(self, path: str, content: bytes) -> LoadedDocument:
        """The blocks of one file; the suffix of `path` decides the format. Raises `UnreadableDocument` with its
        code."""
        if len(content) > self._maximum_bytes:
            raise UnreadableDocument("too_large")
        with self._lock:
            return self._ask(path, content)

    def close(self) -> None:
        """End the parsing process; the next `parse` starts another."""
        with self._lock:
            self._kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ask(self, path: str, content: bytes) -> LoadedDocument:
        deadline = time.monotonic() + self._timeout_seconds
        process = self._running()
        name = path.encode()
        is_answered = False
        try:
            _write(process, REQUEST_HEADER.pack(len(name), len(content)) + name + content, deadline)
            kind, length = REPLY_HEADER.unpack(_read(process, REPLY_HEADER.size, deadline))
            body = _read(process, min(length, MAX_REPLY_BYTES), deadline)
            is_answered = True
        finally:
            # Also when a person interrupts: the next file must not read this one's answer.
            if not is_answered:
                self._kill()
        self._served += 1
        if kind != DOCUMENT:
            code = body.decode(errors="replace")
            if code == OUT_OF_MEMORY:
                self._kill()  # it is about to end by itself: what a parser left half done in memory is not trusted
            raise UnreadableDocument(cast(FailureCode, code) if code in get_args(FailureCode) else "parser_crashed")
        try:
            return LoadedDocument.from_json(body)
        except (ValueError, KeyError, TypeError) as error:
            self._kill()
            raise UnreadableDocument("parser_crashed") from error

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is not None and (self._process.poll() is not None or self._served >= FILES_PER_PROCESS):
            self._kill()
        if self._process is None:
            self._process = self._start()
            self._served = 0
        return self._process

    def _start(self) -> subprocess.Popen[bytes]:
        # A bare environment: no secret of the service is within reach of a parser that a hostile file took over.
        environment = {"PYTHONPATH": str(_PACKAGE_ROOT), "LANG": "C.UTF-8", "PATH": os.defpath, **_ONE_THREAD}
        if self.reads_scans:
            environment[ALLOWED_VARIABLE] = "1"
        process = subprocess.Popen(
            [sys.executable, "-m", _WORKER, str(self._memory_bytes), str(math.ceil(self._timeout_seconds))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,
        )
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            os.set_blocking(pipe.fileno(), False)
        return process

    def _kill(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        # Its session has its own processes only: what it started (OCR) ends with it.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()


def _write(process: subprocess.Popen[bytes], frame: bytes, deadline: float) -> None:
    assert process.stdin is not None
    view = memoryview(frame)
    descriptor = process.stdin.fileno()
    while view:
        _wait(descriptor, selectors.EVENT_WRITE, deadline)
        try:
            view = view[os.write(descriptor, view[: 1 << 16]) :]
        except BlockingIOError:
            continue
        except BrokenPipeError as error:
            raise UnreadableDocument("parser_crashed") from error


def _read(process: subprocess.Popen[bytes], length: int, deadline: float) -> bytes:
    assert process.stdout is not None
    descriptor = process.stdout.fileno()
    received = bytearray()
    while len(received) < length:
        _wait(descriptor, selectors.EVENT_READ, deadline)
        try:
            chunk = os.read(descriptor, min(length - len(received), 1 << 20))
        except BlockingIOError:
            continue
        if not chunk:
            raise UnreadableDocument("parser_crashed")
        received += chunk
    return bytes(received)


def _wait(descriptor: int, event: int, deadline: float) -> None:
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, event)
        if not selector.select(max(0.0, deadline - time.monotonic())):
            raise UnreadableDocument("parsing_timeout")
