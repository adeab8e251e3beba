"""Embedding servers are asked in their own dialects, within limits, and whatever else they answer is an outage."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pytest

from llm_service.errors import Misconfigured, Unavailable
from llm_service.masked import MaskedText
from llm_service.retrieval.embedding import TEXTS_PER_REQUEST, Prefixes, ServerEmbedder
from llm_service.retrieval.inference_server import REST_SECONDS, InferenceServer
from tests.llm_service.retrieval.inference import Model, RunningServer, inference_server

PLAIN = Prefixes()
SECRET = MaskedText("아무도 보면 안 되는 질문")
MakeEmbedder = Callable[..., ServerEmbedder]


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def server() -> Iterator[RunningServer]:
    with inference_server(Model()) as running:
        yield running


@pytest.fixture
def make(server: RunningServer) -> Iterator[MakeEmbedder]:
    made: list[ServerEmbedder] = []

    def make_one(path: str = "", key: str = "", model: str = "m", prefixes: Prefixes = PLAIN) -> ServerEmbedder:
        made.append(ServerEmbedder(server.url + path, key, model, prefixes, 5.0))
        return made[-1]

    yield make_one
    for embedder in made:
        embedder.close()


def passages(*texts: str) -> list[tuple[MaskedText, MaskedText]]:
    return [(MaskedText("제목"), MaskedText(text)) for text in texts]


@pytest.mark.parametrize("path", ["", "/embed", "/v1", "/v1/embeddings"])
def test_both_dialects_give_one_unit_vector_a_passage_in_order(make: MakeEmbedder, path: str) -> None:
    vectors = make(path).passages(passages("적금", "카드", "대출"))
    assert vectors.shape == (3, 4)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 1, 1])
    assert [int(vector.argmax()) for vector in vectors] == [0, 2, 1]


def test_the_paths_asked_are_those_of_the_dialects(make: MakeEmbedder, server: RunningServer) -> None:
    make("").question([SECRET])
    make("/v1").question([SECRET])
    assert [path for path, _, _ in server.model.requests] == ["/embed", "/v1/embeddings"]


def test_questions_and_passages_get_their_prefixes(make: MakeEmbedder, server: RunningServer) -> None:
    embedder = make(prefixes=Prefixes("query: ", "passage: "))
    embedder.question([MaskedText("적금은?"), MaskedText("기한은?")])
    embedder.passages(passages("본문"))
    assert server.model.texts == ["query: 적금은? 기한은?", "passage: 제목\n본문"]


def test_the_key_is_presented(make: MakeEmbedder, server: RunningServer) -> None:
    make(key="the-key").question([SECRET])
    assert server.model.requests[0][2] == "Bearer the-key"


def test_many_passages_are_sent_in_batches(make: MakeEmbedder, server: RunningServer) -> None:
    vectors = make().passages(passages(*(["적금"] * (2 * TEXTS_PER_REQUEST + 1))))
    assert len(vectors) == 2 * TEXTS_PER_REQUEST + 1
    assert [len(body["inputs"]) for _, body, _ in server.model.requests] == [TEXTS_PER_REQUEST, TEXTS_PER_REQUEST, 1]


def test_a_model_is_known_by_its_name_its_prefixes_and_its_dimensions(
    make: MakeEmbedder, server: RunningServer
) -> None:
    first = make().model()
    assert first.dimensions == 4
    assert make("/embed").model() == first
    assert make(prefixes=Prefixes("query: ")).model().identity != first.identity
    server.model.name = "another-model"
    assert make().model().identity != first.identity
    assert make("/v1", model="m").model().identity != make("/v1", model="n").model().identity


def test_a_v1_server_is_not_asked_without_a_model(make: MakeEmbedder) -> None:
    with pytest.raises(Misconfigured, match="HAECHI_EMBEDDINGS_MODEL"):
        make("/v1", model="")


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (b"no json", "inference_reply"),
        (b"[]", "inference_reply"),
        (b"{}", "inference_reply"),
        (b"[[1.0], [2.0]]", "inference_reply"),
        (b"[[]]", "inference_reply"),
        (b'[["a"]]', "inference_reply"),
        (b"[[0.0, 0.0]]", "inference_reply"),
        (b"[[NaN, 1.0]]", "inference_reply"),
        (b"[[1e999, 1.0]]", "inference_reply"),
        (json.dumps([[1.0] * 9000]).encode(), "inference_reply"),
    ],
)
def test_a_reply_that_is_no_vector_is_an_outage(
    make: MakeEmbedder, server: RunningServer, reply: bytes, code: str
) -> None:
    server.model.raw = reply
    with pytest.raises(Unavailable) as gone:
        make().question([SECRET])
    assert gone.value.code == code


@pytest.mark.parametrize(
    ("status", "code"),
    [(302, "inference_refused"), (401, "inference_refused"), (500, "inference_refused"), (503, "inference_busy")],
)
def test_a_refusal_is_an_outage_that_tells_nothing_of_the_text(
    make: MakeEmbedder, server: RunningServer, status: int, code: str
) -> None:
    server.model.status = status
    with pytest.raises(Unavailable) as gone:
        make().question([SECRET])
    assert gone.value.code == code
    assert SECRET not in str(gone.value)


def test_a_server_that_does_not_answer_in_time_is_gone(server: RunningServer) -> None:
    server.model.hangs = True
    embedder = ServerEmbedder(server.url, "", "", Prefixes(), 0.05)
    with pytest.raises(Unavailable) as gone:
        embedder.question([SECRET])
    assert gone.value.code == "inference_timeout"
    embedder.close()


def test_after_an_outage_the_server_is_left_alone_for_a_while(server: RunningServer) -> None:
    clock = Clock()
    embedder = ServerEmbedder(server.url, "", "", Prefixes(), 5.0, clock=clock)
    server.model.status = 500
    for code in ("inference_refused", "inference_resting"):
        with pytest.raises(Unavailable) as gone:
            embedder.question([SECRET])
        assert gone.value.code == code
    assert len(server.model.requests) == 1
    server.model.status = 200
    clock.now = REST_SECONDS + 1
    assert len(embedder.question([SECRET])) == 4
    embedder.close()


def test_a_server_that_went_away_is_asked_anew_which_model_it_has(make: MakeEmbedder, server: RunningServer) -> None:
    clock = Clock()
    embedder = ServerEmbedder(server.url, "", "", Prefixes(), 5.0, clock=clock)
    first = embedder.model()
    server.model.name, server.model.status = "another-model", 500
    with pytest.raises(Unavailable):
        embedder.question([SECRET])
    server.model.status = 200
    clock.now = REST_SECONDS + 1
    assert embedder.model() != first
    embedder.close()


def test_work_that_nobody_waits_for_is_asked_again_while_the_server_is_busy(server: RunningServer) -> None:
    server.model.busy_times = 2
    pauses: list[float] = []
    client = InferenceServer(server.url, "", "A_SETTING", pause=pauses.append)
    assert client.ask_patiently("embed", {"inputs": ["적금"]}, 5.0) == [[1.0, 0.0, 0.0, 0.1]]
    assert pauses == [0.5, 1.0]
    client.close()


def test_a_reply_over_the_size_limit_is_not_read(server: RunningServer) -> None:
    client = InferenceServer(server.url, "", "A_SETTING", maximum_reply_bytes=1000)
    server.model.raw = b" " * 2000
    with pytest.raises(Unavailable, match="more than 1000 bytes"):
        client.ask("embed", {"inputs": []}, 5.0)
    client.close()


def test_an_address_where_nobody_listens_is_an_outage() -> None:
    client = InferenceServer("http://127.0.0.1:1", "", "A_SETTING")
    with pytest.raises(Unavailable) as gone:
        client.ask("embed", {}, 5.0)
    assert gone.value.code == "inference_unreachable"
    client.close()
