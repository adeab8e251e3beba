"""What an API server, PodSecurity "restricted" and a careful platform team ask of rendered objects; a rule each.

A rule takes all objects of a render, hooks and tests included, and says in a sentence what is wrong with which. It
knows nothing of the chart's values. Sources: Kubernetes' API reference, its Pod Security Standards ("restricted").
"""

import base64
import binascii
import ipaddress
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from typing import Any, Final

Object = dict[str, Any]
Rule = Callable[[list[Object]], Iterable[str]]
RULES: Final[dict[str, Rule]] = {}

WORKLOADS: Final = ("Deployment", "StatefulSet", "Job", "CronJob", "Pod")
LONG_RUNNING: Final = ("Deployment", "StatefulSet")
QUANTITY: Final = re.compile(r"^(\d+(?:\.\d+)?)(m|k|M|G|T|Ki|Mi|Gi|Ti)?$")
FACTORS: Final = {
    None: Decimal(1),
    "m": Decimal("0.001"),
    "k": Decimal(10**3),
    "M": Decimal(10**6),
    "G": Decimal(10**9),
    "T": Decimal(10**12),
    "Ki": Decimal(2**10),
    "Mi": Decimal(2**20),
    "Gi": Decimal(2**30),
    "Ti": Decimal(2**40),
}
ALLOWED_VOLUMES: Final = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}
"""Volumes that PodSecurity "restricted" allows."""
SECRET_NAMES: Final = re.compile(r"(PASSWORD|SECRET|TOKEN|_KEY|_KEYS)$")
CRON: Final = re.compile(r"^(\S+\s+){4}\S+$")


def rule(check: Rule) -> Rule:
    RULES[check.__name__] = check
    return check


def name_of(item: Object) -> str:
    return f"{item['kind']}/{item['metadata']['name']}"


def of_kind(objects: list[Object], *kinds: str) -> list[Object]:
    return [item for item in objects if item["kind"] in kinds]


def pod_of(item: Object) -> Object:
    """The pod's own part of a workload: metadata and spec."""
    if item["kind"] == "Pod":
        return item
    if item["kind"] == "CronJob":
        item = item["spec"]["jobTemplate"]
    pod: Object = item["spec"]["template"]
    return pod


def pods(objects: list[Object]) -> Iterator[tuple[str, Object, Object]]:
    """Each workload's name, its pod's metadata and its pod's specification."""
    for item in of_kind(objects, *WORKLOADS):
        pod = pod_of(item)
        yield name_of(item), pod["metadata"], pod["spec"]


def containers(objects: list[Object]) -> Iterator[tuple[str, Object, Object]]:
    """Each container with its workload's name and its pod's specification, init containers included."""
    for name, _, spec in pods(objects):
        for container in [*spec.get("initContainers", []), *spec["containers"]]:
            yield f"{name}:{container['name']}", container, spec


def selects(selector: Object, labels: Object) -> bool:
    return all(labels.get(key) == value for key, value in selector.items())


def amount(quantity: object) -> Decimal | None:
    matched = QUANTITY.match(str(quantity))
    return Decimal(matched[1]) * FACTORS[matched[2]] if matched else None


@rule
def selectors_match_their_templates(objects: list[Object]) -> Iterator[str]:
    for item in of_kind(objects, *LONG_RUNNING):
        if not selects(item["spec"]["selector"]["matchLabels"], pod_of(item)["metadata"]["labels"]):
            yield f"{name_of(item)} selects pods that its template does not make"


@rule
def port_names_are_short(objects: list[Object]) -> Iterator[str]:
    for name, container, _ in containers(objects):
        for port in container.get("ports", []):
            if len(port.get("name", "")) > 15:
                yield f"{name} names a port with more than 15 characters"


@rule
def requests_are_within_limits(objects: list[Object]) -> Iterator[str]:
    for name, container, _ in containers(objects):
        resources = container.get("resources", {})
        for kind, asked in resources.get("requests", {}).items():
            limit = resources.get("limits", {}).get(kind)
            if limit is not None and (amount(asked) or 0) > (amount(limit) or 0):
                yield f"{name} requests more {kind} than its limit"


