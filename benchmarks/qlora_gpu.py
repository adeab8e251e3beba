"""Speed and memory of QLoRA on one GPU, offline, with random weights of Mistral-7B's shape: `benchmarks.qlora_gpu`.

Every case runs in a process of its own on the same random rows; a random loss means nothing, tokens a second and peak
memory do. `--tiny` runs the same path on a CPU with a model of a few thousand parameters.
"""

import argparse
import json
import math
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, Literal

import torch
from datasets import Dataset
from peft import get_peft_model
from tokenizers import Tokenizer, models
from transformers import (
    DataCollatorForSeq2Seq,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedTokenizerFast,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
    set_seed,
)

from trainer.base_model import device_of_this_process, load_base, load_tokenizer
from trainer.encoding import Encoded, EncodedRows
from trainer.qlora import build_trainer, lora_config
from trainer.recipe import Quantisation, Recipe, load_recipe

SEED: Final = 20261121
# The paper's rows have 154 tokens on average; lengths of texts are about log-normal.
MEDIAN_ROW_TOKENS: Final = 130
ROW_SPREAD: Final = 0.6
SHORTEST_ROW: Final = 16
ANSWER_SHARE: Final = 0.4
ROWS: Final = 4096
MATMUL_SIZE: Final = 8192
TINY: Final[Mapping[str, Any]] = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 512,
}


@dataclass(frozen=True)
class Case:
    """One way of training; `stack` is ours (TRL, packing) or plain Trainer + PEFT on the same rows."""

    name: str
    stack: Literal["ours", "plain"] = "ours"
    base: Literal["nf4", "none"] = "nf4"
    packed: bool = True
    sequence: int = 1024
    batch: int = 4
    accumulation: int = 1
    checkpointing: bool = True
    fused: bool = False
    optimizer: Literal["paged_adamw_32bit", "adamw_torch_fused"] = "paged_adamw_32bit"


@dataclass(frozen=True)
class Measured:
    """What a case costs. Tokens are real ones, padding left out; `share_of_ceiling` counts recomputation as work."""

    case: Case
    tokens_per_second: float
    samples_per_second: float
    step_p50_seconds: float
    peak_gib: float
    model_flop_utilisation: float
    share_of_ceiling: float
    load_seconds: float
    save_seconds: float


PAPER: Final = Case("paper", packed=False, batch=2, accumulation=2)
MAIN_CASES: Final = (
    PAPER,
    Case("plain HF", stack="plain", packed=False),
    Case("ours padded", packed=False),
    Case("ours packed"),
    Case("packed, fused", fused=True),
    Case("packed, no recomputation", checkpointing=False),
    Case("packed, no recomputation, fused", checkpointing=False, fused=True),
    Case("bf16 LoRA packed", base="none"),
    Case("packed, 512", sequence=512),
    Case("packed, torch optimizer", optimizer="adamw_torch_fused"),
)


def grid() -> Iterator[Case]:
    """All combinations: base × layout × sequence × recomputation × fused kernels."""
    for base in ("nf4", "none"):
        for packed in (False, True):
            for sequence in (512, 1024):
                for checkpointing in (True, False):
                    for fused in (False, True):
                        signs = (base, "packed" if packed else "padded", str(sequence),
                                 "recomputed" if checkpointing else "kept", "fused" if fused else "stock")  # fmt: skip
                        yield Case(
                            " ".join(signs), base=base, packed=packed, sequence=sequence, checkpointing=checkpointing,
                            fused=fused,
                        )  # fmt: skip


def main() -> int:
    """Measure the chosen cases one after the other and print a table; without a GPU say so and measure nothing."""
    told = _arguments()
    if told.case:
        case = Case(**json.loads(told.case))
        print(json.dumps(asdict(measure(case, told.folder, told.warm, told.timed, told.ceiling, tiny=told.tiny))))
        return 0
    if not told.tiny and not torch.cuda.is_available():
        print("no GPU is at hand: nothing was measured; --tiny runs the same path on a CPU")
        return 1
    with tempfile.TemporaryDirectory() as temporary:
        folder = told.folder or Path(temporary)
        save_random_base(folder, tiny=told.tiny)
        ceiling = matmul_tflops(256 if told.tiny else MATMUL_SIZE)
        cases = [_tiny(case) for case in MAIN_CASES[:4]] if told.tiny else _chosen(told)
        _print_all(cases[: told.cases], folder, told, ceiling)
    return 0


