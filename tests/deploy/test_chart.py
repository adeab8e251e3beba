"""The chart under Helm's real engine: installed, upgraded, tested, taken away; what it refuses, and in which words."""

import re
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.deploy.conftest import CHART, PROFILES, Helm, HelmRefused, profile_values
from tests.deploy.policies import Object, containers, of_kind

Rendered = Callable[[str], list[Object]]
OLDEST, NEWEST = "1.30", "1.36"
OF_OPERATORS = {
    "ServiceMonitor",
    "PodMonitor",
    "PrometheusRule",
    "ScaledObject",
    "TriggerAuthentication",
    "ExternalSecret",
}


@pytest.mark.parametrize("profile", ["minimal", "ha"])
def test_a_release_lives(helm: Helm, profile: str) -> None:
    values = profile_values(profile)
    helm.install(values)
    first = deepcopy(helm.cluster.objects)
    upgraded = helm.order("upgrade", release_name="haechi", chart_path=str(CHART), values=values, timeout=60)
    assert upgraded["version"] == 2
    unchanged = [path for path in first if "/deployments/" in path]
    assert unchanged
    assert all(helm.cluster.objects[path]["spec"] == first[path]["spec"] for path in unchanged)
    helm.order("test", release_name="haechi")
    asked = [
        path for change, path in helm.cluster.changes if change == "create" and path.endswith("/pods/haechi-ask-test")
    ]
    assert asked
    helm.order("uninstall", release_name="haechi")
    left = {path.split("/")[-2] for path in helm.cluster.objects}
    assert left <= {"persistentvolumeclaims", "serviceaccounts", "configmaps", "pods"}
    claims = [path for path in helm.cluster.objects if "/persistentvolumeclaims/" in path]
    assert len(claims) == 2, "adapters and what was learnt outlive an uninstall"


@pytest.mark.parametrize(("profile", "before"), [("ha", True), ("minimal", False)])
def test_the_schema_comes_before_the_pods_where_the_database_is_there_already(
    helm: Helm, profile: str, before: bool
) -> None:
    helm.install(profile_values(profile))
    made = [path for change, path in helm.cluster.changes if change == "create"]
    migration = made.index("/apis/batch/v1/namespaces/bank/jobs/haechi-migrate")
    service = made.index("/apis/apps/v1/namespaces/bank/deployments/haechi-llm-service")
    assert (migration < service) is before


REFUSED: list[tuple[Object, str]] = [
    ({"gateways": {}}, "gateways"),
    ({"gateway": {"replicas": "two"}}, "got string, want integer"),
    ({"gateway": {"resources": {"limits": {"memory": "256MB"}}}}, "does not match pattern"),
    ({"settings": {"RETENTION": "1"}}, "RETENTION"),
    ({"settings": {"HAECHI_PURGE_EVERY_SECONDS": 60}}, "got number, want string"),
    ({"console": {"url": "http://console"}}, "does not match pattern"),
    ({"images": {"gateway": {"digest": "sha256:short"}}}, "does not match pattern"),
    ({"global": {"requireDigests": True}}, "digest is empty"),
    ({"secrets": {"existingSecret": ""}}, "secrets.existingSecret is empty"),
    ({"secrets": {"external": {"enabled": True}}}, "secrets.external.storeName is empty"),
    ({"engine": {"kind": "gpt"}}, "value must be one of"),
    ({"engine": {"kind": "devserver"}}, "the development server is for trials"),
    ({"engine": {"kind": "vllm"}}, "engine.urls is empty"),
    ({"modelServer": {"enabled": True}}, "modelServer.enabled needs engine.kind"),
    ({"engine": {"kind": "vllm"}, "modelServer": {"enabled": True}}, "is empty"),
    ({"qdrant": {"bundled": {"enabled": False}}}, "qdrant.url is empty"),
    ({"gateway": {"ingress": {"enabled": True, "host": "x.bank"}}}, "tlsSecret is empty"),
    ({"networkPolicy": {"external": {"postgresql": [{"cidr": "0.0.0.0/0", "port": 5432}]}}}, "not"),
    ({"networkPolicy": {"ingressFrom": []}}, "minItems"),
    ({"workers": {"train": {"keda": {"minReplicas": -1}}}}, "minimum"),
    ({"slack": {"enabled": True}}, "slack.teamId is empty"),
    ({"teams": {"enabled": True}}, "teams.appId is empty"),
    ({"environment": "staging"}, "value must be one of"),
]  # fmt: skip


def test_values_that_cannot_be_meant_are_refused_with_their_place(helm: Helm) -> None:
    for values, said in REFUSED:
        try:
            helm.render(values)
        except HelmRefused as refused:
            told = str(refused)
        else:
            told = "nothing"
        assert said in told, values


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_objects_fit_the_published_schemas(rendered: Rendered, profile: str, version: str) -> None:
    for item in rendered(profile):
        if item["kind"] not in OF_OPERATORS:
            kubernetes_validate.validate(item, version, strict=True)


