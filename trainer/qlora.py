"""Trains one adapter by one recipe on one frozen dataset, and can be killed at any moment: `python -m trainer.qlora`.

The story is `train`, from the rows to the adapter. Knows no queue, no database and no gate.
"""

import argparse
import json
import os
import resource
import shutil
import sys
import time
from collections.abc import Mapping
from contextlib import nullcontext
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, cast

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import (
    EarlyStoppingCallback,
    PreTrainedTokenizerBase,
    PrinterCallback,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
    set_seed,
)
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from llm_service.errors import Conflict, HaechiError, Misconfigured, NotFound
from llm_service.logs import configure_logging, get_logger, leave_no_text_behind
from trainer.base_model import device_of_this_process, load_base, load_tokenizer
from trainer.checkpoints import (
    delete_half_written,
    mark_whole,
    newest_whole,
    sha256_of_file,
    step_of,
    write_atomically,
)
from trainer.encoding import (
    HELDOUT_FILE,
    MANIFEST_FILE,
    TRAIN_FILE,
    EncodedRows,
    encode_rows,
    read_rows,
    with_replay,
)
from trainer.faults import in_clear_words
from trainer.progress import Progress, Reporter, ShouldStop, TrainingResult
from trainer.recipe import Recipe
from trainer.run import (
    CANCEL_FILE,
    END_WITH_PARENT,
    FileReporter,
    Tracker,
    end_with_parent,
    only_one,
    read_request,
    write_outcome,
)

ADAPTER_FOLDER: Final = "adapter"
CHECKPOINTS_FOLDER: Final = "checkpoints"
MADE_FROM_FILE: Final = "made-from.json"
ADAPTER_WEIGHTS: Final = "adapter_model.safetensors"
# The newest and the one before it: should a crash leave the newest half-written, the other is there.
CHECKPOINTS_KEPT: Final = 2


def train(
    recipe: Recipe,
    dataset_dir: Path,
    base_dir: Path,
    run_dir: Path,
    reporter: Reporter,
    should_stop: ShouldStop,
    trackers: tuple[Tracker, ...] = ("tensorboard",),
) -> TrainingResult:
    """Train, or go on from the newest whole checkpoint in `run_dir`; the adapter is then in `run_dir`/adapter.

    Raises `Conflict` (training_cancelled; run_changed if `run_dir` belongs to another recipe, dataset or base),
    `InvalidInput` for rows that cannot be learnt from, `NotFound` for what is missing, `Misconfigured` (wandb_missing),
    and `Unavailable` (training_disk_full, training_out_of_memory).
    """
    started = time.monotonic()
    try:
        with in_clear_words():
            made_from = _made_from(recipe, dataset_dir, base_dir, run_dir)
            resume = _resume_point(run_dir, reporter)
            set_seed(recipe.seed)
            tokenizer = load_tokenizer(base_dir)
            rows = _rows(recipe, tokenizer, dataset_dir / TRAIN_FILE, reporter)
            heldout = _heldout(recipe, tokenizer, dataset_dir / HELDOUT_FILE, reporter)
            model = load_base(base_dir, recipe.quantisation)
            trainer = build_trainer(recipe, model, tokenizer, rows, heldout, run_dir, trackers)
            watch = _Watch(reporter, should_stop)
            trainer.add_callback(watch)
            trainer.train(resume_from_checkpoint=str(resume) if resume else None)
            watch.refuse_if_stopped()
            adapter_dir = _save_adapter(trainer, base_dir, run_dir)
    except BaseException:
        _leave_room(run_dir)
        raise
    return TrainingResult(
        adapter_dir=adapter_dir,
        adapter_sha256=sha256_of_file(adapter_dir / ADAPTER_WEIGHTS),
        recipe_sha256=made_from["recipe_sha256"],
        dataset_sha256=made_from["dataset_sha256"],
        ended="finished" if trainer.state.global_step >= recipe.steps else "early",
        steps=trainer.state.global_step,
        best_step=trainer.state.best_global_step or trainer.state.global_step,
        resumed_from=step_of(resume) if resume else 0,
        loss=watch.loss,
        heldout_loss=trainer.state.best_metric if trainer.state.best_metric is not None else watch.heldout_loss,
        rows=len(rows.rows),
        rows_too_long=rows.too_long,
        tokens=watch.tokens,
        seconds=round(time.monotonic() - started, 1),
        peak_gib=_peak_gib(),
        device=_device_name(),
        processes=_processes(),
        versions={name: version(name) for name in ("torch", "transformers", "peft", "trl", "bitsandbytes")},
    )


def _made_from(recipe: Recipe, dataset_dir: Path, base_dir: Path, run_dir: Path) -> Mapping[str, str]:
    """What this run is made from; refuses a folder whose checkpoints were made from something else."""
    for needed, code in ((dataset_dir / MANIFEST_FILE, "dataset_missing"), (base_dir / "config.json", "base_missing")):
        if not needed.is_file():
            raise NotFound(code, f"the folder {needed.parent.name} holds no {needed.name}")
    made_from = {
        "recipe_sha256": recipe.sha256,
        "dataset_sha256": sha256_of_file(dataset_dir / MANIFEST_FILE),
        "base_config_sha256": sha256_of_file(base_dir / "config.json"),
    }
    path = run_dir / MADE_FROM_FILE
    if path.is_file() and json.loads(path.read_text(encoding="utf-8")) != made_from:
        raise Conflict("run_changed", "this run's folder belongs to another recipe, dataset or base; take a new folder")
    if _is_first():
        run_dir.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(made_from, indent=1))
    return made_from


def _resume_point(run_dir: Path, reporter: Reporter) -> Path | None:
    """The checkpoint to go on from. Every process of a run reads the same one; the first clears away what is broken."""
    folder = run_dir / CHECKPOINTS_FOLDER
    resume = newest_whole(folder)
    if _is_first():
        for name in delete_half_written(folder):
            reporter.line(f"deleted {name}: it was written half")
        if resume:
            reporter.line(f"going on from {resume.name}")
    return resume


def _rows(recipe: Recipe, tokenizer: PreTrainedTokenizerBase, path: Path, reporter: Reporter) -> EncodedRows:
    rows = read_rows(path)
    mixed = with_replay(rows, recipe.replay_share, recipe.seed)
    encoded = encode_rows(tokenizer, mixed, recipe.prompt_form, recipe.loss_on, recipe.maximum_tokens)
    reporter.line(
        f"{len(encoded.rows)} rows to learn from, {encoded.tokens} tokens; {len(mixed) - len(rows)} general rows "
        f"repeated; {encoded.too_long} too long and left out"
    )
    if not encoded.rows:
        raise Conflict("dataset_empty", "no row of the dataset fits into maximum_tokens of the recipe")
    return encoded


def _heldout(recipe: Recipe, tokenizer: PreTrainedTokenizerBase, path: Path, reporter: Reporter) -> EncodedRows | None:
    """The held-out rows, or None: a run without them stops at its last step and nowhere else."""
    if not path.is_file():
        reporter.line("no held-out rows: the run cannot stop early")
        return None
    encoded = encode_rows(tokenizer, read_rows(path), recipe.prompt_form, recipe.loss_on, recipe.maximum_tokens)
    reporter.line(f"{len(encoded.rows)} held-out rows; {encoded.too_long} too long and left out")
    return encoded if encoded.rows else None


def build_trainer(
    recipe: Recipe,
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    rows: EncodedRows,
    heldout: EncodedRows | None,
    run_dir: Path,
    trackers: tuple[Tracker, ...],
) -> "AdapterTrainer":
    """TRL's trainer for a recipe on a loaded base, with early stopping and marked checkpoints; not yet started."""
    os.environ["TENSORBOARD_LOGGING_DIR"] = str(run_dir / "tensorboard")
    early = recipe.early_stopping if heldout else None
    stopping: list[TrainerCallback] = (
        [EarlyStoppingCallback(early.patience, early.least_improvement), _MarkWhole()] if early else [_MarkWhole()]
    )
    trainer = AdapterTrainer(
        model=model,
        args=sft_config(recipe, run_dir, has_heldout=heldout is not None, trackers=trackers),
        train_dataset=_dataset(rows),
        eval_dataset=_dataset(heldout) if heldout else None,
        processing_class=tokenizer,
        peft_config=lora_config(recipe),
        callbacks=stopping,
    )
    # It prints what the reporter is told.
    trainer.remove_callback(PrinterCallback)
    trainer.cast_adapter()
    return trainer


def lora_config(recipe: Recipe) -> LoraConfig:
    """PEFT's form of a recipe's adapter."""
    return LoraConfig(
        r=recipe.lora.rank,
        lora_alpha=recipe.lora.alpha,
        lora_dropout=recipe.lora.dropout,
        target_modules=list(recipe.lora.target_modules),
        bias="none",
        task_type="CAUSAL_LM",
    )


def sft_config(recipe: Recipe, run_dir: Path, *, has_heldout: bool, trackers: tuple[Tracker, ...]) -> SFTConfig:
    """TRL's form of a recipe. Raises `Misconfigured` (wandb_missing) if Weights & Biases is asked for and not there."""
    if "wandb" in trackers and not _is_installed("wandb"):
        raise Misconfigured("wandb_missing", "Weights & Biases is asked for and not installed")
    on_gpu = torch.cuda.is_available()
    stops_early = bool(recipe.early_stopping and has_heldout)
    return SFTConfig(
        output_dir=str(run_dir / CHECKPOINTS_FOLDER),
        max_length=recipe.maximum_tokens,
        packing=recipe.packing,
        eval_packing=False,
        per_device_train_batch_size=recipe.batch_size,
        per_device_eval_batch_size=recipe.batch_size,
        gradient_accumulation_steps=recipe.accumulation_steps,
        max_steps=recipe.steps,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type=recipe.schedule,
        warmup_steps=recipe.warmup_share,
        weight_decay=recipe.weight_decay,
        max_grad_norm=recipe.maximum_gradient_norm,
        optim=recipe.optimizer,
        bf16=True,
        use_cpu=not on_gpu,
        activation_checkpointing=recipe.activation_checkpointing,
        use_liger_kernel=recipe.fused_kernels,
        logging_steps=recipe.log_every_steps,
        logging_first_step=True,
        eval_strategy="steps" if has_heldout else "no",
        eval_steps=recipe.evaluate_every_steps,
        save_steps=recipe.save_every_steps,
        save_total_limit=CHECKPOINTS_KEPT,
        load_best_model_at_end=stops_early,
        metric_for_best_model="eval_loss" if stops_early else None,
        greater_is_better=False if stops_early else None,
        restore_callback_states_from_checkpoint=stops_early,
        report_to=list(trackers),
        disable_tqdm=True,
        dataloader_pin_memory=on_gpu,
        seed=recipe.seed,
        data_seed=recipe.seed,
        ddp_backend=("nccl" if on_gpu else "gloo") if _processes() > 1 else None,
        ddp_find_unused_parameters=False if _processes() > 1 else None,
    )


class AdapterTrainer(SFTTrainer):
    """TRL's trainer with one change: the adapter is float32, before and after a resume alike.

    TRL casts it to bfloat16 when it is built and reads it back as float32 from a checkpoint, so that a resumed run
    would go another way than an unbroken one.
    """

    def cast_adapter(self) -> None:
        """Hold what is learnt in float32, as the paper's 185-MB adapter was."""
        for parameter in cast("torch.nn.Module", self.model).parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.to(torch.float32)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        super()._load_from_checkpoint(resume_from_checkpoint, model)
        self.cast_adapter()


class _MarkWhole(TrainerCallback):
    """Writes a checkpoint's mark once every process has written its part."""

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if _processes() > 1:
            torch.distributed.barrier()
        if state.is_world_process_zero:
            mark_whole(Path(str(args.output_dir)) / f"checkpoint-{state.global_step}")


