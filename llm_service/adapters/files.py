"""What an adapter's directory may hold: one safetensors file of LoRA pairs and its configuration, nothing that can run.

Checks, copies and hashes files; knows no registry and no server. Pickle runs code when it is read, so no file of any
other kind than safetensors is ever handed to a model server (Hugging Face, "Pickle scanning"; safetensors' format).
"""

import hashlib
import json
import os
import re
import shutil
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from llm_service.errors import Conflict, InvalidInput, TooLarge, Unavailable

WEIGHTS: Final = "adapter_model.safetensors"
CONFIGURATION: Final = "adapter_config.json"
PUBLISHED: Final = (CONFIGURATION, WEIGHTS)
LEFT_OUT_SUFFIXES: Final = frozenset({".json", ".jinja", ".md", ".txt"})
"""Files beside the two that may lie there and are not published; any other kind refuses the whole directory."""
MAXIMUM_CONFIGURATION_BYTES: Final = 65_536
MAXIMUM_HEADER_BYTES: Final = 16_777_216
HEADER_LENGTH_BYTES: Final = 8
HASH_CHUNK_BYTES: Final = 1_048_576
FLOAT_TYPES: Final = frozenset({"F32", "F16", "BF16"})
LORA_TENSOR: Final = re.compile(r"base_model\.model\.[A-Za-z0-9_.]{1,200}\.lora_(?P<half>[AB])(?:\.default)?\.weight")
TARGET_MODULES: Final = frozenset(
    {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}  # Mistral's and Llama's linear layers
)

Module = Annotated[str, Field(pattern=r"^[a-z_]{1,32}$")]


@dataclass(frozen=True)
class Limits:
    """What is accepted at most. Servers are started with a highest rank (vLLM: --max-lora-rank, TGI: any)."""

    lora_rank: int = 64
    weights_bytes: int = 2_000_000_000


@dataclass(frozen=True)
class CheckedDirectory:
    """A directory that may be published; `configuration` is what will be written, without the trainer's paths."""

    directory: Path
    configuration: bytes
    lora_rank: int
    target_modules: tuple[str, ...]


@dataclass(frozen=True)
class PublishedFiles:
    """The published directory and what it holds: {name: {"sha256", "bytes"}}, and the hash of all of that."""

    directory: Path
    files: Mapping[str, Mapping[str, Any]]
    sha256: str


class _Configuration(BaseModel):
    """The parts of PEFT's `adapter_config.json` that decide whether every engine can serve the adapter."""

    model_config = ConfigDict(extra="allow", strict=True)

    peft_type: Literal["LORA"]
    r: Annotated[int, Field(gt=0)]
    target_modules: Annotated[list[Module], Field(min_length=1)]
    bias: Literal["none"] = "none"
    modules_to_save: None = None
    layers_to_transform: None = None
    rank_pattern: dict[str, Annotated[int, Field(gt=0)]] = {}
    use_dora: Literal[False] = False
    # Names of classes to import, which a loader would follow.
    auto_mapping: None = None


def check_directory(directory: Path, base_model: str, limits: Limits) -> CheckedDirectory:
    """Refuse everything but one safetensors adapter that every engine can serve.

    Raises `InvalidInput` (adapter_directory_missing, adapter_file_refused, adapter_configuration_refused,
    adapter_weights_refused) and `TooLarge` (adapter_too_large).
    """
    for name in _names_in(directory):
        if name not in PUBLISHED and Path(name).suffix.lower() not in LEFT_OUT_SUFFIXES:
            raise InvalidInput(
                "adapter_file_refused", "only adapter_model.safetensors and text files may lie in the directory"
            )
    weights, written = directory / WEIGHTS, directory / CONFIGURATION
    if written.stat().st_size > MAXIMUM_CONFIGURATION_BYTES or weights.stat().st_size > limits.weights_bytes:
        raise TooLarge("adapter_too_large", f"weights may have {limits.weights_bytes} bytes at most")
    configuration = _configuration(written, limits)
    _check_weights(weights, configuration)
    kept = {**json.loads(written.read_bytes()), "base_model_name_or_path": base_model, "revision": None}
    canonical = json.dumps(kept, indent=2, sort_keys=True, ensure_ascii=False).encode() + b"\n"
    return CheckedDirectory(directory, canonical, configuration.r, tuple(sorted(configuration.target_modules)))


