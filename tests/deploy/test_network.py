"""What pods can reach under a profile's NetworkPolicies, computed as Kubernetes would, and compared with one table."""

from collections.abc import Callable

import pytest

from tests.deploy.policies import Object, of_kind, pod_of, selects

Rendered = Callable[[str], list[Object]]

CHANNELS = ("slack", "teams-worker")
WORKERS = ("worker-housekeeping", "worker-ingest", "worker-evaluate")
NEEDED: dict[str, set[tuple[str, str, int]]] = {
    "default": {
        ("gateway", "llm-service", 8081),
        ("gateway", "rasa", 5005),
        ("gateway", "redis", 6379),
        ("rasa", "actions", 8082),
        ("rasa", "redis", 6379),
        ("llm-service", "postgresql", 5432),
        ("llm-service", "redis", 6379),
        ("llm-service", "qdrant", 6333),
        ("console", "llm-service", 8081),
        ("console", "postgresql", 5432),
        ("migrate", "postgresql", 5432),
        ("ask-test", "gateway", 8080),
        *((worker, "llm-service", 8081) for worker in WORKERS),
        *((worker, "postgresql", 5432) for worker in WORKERS),
        *((worker, "redis", 6379) for worker in WORKERS),
        *((worker, "qdrant", 6333) for worker in WORKERS),
    },
    "ha": {
        ("gateway", "llm-service", 8081),
        ("gateway", "rasa", 5005),
        ("rasa", "actions", 8082),
        ("console", "llm-service", 8081),
        ("ask-test", "gateway", 8080),
        *((channel, part, port) for channel in CHANNELS for part, port in (("llm-service", 8081), ("rasa", 5005))),
        *((worker, "llm-service", 8081) for worker in WORKERS),
        *((asker, model, 8000) for asker in ("llm-service", *WORKERS) for model in ("model-0", "model-1")),
    },
}
"""Who opens connections to whom. Everything else is denied."""

OUTSIDE: dict[str, dict[str, set[tuple[str, int]]]] = {
    "default": {},
    "ha": {
        "gateway": {("10.20.0.11/32", 6379)},
        "rasa": {("10.20.0.11/32", 6379)},
        "llm-service": {("10.20.0.10/32", 5432), ("10.20.0.11/32", 6379), ("10.20.0.12/32", 6333)},
        "console": {("10.20.0.10/32", 5432), ("10.30.0.5/32", 443)},
        "migrate": {("10.20.0.10/32", 5432)},
        **{part: {("10.20.0.11/32", 6379), ("10.40.0.8/32", 3128)} for part in (*CHANNELS, "teams-door")},
        **{worker: {("10.20.0.10/32", 5432), ("10.20.0.11/32", 6379), ("10.20.0.12/32", 6333)} for worker in WORKERS},
    },
}


def components(objects: list[Object]) -> dict[str, Object]:
    """Labels of each component's pods."""
    workloads = of_kind(objects, "Deployment", "StatefulSet", "Job", "Pod")
    made = [pod_of(item)["metadata"]["labels"] for item in workloads]
    return {labels["app.kubernetes.io/component"]: labels for labels in made}


def ports_of(objects: list[Object]) -> dict[str, set[int]]:
    """Ports that each component's containers open."""
    opened = {}
    for item in of_kind(objects, "Deployment", "StatefulSet"):
        pod = pod_of(item)
        numbers = {port["containerPort"] for each in pod["spec"]["containers"] for port in each.get("ports", [])}
        opened[pod["metadata"]["labels"]["app.kubernetes.io/component"]] = numbers
    return opened


def applying(objects: list[Object], labels: Object, direction: str) -> list[Object]:
    return [
        policy["spec"]
        for policy in of_kind(objects, "NetworkPolicy")
        if direction in policy["spec"]["policyTypes"]
        and selects(policy["spec"]["podSelector"].get("matchLabels", {}), labels)
    ]


def lets_through(specs: list[Object], direction: str, other: Object, port: int) -> bool:
    """A pod that no policy selects is open to all; one that is selected is open to what any of its policies names."""
    if not specs:
        return True
    peers_in = "from" if direction == "ingress" else "to"
    for spec in specs:
        for flow in spec.get(direction) or []:
            ports = flow.get("ports")
            if ports and port not in {each["port"] for each in ports}:
                continue
            if peers_in not in flow or any(_is_peer(peer, other) for peer in flow[peers_in]):
                return True
    return False


