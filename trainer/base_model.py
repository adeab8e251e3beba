"""Loads a base model and its tokenizer from a folder of this machine, quantised or not. Never asks the network.

Knows no adapter and no dataset.
"""

import os
from pathlib import Path
from typing import Any, Final

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from llm_service.errors import NotFound
from trainer.recipe import Quantisation

WHOLE_BASE: Final = Quantisation(kind="none")
"""The base as it is, in bfloat16: what servers run and what adapters are merged with."""


def device_of_this_process() -> torch.device:
    """The GPU that torchrun gave this process, the only GPU, or the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    return torch.device("cpu")


def load_tokenizer(base_dir: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a base. Raises `NotFound` (base_missing)."""
    _present(base_dir)
    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(base_dir, local_files_only=True)
    return tokenizer


def load_base(base_dir: Path, quantisation: Quantisation = WHOLE_BASE, device: torch.device | None = None) -> Any:
    """The frozen base model, computing in bfloat16. Raises `NotFound` (base_missing)."""
    _present(base_dir)
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
        base_dir,
        quantization_config=_bits_and_bytes(quantisation),
        dtype=torch.bfloat16,
        device_map={"": device or device_of_this_process()},
        attn_implementation="sdpa",
        local_files_only=True,
    )
    model.config.use_cache = False
    return model


def _bits_and_bytes(quantisation: Quantisation) -> BitsAndBytesConfig | None:
    if quantisation.kind == "none":
        return None
    return BitsAndBytesConfig(  # type: ignore[no-untyped-call]
        load_in_4bit=True,
        bnb_4bit_quant_type=quantisation.kind,
        bnb_4bit_use_double_quant=quantisation.double,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )


def _present(base_dir: Path) -> None:
    if not (base_dir / "config.json").is_file():
        raise NotFound("base_missing", f"there is no base model in the folder {base_dir.name}; copy one there first")
