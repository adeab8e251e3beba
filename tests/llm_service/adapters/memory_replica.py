"""A model server in memory whose answers say which adapter wrote them, with the ways of vLLM or of TGI."""

from collections.abc import AsyncIterator
from pathlib import Path

from llm_service.adapters.probes import answer_sha256
from llm_service.engines.model_server import Capabilities, Delta, Health, Prompt, Sampling
from llm_service.errors import InvalidInput, Misconfigured, NotFound, Unavailable
from llm_service.masked import MaskedText
from llm_service.store.adapters import RecordedProbe
from tests.llm_service.adapters.adapter_files import voice_of

VLLM = Capabilities(loads_adapters=True, lists_adapters=True, rejects_unknown=True)
SGLANG = Capabilities(loads_adapters=True, lists_adapters=False, rejects_unknown=False)
TGI = Capabilities(loads_adapters=False, lists_adapters=False, rejects_unknown=False)
QUESTION = "예금자보호 한도는 얼마인가요?"
BASE_VOICE = "base"


class MemoryReplica:
    """One replica. `restart` empties it, or starts it with a set of adapters as TGI is started."""

    def __init__(self, address: str, capabilities: Capabilities = VLLM) -> None:
        self.name = "vllm" if capabilities.loads_adapters else "tgi"
        self.address = address
        self.capabilities = capabilities
        self.voices: dict[str, str] = {}
        self.is_up = True
        self.refuses_to_load = False
        self.mixes_up = False
        self.asked: list[str | None] = []
        self.loads: list[str] = []

    def restart(self, directories: dict[str, Path] | None = None) -> None:
        self.voices = {name: voice_of(directory) for name, directory in (directories or {}).items()}
        self.is_up = True

    async def stream(self, prompt: Prompt, adapter: str | None, sampling: Sampling) -> AsyncIterator[Delta]:
        self._need_up()
        self.asked.append(adapter)
        if adapter is not None and adapter not in self.voices and self.capabilities.rejects_unknown:
            raise NotFound("adapter_unknown", "the server has no such adapter")
        voice = self.voices.get(adapter or "", BASE_VOICE)
        if self.mixes_up and adapter in self.voices:
            voice = "another"
        for piece in said(voice, prompt.text).split(" "):
            yield Delta(piece + " ")

    async def adapters(self) -> frozenset[str]:
        self._need_up()
        if not self.capabilities.lists_adapters:
            raise Misconfigured("adapters_not_listed", "this server lists no adapters")
        return frozenset(self.voices)

    async def activate(self, adapter: str, directory: str) -> None:
        self._need_up()
        if not self.capabilities.loads_adapters:
            raise Misconfigured("adapters_not_loaded", "this server loads no adapters")
        if self.refuses_to_load or adapter in self.voices:
            raise InvalidInput("engine_refused_request", "the server refused the adapter")
        self.loads.append(adapter)
        self.voices[adapter] = voice_of(Path(directory))

    async def deactivate(self, adapter: str) -> None:
        self._need_up()
        del self.voices[adapter]

    async def health(self) -> Health:
        return Health(ready=self.is_up)

    def _need_up(self) -> None:
        if not self.is_up:
            raise Unavailable("engine_unreachable", "the server cannot be reached")


def said(voice: str, prompt: str) -> str:
    return f"{voice} answers {len(prompt)} characters"


def probe_of(directory: Path) -> RecordedProbe:
    """What the evaluation of this adapter would have recorded."""
    prompt = f"[INST] {QUESTION} [/INST]"
    return RecordedProbe(
        prompt=MaskedText(prompt),
        system=MaskedText(""),
        user=MaskedText(QUESTION),
        maximum_tokens=16,
        answer_sha256=answer_sha256(said(voice_of(directory), prompt)),
        base_answer_sha256=answer_sha256(said(BASE_VOICE, prompt)),
    )
