"""Checkpoints: whole, or not there."""

from pathlib import Path

from trainer.checkpoints import MARK, delete_half_written, is_whole, mark_whole, newest_whole, write_atomically


def checkpoint(run: Path, step: int, *, marked: bool = True) -> Path:
    folder = run / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    (folder / "adapter_model.safetensors").write_bytes(b"weights" * step)
    (folder / "trainer_state.json").write_text("{}", encoding="utf-8")
    if marked:
        mark_whole(folder)
    return folder


def test_the_newest_whole_checkpoint_is_resumed_from_whatever_lies_beside_it(tmp_path: Path) -> None:
    checkpoint(tmp_path, 9)
    newest = checkpoint(tmp_path, 10)
    checkpoint(tmp_path, 11, marked=False)
    (tmp_path / "checkpoint-x").mkdir()
    assert newest_whole(tmp_path) == newest


def test_without_a_whole_checkpoint_training_begins_from_nothing(tmp_path: Path) -> None:
    checkpoint(tmp_path, 3, marked=False)
    assert newest_whole(tmp_path) is None
    assert newest_whole(tmp_path / "missing") is None


def test_a_file_that_was_cut_or_lost_or_changed_makes_a_checkpoint_half(tmp_path: Path) -> None:
    cut, lost, changed = (checkpoint(tmp_path, step) for step in (1, 2, 3))
    (cut / "adapter_model.safetensors").write_bytes(b"weig")
    (lost / "trainer_state.json").unlink()
    (changed / "adapter_model.safetensors").write_bytes(b"WEIGHTS" * 3)
    assert not any(map(is_whole, (cut, lost, changed)))


def test_a_mark_that_was_cut_is_no_mark(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path, 1)
    (folder / MARK).write_text((folder / MARK).read_text("utf-8")[:20], encoding="utf-8")
    assert not is_whole(folder)


def test_half_written_checkpoints_are_deleted_and_named_whole_ones_stay(tmp_path: Path) -> None:
    kept = checkpoint(tmp_path, 1)
    checkpoint(tmp_path, 2, marked=False)
    assert delete_half_written(tmp_path) == ("checkpoint-2",)
    assert list(tmp_path.iterdir()) == [kept]
    assert delete_half_written(tmp_path) == ()


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "outcome.json"
    write_atomically(path, "one")
    write_atomically(path, "two")
    assert path.read_text("utf-8") == "two"
    assert list(tmp_path.iterdir()) == [path]
