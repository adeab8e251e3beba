"""Training: killed at any moment it goes on, cancelled it stops, without room or memory it says so."""

import json
import math
import resource
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from llm_service.errors import Conflict, HaechiError, Misconfigured, NotFound, Unavailable
from tests.trainer.small import BETWEEN_CHECKPOINTS, STEPS, Listener, go_on, small_recipe, write_small_dataset
from trainer.checkpoints import MARK, newest_whole
from trainer.progress import TrainingResult, read_curve
from trainer.qlora import ADAPTER_FOLDER, ADAPTER_WEIGHTS, CHECKPOINTS_FOLDER, train
from trainer.run import OUTCOME_FILE, RunRequest, only_one, read_outcome, start, train_in_child

# transformers, TRL and bitsandbytes warn of their own deprecations while they train.
pytestmark = pytest.mark.filterwarnings("ignore")

PATIENCE_SECONDS = 240
SAME_LOSS = 1e-3
SAME_WEIGHT = 2e-3  # the adapter is kept in bfloat16


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def unbroken(small_base: Path, small_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Listener]:
    """A run that nothing happens to."""
    run_dir, listener = tmp_path_factory.mktemp("unbroken"), Listener()
    train(small_recipe(), small_dataset, small_base, run_dir, listener, go_on)
    return run_dir, listener


def test_a_run_tells_its_loss_step_by_step_and_leaves_an_adapter(unbroken: tuple[Path, Listener]) -> None:
    run_dir, listener = unbroken
    assert sorted(listener.losses) == list(range(1, STEPS + 1))
    assert listener.losses[STEPS] < listener.losses[1]
    assert {told.step for told in listener.told if told.heldout_loss is not None} == {3, 6, 9}
    assert all(told.tokens_per_second for told in listener.told if told.loss is not None)
    weights = load_file(run_dir / ADAPTER_FOLDER / ADAPTER_WEIGHTS)
    assert {tensor.dtype for tensor in weights.values()} == {torch.bfloat16}
    assert any(tensor.abs().max() > 0 for name, tensor in weights.items() if "lora_B" in name)
    assert list((run_dir / "tensorboard").iterdir())


def test_an_adapters_configuration_names_no_folder_of_this_machine(unbroken: tuple[Path, Listener]) -> None:
    configuration = (unbroken[0] / ADAPTER_FOLDER / "adapter_config.json").read_text("utf-8")
    assert "/" not in json.loads(configuration)["base_model_name_or_path"]


def test_the_same_recipe_on_the_same_rows_gives_the_same_adapter(
    unbroken: tuple[Path, Listener], small_base: Path, small_dataset: Path, tmp_path: Path
) -> None:
    listener = Listener()
    result = train(small_recipe(), small_dataset, small_base, tmp_path / "again", listener, go_on)
    assert listener.losses == unbroken[1].losses
    _assert_same_weights(unbroken[0], result.adapter_dir.parent)


def test_a_run_that_is_killed_again_and_again_ends_where_an_unbroken_one_ends(
    unbroken: tuple[Path, Listener], small_base: Path, small_dataset: Path, tmp_path: Path
) -> None:
    run_dir = tmp_path / "run"
    RunRequest(small_recipe(), small_dataset, small_base).write(run_dir)
    checkpoints = run_dir / CHECKPOINTS_FOLDER
    # Before any checkpoint; while the first or second is being written; after the second.
    _kill(run_dir, lambda: any(told.step >= 2 for told in read_curve(run_dir)))
    assert newest_whole(checkpoints) is None
    _kill(run_dir, (checkpoints / f"checkpoint-{BETWEEN_CHECKPOINTS}" / "adapter_model.safetensors").exists)
    _kill(run_dir, (checkpoints / f"checkpoint-{2 * BETWEEN_CHECKPOINTS}" / MARK).exists)
    resumed_from = newest_whole(checkpoints)
    half = shutil.copytree(resumed_from or checkpoints, checkpoints / "checkpoint-8")
    (half / MARK).unlink()
    listener = Listener()
    result = train_in_child(small_recipe(), small_dataset, small_base, run_dir, listener, go_on)
    assert result.resumed_from == 2 * BETWEEN_CHECKPOINTS
    assert "deleted checkpoint-8: it was written half" in listener.lines
    curve = {told.step: told.loss for told in read_curve(run_dir) if told.loss is not None}
    assert curve == pytest.approx(unbroken[1].losses, abs=SAME_LOSS)
    _assert_same_weights(unbroken[0], run_dir)


def test_a_cancelled_run_stops_with_a_checkpoint_and_goes_on_when_it_is_asked_again(
    small_base: Path, small_dataset: Path, tmp_path: Path
) -> None:
    listener = Listener()
    with pytest.raises(Conflict) as cancelled:
        train(small_recipe(), small_dataset, small_base, tmp_path, listener, lambda: len(listener.losses) >= 4)
    assert cancelled.value.code == "training_cancelled"
    assert not (tmp_path / ADAPTER_FOLDER).exists()
    stopped_at = newest_whole(tmp_path / CHECKPOINTS_FOLDER)
    assert stopped_at is not None
    result = train(small_recipe(), small_dataset, small_base, tmp_path, Listener(), go_on)
    assert (result.resumed_from, result.steps) == (int(stopped_at.name.split("-")[1]), STEPS)


def test_a_run_stops_when_the_heldout_loss_no_longer_falls_and_keeps_the_best(
    small_base: Path, small_dataset: Path, tmp_path: Path
) -> None:
    hopeless = small_recipe(
        learning_rate=0.1,
        steps=90,
        early_stopping={"patience": 1, "least_improvement": 0.05},
        maximum_gradient_norm=9.0,
    )
    listener = Listener()
    result = train(hopeless, small_dataset, small_base, tmp_path, listener, go_on)
    heldout = {told.step: told.heldout_loss for told in listener.told if told.heldout_loss is not None}
    assert result.ended == "early"
    assert result.steps < 90
    assert result.heldout_loss == min(heldout.values())
    assert heldout[result.best_step] == result.heldout_loss


def test_packed_rows_and_whole_text_loss_train_too(small_base: Path, small_dataset: Path, tmp_path: Path) -> None:
    recipe = small_recipe(packing=True, loss_on="everything", activation_checkpointing=True, steps=3)
    listener = Listener()
    result = train(recipe, small_dataset, small_base, tmp_path, listener, go_on)
    assert result.steps == 3
    assert all(math.isfinite(loss) for loss in listener.losses.values())


def test_a_runs_folder_belongs_to_one_recipe_dataset_and_base(
    unbroken: tuple[Path, Listener], small_base: Path, small_dataset: Path
) -> None:
    with pytest.raises(Conflict) as refused:
        train(small_recipe(seed=7), small_dataset, small_base, unbroken[0], Listener(), go_on)
    assert refused.value.code == "run_changed"


@pytest.mark.parametrize(
    ("break_it", "kind", "code"),
    [
        (lambda base, data: (base / "config.json").unlink(), NotFound, "base_missing"),
        (lambda base, data: (data / "train.jsonl").unlink(), NotFound, "dataset_missing"),
        (lambda base, data: (data / "manifest.json").unlink(), NotFound, "dataset_missing"),
        (lambda base, data: (data / "train.jsonl").write_text(_long_row()), Conflict, "dataset_empty"),
    ],
)
def test_what_is_missing_is_named_before_anything_is_loaded(
    small_base: Path,
    small_dataset: Path,
    tmp_path: Path,
    break_it: Callable[[Path, Path], None],
    kind: type[HaechiError],
    code: str,
) -> None:
    base, data = shutil.copytree(small_base, tmp_path / "b"), shutil.copytree(small_dataset, tmp_path / "d")
    break_it(base, data)
    with pytest.raises(kind) as refused:
        train(small_recipe(), data, base, tmp_path / "run", Listener(), go_on)
    assert refused.value.code == code


def test_a_tracker_that_is_not_installed_is_refused(small_base: Path, small_dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(Misconfigured) as refused:
        train(small_recipe(), small_dataset, small_base, tmp_path, Listener(), go_on, trackers=("wandb",))
    assert refused.value.code == "wandb_missing"


def test_a_full_disk_ends_the_run_with_its_reason_and_leaves_nothing_half_written(
    small_base: Path, small_dataset: Path, tmp_path: Path
) -> None:
    RunRequest(small_recipe(), small_dataset, small_base).write(tmp_path)
    with start(tmp_path) as child:
        # No file may grow beyond this, as on a full disk: too little for an optimizer's state.
        resource.prlimit(child.pid, resource.RLIMIT_FSIZE, (20_000, 20_000))
        child.wait(PATIENCE_SECONDS)
    with pytest.raises(Unavailable) as full:
        read_outcome(tmp_path, child.returncode)
    assert full.value.code == "training_disk_full"
    assert list((tmp_path / CHECKPOINTS_FOLDER).glob("checkpoint-*")) == []


def test_exhausted_memory_ends_the_run_with_its_reason(small_base: Path, tmp_path: Path) -> None:
    # Rows of a thousand tokens by the dozen need gigabytes for attention alone.
    dataset = tmp_path / "data"
    write_small_dataset(dataset)
    (dataset / "train.jsonl").write_text(_long_row() * 64, encoding="utf-8")
    run_dir = tmp_path / "run"
    recipe = small_recipe(maximum_tokens=4000, batch_size=64)
    RunRequest(recipe, dataset, small_base).write(run_dir)
    with start(run_dir) as child:
        _wait_for((run_dir / "tensorboard").is_dir, child)
        held = resource.prlimit(child.pid, resource.RLIMIT_DATA)[1]
        resource.prlimit(child.pid, resource.RLIMIT_DATA, (_data_bytes(child.pid) + 100_000_000, held))
        child.wait(PATIENCE_SECONDS)
    with pytest.raises(Unavailable) as exhausted:
        read_outcome(run_dir, child.returncode)
    assert exhausted.value.code == "training_out_of_memory"


def test_a_killed_process_is_told_from_a_failed_one(tmp_path: Path) -> None:
    codes = []
    for status in (-9, 3):
        with pytest.raises(Unavailable) as died:
            read_outcome(tmp_path, status)
        codes.append(died.value.code)
    assert codes == ["training_killed", "training_failed"]


def test_two_trainers_never_share_a_folder(small_base: Path, small_dataset: Path, tmp_path: Path) -> None:
    with only_one(tmp_path), pytest.raises(Conflict) as refused, only_one(tmp_path):
        pass
    assert refused.value.code == "training_already_running"


def test_two_processes_learn_what_one_with_twice_the_batch_learns(
    unbroken: tuple[Path, Listener], small_base: Path, small_dataset: Path, tmp_path: Path
) -> None:
    # Without dropout: every process draws its own.
    lora = {**small_recipe().lora.model_dump(), "dropout": 0.0}
    alone, together = Listener(), Listener()
    steps = {"steps": 3, "lora": lora}
    train(small_recipe(batch_size=4, **steps), small_dataset, small_base, tmp_path / "one", alone, go_on)
    result = train_in_child(
        small_recipe(batch_size=2, **steps), small_dataset, small_base, tmp_path / "two", together, go_on, processes=2
    )
    assert result.processes == 2
    assert together.losses == pytest.approx(alone.losses, abs=5e-3)
    _assert_same_weights(tmp_path / "one", tmp_path / "two", tolerance=5e-3)


def test_a_result_is_kept_as_it_was(unbroken: tuple[Path, Listener], small_base: Path, small_dataset: Path) -> None:
    result = train(small_recipe(), small_dataset, small_base, unbroken[0], Listener(), go_on)
    assert TrainingResult.from_json(json.loads(json.dumps(result.as_json()))) == result
    assert not (unbroken[0] / OUTCOME_FILE).exists()


def _kill(run_dir: Path, moment: Callable[[], bool]) -> None:
    with start(run_dir) as child:
        _wait_for(moment, child)
        child.kill()


def _wait_for(moment: Callable[[], bool], child: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not moment():
        assert child.poll() is None, "the training ended before the moment came"
        assert time.monotonic() < deadline, "the moment never came"
        time.sleep(0.005)


def _data_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text("utf-8").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmData"))


def _assert_same_weights(one: Path, other: Path, tolerance: float = SAME_WEIGHT) -> None:
    first, second = (load_file(run / ADAPTER_FOLDER / ADAPTER_WEIGHTS) for run in (one, other))
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        torch.testing.assert_close(tensor.float(), second[name].float(), atol=tolerance, rtol=0)


def _long_row() -> str:
    messages = [{"role": "user", "content": "긴 질문 " * 300}, {"role": "assistant", "content": "예."}]
    return json.dumps({"id": "l", "messages": messages, "kind": "curated"}) + "\n"
