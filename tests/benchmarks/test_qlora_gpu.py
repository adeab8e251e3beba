"""The GPU benchmark's path, run with a model of two layers on a CPU: its figures say nothing, that it runs does."""

import os
import subprocess
import sys
from pathlib import Path

from benchmarks.qlora_gpu import MAIN_CASES, grid, random_rows

COLUMNS = 9


def benchmark(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks.qlora_gpu", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_a_case_is_measured_for_ours_and_for_the_plain_trainer_alike(tmp_path: Path) -> None:
    ended = benchmark("--tiny", "--cases", "2", "--warm", "1", "--timed", "2", "--folder", str(tmp_path))
    assert ended.returncode == 0, ended.stderr[-500:]
    rows = [line.strip("| ").split(" | ") for line in ended.stdout.splitlines() if line.startswith("| ")][2:]
    assert [row[0] for row in rows] == ["paper", "plain HF"]
    assert all(len(row) == COLUMNS and float(row[1]) > 0 and float(row[2]) > 0 for row in rows)


def test_without_a_gpu_nothing_is_measured_and_that_is_said() -> None:
    ended = benchmark()
    assert ended.returncode == 1
    assert "no GPU is at hand" in ended.stdout


def test_the_grid_has_every_combination_once() -> None:
    cases = list(grid())
    assert len(cases) == len({case.name for case in cases}) == 32
    assert len({case.name for case in MAIN_CASES}) == len(MAIN_CASES)


def test_random_rows_are_the_same_every_time_and_never_too_long() -> None:
    rows = random_rows(256, 512, 200)
    assert rows == random_rows(256, 512, 200)
    assert max(len(row.input_ids) for row in rows.rows) <= 256
    assert 100 < rows.tokens / len(rows.rows) < 200