def test_the_same_values_give_the_same_bytes(helm: Helm) -> None:
    values = profile_values("ha")
    first, second = (yaml.safe_dump(helm.render(values)) for _ in range(2))
    assert first == second


def test_one_registry_serves_every_image_by_digest(rendered: Rendered) -> None:
    images = {container["image"] for _, container, _ in containers(rendered("airgap"))}
    assert images
    assert all(re.fullmatch(r"registry\.bank\.internal/haechi/[a-z/-]+@sha256:[0-9a-f]{64}", image) for image in images)


def test_training_is_scaled_by_rows_and_never_by_two(rendered: Rendered) -> None:
    scaled = of_kind(rendered("gpu"), "ScaledObject")
    assert len(scaled) == 1
    assert scaled[0]["spec"]["minReplicaCount"] == 0
    assert "job_requests" in scaled[0]["spec"]["triggers"][0]["metadata"]["query"]


def test_each_model_server_has_an_address_of_its_own(rendered: Rendered) -> None:
    objects = rendered("ha")
    variables = next(
        {variable["name"]: variable.get("value") for variable in container["env"]}
        for name, container, _ in containers(objects)
        if name.startswith("Deployment/haechi-llm-service")
    )
    assert variables["HAECHI_ENGINE_URLS"] == "http://haechi-model-0:8000,http://haechi-model-1:8000"
    services = {item["metadata"]["name"] for item in of_kind(objects, "Service")}
    assert {"haechi-model-0", "haechi-model-1"} <= services


def test_secrets_reach_only_who_needs_them(rendered: Rendered) -> None:
    given = {}
    for name, _, spec in containers(rendered("ha")):
        volume = next((each for each in spec.get("volumes", []) if each["name"] == "secrets"), None)
        given[name.split(":")[1]] = {item["key"] for item in volume["secret"]["items"]} if volume else set()
    assert given["gateway"] == {
        "haechi_service_token",
        "haechi_rasa_token",
        "haechi_session_secret",
        "haechi_redis_url",
    }
    assert given["actions"] == {"haechi_service_token"}
    assert given["migrate"] == {"haechi_database_url"}
    assert given["teams-door"] == {"haechi_teams_redis_url", "haechi_teams_inbox_public_key"}, "it opens nothing"
    assert not {"haechi_database_url", "haechi_vault_keys"} & (
        given["slack"] | given["teams-worker"] | given["gateway"]
    )
    assert given["model-server"] == given["ask"] == set()
    holders = {name for name, keys in given.items() if "haechi_vault_keys" in keys}
    assert holders == {"llm-service", "worker-housekeeping", "worker-ingest", "worker-evaluate"}


def leaves(values: Object, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Every value's place; what is filled in freely counts as one."""
    found: list[tuple[str, ...]] = []
    for name, value in values.items():
        if isinstance(value, dict) and value:
            found += leaves(value, (*path, name))
        else:
            found.append((*path, name))
    return found


DEFAULTS = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))
TEMPLATES = "\n".join(path.read_text("utf-8") for path in sorted((CHART / "templates").rglob("*")) if path.is_file())


@pytest.mark.parametrize("place", leaves(DEFAULTS), ids=".".join)
def test_every_value_is_used_by_a_template(place: tuple[str, ...]) -> None:
    name = place[-1]
    whole = {"resources", "networkPolicy", "dashboardLabels"}
    if set(place) & whole or place[0] == "images":
        return  # handed on as a whole, or found by its name
    assert re.search(rf"\.{re.escape(name)}\b|\"{re.escape(name)}\"", TEMPLATES), f"nothing uses {'.'.join(place)}"


def test_every_value_of_the_first_two_levels_is_explained() -> None:
    lines = (CHART / "values.yaml").read_text("utf-8").splitlines()
    for number, line in enumerate(lines):
        if re.match(r"^[a-z][A-Za-z]*:", line) and line.split(":")[0] not in {"global", "images", "secrets"}:
            inside = lines[number + 1] if number + 1 < len(lines) else ""
            explained = lines[number - 1].startswith("#") or inside.lstrip().startswith("#")
            assert explained, f"{line} is not explained"


def test_the_schema_knows_every_default(helm: Helm) -> None:
    helm.render(deepcopy(DEFAULTS))


def test_notes_name_every_stand_in(helm: Helm) -> None:
    made: Any = helm.order("install", release_name="haechi", chart_path=str(CHART), values={}, wait=False, timeout=60)
    notes = made["info"]["notes"]
    for stand_in in ("PostgreSQL pod", "Redis pod", "Qdrant pod", "no model writes"):
        assert stand_in in notes
