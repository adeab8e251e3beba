"""compose.yaml: every part unprivileged, gated by health, shut in but for two doors, true to images and settings."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from bot.gateway.settings import GatewaySettings
from haechi.deployment_secrets import deployment_secrets
from llm_service.settings import Settings

PROJECT = Path(__file__).resolve().parents[2]
TEXT = (PROJECT / "compose.yaml").read_text("utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, Any] = COMPOSE["services"]
ENDS = {"migrate"}
IMAGES = {path.name.removesuffix(".Dockerfile") for path in (PROJECT / "deploy" / "images").glob("*.Dockerfile")}
EXAMPLE = (PROJECT / ".env.example").read_text("utf-8")


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_no_more_rights_than_it_needs(name: str) -> None:
    service = SERVICES[name]
    assert service["user"].split(":")[0] not in {"", "0", "root"}
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    limits = service["deploy"]["resources"]["limits"]
    assert {"cpus", "memory"} <= set(limits)


@pytest.mark.parametrize("name", sorted(set(SERVICES) - ENDS))
def test_a_service_that_stays_says_how_it_is(name: str) -> None:
    test = SERVICES[name]["healthcheck"]["test"]
    assert test[0] == "CMD", "no shell is needed"
    assert not any(" " in word for word in test), "old engines split arguments at blanks"


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_waits_for_health_not_for_a_start(name: str) -> None:
    for waited, how in SERVICES[name].get("depends_on", {}).items():
        wanted = "service_completed_successfully" if waited in ENDS else "service_healthy"
        assert how["condition"] == wanted


def test_only_the_doors_for_people_are_published() -> None:
    published = {name for name, service in SERVICES.items() if "ports" in service}
    assert published == {"gateway", "console", "grafana"}
    assert all("127.0.0.1:" in port for name in published for port in SERVICES[name]["ports"])
    reachable = {name for name, service in SERVICES.items() if "people" in service["networks"]}
    assert reachable == published
    shut = {name for name, network in COMPOSE["networks"].items() if network and network.get("internal")}
    assert shut == {"inside", "models"}
    for name in set(SERVICES) - published:
        assert set(SERVICES[name]["networks"]) <= shut


def test_model_servers_are_reached_by_answers_and_training_only() -> None:
    beside = {name for name, service in SERVICES.items() if "models" in service["networks"]}
    assert beside == {"llm-service", "worker", "trainer", "trainer-gpu", "devserver", "vllm"}


def test_every_image_of_ours_is_one_that_is_built() -> None:
    named = set(re.findall(r"image: haechi/([a-z-]+):", TEXT))
    assert named
    assert named <= IMAGES


def test_secrets_are_files_that_the_command_writes() -> None:
    written = {name for name, _ in deployment_secrets("postgresql:5432", "redis:6379")}
    assert set(COMPOSE["secrets"]) <= written
    used = {secret for service in SERVICES.values() for secret in service.get("secrets", [])}
    assert used == set(COMPOSE["secrets"])
    assert not re.search(r"(PASSWORD|TOKEN|SECRET)[A-Z_]*: [^$/\n]*[a-z0-9]{8}", TEXT)


def test_variables_of_our_services_are_settings() -> None:
    fields = {*Settings.model_fields, *GatewaySettings.model_fields}
    known = {f"HAECHI_{field.upper()}" for field in fields}
    known |= {"HAECHI_SECRETS_DIRECTORY", "HAECHI_ACTIONS_HOST", "HAECHI_ACTIONS_URL", "HAECHI_CONSOLE_URL"}
    for name, service in SERVICES.items():
        given = {variable for variable in service.get("environment", {}) if variable.startswith("HAECHI_")}
        assert given <= known, name


def test_what_has_to_be_said_is_asked_for_and_explained() -> None:
    asked = set(re.findall(r"\$\{([A-Z_]+)", TEXT))
    explained = set(re.findall(r"^([A-Z_]+)=", EXAMPLE, re.MULTILINE))
    assert asked == explained
    required = set(re.findall(r"\$\{([A-Z_]+):\?", TEXT))
    empty = set(re.findall(r"^([A-Z_]+)=$", EXAMPLE, re.MULTILINE))
    assert required <= empty, "the example as it is has to be refused"


def test_stores_keep_what_they_hold_on_volumes() -> None:
    for name in ("postgresql", "redis", "qdrant"):
        assert any(volume.split(":")[0] in COMPOSE["volumes"] for volume in SERVICES[name]["volumes"])


def test_model_servers_call_nobody() -> None:
    for name in ("vllm", "devserver"):
        assert SERVICES[name]["environment"]["HF_HUB_OFFLINE"] == "1"
