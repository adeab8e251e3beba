"""The work of the small jobs: what llm_service owns (purge, retests) is asked of it over HTTP."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from llm_service.client import LlmServiceClient, ServiceError
from llm_service.errors import Unavailable
from llm_service.settings import Settings

Returned = TypeVar("Returned")


def purge(settings: Settings) -> None:
    """Have llm_service delete what has outlived its time. Raises `Unavailable` when it cannot be reached."""
    _ask(settings, lambda service: service.purge())


def retest_document(settings: Settings, document_id: int) -> None:
    """Have llm_service ask approved questions again under a new edition. Raises `Unavailable`."""
    _ask(settings, lambda service: service.retest_document(document_id))


def _ask(settings: Settings, ask: Callable[[LlmServiceClient], Awaitable[Returned]]) -> Returned:
    async def asked() -> Returned:
        url = f"http://{settings.llm_service_host}:{settings.llm_service_port}"
        service = LlmServiceClient(url, settings.service_token.get_secret_value())
        try:
            return await ask(service)
        except ServiceError as error:
            raise Unavailable(error.code, "llm_service declined or cannot be reached") from None
        finally:
            await service.close()

    return asyncio.run(asked())
