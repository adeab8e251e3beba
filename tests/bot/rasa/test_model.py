"""Training when something changed, and refusing to serve a model that is not the trained one."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from bot.rasa.model_archive import ARCHIVE_NAME, ModelRefused, is_current, record, sources_sha256, verified_archive
from tests.bot.rasa.project import RASA, ROOT


@pytest.fixture
def models(tmp_path: Path) -> Path:
    (tmp_path / ARCHIVE_NAME).write_bytes(b"a trained model")
    record(tmp_path)
    return tmp_path


def test_a_recorded_model_is_current_and_served(models: Path) -> None:
    assert is_current(models)
    assert verified_archive(models) == models / ARCHIVE_NAME


def test_a_changed_archive_is_refused(models: Path) -> None:
    (models / ARCHIVE_NAME).write_bytes(b"another model")
    with pytest.raises(ModelRefused, match="changed"):
        verified_archive(models)
    assert not is_current(models)


def test_a_missing_archive_is_refused_even_if_another_lies_there(models: Path) -> None:
    (models / ARCHIVE_NAME).rename(models / "other.tar.gz")
    with pytest.raises(ModelRefused, match="missing"):
        verified_archive(models)


def test_one_archive_is_kept(models: Path) -> None:
    (models / "older.tar.gz").write_bytes(b"older")
    record(models)
    assert [path.name for path in models.glob("*.tar.gz")] == [ARCHIVE_NAME]


@pytest.mark.parametrize("changed", ["config.yml", "domain.yml", "data/rules.yml", "components/text_features.py"])
def test_a_change_of_any_source_changes_the_hash(tmp_path: Path, changed: str) -> None:
    copy = tmp_path / "rasa"
    shutil.copytree(RASA, copy, ignore=shutil.ignore_patterns("__pycache__"))
    assert sources_sha256(copy) == sources_sha256()
    (copy / changed).write_text((copy / changed).read_text(encoding="utf-8") + "\n#", encoding="utf-8")
    assert sources_sha256(copy) != sources_sha256()


@pytest.mark.rasa
def test_an_unchanged_project_is_not_trained_again(rasa_python: str, rasa_home: Path) -> None:
    environment = os.environ | {"HAECHI_HOME": str(rasa_home)}
    again = subprocess.run(
        [rasa_python, "-m", "bot.rasa.train"], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert "current" in again.stdout


@pytest.mark.rasa
def test_serving_refuses_to_start_without_a_model(rasa_python: str, tmp_path: Path) -> None:
    environment = os.environ | {"HAECHI_HOME": str(tmp_path), "HAECHI_RASA_TOKEN": "t", "HAECHI_SERVICE_TOKEN": "t"}
    refused = subprocess.run(
        [rasa_python, "-m", "bot.rasa.serve"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert refused.returncode != 0
    assert "ModelRefused" in refused.stderr


@pytest.mark.rasa
def test_the_stand_ins_for_tensorflow_refuse_to_compute(rasa_python: str) -> None:
    script = (
        "from bot.rasa.lean import leave_out_tensorflow, TensorFlowAbsent\n"
        "leave_out_tensorflow()\n"
        "import tensorflow as tf\n"
        "class Layer(tf.keras.layers.Layer): ...\n"
        "try:\n    tf.constant(1.0)\n"
        "except TensorFlowAbsent:\n    print('refused')\n"
    )
    ran = subprocess.run([rasa_python, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "refused"