def _print_all(cases: Sequence[Case], folder: Path, told: argparse.Namespace, ceiling: float) -> None:
    print(f"{_device()} · bf16 matrix product {ceiling:.1f} TFLOP/s · {_versions()} · {datetime.now(UTC).date()}\n")
    print("| case | real tokens/s | samples/s | step p50 s | peak GiB | MFU | of ceiling | load s | save s |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |", flush=True)
    measured = []
    for case in cases:
        row = _in_own_process(case, folder, told, ceiling)
        if isinstance(row, str):
            print(f"| {case.name} | {row} | | | | | | | |", flush=True)
            continue
        measured.append(row)
        print(
            f"| {case.name} | {row['tokens_per_second']:.0f} | {row['samples_per_second']:.2f} "
            f"| {row['step_p50_seconds']:.3f} | {row['peak_gib']:.2f} | {row['model_flop_utilisation']:.1%} "
            f"| {row['share_of_ceiling']:.1%} | {row['load_seconds']:.1f} | {row['save_seconds']:.2f} |",
            flush=True,
        )
    if told.out:
        told.out.write_text(json.dumps({"device": _device(), "ceiling_tflops": ceiling, "cases": measured}, indent=1))


def measure(case: Case, folder: Path, warm: int, timed: int, ceiling: float, *, tiny: bool) -> Measured:
    """Train `warm` + `timed` steps of a case on the base in `folder`; figures are of the timed steps."""
    if tiny:
        torch.set_num_threads(1)
    set_seed(SEED)
    started = time.monotonic()
    model = load_base(folder / "base", Quantisation(kind=case.base))
    loaded = time.monotonic() - started
    worked = _forward_parameters(folder / "base")
    rows = random_rows(case.sequence, int(model.config.vocab_size), ROWS // 64 if tiny else ROWS)
    recipe = _recipe(case, warm + timed)
    build = _plain_trainer if case.stack == "plain" else _our_trainer
    with tempfile.TemporaryDirectory() as run:
        trainer = build(recipe, model, load_tokenizer(folder / "base"), rows, Path(run))
        clock = _Clock(warm)
        trainer.add_callback(clock)
        trainer.train()
        saving = time.monotonic()
        trainer.model.save_pretrained(Path(run) / "adapter", save_embedding_layers=False)
        saved = time.monotonic() - saving
    speed = clock.tokens / sum(clock.seconds)
    work = speed * worked / (ceiling * 1e12)
    return Measured(
        case=case,
        tokens_per_second=speed,
        samples_per_second=speed / (rows.tokens / len(rows.rows)),
        step_p50_seconds=statistics.median(clock.seconds),
        peak_gib=torch.cuda.max_memory_allocated() / 2**30 if torch.cuda.is_available() else 0.0,
        model_flop_utilisation=4 * work,
        share_of_ceiling=(6 if case.checkpointing else 4) * work,
        load_seconds=loaded,
        save_seconds=saved,
    )


def save_random_base(folder: Path, *, tiny: bool) -> None:
    """A Mistral of the 7B shape with random weights, made on the GPU, and a tokenizer that only knows its padding."""
    if (folder / "base" / "config.json").is_file():
        return
    set_seed(SEED)
    config = MistralConfig(**(TINY if tiny else {}), pad_token_id=0)
    with device_of_this_process():
        model: Any = MistralForCausalLM(config)
    model.to(torch.bfloat16)
    model.save_pretrained(folder / "base")
    tokenizer = Tokenizer(models.WordLevel({"<pad>": 0, "<s>": 1, "</s>": 2}, unk_token="<pad>"))  # noqa: S106
    PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<s>", eos_token="</s>"  # noqa: S106
    ).save_pretrained(folder / "base")  # fmt: skip


def random_rows(sequence: int, vocabulary: int, count: int) -> EncodedRows:
    """Random tokens in rows of log-normal lengths, none longer than `sequence`; the end of each row is learnt."""
    chance = random.Random(SEED)
    rows = []
    for _ in range(count):
        length = round(math.exp(chance.gauss(math.log(MEDIAN_ROW_TOKENS), ROW_SPREAD)))
        length = min(max(length, SHORTEST_ROW), sequence)
        ids = tuple(chance.randrange(3, vocabulary) for _ in range(length))
        prompt = round(length * (1 - ANSWER_SHARE))
        rows.append(Encoded(ids, (*[-100] * prompt, *ids[prompt:])))
    return EncodedRows(tuple(rows), 0)


def matmul_tflops(size: int) -> float:
    """What a bfloat16 matrix product reaches on this device, in TFLOP/s: the ceiling that shares are of."""
    device = device_of_this_process()
    left, right = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    times = []
    for _ in range(10):
        _finish()
        started = time.perf_counter()
        torch.mm(left, right)
        _finish()
        times.append(time.perf_counter() - started)
    return 2 * size**3 / min(times) / 1e12


