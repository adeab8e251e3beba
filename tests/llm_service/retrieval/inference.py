"""A server of embeddings and re-ranking on a loopback port, which speaks the real dialects and can be told to fail.

Its model of language is a table: texts that share a word of one meaning get near vectors.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

MEANINGS: Sequence[frozenset[str]] = (
    frozenset({"적금", "저축", "목돈"}),
    frozenset({"대출", "빚"}),
    frozenset({"카드", "결제"}),
)


def meaning(text: str) -> list[float]:
    """One dimension a meaning, and one for texts without any."""
    found = [float(sum(word in text for word in words)) for words in MEANINGS]
    return [*found, 0.1]


@dataclass
class Model:
    """What the server does now; tests change it."""

    embed: Callable[[str], Sequence[float]] = meaning
    name: str = "a-model"
    status: int = 200
    raw: bytes | None = None
    """Sent instead of a proper reply."""
    hangs: bool = False
    busy_times: int = 0
    requests: list[tuple[str, Mapping[str, object], str]] = field(default_factory=list)
    """(path, body, authorisation) of each POST."""

    @property
    def texts(self) -> list[str]:
        """Every text it was sent."""
        keys = ("inputs", "input", "texts")
        return [str(text) for _, body, _ in self.requests for key in keys for text in _list(body.get(key))]


@dataclass(frozen=True)
class RunningServer:
    url: str
    model: Model


@contextmanager
def inference_server(model: Model) -> Iterator[RunningServer]:
    """The server, until the block ends; hanging requests are let go then."""
    released = Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._reply({"model_id": model.name, "model_sha": "1"})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            model.requests.append((self.path, body, self.headers.get("Authorization", "")))
            if model.hangs:
                released.wait()
                return
            if model.busy_times:
                model.busy_times -= 1
                self._send(429, b"{}")
                return
            self._reply(_answer(self.path, body, model))

        def _reply(self, answer: object) -> None:
            self._send(model.status, json.dumps(answer).encode() if model.raw is None else model.raw)

        def _send(self, status: int, content: bytes) -> None:
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield RunningServer(f"http://127.0.0.1:{server.server_address[1]}", model)
    finally:
        released.set()
        server.shutdown()
        server.server_close()
        thread.join()


def _answer(path: str, body: Mapping[str, object], model: Model) -> object:
    if path.endswith("/v1/embeddings"):
        rows = [
            {"index": place, "embedding": model.embed(str(text))} for place, text in enumerate(_list(body["input"]))
        ]
        return {"model": body["model"], "data": rows[::-1]}
    if path.endswith("/rerank"):
        asked = model.embed(str(body["query"]))
        scores = [
            sum(a * b for a, b in zip(asked, model.embed(str(text)), strict=True)) for text in _list(body["texts"])
        ]
        order = sorted(range(len(scores)), key=lambda place: -scores[place])
        return [{"index": place, "score": scores[place]} for place in order]
    return [model.embed(str(text)) for text in _list(body["inputs"])]


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []
