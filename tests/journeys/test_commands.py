"""The `haechi` command beside the running platform, and alone on a data directory."""

import json
import os
import select
import shutil
import subprocess
import sys
from pathlib import Path

from tests.journeys.conftest import PROJECT, RunningPlatform, platform_environment, processes_of

SECONDS_TO_END = 20


def lines_of(*objects: dict[str, object]) -> str:
    return "".join(json.dumps(one) + "\n" for one in objects)


def answers_of(done: "subprocess.CompletedProcess[str]") -> list[dict[str, object]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_ask_answers_a_batch_in_order_with_sources(running_platform: RunningPlatform) -> None:
    questions = lines_of(
        {
            "id": "a",
            "question": "정기예금을 중도해지하면 이자는 어떻게 되나요?",
            "audience": "customer",
            "as_of": "2026-11-21",
        },
        {"id": "b", "question": "육아휴직 급여는 얼마나 나오나요", "audience": "customer", "as_of": None},
    )
    done = running_platform.haechi("ask", "--jsonl", lines=questions)
    first, second = answers_of(done)
    assert done.returncode == 0, done.stderr
    assert (first["id"], second["id"]) == ("a", "b")
    assert first["refused"] is False
    assert first["sources"]
    assert second["refused"] is True
    assert {"mask", "route", "retrieve"} <= set(first["timings"])  # type: ignore[arg-type]


def test_search_mask_and_route_answer_batches(running_platform: RunningPlatform) -> None:
    found = answers_of(
        running_platform.haechi(
            "search", "--jsonl", lines=lines_of({"id": "s", "question": "타행 송금 수수료", "k": 3})
        )
    )
    assert found[0]["id"] == "s"
    assert len(found[0]["results"]) == 3  # type: ignore[arg-type]
    assert set(found[0]["results"][0]) >= {"id", "document", "article", "page", "text", "score"}  # type: ignore[index]
    masked = answers_of(
        running_platform.haechi("mask", "--jsonl", lines=lines_of({"text": "제 번호는 010-1234-5678이에요"}))
    )
    assert masked == [{"masked": "제 번호는 <PHONE_1>이에요"}]
    routed = answers_of(
        running_platform.haechi("route", "--jsonl", lines=lines_of({"id": "r", "text": "카드를 잃어버렸어요"}))
    )
    assert routed[0]["intent"] == "card_lost"


def test_a_line_that_is_no_json_gets_an_error_in_its_place_without_its_text(running_platform: RunningPlatform) -> None:
    done = running_platform.haechi("mask", "--jsonl", lines='비밀 900101-1234567\n{"text": "안녕하세요"}\n')
    bad, good = answers_of(done)
    assert done.returncode == 1
    assert bad["error"]["code"] == "bad_line"  # type: ignore[index]
    assert "900101" not in done.stdout + done.stderr
    assert good == {"masked": "안녕하세요"}


def test_a_line_that_asks_nonsense_costs_no_other_line(running_platform: RunningPlatform) -> None:
    asked = {"question": "타행 송금 수수료", "k": 1}
    done = running_platform.haechi(
        "search", "--jsonl", lines=lines_of({**asked, "k": "a"}, {**asked, "k": 0}, {**asked, "id": "\ud800"}, asked)
    )
    *refused, answered = answers_of(done)
    assert [one["error"]["code"] for one in refused] == ["k_invalid", "k_invalid", "text_unreadable"]  # type: ignore[index]
    assert len(answered["results"]) == 1  # type: ignore[arg-type]
    assert "Traceback" not in done.stderr


def test_status_says_what_runs(running_platform: RunningPlatform) -> None:
    done = running_platform.haechi("status", "--json")
    found = json.loads(done.stdout)
    assert done.returncode == 0
    assert found["ready"] is True
    assert "rasa" in found["parts"]


def test_a_route_command_that_is_killed_takes_its_rasa_with_it(
    running_platform: RunningPlatform, tmp_path: Path
) -> None:
    shutil.copytree(running_platform.home / "rasa", tmp_path / "rasa")  # trained already: this is not about training
    process = subprocess.Popen(
        [sys.executable, "-m", "haechi.cli", "route", "--jsonl"],
        env=platform_environment(tmp_path), cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdin
    assert process.stdout
    process.stdin.write(lines_of({"id": "r", "text": "카드를 잃어버렸어요"}))
    process.stdin.flush()
    assert json.loads(process.stdout.readline())["intent"] == "card_lost"
    others = [os.pidfd_open(number) for number in processes_of(tmp_path) if number != process.pid]
    assert others
    process.kill()
    process.communicate(timeout=10)
    for other in others:
        ended = select.poll()
        ended.register(other, select.POLLIN)  # a process's descriptor is readable when it has ended (pidfd_open(2))
        try:
            assert ended.poll(SECONDS_TO_END * 1000), "a process outlived the command"
        finally:
            os.close(other)


def test_without_a_platform_the_commands_open_the_data_directory(tmp_path: Path) -> None:
    documents = tmp_path / "documents"
    documents.mkdir()
    (documents / "수수료.md").write_text(
        "# 송금 수수료\n\n다른 은행으로 송금할 때 수수료는 건당 500원입니다.\n", encoding="utf-8"
    )
    (documents / "깨진.pdf").write_bytes(b"%PDF-1.7 broken")
    environment = platform_environment(tmp_path / "home")

    def haechi(*arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "haechi.cli", *arguments],
            env=environment, cwd=PROJECT, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    ingested = json.loads(haechi("ingest", str(documents), "--audience", "staff,customer", "--json").stdout)
    assert ingested["counts"] == {"ready": 1, "failed": 1}
    assert ingested["failed"][0]["path"] == "깨진.pdf"
    again = json.loads(haechi("ingest", str(documents), "--audience", "staff,customer", "--json").stdout)
    assert again["counts"]["unchanged"] == 1
    answered = haechi("ask", "다른 은행으로 송금하면 수수료가 얼마인가요?", "--audience", "customer", "--json")
    assert "500원" in json.loads(answered.stdout)["answer"], answered.stderr