class _Watch(TrainerCallback):
    """Tells the reporter what the trainer logs, and ends the run at the step where it is asked to."""

    def __init__(self, reporter: Reporter, should_stop: ShouldStop) -> None:
        self._reporter = reporter
        self._should_stop = should_stop
        self._told_at = time.monotonic()
        self.tokens = 0
        self.loss = float("nan")
        self.heldout_loss: float | None = None
        self.stopped = False

    def refuse_if_stopped(self) -> None:
        """Raises `Conflict` (training_cancelled): a run that was stopped has no adapter."""
        if self.stopped:
            raise Conflict("training_cancelled", "the run was cancelled; started again it goes on from where it was")

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._told_at = time.monotonic()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if self._all_stop(args.device):
            self.stopped = True
            control.should_training_stop = control.should_save = True

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        logs: Mapping[str, float] = kwargs["logs"]
        self.loss = logs.get("loss", self.loss)
        self.heldout_loss = logs.get("eval_loss", self.heldout_loss)
        if "loss" not in logs and "eval_loss" not in logs:
            return
        speed = self._speed(int(logs["num_tokens"])) if "loss" in logs and "num_tokens" in logs else None
        if state.is_world_process_zero:
            told = Progress(
                state.global_step,
                state.max_steps,
                logs.get("loss"),
                logs.get("eval_loss"),
                logs.get("learning_rate"),
                speed,
            )
            self._reporter.progress(told)

    def _speed(self, tokens: int) -> float:
        now = time.monotonic()
        speed = (tokens - self.tokens) / max(now - self._told_at, 1e-6)
        self.tokens, self._told_at = tokens, now
        return round(speed, 1)

    def _all_stop(self, device: torch.device) -> bool:
        """Whether to stop, decided by the first process for all: each on its own would wait for the others for ever."""
        if _processes() == 1:
            return self._should_stop()
        decision = torch.tensor([int(_is_first() and self._should_stop())], device=device)
        torch.distributed.broadcast(decision, src=0)
        return bool(decision.item())


def _save_adapter(trainer: AdapterTrainer, base_dir: Path, run_dir: Path) -> Path:
    """The adapter in bfloat16, as servers run it: what is evaluated is what is published. There whole or not at all."""
    adapter_dir = run_dir / ADAPTER_FOLDER
    if _is_first():
        draft = run_dir / f".{ADAPTER_FOLDER}.draft"
        shutil.rmtree(draft, ignore_errors=True)
        adapter = trainer.accelerator.unwrap_model(trainer.model)
        for parameter in adapter.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.to(torch.bfloat16)
        # PEFT records where the base lay on this machine; that path says nothing to anybody else.
        adapter.peft_config["default"].base_model_name_or_path = base_dir.name
        adapter.save_pretrained(draft, save_embedding_layers=False)
        shutil.rmtree(adapter_dir, ignore_errors=True)
        draft.replace(adapter_dir)
    if _processes() > 1:
        torch.distributed.barrier()
    return adapter_dir


def _leave_room(run_dir: Path) -> None:
    """A run that ends without an adapter leaves no half-written checkpoint to fill the disk with."""
    if _is_first():
        delete_half_written(run_dir / CHECKPOINTS_FOLDER)


def _dataset(encoded: EncodedRows) -> Dataset:
    return Dataset.from_dict(
        {
            "input_ids": [list(row.input_ids) for row in encoded.rows],
            "labels": [list(row.labels) for row in encoded.rows],
        }
    )


def _processes() -> int:
    return int(os.environ.get("WORLD_SIZE", "1"))


def _is_first() -> bool:
    return int(os.environ.get("RANK", "0")) == 0


def _peak_gib() -> float:
    """The most memory this process held: on the GPU, or resident on a CPU (getrusage(2) counts KiB on Linux)."""
    if torch.cuda.is_available():
        return round(torch.cuda.max_memory_allocated() / 2**30, 3)
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 3)


def _device_name() -> str:
    device = device_of_this_process()
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def _is_installed(package: str) -> bool:
    return find_spec(package) is not None


def main() -> int:
    """`python -m trainer.qlora RUN_DIR`: train what the folder asks for. How it ended is left there for the parent."""
    parser = argparse.ArgumentParser(description="Train the adapter that a run's folder asks for.")
    parser.add_argument("run_dir", type=Path)
    parser.add_argument(END_WITH_PARENT, action="store_true", dest="with_parent")
    told = parser.parse_args()
    configure_logging("trainer")
    leave_no_text_behind()
    if told.with_parent:
        end_with_parent()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    try:
        with only_one(told.run_dir) if _is_first() else nullcontext():
            _run(told.run_dir)
    except HaechiError as error:
        write_outcome(told.run_dir, error)
        get_logger(__name__).warning("training ended without an adapter", code=error.code)
        return 1
    return 0


def _run(run_dir: Path) -> None:
    request = read_request(run_dir)
    reporter = FileReporter(run_dir)
    cancelled = (run_dir / CANCEL_FILE).exists
    result = train(
        request.recipe, request.dataset_dir, request.base_dir, run_dir, reporter, cancelled, request.trackers
    )
    if _is_first():
        write_outcome(run_dir, result)


if __name__ == "__main__":
    sys.exit(main())
