"""Carries an adapter to where no model server runs: merged into its base, and as GGUF for llama.cpp and LM Studio.

The converters come with llama-cpp-python's source package, fetched when they are asked for and checked by their hash;
nothing of them is part of this platform. Knows no registry and no gate.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, cast

from gguf import GGUFReader, TokenType
from peft import PeftModel
from transformers import PreTrainedTokenizerBase

from llm_service.errors import InvalidInput, NotFound, Unavailable
from llm_service.logs import configure_logging, leave_no_text_behind
from trainer.base_model import load_base, load_tokenizer
from trainer.checkpoints import sha256_of_file

PACKAGE: Final = "llama-cpp-python"
PACKAGE_VERSION: Final = "0.3.36"
PACKAGE_SHA256: Final = "832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e"
CONVERTERS_FOLDER: Final = Path(".setup") / "llama.cpp"
MODEL_CONVERTER: Final = "convert_hf_to_gguf.py"
ADAPTER_CONVERTER: Final = "convert_lora_to_gguf.py"
CONVERSION_SECONDS: Final = 7200

CHAT_MARKS: Final = ("[INST]", "[/INST]")
"""Marks of the prompt that must be tokens of their own: taken apart into letters, an adapter no longer knows them."""

_NEEDED: Final = (MODEL_CONVERTER, ADAPTER_CONVERTER, "conversion/", "gguf-py/", "LICENSE")

Precision = Literal["f32", "f16", "bf16", "q8_0"]


@dataclass(frozen=True)
class Parity:
    """Where a GGUF's vocabulary differs from the tokenizer's; empty where both make the same tokens."""

    differing_ids: tuple[int, ...]
    marks_not_special: tuple[str, ...]
    other_ends: tuple[str, ...]

    @property
    def holds(self) -> bool:
        return not (self.differing_ids or self.marks_not_special or self.other_ends)


def merge(base_dir: Path, adapter_dir: Path, target: Path) -> Path:
    """The base with the adapter worked into it, in bfloat16, as a folder of its own.

    Merged on the base as servers hold it: on a quantised one the sum would be rounded a second time. The marks of the
    chat form are special tokens of the merged model, whose meaning the base's own vocabulary must know already.
    Raises `NotFound` (base_missing) and `InvalidInput` (chat_marks_unknown).
    """
    tokenizer = load_tokenizer(base_dir)
    merged: Any = PeftModel.from_pretrained(load_base(base_dir), str(adapter_dir)).merge_and_unload()
    register_chat_marks(tokenizer)
    if len(tokenizer) > merged.get_input_embeddings().num_embeddings:
        # Instruct models from v0.2 on have the marks; v0.1 has not, and untrained rows for them would break prompts.
        raise InvalidInput(
            "chat_marks_unknown", "the base's vocabulary has no [INST]; its prompt form cannot be carried to GGUF"
        )
    draft = target.with_name(f".{target.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    merged.save_pretrained(draft, safe_serialization=True)
    tokenizer.save_pretrained(draft)
    draft.rename(target)
    return target


def register_chat_marks(tokenizer: PreTrainedTokenizerBase) -> None:
    """Make [INST] and [/INST] special, so that llama.cpp does not split them."""
    known = set(tokenizer.all_special_tokens)
    missing = [mark for mark in CHAT_MARKS if mark not in known]
    if missing:
        tokenizer.add_special_tokens({"additional_special_tokens": missing}, replace_extra_special_tokens=False)


def fetch_converters(folder: Path = CONVERTERS_FOLDER) -> Path:
    """The folder of the converters, fetched from the package index if they are not there.

    Raises `Unavailable` (converters_unavailable) without an index, and (converters_changed) for another package than
    the one whose hash stands here.
    """
    if all((folder / name).exists() for name in (MODEL_CONVERTER, ADAPTER_CONVERTER)):
        return folder
    with tempfile.TemporaryDirectory() as temporary:
        return unpack_converters(_download(Path(temporary)), folder)


def unpack_converters(package: Path, folder: Path) -> Path:
    """Take the converters out of a source package that is at hand. Raises `Unavailable` (converters_changed)."""
    if sha256_of_file(package) != PACKAGE_SHA256:
        raise Unavailable("converters_changed", f"this is not {PACKAGE} {PACKAGE_VERSION}; nothing was unpacked")
    draft = folder.with_name(f".{folder.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    root = f"{PACKAGE.replace('-', '_')}-{PACKAGE_VERSION}/vendor/llama.cpp/"
    with tarfile.open(package) as archive:
        for member in archive.getmembers():
            name = member.name.removeprefix(root)
            if member.name != name and name.startswith(_NEEDED):
                member.name = name
                archive.extract(member, draft, filter="data")
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft.rename(folder)
    return folder


def model_to_gguf(model_dir: Path, target: Path, precision: Precision, converters: Path) -> Path:
    """A whole model (a base, or one merged) as one GGUF file. Raises `Unavailable` (conversion_failed)."""
    return _convert(converters / MODEL_CONVERTER, [str(model_dir)], target, precision)


def adapter_to_gguf(adapter_dir: Path, base_dir: Path, target: Path, precision: Precision, converters: Path) -> Path:
    """An adapter alone as GGUF, to be loaded beside its base's GGUF. Raises `Unavailable` (conversion_failed)."""
    return _convert(converters / ADAPTER_CONVERTER, ["--base", str(base_dir), str(adapter_dir)], target, precision)


