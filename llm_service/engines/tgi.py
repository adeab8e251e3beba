"""Text Generation Inference 3.x as a `ModelServer`: huggingface_hub's client generates, plain HTTP asks for the rest.

TGI loads adapters only at its start, lists none, and answers for an unknown one from its base model with status 200
(huggingface/text-generation-inference #2505): whoever promotes an adapter must prove it by its answers.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, Final, cast

import httpx
import httpx2
from huggingface_hub import AsyncInferenceClient, TextGenerationStreamOutput, set_async_client_factory
from huggingface_hub.errors import (
    GenerationError,
    HfHubHTTPError,
    IncompleteGenerationError,
    InferenceTimeoutError,
    OverloadedError,
    TextGenerationError,
    ValidationError,
)

from llm_service.engines.failures import Patience, failure_of, in_time, stream_cut, timed_out, unreachable
from llm_service.engines.model_server import Capabilities, Delta, Health, Prompt, Sampling, Usage
from llm_service.engines.stop_strings import until_stop
from llm_service.errors import HaechiError, Misconfigured, Unavailable

MAXIMUM_STOPS: Final = 4  # TGI's own --max-stop-sequences
HEALTH_SECONDS: Final = 3.0
STATUS_OF_ERROR: Final = (
    (ValidationError, 422),
    (GenerationError, 424),
    (IncompleteGenerationError, 500),
    (OverloadedError, 429),
)


def _plain_client() -> httpx2.AsyncClient:
    """Connections without proxies of the environment and without the token that huggingface_hub finds there."""

    async def without_token(request: httpx2.Request) -> None:
        request.headers.pop("authorization", None)

    async def read_if_failed(response: httpx2.Response) -> None:
        if response.status_code >= httpx2.codes.BAD_REQUEST:
            await response.aread()

    hooks: dict[str, list[Any]] = {"request": [without_token], "response": [read_if_failed]}
    return httpx2.AsyncClient(event_hooks=hooks, trust_env=False, follow_redirects=False)


# The library offers no other way; nothing else in this process asks a hub.
set_async_client_factory(_plain_client)


class TgiServer:
    """One TGI replica, asked with rendered prompts: TGI adds the beginning mark, so `Prompt.text` has none."""

    name = "tgi"
    capabilities = Capabilities(loads_adapters=False, lists_adapters=False, rejects_unknown=False)

    def __init__(self, address: str, patience: Patience | None = None) -> None:
        self.address = address.rstrip("/")
        self._patience = patience or Patience()
        self._http = httpx.AsyncClient(base_url=self.address, trust_env=False, timeout=HEALTH_SECONDS)

    def stream(self, prompt: Prompt, adapter: str | None, sampling: Sampling) -> AsyncGenerator[Delta, None]:
        deltas = in_time(self._deltas(prompt, adapter, sampling), self._patience, sampling.seconds)
        return until_stop(deltas, sampling.stop)

    async def adapters(self) -> frozenset[str]:
        raise Misconfigured("engine_lists_no_adapters", "TGI does not tell which adapters it holds")

    async def activate(self, adapter: str, directory: str) -> None:
        raise Misconfigured("engine_loads_no_adapters", "TGI loads adapters at its start only: LORA_ADAPTERS")

    async def deactivate(self, adapter: str) -> None:
        raise Misconfigured("engine_loads_no_adapters", "TGI drops adapters at its next start only: LORA_ADAPTERS")

    async def health(self) -> Health:
        try:
            well = await self._http.get("/health")
            told = await self._http.get("/info")
        except httpx.TimeoutException as error:
            raise timed_out("to say how it is") from error
        except httpx.TransportError as error:
            raise unreachable(self.address) from error
        if not told.is_success:
            raise failure_of(told.status_code, None)
        info = told.json()
        return Health(well.is_success, str(info.get("model_id") or ""), str(info.get("docker_label") or ""))

    async def close(self) -> None:
        await self._http.aclose()

    async def _deltas(self, prompt: Prompt, adapter: str | None, sampling: Sampling) -> AsyncIterator[Delta]:
        # A client for each answer: closing it is the one way to end a stream in the middle, and with it TGI's work.
        timeout = httpx2.Timeout(None, connect=self._patience.connect_seconds)
        async with AsyncInferenceClient(self.address, timeout=cast("float", timeout)) as client:
            is_whole = False
            try:
                async for output in await _ask(client, prompt, adapter, sampling):
                    is_whole = output.details is not None
                    text = "" if output.token.special else output.token.text
                    yield Delta(text, _usage(output))
            except TextGenerationError as error:
                raise failure_of(_status_of(error), adapter) from error
            except HfHubHTTPError as error:
                raise failure_of(error.response.status_code, adapter) from error
            except (InferenceTimeoutError, httpx2.TransportError) as error:
                raise _broken(error, self.address) from error
            except (ValueError, KeyError, TypeError) as error:
                # A line that is no event of TGI's, half of one for instance.
                raise stream_cut() from error
            if not is_whole:
                raise stream_cut()


async def _ask(
    client: AsyncInferenceClient, prompt: Prompt, adapter: str | None, sampling: Sampling
) -> AsyncIterator[TextGenerationStreamOutput]:
    return aiter(
        await client.text_generation(
            prompt.text,
            stream=True,
            details=True,
            adapter_id=adapter,
            max_new_tokens=sampling.maximum_tokens,
            do_sample=sampling.temperature > 0,
            temperature=sampling.temperature or None,
            stop=list(sampling.stop[:MAXIMUM_STOPS]) or None,
            seed=sampling.seed,
        )
    )


def _usage(output: TextGenerationStreamOutput) -> Usage | None:
    if output.details is None:
        return None
    finish = "length" if output.details.finish_reason == "length" else "stop"
    return Usage(output.details.input_length, output.details.generated_tokens, finish)  # type: ignore[arg-type]


def _status_of(error: TextGenerationError) -> int:
    """TGI's error types by the status it sends with them; for others the status stands on the cause."""
    for kind, status in STATUS_OF_ERROR:
        if isinstance(error, kind):
            return status
    cause = error.__cause__
    return cause.response.status_code if isinstance(cause, HfHubHTTPError) else httpx2.codes.INTERNAL_SERVER_ERROR


def _broken(error: Exception, address: str) -> HaechiError:
    # The library wraps what happens before the reply; what happens within the stream comes as it is.
    cause = error.__cause__ if isinstance(error, InferenceTimeoutError) else error
    if isinstance(cause, (httpx2.ConnectError, httpx2.ConnectTimeout)):
        return unreachable(address)
    return stream_cut() if isinstance(cause, (httpx2.ReadError, httpx2.RemoteProtocolError)) else _failed()


def _failed() -> Unavailable:
    return Unavailable("engine_failed", "the connection to the model server failed")
