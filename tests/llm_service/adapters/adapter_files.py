"""Adapter directories as PEFT writes them, made by hand: small, of every defect, without PyTorch."""

import hashlib
import json
import random
from pathlib import Path
from typing import Any

MODULE = "base_model.model.model.layers.0.self_attn.q_proj"
WIDTH = 8


def configuration(rank: int = 4, **changes: Any) -> dict[str, Any]:
    return {
        "peft_type": "LORA",
        "r": rank,
        "lora_alpha": rank,
        "target_modules": ["q_proj"],
        "bias": "none",
        "modules_to_save": None,
        "base_model_name_or_path": "/home/somebody/models/mistral",
        **changes,
    }


def weights(seed: int, rank: int = 4, names: tuple[str, ...] | None = None, dtype: str = "F32") -> bytes:
    """A whole safetensors file with one LoRA pair of random numbers."""
    chance = random.Random(seed)
    shapes = {f"{MODULE}.lora_A.weight": [rank, WIDTH], f"{MODULE}.lora_B.weight": [WIDTH, rank]}
    if names is not None:
        shapes = dict(zip(names, shapes.values(), strict=False))
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    data = b""
    for name, shape in shapes.items():
        piece = chance.randbytes(4 * shape[0] * shape[1])
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(piece)]}
        data += piece
    written = json.dumps(header).encode()
    return len(written).to_bytes(8, "little") + written + data


def adapter_directory(directory: Path, seed: int, rank: int = 4, **changes: Any) -> Path:
    """A directory that the registry takes; another seed is another adapter."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "adapter_config.json").write_text(json.dumps(configuration(rank, **changes)))
    (directory / "adapter_model.safetensors").write_bytes(weights(seed, rank))
    (directory / "README.md").write_text("a model card that the trainer left")
    return directory


def voice_of(directory: Path) -> str:
    """What tells one adapter's answers from another's here: the hash of its weights."""
    return hashlib.sha256((directory / "adapter_model.safetensors").read_bytes()).hexdigest()[:16]
