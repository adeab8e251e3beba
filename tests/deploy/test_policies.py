"""Every profile's objects keep every rule, and every rule catches the fault it is there for."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.deploy.conftest import PROFILES
from tests.deploy.policies import RULES, Object, of_kind, pod_of, restricted_problems

Rendered = Callable[[str], list[Object]]
Change = Callable[[list[Object]], Any]


@pytest.mark.parametrize("profile", [*PROFILES, "long"])
@pytest.mark.parametrize("name", RULES)
def test_the_objects_of_a_profile_keep_the_rule(rendered: Rendered, profile: str, name: str) -> None:
    assert list(RULES[name](rendered(profile))) == []


def one(objects: list[Object], kind: str, component: str = "gateway") -> Object:
    return next(item for item in of_kind(objects, kind) if item["metadata"]["name"].endswith(component))


def container(objects: list[Object], kind: str = "Deployment", component: str = "gateway") -> Object:
    found: Object = pod_of(one(objects, kind, component))["spec"]["containers"][0]
    return found


def pod(objects: list[Object], kind: str = "Deployment", component: str = "gateway") -> Object:
    found: Object = pod_of(one(objects, kind, component))["spec"]
    return found


def secret(objects: list[Object], **data: str) -> None:
    objects.append({"kind": "Secret", "metadata": {"name": "made", "labels": {}}, "data": data})


FAULTS: list[tuple[str, str, Change]] = [
    (
        "selectors_match_their_templates",
        "ha",
        lambda o: one(o, "Deployment")["spec"]["selector"]["matchLabels"].update({"app.kubernetes.io/component": "x"}),
    ),
    ("port_names_are_short", "ha", lambda o: container(o)["ports"][0].update(name="a-port-with-a-long-name")),
    ("requests_are_within_limits", "ha", lambda o: container(o)["resources"]["requests"].update(memory="9Gi")),
    ("quantities_parse", "ha", lambda o: container(o)["resources"]["limits"].update(memory="256MB")),
    ("quantities_parse", "ha", lambda o: pod(o)["volumes"][1]["emptyDir"].update(sizeLimit="1 GB")),
    (
        "mounts_have_volumes",
        "ha",
        lambda o: container(o)["volumeMounts"].append({"name": "nowhere", "mountPath": "/x"}),
    ),
    ("names_and_labels_are_at_most_63_long", "ha", lambda o: one(o, "Deployment")["metadata"].update(name="x" * 64)),
    ("protocols_are_upper_case", "ha", lambda o: container(o)["ports"][0].update(protocol="tcp")),
    (
        "address_ranges_parse_and_are_not_everything",
        "ha",
        lambda o: one(o, "NetworkPolicy", "llm-service")["spec"]["egress"].append(
            {"to": [{"ipBlock": {"cidr": "10.0.0.300/8"}}]}
        ),
    ),
    (
        "address_ranges_parse_and_are_not_everything",
        "ha",
        lambda o: one(o, "NetworkPolicy", "llm-service")["spec"]["egress"].append(
            {"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]}
        ),
    ),
    ("probes_have_one_handler", "ha", lambda o: container(o)["livenessProbe"].update(exec={"command": ["true"]})),
    (
        "schedules_are_valid",
        "ha",
        lambda o: o.append({"kind": "CronJob", "metadata": {"name": "c", "labels": {}}, "spec": {"schedule": "daily"}}),
    ),
    (
        "budgets_say_one_thing_and_allow_something",
        "ha",
        lambda o: one(o, "PodDisruptionBudget")["spec"].update(minAvailable=1),
    ),
    (
        "budgets_say_one_thing_and_allow_something",
        "ha",
        lambda o: one(o, "PodDisruptionBudget")["spec"].update(maxUnavailable=0),
    ),
    (
        "devices_are_requested_as_they_are_limited",
        "gpu",
        lambda o: container(o, component="model-0")["resources"]["limits"].update({"nvidia.com/gpu": 2}),
    ),
    ("autoscalers_grow_upwards", "ha", lambda o: one(o, "HorizontalPodAutoscaler")["spec"].update(minReplicas=9)),
    ("secrets_are_base64", "ha", lambda o: secret(o, key="not base64!")),
    ("jobs_do_not_restart_for_ever", "ha", lambda o: pod(o, "Job", "migrate").update(restartPolicy="Always")),
    ("jobs_have_a_deadline", "ha", lambda o: one(o, "Job", "migrate")["spec"].pop("activeDeadlineSeconds")),
    (
        "services_lead_to_pods_and_ports",
        "ha",
        lambda o: one(o, "Service")["spec"]["ports"][0].update(targetPort="htpp"),
    ),
    (
        "one_service_leads_to_one_workload",
        "ha",
        lambda o: one(o, "Service")["spec"]["selector"].pop("app.kubernetes.io/component"),
    ),
    (
        "budgets_and_monitors_select_something",
        "ha",
        lambda o: one(o, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"].update(
            {"app.kubernetes.io/component": "x"}
        ),
    ),
    (
        "budgets_and_monitors_select_something",
        "ha",
        lambda o: one(o, "ServiceMonitor")["spec"]["selector"]["matchLabels"].update(
            {"app.kubernetes.io/component": "x"}
        ),
    ),
    (
        "monitors_read_ports_that_are_there",
        "ha",
        lambda o: one(o, "ServiceMonitor")["spec"]["endpoints"][0].update(port="metrics"),
    ),
    (
        "autoscalers_and_ingresses_name_what_is_there",
        "ha",
        lambda o: one(o, "HorizontalPodAutoscaler")["spec"]["scaleTargetRef"].update(name="x"),
    ),
    (
        "autoscalers_and_ingresses_name_what_is_there",
        "ha",
        lambda o: one(o, "Ingress")["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"].update(name="x"),
    ),
    ("no_variable_is_set_twice", "ha", lambda o: container(o)["env"].append(container(o)["env"][0])),
    ("pods_fit_restricted", "ha", lambda o: container(o)["securityContext"].update(allowPrivilegeEscalation=True)),
    (
        "containers_cannot_write_their_image",
        "ha",
        lambda o: container(o)["securityContext"].pop("readOnlyRootFilesystem"),
    ),
    ("devices_come_with_a_place", "gpu", lambda o: pod(o, component="model-0").pop("tolerations")),
    ("long_running_pods_have_probes", "ha", lambda o: container(o).pop("readinessProbe")),
    ("every_container_says_what_it_needs", "ha", lambda o: container(o)["resources"]["limits"].pop("memory")),
    (
        "no_pod_holds_a_token_of_the_cluster",
        "ha",
        lambda o: pod(o, "Pod", "ask-test").pop("automountServiceAccountToken"),
    ),
    ("workloads_have_accounts_of_their_own", "ha", lambda o: pod(o).update(serviceAccountName="default")),
    (
        "nobody_has_rights_in_the_cluster",
        "ha",
        lambda o: o.append({"kind": "Role", "metadata": {"name": "r", "labels": {}}}),
    ),
    ("no_object_holds_a_secret", "ha", lambda o: secret(o, key="dmFsdWU=")),
    (
        "no_object_holds_a_secret",
        "ha",
        lambda o: container(o)["env"].append({"name": "HAECHI_SERVICE_TOKEN", "value": "x"}),
    ),
    (
        "claims_and_configurations_are_there_or_named_by_the_bank",
        "ha",
        lambda o: o.remove(one(o, "PersistentVolumeClaim", "adapters")),
    ),
    ("replicas_are_said_once", "ha", lambda o: one(o, "Deployment")["spec"].update(replicas=2)),
    ("replicas_are_said_once", "ha", lambda o: one(o, "Deployment", "rasa")["spec"].pop("replicas")),
    ("several_pods_have_a_budget", "ha", lambda o: o.remove(one(o, "PodDisruptionBudget", "rasa"))),
    (
        "nothing_is_reached_from_outside_but_through_an_ingress",
        "ha",
        lambda o: one(o, "Service")["spec"].update(type="NodePort"),
    ),
    ("nothing_is_reached_from_outside_but_through_an_ingress", "ha", lambda o: one(o, "Ingress")["spec"].pop("tls")),
    ("running_answers_may_end", "ha", lambda o: container(o).pop("lifecycle")),
    ("running_answers_may_end", "ha", lambda o: pod(o).update(terminationGracePeriodSeconds=3)),
    (
        "only_state_of_ours_is_in_stateful_sets",
        "default",
        lambda o: one(o, "StatefulSet", "redis")["metadata"]["labels"].update(
            {"app.kubernetes.io/component": "gateway"}
        ),
    ),
]


@pytest.mark.parametrize(("name", "profile", "fault"), FAULTS)
def test_the_rule_catches_its_fault(rendered: Rendered, name: str, profile: str, fault: Change) -> None:
    objects = rendered(profile)
    fault(objects)
    assert list(RULES[name](objects)), "the fault went unseen"


def test_every_rule_is_proved_by_a_fault() -> None:
    assert {name for name, *_ in FAULTS} == set(RULES)


BAD_PODS: list[tuple[str, Object]] = [
    ("uses hostNetwork", {"hostNetwork": True}),
    ("uses hostPID", {"hostPID": True}),
    ("has the volume v of a kind", {"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}),
    ("sets sysctls", {"securityContext": {"sysctls": [{"name": "x"}]}}),
    ("lets c run as root", {"container": {"runAsNonRoot": False}}),
    ("runs c as user 0", {"container": {"runAsUser": 0}}),
    ("lets c gain privileges", {"container": {"allowPrivilegeEscalation": None}}),
    ("runs c privileged", {"container": {"privileged": True}}),
    ("leaves c capabilities", {"container": {"capabilities": {"drop": ["ALL"], "add": ["SYS_ADMIN"]}}}),
    ("gives c no seccomp profile", {"container": {"seccompProfile": {"type": "Unconfined"}}}),
]


@pytest.mark.parametrize(("problem", "change"), BAD_PODS)
def test_a_pod_that_restricted_refuses_is_known(problem: str, change: Object) -> None:
    fitting = {
        "runAsNonRoot": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert list(restricted_problems({"containers": [{"name": "c", "securityContext": fitting}]})) == []
    own = {**fitting, **change.pop("container", {})}
    told = list(restricted_problems({**change, "containers": [{"name": "c", "securityContext": own}]}))
    assert any(problem in said for said in told)
