"""The settings of embeddings and re-ranker reach every question; a part that is gone is counted and explained."""

from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from llm_service import wiring
from llm_service.client import ConversationKey, Route
from llm_service.errors import Misconfigured
from tests.conftest import MakeSettings, RunningService
from tests.llm_service.retrieval.inference import Model, RunningServer, inference_server

STAFF = ConversationKey(channel="api", thread="t-1", user="teller", audience="staff")
ROUTE = Route(intent="ask_knowledge", confidence=0.41, by="rasa", milliseconds=1.0)
SAVING = "# 저축 상품\n\n## 넣는 법\n매달 정해진 금액을 넣고 만기에 받습니다.\n".encode()
RunService = Callable[..., AbstractAsyncContextManager[RunningService]]


@pytest.fixture
def models() -> Iterator[RunningServer]:
    with inference_server(Model()) as running:
        yield running


async def test_both_slots_are_asked_and_what_fails_is_counted_and_explained(
    make_settings: MakeSettings, analysers: wiring.Analysers, run_service: RunService, models: RunningServer
) -> None:
    settings = make_settings(embeddings=models.url, embeddings_question_prefix="query: ", reranker=models.url)
    async with run_service(settings, analysers) as service:
        await service.client.upload_document("saving.md", SAVING, ["staff"])
        found = await service.client.search("저축 상품에 넣는 법", "staff")
        assert [hit.document for hit in found.results] == ["saving.md"]
        assert {"embed", "rerank"} <= set(found.timings)
        assert any(text.startswith("query: ") for text in models.model.texts)
        models.model.status = 500
        turn = await service.client.create_turn("e-1", STAFF, "저축 상품에 넣는 법은?")
        await service.client.start_answer(turn.turn_id, turn.conversation_id, ROUTE)
        async for _ in service.client.events(turn.turn_id, turn.conversation_id):
            pass
        told = await service.client.explanation(turn.turn_id, turn.conversation_id)
        assert told.state == "answered"
        assert told.fallbacks == ["embeddings:inference_refused", "reranker:inference_refused"]
        value = service.parts.metrics.registry.get_sample_value
        labels = {"part": "reranker", "reason": "inference_refused"}
        assert value("haechi_retrieval_fallbacks_total", labels) == 1
        assert service.logs.getvalue().count("optional_part_gone") == 2


@pytest.mark.parametrize("setting", ["embeddings", "reranker"])
def test_a_directory_that_is_none_stops_the_start(
    make_settings: MakeSettings, analysers: wiring.Analysers, tmp_path: Path, setting: str
) -> None:
    settings = make_settings(**{setting: str(tmp_path / "nothing")})
    with pytest.raises(Misconfigured, match=f"HAECHI_{setting.upper()}"), wiring.open_embedded(settings, analysers):
        pass


def test_a_v1_url_is_asked_for_the_model_of_the_settings(
    make_settings: MakeSettings, analysers: wiring.Analysers, models: RunningServer
) -> None:
    settings = make_settings(embeddings=f"{models.url}/v1", embeddings_model="bge-m3", embeddings_api_key="the-key")
    with wiring.open_embedded(settings, analysers):
        pass
    [(path, body, authorisation)] = models.model.requests
    assert (path, body["model"], authorisation) == ("/v1/embeddings", "bge-m3", "Bearer the-key")