@rule
def quantities_parse(objects: list[Object]) -> Iterator[str]:
    for name, container, spec in containers(objects):
        resources = container.get("resources", {})
        named = [*resources.get("requests", {}).values(), *resources.get("limits", {}).values()]
        named += [volume["emptyDir"]["sizeLimit"] for volume in spec.get("volumes", []) if volume.get("emptyDir")]
        for quantity in named:
            if amount(quantity) is None:
                yield f"{name} names the quantity {quantity!r}"


@rule
def mounts_have_volumes(objects: list[Object]) -> Iterator[str]:
    claims = {item["metadata"]["name"]: item for item in of_kind(objects, "StatefulSet")}
    for name, container, spec in containers(objects):
        known = {volume["name"] for volume in spec.get("volumes", [])}
        workload = name.split(":")[0].removeprefix("StatefulSet/")
        if workload in claims:
            known |= {claim["metadata"]["name"] for claim in claims[workload]["spec"]["volumeClaimTemplates"]}
        for mount in container.get("volumeMounts", []):
            if mount["name"] not in known:
                yield f"{name} mounts {mount['name']}, which is no volume of its pod"


@rule
def names_and_labels_are_at_most_63_long(objects: list[Object]) -> Iterator[str]:
    for item in objects:
        labels = list(item["metadata"].get("labels", {}).values())
        if item["kind"] in WORKLOADS:
            labels += list(pod_of(item)["metadata"].get("labels", {}).values())
        if any(len(text) > 63 for text in [item["metadata"]["name"], *labels]):
            yield f"{name_of(item)} has a name or label of more than 63 characters"


@rule
def protocols_are_upper_case(objects: list[Object]) -> Iterator[str]:
    for name, container, _ in containers(objects):
        for port in container.get("ports", []):
            if port.get("protocol", "TCP") not in {"TCP", "UDP", "SCTP"}:
                yield f"{name} names the protocol {port['protocol']!r}"


@rule
def address_ranges_parse_and_are_not_everything(objects: list[Object]) -> Iterator[str]:
    for item in of_kind(objects, "NetworkPolicy"):
        spec = item["spec"]
        peers = [peer for flow in spec.get("ingress") or [] for peer in flow.get("from") or []]
        peers += [peer for flow in spec.get("egress") or [] for peer in flow.get("to") or []]
        for peer in peers:
            if "ipBlock" not in peer:
                continue
            try:
                network = ipaddress.ip_network(peer["ipBlock"]["cidr"])
            except ValueError:
                yield f"{name_of(item)} names the range {peer['ipBlock']['cidr']!r}"
                continue
            if network.prefixlen == 0:
                yield f"{name_of(item)} lets everything through"


@rule
def probes_have_one_handler(objects: list[Object]) -> Iterator[str]:
    for name, container, _ in containers(objects):
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            handlers = {"httpGet", "exec", "tcpSocket", "grpc"} & set(container.get(probe, {}))
            if probe in container and len(handlers) != 1:
                yield f"{name} has {len(handlers)} handlers in its {probe}"


@rule
def schedules_are_valid(objects: list[Object]) -> Iterator[str]:
    for item in of_kind(objects, "CronJob"):
        if not CRON.match(item["spec"]["schedule"]):
            yield f"{name_of(item)} has the schedule {item['spec']['schedule']!r}"


@rule
def budgets_say_one_thing_and_allow_something(objects: list[Object]) -> Iterator[str]:
    for item in of_kind(objects, "PodDisruptionBudget"):
        said = {"minAvailable", "maxUnavailable"} & set(item["spec"])
        if len(said) != 1:
            yield f"{name_of(item)} says {sorted(said) or 'nothing'}"
        if item["spec"].get("minAvailable") == 0 or item["spec"].get("maxUnavailable") == 0:
            yield f"{name_of(item)} protects nothing, or lets no node be emptied"


@rule
def devices_are_requested_as_they_are_limited(objects: list[Object]) -> Iterator[str]:
    for name, container, _ in containers(objects):
        resources = container.get("resources", {})
        asked = {kind: str(number) for kind, number in resources.get("requests", {}).items() if "/" in kind}
        limited = {kind: str(number) for kind, number in resources.get("limits", {}).items() if "/" in kind}
        if asked != limited:
            yield f"{name} requests devices other than its limits"


