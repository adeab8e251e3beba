"""`haechi review`, `dataset` and `train` from a file of examples to a frozen dataset and a cancelled run."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from haechi.cli import build_app
from llm_service import wiring

QA_TEXT = 'QA_text\n"##Question: 골프보험 알려줘 ##Answer: 골프 중 생긴 손해를 보상합니다."\n"질문만"\n'


@pytest.fixture
def here(tmp_path: Path, analysers: wiring.Analysers, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data directory of its own where nothing runs: the commands open it themselves."""
    monkeypatch.setattr(wiring, "load_analysers", lambda: analysers)
    monkeypatch.setenv("HAECHI_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HAECHI_LLM_SERVICE_PORT", "1")
    return tmp_path


def haechi(*arguments: str, typed: str = "", status: int = 0) -> Any:
    done = CliRunner().invoke(build_app(), [*arguments], input=typed)
    assert done.exit_code == status, done.output
    return json.loads(done.stdout) if "--json" in arguments and status == 0 else done.output


def test_from_a_file_of_examples_to_a_dataset_and_a_run(here: Path) -> None:
    file = here / "qa.csv"
    file.write_text(QA_TEXT, encoding="utf-8")
    told = haechi("dataset", "import", str(file), "--licence", "bank", "--person", "kim", "--json")
    assert (told["added"], told["bad_rows"]) == (1, [{"number": 2, "reason": "not_question_and_answer"}])
    (item,) = haechi("review", "list", "--json")
    assert "own_proposal" in haechi("review", "approve", item["id"], "--person", "kim", status=1)
    for person in ("lee", "park"):
        approved = haechi("review", "approve", item["id"][:8], "--person", person, "--json")
    assert approved["state"] == "approved"
    built = haechi("dataset", "build", "--general-share", "0", "--heldout-share", "0", "--json")
    assert (built["name"], built["state"], built["statistics"]["rows"]) == ("bank-qa-v1", "ready", 1)
    assert (here / "home" / "learning" / "datasets" / "bank-qa-v1" / "train.jsonl").is_file()
    run = haechi("train", "request", "--dataset", "bank-qa-v1", "--recipe", "tiny-cpu", "--base", "tiny", "--json")
    assert haechi("train", "cancel", run["id"], "--json")["state"] == "cancelled"
    assert haechi("train", "log", run["id"], "--json") == {"lines": [], "points": []}
    assert haechi("train", "list", "--json")[0]["id"] == run["id"]


def test_a_reviewer_proposes_rejects_and_reopens(here: Path) -> None:
    file = here / "qa.csv"
    file.write_text(QA_TEXT, encoding="utf-8")
    haechi("dataset", "import", str(file), "--licence", "bank", "--person", "kim")
    (item,) = haechi("review", "list", "--json")
    told = haechi("review", "propose", item["id"], "partial", typed="더 나은 답변입니다.\n", status=2)
    assert "Usage" in told
    proposed = haechi("review", "propose", item["id"], "--rubric", "partial", "--json", typed="더 나은 답변입니다.\n")
    assert (proposed["state"], proposed["proposed_answer"]) == ("proposed", "더 나은 답변입니다.")
    assert haechi("review", "reject", item["id"], "--reason", "not_useful", "--json")["state"] == "rejected"
    assert haechi("review", "reopen", item["id"], "--reason", "law_changed", "--json")["state"] == "proposed"
    assert "더 나은 답변입니다." in haechi("review", "show", item["id"])