def publish(checked: CheckedDirectory, root: Path) -> PublishedFiles:
    """Copy the two files below `root`, into a directory named by their hash, which appears whole or not at all.

    Published before, the directory is compared instead. Raises as `verify`, and `Unavailable`
    (adapter_volume_unavailable) where the volume cannot be written.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        scratch = root / f".incoming-{uuid4().hex}"
        scratch.mkdir()
        try:
            (scratch / CONFIGURATION).write_bytes(checked.configuration)
            shutil.copyfile(checked.directory / WEIGHTS, scratch / WEIGHTS, follow_symlinks=False)
            files = hash_files(scratch)
            sha256 = hash_of_hashes(files)
            target = root / sha256
            if not target.exists():
                _make_lasting(scratch)
                scratch.rename(target)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    except OSError as error:
        raise Unavailable("adapter_volume_unavailable", "the adapters' directory cannot be written") from error
    verify(target, files)
    return PublishedFiles(target, files, sha256)


def verify(directory: Path, files: Mapping[str, Mapping[str, Any]]) -> None:
    """Raises `Conflict` (adapter_files_changed) unless the directory holds exactly these files with these hashes."""
    try:
        unchanged = set(_names_in(directory)) == set(files) and hash_files(directory) == {
            name: dict(facts) for name, facts in files.items()
        }
    except InvalidInput:
        unchanged = False
    if not unchanged:
        raise Conflict("adapter_files_changed", "the files are not the registered ones; restore the volume, then retry")


def hash_files(directory: Path) -> dict[str, dict[str, Any]]:
    """{name: {"sha256", "bytes"}} of the published files of a directory."""
    return {name: _facts(directory / name) for name in PUBLISHED}


def hash_of_hashes(files: Mapping[str, Mapping[str, Any]]) -> str:
    """SHA-256 of the list of files as JSON with sorted keys: the hash of the whole version."""
    return hashlib.sha256(json.dumps(files, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _names_in(directory: Path) -> list[str]:
    """The names of plain files; a link, a folder or a missing one of the two refuses the directory."""
    if not directory.is_dir() or directory.is_symlink():
        raise InvalidInput("adapter_directory_missing", "there is no such directory")
    names: list[str] = []
    for path in directory.iterdir():
        if path.is_symlink() or not path.is_file():
            raise InvalidInput("adapter_file_refused", "links and folders are refused; give plain files only")
        names.append(path.name)
    if not set(PUBLISHED) <= set(names):
        raise InvalidInput("adapter_file_refused", f"the directory needs {' and '.join(PUBLISHED)}")
    return names


def _configuration(path: Path, limits: Limits) -> _Configuration:
    try:
        configuration = _Configuration.model_validate_json(path.read_bytes())
    except ValidationError as error:
        fields = sorted({".".join(map(str, problem["loc"][:1])) or "json" for problem in error.errors()})
        raise InvalidInput(
            "adapter_configuration_refused", f"adapter_config.json is no plain LoRA's; see {', '.join(fields)}"
        ) from None
    if max(configuration.r, *configuration.rank_pattern.values(), 0) > limits.lora_rank:
        raise InvalidInput("adapter_configuration_refused", f"the servers take ranks up to {limits.lora_rank}")
    if not set(configuration.target_modules) <= TARGET_MODULES:
        raise InvalidInput("adapter_configuration_refused", "target_modules names layers that no engine adapts")
    return configuration


def _check_weights(path: Path, configuration: _Configuration) -> None:
    """The file is safetensors from its first to its last byte, and holds pairs of LoRA matrices of the stated rank."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(HEADER_LENGTH_BYTES), "little")
        if not 0 < length <= min(MAXIMUM_HEADER_BYTES, size - HEADER_LENGTH_BYTES):
            raise _not_safetensors()
        header = stream.read(length)
    try:
        tensors = {name: facts for name, facts in json.loads(header).items() if name != "__metadata__"}
        ends = sorted(tuple(facts["data_offsets"]) for facts in tensors.values())
        shapes = {name: tuple(facts["shape"]) for name, facts in tensors.items()}
        kinds = {facts["dtype"] for facts in tensors.values()}
    except (ValueError, TypeError, KeyError, AttributeError):
        raise _not_safetensors() from None
    covered = 0
    for begin, end in ends:
        if begin != covered or end < begin:
            raise _not_safetensors()
        covered = end
    if covered != size - HEADER_LENGTH_BYTES - length or not kinds or not kinds <= FLOAT_TYPES:
        raise _not_safetensors()
    _check_pairs(shapes, {configuration.r, *configuration.rank_pattern.values()})


def _check_pairs(shapes: Mapping[str, tuple[int, ...]], ranks: set[int]) -> None:
    halves: dict[str, dict[str, int]] = {}
    for name, shape in shapes.items():
        match = LORA_TENSOR.fullmatch(name)
        if match is None or len(shape) != 2:
            raise InvalidInput("adapter_weights_refused", "the file holds tensors that are no LoRA matrices")
        module = name[: match.start("half")]
        halves.setdefault(module, {})[match["half"]] = shape[0] if match["half"] == "A" else shape[1]
    for pair in halves.values():
        if set(pair) != {"A", "B"} or pair["A"] != pair["B"] or pair["A"] not in ranks:
            raise InvalidInput("adapter_weights_refused", "a LoRA pair is incomplete or of another rank than stated")


def _not_safetensors() -> InvalidInput:
    return InvalidInput("adapter_weights_refused", "adapter_model.safetensors is no whole safetensors file of floats")


def _facts(path: Path) -> dict[str, Any]:
    digest = hashlib.sha256()
    size = 0
    with path.open("rb") as stream:
        while chunk := stream.read(HASH_CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
    return {"sha256": digest.hexdigest(), "bytes": size}


def _make_lasting(directory: Path) -> None:
    """On the disk before its name is, and for nobody to write."""
    for path in directory.iterdir():
        with path.open("rb") as stream:
            os.fsync(stream.fileno())
        path.chmod(stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH)
    directory.chmod(stat.S_IRWXU | stat.S_IRGRP | stat.S_IXGRP | stat.S_IROTH | stat.S_IXOTH)
