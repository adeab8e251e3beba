"""One suite for every model server's client: against a development server, and against servers that misbehave.

TGI is played by the development server's TGI routes, vLLM by its OpenAI-compatible ones, once with rendered prompts and
once with messages; llama-server by the same routes without adapters.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

import pytest

from llm_service.engines.failures import Patience
from llm_service.engines.model_server import Delta, ModelServer, Prompt, Sampling, StatementEnds, Usage
from llm_service.engines.openai import DIALECTS, OpenAiServer
from llm_service.engines.tgi import TgiServer
from llm_service.errors import HaechiError, InvalidInput, Misconfigured, NotFound, Unavailable
from tests.devservers import RunningDevserver, run_devserver, write_adapter
from tests.misbehaving import Reply, misbehaving
from tests.ports import free_port

PROMPT = Prompt("[INST] 해치 정기예금 금리는? [/INST]", (("user", "해치 정기예금 금리는?"),))
IMPATIENT = Patience(connect_seconds=1, first_token_seconds=0.2, next_token_seconds=0.2)


@dataclass(frozen=True)
class Client:
    """How one kind of client is made, and how its server writes a piece of text and an end."""

    make: Callable[[str, Patience], TgiServer | OpenAiServer]
    piece: Callable[[str], bytes]
    end: bytes
    error: Callable[[int], bytes]


def _tgi_piece(text: str) -> bytes:
    token = {"id": 1, "text": text, "logprob": 0.0, "special": False}
    return _event({"index": 1, "token": token, "generated_text": None, "details": None})


def _event(body: dict[str, object]) -> bytes:
    return f"data:{json.dumps(body, ensure_ascii=False)}\n\n".encode()


def _openai(dialect: str, form: str) -> Client:
    def piece(text: str, finish: str | None = None) -> bytes:
        said = {"delta": {"content": text}} if form == "messages" else {"text": text}
        return _event({"choices": [{"index": 0, **said, "finish_reason": finish}]})

    usage = _event({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}})
    return Client(
        make=lambda url, patience: OpenAiServer(url, DIALECTS[dialect], "", form, patience),  # type: ignore[arg-type]
        piece=piece,
        end=piece("", "stop") + usage + b"data: [DONE]\n\n",
        error=lambda status: _event({"error": {"message": "told", "type": "told", "code": status}}),
    )


TGI_END = {"finish_reason": "eos_token", "generated_tokens": 2, "input_length": 3, "seed": None}
TGI_TOKEN = {"id": 2, "text": "</s>", "logprob": 0.0, "special": True}
TGI_TYPES = {424: "generation", 429: "overloaded", 422: "validation", 500: "incomplete_generation"}
CLIENTS = {
    "tgi": Client(
        make=TgiServer,
        piece=_tgi_piece,
        end=_event({"index": 2, "token": TGI_TOKEN, "generated_text": "whole", "details": TGI_END}),
        error=lambda status: _event({"error": "told", "error_type": TGI_TYPES[status]}),
    ),
    "vllm": _openai("vllm", "text"),
    "vllm-messages": _openai("vllm", "messages"),
    "llama-server": _openai("llama-server", "text"),
}
MODELS = Reply(
    pieces=[json.dumps({"data": [{"id": "base", "parent": None}]}).encode()], content_type="application/json"
)


@pytest.fixture(params=CLIENTS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="session")
def adapters(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    home = tmp_path_factory.mktemp("adapters")
    return {name: write_adapter(home / name, tiny_base, seed) for seed, name in enumerate(("bank-v1.0", "bank-v2"))}


@pytest.fixture(scope="session")
def vllm_like(tiny_base: Path, adapters: dict[str, Path]) -> Iterator[RunningDevserver]:
    with run_devserver("--base", str(tiny_base), "--adapter", f"bank-v1.0={adapters['bank-v1.0']}") as running:
        yield running


@pytest.fixture(scope="session")
def tgi_like(tiny_base: Path, adapters: dict[str, Path]) -> Iterator[RunningDevserver]:
    loaded = ("--adapter", f"bank-v1.0={adapters['bank-v1.0']}")
    with run_devserver("--base", str(tiny_base), *loaded, "--tgi-silent-base") as running:
        yield running


@pytest.fixture
def running(kind: str, request: pytest.FixtureRequest) -> RunningDevserver:
    served: RunningDevserver = request.getfixturevalue("tgi_like" if kind == "tgi" else "vllm_like")
    return served


@pytest.fixture
async def server(kind: str, running: RunningDevserver) -> AsyncIterator[TgiServer | OpenAiServer]:
    client = CLIENTS[kind].make(running.url, Patience())
    yield client
    await client.close()


async def test_pieces_come_one_by_one_and_the_last_one_counts_them(server: ModelServer) -> None:
    deltas = await _all(server, Sampling(maximum_tokens=12))
    assert len([delta for delta in deltas if delta.text]) > 3
    assert [delta.usage is not None for delta in deltas] == [False] * (len(deltas) - 1) + [True]
    usage = deltas[-1].usage
    assert usage is not None
    assert usage.prompt_tokens > 5
    assert 3 < usage.answer_tokens <= 12


async def test_whoever_wants_whole_statements_gets_the_same_text_and_count_in_fewer_pieces(kind: str) -> None:
    words = ["연", " 3%", "입니다.", " [1]", " 단,", " 세금", "은", " 뗍니다.", " [1]"]
    reply = Reply(pieces=[*map(CLIENTS[kind].piece, words), CLIENTS[kind].end])
    each = await _misbehaved(kind, reply)
    gathered = await _misbehaved(kind, reply, sampling=Sampling(ends=StatementEnds("]", ".")))
    assert _text(gathered) == _text(each) == "".join(words)
    assert gathered[-1].usage == Usage(3, 2, "stop")
    assert sum(delta.pieces for delta in gathered if delta.text) == len(words)


async def test_the_same_prompt_gives_the_same_text_at_temperature_zero(server: ModelServer) -> None:
    sampling = Sampling(maximum_tokens=16)
    assert _text(await _all(server, sampling)) == _text(await _all(server, sampling))


async def test_a_seed_makes_sampling_repeatable(server: ModelServer) -> None:
    sampling = Sampling(maximum_tokens=16, temperature=1.5, seed=7)
    assert _text(await _all(server, sampling)) == _text(await _all(server, sampling))
    assert _text(await _all(server, sampling)) != _text(await _all(server, Sampling(16, 1.5, seed=8)))


async def test_the_limit_of_tokens_is_kept_and_told(server: ModelServer) -> None:
    deltas = await _all(server, Sampling(maximum_tokens=3))
    assert deltas[-1].usage is not None
    assert (deltas[-1].usage.answer_tokens, deltas[-1].usage.finish) == (3, "length")


async def test_text_ends_before_a_stop_string(server: ModelServer) -> None:
    whole = _text(await _all(server, Sampling(maximum_tokens=24)))
    stop = whole[6:9]
    deltas = await _all(server, Sampling(maximum_tokens=24, stop=("never written", stop)))
    assert _text(deltas) == whole[: whole.index(stop)]
    assert deltas[-1].usage is not None
    assert deltas[-1].usage.finish == "stop"


async def test_many_at_once_get_what_each_would_get_alone(server: ModelServer, kind: str) -> None:
    names = [None, None, None] if kind == "llama-server" else [None, "bank-v1.0", None]
    alone = [_text(await _all(server, Sampling(16), name)) for name in names]
    together = await asyncio.gather(*(_all(server, Sampling(16), name) for name in names * 2))
    assert [_text(deltas) for deltas in together] == alone * 2
    assert kind == "llama-server" or alone[0] != alone[1]


async def test_work_ends_within_a_second_after_the_reader_left(server: ModelServer, running: RunningDevserver) -> None:
    before = await asyncio.to_thread(running.metric, "devserver_cancelled")
    deltas = server.stream(PROMPT, None, Sampling(maximum_tokens=4000, temperature=2.0, seed=3))
    async with aclosing(deltas):  # type: ignore[type-var]
        await anext(aiter(deltas))
    async with asyncio.timeout(1):
        while await asyncio.to_thread(running.metric, "devserver_cancelled") == before:
            pass
    assert await asyncio.to_thread(running.metric, "tgi_batch_current_size") == 0


async def test_an_unknown_adapter_is_refused_unless_the_server_is_known_to_be_silent(server: ModelServer) -> None:
    if server.capabilities.rejects_unknown:
        with pytest.raises(NotFound) as refused:
            await _all(server, Sampling(4), "no-such-adapter")
        assert refused.value.code == "adapter_unknown"
    else:
        silent = await _all(server, Sampling(16), "no-such-adapter")
        assert _text(silent) == _text(await _all(server, Sampling(16)))


async def test_adapters_are_listed_loaded_and_dropped_where_the_server_can(
    server: ModelServer, adapters: dict[str, Path]
) -> None:
    if not server.capabilities.loads_adapters:
        for attempt in (server.activate("bank-v2", "anywhere"), server.deactivate("bank-v1.0"), server.adapters()):
            with pytest.raises(Misconfigured):
                await attempt
        return
    assert await server.adapters() == {"bank-v1.0"}
    await server.activate("bank-v2", str(adapters["bank-v2"]))
    try:
        assert await server.adapters() == {"bank-v1.0", "bank-v2"}
        answers = {_text(await _all(server, Sampling(16), name)) for name in (None, "bank-v1.0", "bank-v2")}
        assert len(answers) == 3
    finally:
        await server.deactivate("bank-v2")
    assert await server.adapters() == {"bank-v1.0"}
    with pytest.raises(NotFound):
        await server.deactivate("bank-v2")
    with pytest.raises(NotFound):
        await _all(server, Sampling(4), "bank-v2")


async def test_an_adapter_dropped_in_the_middle_of_an_answer_finishes_it(
    server: ModelServer, adapters: dict[str, Path]
) -> None:
    if not server.capabilities.loads_adapters:
        pytest.skip("the server drops no adapters")
    await server.activate("bank-v2", str(adapters["bank-v2"]))
    sampling = Sampling(maximum_tokens=64)
    whole = _text(await _all(server, sampling, "bank-v2"))
    deltas = aiter(server.stream(PROMPT, "bank-v2", sampling))
    first = await anext(deltas)
    await server.deactivate("bank-v2")
    assert first.text + "".join([delta.text async for delta in deltas]) == whole


async def test_health_names_the_base_model(server: ModelServer, tiny_base: Path) -> None:
    health = await server.health()
    assert (health.ready, health.model) == (True, tiny_base.name)
    assert "stand-in" in health.detail


async def test_a_prompt_longer_than_the_model_reads_is_refused(server: ModelServer) -> None:
    long = Prompt("가 " * 9000, (("user", "가 " * 9000),))
    with pytest.raises(InvalidInput) as refused:
        await _read(server, long, None, Sampling(4))
    assert refused.value.code == "engine_refused_request"


async def test_hangul_split_across_chunks_arrives_whole(kind: str) -> None:
    body = b"".join(CLIENTS[kind].piece(text) for text in ("연 ", "뷁", "금리")) + CLIENTS[kind].end
    deltas = await _misbehaved(kind, Reply(pieces=[body[place : place + 1] for place in range(len(body))]))
    assert _text(deltas) == "연 뷁금리"
    assert deltas[-1].usage == Usage(3, 2, "stop")


async def test_a_line_separator_inside_a_text_ends_no_event(kind: str) -> None:
    if kind == "tgi":
        pytest.skip("huggingface_hub splits lines there; the tokenizers of the models served have no such token")
    deltas = await _misbehaved(kind, Reply(pieces=[CLIENTS[kind].piece("연\u2028금리"), CLIENTS[kind].end]))
    assert _text(deltas) == "연\u2028금리"


@pytest.mark.parametrize(
    ("status", "error", "code"),
    [
        (400, InvalidInput, "engine_refused_request"),
        (413, InvalidInput, "engine_refused_request"),
        (422, InvalidInput, "engine_refused_request"),
        (424, Unavailable, "engine_failed"),
        (429, Unavailable, "engine_overloaded"),
        (500, Unavailable, "engine_failed"),
        (502, Unavailable, "engine_failed"),
        (503, Unavailable, "engine_overloaded"),
        (504, Unavailable, "engine_timeout"),
    ],
)
@pytest.mark.parametrize(
    "body", [b'{"error": "told", "error_type": "validation_of_tomorrow"}', b"<html>no json</html>"]
)
async def test_each_status_has_one_meaning(
    kind: str, status: int, error: type[HaechiError], code: str, body: bytes
) -> None:
    with pytest.raises(error) as failed:
        await _misbehaved(kind, Reply(status, [body], content_type="application/json"))
    assert failed.value.code == code
    assert "told" not in str(failed.value)


@pytest.mark.parametrize(
    ("status", "code"), [(424, "engine_failed"), (429, "engine_overloaded"), (500, "engine_failed")]
)
async def test_an_error_inside_a_stream_is_an_error(kind: str, status: int, code: str) -> None:
    client = CLIENTS[kind]
    with pytest.raises(Unavailable) as failed:
        await _misbehaved(kind, Reply(pieces=[client.piece("연"), client.error(status)]))
    assert failed.value.code == code


@pytest.mark.parametrize("cuts", [True, False], ids=["connection broken", "closed without an end"])
async def test_a_truncated_stream_is_no_answer(kind: str, cuts: bool) -> None:
    read: list[Delta] = []
    with pytest.raises(Unavailable) as failed:
        await _misbehaved(kind, Reply(pieces=[CLIENTS[kind].piece("연 3")], cuts=cuts), read=read)
    assert failed.value.code == "engine_stream_cut"
    assert _text(read) == "연 3"


async def test_half_an_event_is_a_truncated_stream(kind: str) -> None:
    with pytest.raises(Unavailable) as failed:
        await _misbehaved(kind, Reply(pieces=[CLIENTS[kind].piece("연 3")[:-9] + b"\n\n"]))
    assert failed.value.code == "engine_stream_cut"


@pytest.mark.parametrize("first", [False, True], ids=["before the first token", "between two tokens"])
async def test_a_server_that_falls_silent_is_left(kind: str, first: bool) -> None:
    pieces = [CLIENTS[kind].piece("연 3")] if first else []
    with pytest.raises(Unavailable) as failed:
        await _misbehaved(kind, Reply(pieces=pieces, hangs=True), IMPATIENT)
    assert failed.value.code == "engine_timeout"


async def test_the_whole_answer_has_a_limit(kind: str) -> None:
    with pytest.raises(Unavailable) as failed:
        await _misbehaved(kind, Reply(pieces=[CLIENTS[kind].piece("연")], hangs=True), sampling=Sampling(seconds=0.2))
    assert failed.value.code == "engine_timeout"


async def test_nobody_at_the_address_is_unreachable(kind: str) -> None:
    client = CLIENTS[kind].make(f"http://127.0.0.1:{free_port()}", IMPATIENT)
    for attempt in (_all(client, Sampling(4)), client.health()):
        with pytest.raises(Unavailable) as failed:
            await attempt
        assert failed.value.code == "engine_unreachable"
    await client.close()


async def test_neither_tokens_nor_proxies_of_the_environment_are_used(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret_of_the_environment")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-of-the-environment")
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    heads: list[str] = []
    deltas = await _misbehaved(kind, Reply(pieces=[CLIENTS[kind].piece("연"), CLIENTS[kind].end]), heads=heads)
    assert _text(deltas) == "연"
    assert heads
    assert not [head for head in heads if "authorization" in head.lower() or "secret" in head]


async def _misbehaved(
    kind: str,
    reply: Reply,
    patience: Patience | None = None,
    sampling: Sampling | None = None,
    read: list[Delta] | None = None,
    heads: list[str] | None = None,
) -> list[Delta]:
    """What a client makes of a reply; what was read before an error is in `read`."""
    replies = [reply] if kind == "tgi" else [MODELS, reply]
    read = [] if read is None else read
    async with misbehaving(*replies) as seen:
        client = CLIENTS[kind].make(seen.url, patience or Patience())
        try:
            async for delta in client.stream(PROMPT, None, sampling or Sampling()):
                read.append(delta)
        finally:
            if heads is not None:
                heads += seen.heads
            await client.close()
    return read


async def _all(server: ModelServer, sampling: Sampling, adapter: str | None = None) -> list[Delta]:
    return await _read(server, PROMPT, adapter, sampling)


async def _read(server: ModelServer, prompt: Prompt, adapter: str | None, sampling: Sampling) -> list[Delta]:
    return [delta async for delta in server.stream(prompt, adapter, sampling)]


def _text(deltas: list[Delta]) -> str:
    return "".join(delta.text for delta in deltas)
