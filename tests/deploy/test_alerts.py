"""Alert rules and dashboards: read by Prometheus' own tool, proved on made-up series, documented, of real metrics."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

PROJECT = Path(__file__).resolve().parents[2]
FILES = PROJECT / "deploy" / "helm" / "haechi" / "files"
RULES = FILES / "alerts.yaml"
GROUPS = yaml.safe_load(RULES.read_text("utf-8"))["groups"]
ALERTS: list[dict[str, Any]] = [rule for group in GROUPS for rule in group["rules"]]
RUNBOOKS = PROJECT / "docs" / "runbooks"
BOARDS = sorted((FILES / "dashboards").glob("*.json"))
OF_PROMETHEUS = {"up"}
SUFFIX = re.compile(r"_(total|bucket|sum|count)$")


@pytest.fixture(scope="session")
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("ALERTS ARE NOT PROVED: promtool is missing; apt-get install --no-install-recommends prometheus")
    return found


def written_metrics() -> set[str]:
    """Names that the code registers, as Prometheus' client is given them: without the suffix of a counter."""
    sources = [
        path.read_text("utf-8")
        for folder in ("bot/gateway", "llm_service")
        for path in (PROJECT / folder).rglob("*.py")
    ]
    return {name for source in sources for name in re.findall(r'"(haechi_[a-z_]+)"', source)}


def named_metrics(expression: str) -> set[str]:
    without_labels = re.sub(r"\{[^}]*\}|\"[^\"]*\"", "", expression)
    return {SUFFIX.sub("", name) for name in re.findall(r"\bhaechi_[a-z_]+", without_labels)}


def test_prometheus_accepts_the_rules(promtool: str) -> None:
    checked = subprocess.run([promtool, "check", "rules", RULES], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("tests", ["alerts.yaml", "alerts_fire.yaml"])
def test_the_rules_fire_when_they_should_and_only_then(promtool: str, tests: str) -> None:
    proved = subprocess.run(
        [promtool, "test", "rules", Path(__file__).with_name(tests)], capture_output=True, text=True, check=False
    )
    assert proved.returncode == 0, proved.stdout + proved.stderr


def test_every_alert_is_seen_firing_and_quiet() -> None:
    for tests, quiet in (("alerts.yaml", True), ("alerts_fire.yaml", False)):
        cases = yaml.safe_load(Path(__file__).with_name(tests).read_text("utf-8"))["tests"]
        seen = {
            check["alertname"]
            for case in cases
            for check in case["alert_rule_test"]
            if bool(check["exp_alerts"]) is not quiet
        }
        assert seen == {alert["alert"] for alert in ALERTS}, tests


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_an_alert_says_what_it_means_and_what_to_do(alert: dict[str, Any]) -> None:
    assert alert["labels"]["severity"] in {"critical", "warning", "info"}
    assert {"summary", "summary_ko", "runbook"} <= set(alert["annotations"])
    page = RUNBOOKS / f"{alert['annotations']['runbook']}.md"
    assert page.read_text("utf-8").startswith(f"# {alert['alert']}\n")


def test_every_runbook_belongs_to_an_alert() -> None:
    assert {path.stem for path in RUNBOOKS.glob("*.md")} == {alert["annotations"]["runbook"] for alert in ALERTS}


def test_what_is_measured_is_there() -> None:
    expressions = [alert["expr"] for alert in ALERTS]
    for board in BOARDS:
        expressions += [
            target["expr"] for panel in json.loads(board.read_text())["panels"] for target in panel["targets"]
        ]
    assert expressions
    known = written_metrics()
    for expression in expressions:
        named = named_metrics(expression)
        assert named or OF_PROMETHEUS & set(re.findall(r"\w+", expression)), expression
        assert named <= known, expression


def test_there_is_a_board_for_each_concern() -> None:
    assert {board.stem for board in BOARDS} == {"service", "answers", "learning", "privacy"}
    for board in BOARDS:
        panels = json.loads(board.read_text("utf-8"))["panels"]
        assert len({panel["id"] for panel in panels}) == len(panels)
        assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in panels)