@rule
def autoscalers_grow_upwards(objects: list[Object]) -> Iterator[str]:
    for item in of_kind(objects, "HorizontalPodAutoscaler"):
        if item["spec"]["minReplicas"] > item["spec"]["maxReplicas"]:
            yield f"{name_of(item)} has a smallest number above its largest"


@rule
def secrets_are_base64(objects: list[Object]) -> Iterator[str]:
    for item in of_kind(objects, "Secret"):
        for key, value in item.get("data", {}).items():
            try:
                base64.b64decode(value, validate=True)
            except binascii.Error:
                yield f"{name_of(item)} holds {key} not in base64"


@rule
def jobs_do_not_restart_for_ever(objects: list[Object]) -> Iterator[str]:
    for item in of_kind(objects, "Job", "CronJob", "Pod"):
        if pod_of(item)["spec"].get("restartPolicy") not in {"Never", "OnFailure"}:
            yield f"{name_of(item)} would be restarted for ever"


@rule
def jobs_have_a_deadline(objects: list[Object]) -> Iterator[str]:
    for item in of_kind(objects, "Job", "Pod"):
        if "activeDeadlineSeconds" not in item["spec"]:
            yield f"{name_of(item)} may run for ever"


@rule
def services_lead_to_pods_and_ports(objects: list[Object]) -> Iterator[str]:
    templates = [(metadata, spec) for _, metadata, spec in pods(objects)]
    for item in of_kind(objects, "Service"):
        hit = [spec for metadata, spec in templates if selects(item["spec"]["selector"], metadata.get("labels", {}))]
        names = {
            port["name"] for spec in hit for container in spec["containers"] for port in container.get("ports", [])
        }
        for port in item["spec"]["ports"]:
            if port["targetPort"] not in names:
                yield f"{name_of(item)} leads to the port {port['targetPort']!r}, which no pod has"


@rule
def one_service_leads_to_one_workload(objects: list[Object]) -> Iterator[str]:
    templates = [(name, metadata) for name, metadata, _ in pods(objects)]
    for item in of_kind(objects, "Service"):
        hit = [name for name, metadata in templates if selects(item["spec"]["selector"], metadata.get("labels", {}))]
        if len(hit) != 1:
            yield f"{name_of(item)} leads to {len(hit)} workloads"


@rule
def budgets_and_monitors_select_something(objects: list[Object]) -> Iterator[str]:
    made = [metadata.get("labels", {}) for _, metadata, _ in pods(objects)]
    offered = [item["metadata"]["labels"] for item in of_kind(objects, "Service")]
    for item in of_kind(objects, "PodDisruptionBudget", "PodMonitor", "ServiceMonitor"):
        among = offered if item["kind"] == "ServiceMonitor" else made
        if not any(selects(item["spec"]["selector"]["matchLabels"], labels) for labels in among):
            yield f"{name_of(item)} selects nothing"


@rule
def monitors_read_ports_that_are_there(objects: list[Object]) -> Iterator[str]:
    for item in of_kind(objects, "ServiceMonitor"):
        selector = item["spec"]["selector"]["matchLabels"]
        services = [each for each in of_kind(objects, "Service") if selects(selector, each["metadata"]["labels"])]
        names = {port["name"] for each in services for port in each["spec"]["ports"]}
        for endpoint in item["spec"]["endpoints"]:
            if endpoint["port"] not in names:
                yield f"{name_of(item)} reads the port {endpoint['port']!r}, which no service has"


@rule
def autoscalers_and_ingresses_name_what_is_there(objects: list[Object]) -> Iterator[str]:
    deployments = {item["metadata"]["name"] for item in of_kind(objects, "Deployment")}
    services = {
        item["metadata"]["name"]: {port["name"] for port in item["spec"]["ports"]}
        for item in of_kind(objects, "Service")
    }
    for item in of_kind(objects, "HorizontalPodAutoscaler", "ScaledObject"):
        if item["spec"]["scaleTargetRef"]["name"] not in deployments:
            yield f"{name_of(item)} scales what is not there"
    for item in of_kind(objects, "Ingress"):
        for way in (path for each in item["spec"]["rules"] for path in each["http"]["paths"]):
            service = way["backend"]["service"]
            if service["port"]["name"] not in services.get(service["name"], set()):
                yield f"{name_of(item)} leads to a service or port that is not there"