class _Clock(TrainerCallback):
    """Times the steps after the warm ones and counts the real tokens in them."""

    def __init__(self, warm: int) -> None:
        self._warm = warm
        self._tokens_before = 0
        self._began = 0.0
        self.tokens = 0
        self.seconds: list[float] = []

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        _finish()
        self._began = time.perf_counter()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        _finish()
        if state.global_step > self._warm:
            self.seconds.append(time.perf_counter() - self._began)

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        logs: Mapping[str, float] = kwargs["logs"]
        # TRL tells its count in the logs, transformers keeps it in the state.
        seen = int(logs.get("num_tokens", state.num_input_tokens_seen))
        if "loss" not in logs:
            return
        if state.global_step <= self._warm:
            self._tokens_before = seen
        self.tokens = seen - self._tokens_before


def _our_trainer(recipe: Recipe, model: Any, tokenizer: Any, rows: EncodedRows, run: Path) -> Any:
    return build_trainer(recipe, model, tokenizer, rows, None, run, ())


def _plain_trainer(recipe: Recipe, model: Any, tokenizer: Any, rows: EncodedRows, run: Path) -> Any:
    """Transformers' Trainer and PEFT as their guides combine them: padded batches, no TRL."""
    adapted = get_peft_model(model, lora_config(recipe))
    if recipe.activation_checkpointing:
        adapted.enable_input_require_grads()
    arguments = TrainingArguments(
        output_dir=str(run),
        per_device_train_batch_size=recipe.batch_size,
        gradient_accumulation_steps=recipe.accumulation_steps,
        max_steps=recipe.steps,
        learning_rate=recipe.learning_rate,
        optim=recipe.optimizer,
        max_grad_norm=recipe.maximum_gradient_norm,
        bf16=True,
        use_cpu=not torch.cuda.is_available(),
        activation_checkpointing=recipe.activation_checkpointing,
        logging_steps=1,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        dataloader_pin_memory=torch.cuda.is_available(),
        include_num_input_tokens_seen="non_padding",
        seed=recipe.seed,
    )
    told = [
        {"input_ids": list(row.input_ids), "attention_mask": [1] * len(row.input_ids), "labels": list(row.labels)}
        for row in rows.rows
    ]
    collator = DataCollatorForSeq2Seq(tokenizer, label_pad_token_id=-100)
    return Trainer(
        model=adapted, args=arguments, train_dataset=Dataset.from_list(told), data_collator=collator,
        processing_class=tokenizer,
    )  # fmt: skip


def _recipe(case: Case, steps: int) -> Recipe:
    changes = {
        "quantisation": Quantisation(kind=case.base),
        "packing": case.packed,
        "maximum_tokens": case.sequence,
        "batch_size": case.batch,
        "accumulation_steps": case.accumulation,
        "activation_checkpointing": case.checkpointing,
        "fused_kernels": case.fused,
        "optimizer": case.optimizer,
        "steps": steps,
        "log_every_steps": 1,
        "save_every_steps": steps + 1,
    }
    return load_recipe("paper").model_copy(update=changes)


def _in_own_process(case: Case, folder: Path, told: argparse.Namespace, ceiling: float) -> Mapping[str, Any] | str:
    command = [
        sys.executable,
        "-m",
        "benchmarks.qlora_gpu",
        "--folder",
        str(folder),
        "--case",
        json.dumps(asdict(case)),
    ]
    command += ["--warm", str(told.warm), "--timed", str(told.timed), "--ceiling", str(ceiling)]
    ended = subprocess.run([*command, *(["--tiny"] if told.tiny else [])], capture_output=True, text=True, check=False)
    if ended.returncode:
        last = ended.stderr.strip().rpartition("\n")[2]
        return "out of memory" if "out of memory" in last.lower() else f"failed: {last[:80]}"
    row: Mapping[str, Any] = json.loads(ended.stdout.strip().rpartition("\n")[2])
    return row


def _chosen(told: argparse.Namespace) -> Sequence[Case]:
    return tuple(grid()) if told.grid else MAIN_CASES


def _tiny(case: Case) -> Case:
    return replace(case, sequence=128, batch=2)


def _forward_parameters(base_dir: Path) -> int:
    """Parameters that every token is multiplied with: all but the table of input embeddings."""
    with torch.device("meta"):
        model: Any = MistralForCausalLM(MistralConfig.from_pretrained(base_dir))
    return int(model.num_parameters() - model.get_input_embeddings().weight.numel())


def _finish() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _device() -> str:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU {platform.machine()}"


def _versions() -> str:
    return ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "peft", "trl", "bitsandbytes"))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="a small model on a CPU: shows that the path runs")
    parser.add_argument("--grid", action="store_true", help="all 32 combinations instead of the main cases")
    parser.add_argument("--cases", type=int, help="only the first so many")
    parser.add_argument("--folder", type=Path, help="where the random base is kept (14 GB)")
    parser.add_argument("--out", type=Path, help="write the figures there as JSON")
    parser.add_argument("--warm", type=int, default=10, help="steps before the clock runs")
    parser.add_argument("--timed", type=int, default=20, help="steps that are timed")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    parser.add_argument("--ceiling", type=float, default=1.0, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
