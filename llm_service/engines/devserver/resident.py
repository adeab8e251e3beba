"""The tiny model in memory with the adapters it holds: PEFT's side of the development server.

Adapters come as safetensors only and have internal names, since PEFT allows no dot in one. For one thread at a time.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils.logging import disable_progress_bar

from llm_service.engines.devserver.orders import Messages
from llm_service.errors import Conflict, InvalidInput, NotFound

BASE: Final = "__base__"  # PEFT's word for "no adapter" in a mixed batch
MAXIMUM_RANK: Final = 32
WEIGHTS_FILE: Final = "adapter_model.safetensors"
CONFIG_FILE: Final = "adapter_config.json"


class ResidentModel:
    """Model and tokenizer of a directory. `forward` takes `adapter_names` as `internal_name` gives them."""

    def __init__(self, directory: Path) -> None:
        torch.set_num_threads(1)
        disable_progress_bar()  # type: ignore[no-untyped-call]
        self.tokenizer: Any = AutoTokenizer.from_pretrained(directory, local_files_only=True)
        base: Any = AutoModelForCausalLM.from_pretrained(directory, local_files_only=True)
        self._base: Any = base.eval()
        self._adapted: Any = None
        self._names: dict[str, str] = {}
        self._loaded_ever = 0
        self.directories: dict[str, str] = {}
        self.longest_sequence: int = self._base.config.max_position_embeddings
        self.end_token: int = self.tokenizer.eos_token_id
        self.special_tokens = frozenset(self.tokenizer.all_special_ids)

    def load(self, name: str, directory: str) -> None:
        """Take an adapter in. Raises as `Writer.load` says."""
        if name in self._names:
            raise Conflict("adapter_loaded", "an adapter of this name is loaded; names are used once")
        _check(Path(directory))
        self._loaded_ever += 1
        internal = f"adapter_{self._loaded_ever}"
        try:
            if self._adapted is None:
                self._adapted = PeftModel.from_pretrained(self._base, directory, internal, local_files_only=True)
            else:
                self._adapted.load_adapter(directory, internal, local_files_only=True)
        except (RuntimeError, ValueError, KeyError) as error:
            raise InvalidInput("adapter_invalid", "the adapter does not fit this base model") from error
        self._adapted.eval()
        self._names[name] = internal
        self.directories[name] = directory

    def forget(self, name: str) -> str:
        """The name means nothing from here on; the weights stay until `drop` of the internal name returned.

        Raises `NotFound` (adapter_unknown).
        """
        internal = self.internal_name(name)
        del self._names[name], self.directories[name]
        return internal

    def drop(self, internal: str) -> None:
        """Free the weights of a forgotten adapter that no row uses any more."""
        if len(self._adapted.peft_config) > 1:
            self._adapted.delete_adapter(internal)
        else:
            self._base, self._adapted = self._adapted.unload(), None

    def internal_name(self, name: str | None) -> str:
        if name is None:
            return BASE
        if name not in self._names:
            raise NotFound("adapter_unknown", "there is no adapter of this name here")
        return self._names[name]

    def forward(self, adapter_names: Sequence[str], **inputs: Any) -> Any:
        if self._adapted is None:
            return self._base(**inputs)
        return self._adapted(adapter_names=list(adapter_names), **inputs)

    def tokens_of(self, prompt: str | Messages) -> list[int]:
        """Token ids with the beginning mark, which the chat template writes and plain text is given."""
        if isinstance(prompt, str):
            return list(self.tokenizer(prompt)["input_ids"])
        messages = [{"role": role, "content": content} for role, content in prompt]
        return list(self.tokenizer.apply_chat_template(messages, return_dict=True)["input_ids"])


def _check(directory: Path) -> None:
    if not directory.is_dir():
        raise NotFound("adapter_directory_missing", "the adapter's directory does not exist on this machine")
    if not (directory / WEIGHTS_FILE).is_file() or not (directory / CONFIG_FILE).is_file():
        raise InvalidInput("adapter_invalid", f"an adapter is {CONFIG_FILE} and {WEIGHTS_FILE}; pickles are not read")
    rank = json.loads((directory / CONFIG_FILE).read_text(encoding="utf-8")).get("r", 0)
    if rank > MAXIMUM_RANK:
        raise InvalidInput("adapter_invalid", f"the adapter's rank {rank} is over {MAXIMUM_RANK}")