@rule
def no_variable_is_set_twice(objects: list[Object]) -> Iterator[str]:
    for name, container, _ in containers(objects):
        counted = Counter(variable["name"] for variable in container.get("env", []))
        for variable in (variable for variable, times in counted.items() if times > 1):
            yield f"{name} sets {variable} twice"


@rule
def pods_fit_restricted(objects: list[Object]) -> Iterator[str]:
    """Kubernetes' Pod Security Standards, "restricted", as they stand for 1.34."""
    for name, _, spec in pods(objects):
        yield from (f"{name} {problem}" for problem in restricted_problems(spec))


def restricted_problems(spec: Object) -> Iterator[str]:
    whole = spec.get("securityContext", {})
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(field):
            yield f"uses {field}"
    for volume in spec.get("volumes", []):
        if not ALLOWED_VOLUMES & set(volume):
            yield f"has the volume {volume['name']} of a kind that is not allowed"
    if whole.get("sysctls"):
        yield "sets sysctls"
    for container in [*spec.get("initContainers", []), *spec["containers"]]:
        own = {**whole, **container.get("securityContext", {})}
        if not own.get("runAsNonRoot"):
            yield f"lets {container['name']} run as root"
        if own.get("runAsUser") == 0:
            yield f"runs {container['name']} as user 0"
        if own.get("allowPrivilegeEscalation") is not False:
            yield f"lets {container['name']} gain privileges"
        if own.get("privileged"):
            yield f"runs {container['name']} privileged"
        capabilities = own.get("capabilities", {})
        if "ALL" not in capabilities.get("drop", []) or set(capabilities.get("add", [])) - {"NET_BIND_SERVICE"}:
            yield f"leaves {container['name']} capabilities"
        if own.get("seccompProfile", {}).get("type") not in {"RuntimeDefault", "Localhost"}:
            yield f"gives {container['name']} no seccomp profile"
        if any(port.get("hostPort") for port in container.get("ports", [])):
            yield f"opens a port of the node for {container['name']}"


@rule
def containers_cannot_write_their_image(objects: list[Object]) -> Iterator[str]:
    for name, container, _ in containers(objects):
        if not container.get("securityContext", {}).get("readOnlyRootFilesystem"):
            yield f"{name} can write to its image"


@rule
def devices_come_with_a_place(objects: list[Object]) -> Iterator[str]:
    for name, container, spec in containers(objects):
        if any("/" in kind for kind in container.get("resources", {}).get("limits", {})) and not (
            spec.get("nodeSelector") and spec.get("tolerations")
        ):
            yield f"{name} asks for a device without node selector and toleration"


@rule
def long_running_pods_have_probes(objects: list[Object]) -> Iterator[str]:
    for item in of_kind(objects, *LONG_RUNNING):
        for container in pod_of(item)["spec"]["containers"]:
            missing = {"livenessProbe", "readinessProbe"} - set(container)
            if missing:
                yield f"{name_of(item)}:{container['name']} lacks {sorted(missing)}"


@rule
def every_container_says_what_it_needs(objects: list[Object]) -> Iterator[str]:
    for name, container, _ in containers(objects):
        resources = container.get("resources", {})
        if not {"cpu", "memory"} <= set(resources.get("requests", {})) or "memory" not in resources.get("limits", {}):
            yield f"{name} does not say what it needs and may use"


@rule
def no_pod_holds_a_token_of_the_cluster(objects: list[Object]) -> Iterator[str]:
    for name, _, spec in pods(objects):
        if spec.get("automountServiceAccountToken") is not False:
            yield f"{name} holds a token of the cluster"


@rule
def workloads_have_accounts_of_their_own(objects: list[Object]) -> Iterator[str]:
    known = {item["metadata"]["name"] for item in of_kind(objects, "ServiceAccount")}
    named = Counter(
        pod_of(item)["spec"].get("serviceAccountName", "")
        for item in of_kind(objects, "Deployment", "StatefulSet", "Job")
    )
    for account, times in named.items():
        if account not in known or times > 1:
            yield f"{times} workloads use the account {account!r}"