def parity(model_dir: Path, gguf_file: Path) -> Parity:
    """Whether a GGUF has the tokens of the model's tokenizer under the same ids, and the same marks as special ones."""
    tokenizer = load_tokenizer(model_dir)
    reader = GGUFReader(gguf_file)
    tokens = cast("Sequence[str]", reader.fields["tokenizer.ggml.tokens"].contents())
    kinds = cast("Sequence[int]", reader.fields["tokenizer.ggml.token_type"].contents())
    ids = tokenizer.get_vocab()
    differing = sorted(place for token, place in ids.items() if place >= len(tokens) or tokens[place] != token)
    special = (*CHAT_MARKS, str(tokenizer.bos_token), str(tokenizer.eos_token))
    not_special = [mark for mark in special if mark not in ids or kinds[ids[mark]] != TokenType.CONTROL]
    ends = {"bos": tokenizer.bos_token_id, "eos": tokenizer.eos_token_id}
    other_ends = [name for name, wanted in ends.items() if _end_id(reader, name) != wanted]
    return Parity(tuple(differing), tuple(not_special), tuple(other_ends))


def _end_id(reader: GGUFReader, name: str) -> int | None:
    found = reader.fields.get(f"tokenizer.ggml.{name}_token_id")
    return None if found is None else int(found.contents())


def _convert(converter: Path, arguments: Sequence[str], target: Path, precision: Precision) -> Path:
    if not converter.is_file():
        raise NotFound("converters_missing", "the converters are not there; run `python -m trainer.export fetch`")
    draft = target.with_name(f".{target.name}.draft")
    command = [sys.executable, str(converter.resolve()), *arguments, "--outfile", str(draft), "--outtype", precision]
    offline = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
    ended = subprocess.run(
        command, env={**os.environ, **offline}, capture_output=True, check=False, timeout=CONVERSION_SECONDS
    )
    if ended.returncode:
        draft.unlink(missing_ok=True)
        raise Unavailable(
            "conversion_failed", f"{converter.name} ended with {ended.returncode}; it may not know the model"
        )
    draft.replace(target)
    return target


def _download(folder: Path) -> Path:
    """The source package, by pip, from wherever pip is set up to look."""
    requirement = folder / "requirement.txt"
    requirement.write_text(f"{PACKAGE}=={PACKAGE_VERSION} --hash=sha256:{PACKAGE_SHA256}\n", encoding="utf-8")
    wanted = ["--no-deps", "--no-binary", PACKAGE, "--require-hashes", "--dest", str(folder), "-r", str(requirement)]
    ended = subprocess.run(
        [sys.executable, "-m", "pip", "download", "--quiet", *wanted], capture_output=True, check=False
    )
    found = sorted(folder.glob("*.tar.gz"))
    if ended.returncode or not found:
        raise Unavailable(
            "converters_unavailable",
            f"no package index gave {PACKAGE} {PACKAGE_VERSION}; where there is none, bring its source package and "
            "name it with --package",
        )
    return found[0]


def main() -> None:
    """`python -m trainer.export fetch | merge BASE ADAPTER TARGET | model DIR FILE | adapter BASE ADAPTER FILE`."""
    configure_logging("export")
    leave_no_text_behind()
    parser = argparse.ArgumentParser(description="Carry an adapter to llama.cpp and LM Studio.")
    parser.add_argument("--converters", type=Path, default=CONVERTERS_FOLDER)
    parser.add_argument("--package", type=Path, help="the source package, where no package index can be reached")
    parser.add_argument("--precision", choices=("f32", "f16", "bf16", "q8_0"), default="f16")
    parts = parser.add_subparsers(dest="part", required=True)
    parts.add_parser("fetch", help="fetch the converters")
    for part, names in (
        ("merge", ("base", "adapter", "target")),
        ("model", ("model", "target")),
        ("adapter", ("base", "adapter", "target")),
    ):
        one = parts.add_parser(part)
        for name in names:
            one.add_argument(name, type=Path)
    _do(parser.parse_args())


def _do(told: argparse.Namespace) -> None:
    if told.package:
        unpack_converters(told.package, told.converters)
    if told.part == "merge":
        merge(told.base, told.adapter, told.target)
        return
    converters = fetch_converters(told.converters)
    if told.part == "model":
        model_to_gguf(told.model, told.target, told.precision, converters)
        difference = parity(told.model, told.target)
        if not difference.holds:
            raise InvalidInput("gguf_tokens_differ", f"the GGUF makes other tokens: {difference}")
    elif told.part == "adapter":
        adapter_to_gguf(told.adapter, told.base, told.target, told.precision, converters)


if __name__ == "__main__":
    main()