def _is_peer(peer: Object, labels: Object) -> bool:
    """Whether a pod of the same namespace is meant; a peer of other namespaces or addresses is not."""
    if "namespaceSelector" in peer or "ipBlock" in peer:
        return False
    return selects(peer["podSelector"].get("matchLabels", {}), labels)


def reachable(objects: list[Object]) -> set[tuple[str, str, int]]:
    known, ports = components(objects), ports_of(objects)
    found = set()
    for asker, labels in known.items():
        for asked, numbers in ports.items():
            for port in numbers:
                out = lets_through(applying(objects, labels, "Egress"), "egress", known[asked], port)
                into = lets_through(applying(objects, known[asked], "Ingress"), "ingress", labels, port)
                if asker != asked and out and into:
                    found.add((asker, asked, port))
    return found


@pytest.mark.parametrize("profile", NEEDED)
def test_pods_reach_what_they_need_and_nothing_else(rendered: Rendered, profile: str) -> None:
    assert reachable(rendered(profile)) == NEEDED[profile]


@pytest.mark.parametrize("profile", OUTSIDE)
def test_addresses_outside_are_the_named_ones(rendered: Rendered, profile: str) -> None:
    objects = rendered(profile)
    found: dict[str, set[tuple[str, int]]] = {}
    for component, labels in components(objects).items():
        for spec in applying(objects, labels, "Egress"):
            for flow in spec.get("egress") or []:
                for peer in flow["to"]:
                    if "ipBlock" in peer:
                        address = (peer["ipBlock"]["cidr"], flow["ports"][0]["port"])
                        found.setdefault(component, set()).add(address)
    assert found == OUTSIDE[profile]


@pytest.mark.parametrize("profile", ["default", "minimal", "cpu", "gpu", "ha", "airgap"])
def test_every_pod_is_denied_everything_first(rendered: Rendered, profile: str) -> None:
    objects = rendered(profile)
    for component, labels in components(objects).items():
        for direction in ("Ingress", "Egress"):
            assert applying(objects, labels, direction), f"{component} is open: {direction}"


@pytest.mark.parametrize(
    ("profile", "doors"),
    [
        ("default", {"gateway", "console"}),
        ("gpu", {"gateway", "console"}),
        ("ha", {"gateway", "console", "teams-door"}),
    ],
)
def test_only_doors_are_open_to_the_ingress_controller(rendered: Rendered, profile: str, doors: set[str]) -> None:
    objects = rendered(profile)
    open_to_people = {
        component
        for component, labels in components(objects).items()
        for spec in applying(objects, labels, "Ingress")
        for flow in spec.get("ingress") or []
        if any("ingress-nginx" in str(peer) for peer in flow["from"])
    }
    assert open_to_people == doors


def a_policy_is_gone(objects: list[Object]) -> None:
    objects.remove(policy(objects, "llm-service"))


def the_first_policy_is_gone(objects: list[Object]) -> None:
    for component in ("deny-all", "actions"):
        objects.remove(policy(objects, component))
    policy(objects, "console")["spec"]["egress"].append({"to": [{"podSelector": {}}]})


def the_console_talks_to_rasa(objects: list[Object]) -> None:
    everybody: list[Object] = [{"podSelector": {}}]
    policy(objects, "console")["spec"]["egress"].append({"to": everybody})
    policy(objects, "rasa")["spec"]["ingress"].append({"from": everybody})


def a_port_is_left_open(objects: list[Object]) -> None:
    for flow in policy(objects, "gateway")["spec"]["egress"]:
        flow.pop("ports")
    for flow in policy(objects, "rasa")["spec"]["ingress"]:
        flow["ports"][0]["port"] = 8081


@pytest.mark.parametrize(
    "fault", [a_policy_is_gone, the_first_policy_is_gone, the_console_talks_to_rasa, a_port_is_left_open]
)
def test_a_fault_changes_what_is_reachable(rendered: Rendered, fault: Callable[[list[Object]], None]) -> None:
    objects = rendered("ha")
    fault(objects)
    assert reachable(objects) != NEEDED["ha"]


def policy(objects: list[Object], component: str) -> Object:
    return next(item for item in of_kind(objects, "NetworkPolicy") if item["metadata"]["name"] == f"haechi-{component}")