@rule
def nobody_has_rights_in_the_cluster(objects: list[Object]) -> Iterator[str]:
    for item in of_kind(objects, "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"):
        yield f"{name_of(item)} gives rights in the cluster"


@rule
def no_object_holds_a_secret(objects: list[Object]) -> Iterator[str]:
    for item in of_kind(objects, "Secret"):
        if item.get("data") or item.get("stringData"):
            yield f"{name_of(item)} holds a value"
    for name, container, _ in containers(objects):
        for variable in container.get("env", []):
            if SECRET_NAMES.search(variable["name"]) and variable.get("value"):
                yield f"{name} has {variable['name']} in plain sight"


@rule
def claims_and_configurations_are_there_or_named_by_the_bank(objects: list[Object]) -> Iterator[str]:
    made = {(item["kind"], item["metadata"]["name"]) for item in objects}
    for name, _, spec in pods(objects):
        for volume in spec.get("volumes", []):
            if "configMap" in volume and ("ConfigMap", volume["configMap"]["name"]) not in made:
                yield f"{name} mounts a ConfigMap that is not there"
            claim = volume.get("persistentVolumeClaim", {}).get("claimName")
            if claim and ("PersistentVolumeClaim", claim) not in made and claim != "haechi-models":
                yield f"{name} mounts a claim that is not there"


@rule
def replicas_are_said_once(objects: list[Object]) -> Iterator[str]:
    scaled = Counter(
        item["spec"]["scaleTargetRef"]["name"] for item in of_kind(objects, "HorizontalPodAutoscaler", "ScaledObject")
    )
    for item in of_kind(objects, "Deployment"):
        said = scaled[item["metadata"]["name"]] + ("replicas" in item["spec"])
        if said != 1:
            yield f"{name_of(item)} has its number of pods from {said} places"


@rule
def several_pods_have_a_budget(objects: list[Object]) -> Iterator[str]:
    budgets = [item["spec"]["selector"]["matchLabels"] for item in of_kind(objects, "PodDisruptionBudget")]
    scaled = {item["spec"]["scaleTargetRef"]["name"] for item in of_kind(objects, "HorizontalPodAutoscaler")}
    for item in of_kind(objects, "Deployment"):
        several = item["spec"].get("replicas", 1) > 1 or item["metadata"]["name"] in scaled
        labels = pod_of(item)["metadata"]["labels"]
        serves = any(container.get("ports") for container in pod_of(item)["spec"]["containers"])
        if several and serves and not any(selects(budget, labels) for budget in budgets):
            yield f"{name_of(item)} has several pods and no budget"


@rule
def nothing_is_reached_from_outside_but_through_an_ingress(objects: list[Object]) -> Iterator[str]:
    for item in of_kind(objects, "Service"):
        if item["spec"].get("type", "ClusterIP") != "ClusterIP":
            yield f"{name_of(item)} is reached from outside the cluster"
    for item in of_kind(objects, "Ingress"):
        hosts = {host for tls in item["spec"].get("tls", []) for host in tls["hosts"]}
        if {each["host"] for each in item["spec"]["rules"]} - hosts:
            yield f"{name_of(item)} is served without TLS"


@rule
def running_answers_may_end(objects: list[Object]) -> Iterator[str]:
    for item in of_kind(objects, "Deployment"):
        spec = pod_of(item)["spec"]
        for container in spec["containers"]:
            if container.get("ports") and not container.get("lifecycle", {}).get("preStop"):
                yield f"{name_of(item)} stops while others still send to it"
            waits = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
            if spec["terminationGracePeriodSeconds"] <= waits:
                yield f"{name_of(item)} is killed before it stops to wait"


@rule
def only_state_of_ours_is_in_stateful_sets(objects: list[Object]) -> Iterator[str]:
    for item in of_kind(objects, "StatefulSet"):
        component = item["metadata"]["labels"]["app.kubernetes.io/component"]
        if component not in {"postgresql", "redis", "qdrant"}:
            yield f"{name_of(item)} keeps no state of ours"
