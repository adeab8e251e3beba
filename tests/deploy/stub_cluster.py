"""A Kubernetes API server as far as Helm's client needs one: it keeps objects by path and lets every wait succeed.

A stand-in, since no cluster runs here. It knows no schemas, no admission and no controllers: what a real server would
refuse is the business of the policy tests and of the published schemas.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, Final
from urllib.parse import parse_qs, urlsplit

Object = dict[str, Any]

# Group and version, kind, plural, whether it belongs to a namespace.
KINDS: Final = (
    ("v1", "ServiceAccount", "serviceaccounts", True),
    ("v1", "Service", "services", True),
    ("v1", "ConfigMap", "configmaps", True),
    ("v1", "Secret", "secrets", True),
    ("v1", "Pod", "pods", True),
    ("v1", "PersistentVolumeClaim", "persistentvolumeclaims", True),
    ("v1", "Namespace", "namespaces", False),
    ("apps/v1", "Deployment", "deployments", True),
    ("apps/v1", "ReplicaSet", "replicasets", True),
    ("apps/v1", "StatefulSet", "statefulsets", True),
    ("batch/v1", "Job", "jobs", True),
    ("batch/v1", "CronJob", "cronjobs", True),
    ("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets", True),
    ("autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers", True),
    ("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies", True),
    ("networking.k8s.io/v1", "Ingress", "ingresses", True),
    ("scheduling.k8s.io/v1", "PriorityClass", "priorityclasses", False),
    ("monitoring.coreos.com/v1", "ServiceMonitor", "servicemonitors", True),
    ("monitoring.coreos.com/v1", "PodMonitor", "podmonitors", True),
    ("monitoring.coreos.com/v1", "PrometheusRule", "prometheusrules", True),
    ("keda.sh/v1alpha1", "ScaledObject", "scaledobjects", True),
    ("keda.sh/v1alpha1", "TriggerAuthentication", "triggerauthentications", True),
    ("external-secrets.io/v1", "ExternalSecret", "externalsecrets", True),
)
WATCH_SECONDS: Final = 5
VERSION: Final = {"major": "1", "minor": "34", "gitVersion": "v1.34.0"}


@dataclass
class StubCluster:
    """Its objects by path, and every change that was asked of it, in order."""

    url: str = ""
    objects: dict[str, Object] = field(default_factory=dict)
    changes: list[tuple[str, str]] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)

    @property
    def kubeconfig(self) -> str:
        """As lines: a document on one line would be taken for a file's name."""
        return "\n".join(
            (
                "apiVersion: v1",
                "kind: Config",
                "current-context: stub",
                f"clusters: [{{name: stub, cluster: {{server: '{self.url}'}}}}]",
                "users: [{name: stub, user: {}}]",
                "contexts: [{name: stub, context: {cluster: stub, user: stub, namespace: bank}}]",
                "",
            )
        )

    def of_kind(self, kind: str) -> list[Object]:
        return [kept for kept in self.objects.values() if kept["kind"] == kind]


@contextmanager
def run_stub_cluster() -> Iterator[StubCluster]:
    cluster = StubCluster()
    handler = type("Handler", (_Handler,), {"cluster": cluster})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    cluster.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield cluster
    finally:
        cluster.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # An answer leaves in one piece: in two, each would wait for the other side's delayed acknowledgement.
    wbufsize = -1
    disable_nagle_algorithm = True
    cluster: ClassVar[StubCluster]

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing is printed."""

    def do_GET(self) -> None:
        path, query = self._asked()
        if (discovered := _discovery(path)) is not None:
            self._answer(200, discovered)
        elif path in self.cluster.objects:
            self._answer(200, self.cluster.objects[path])
        elif "watch" in query:
            self._watch(path, query)
        elif (listed := self._list(path)) is not None:
            self._answer(200, listed)
        else:
            self._not_found()

    def do_POST(self) -> None:
        path, _ = self._asked()
        made = self._body()
        kept = f"{path}/{made['metadata']['name']}"
        if kept in self.cluster.objects:
            self._answer(409, _status(409, "AlreadyExists"))
            return
        self._keep(kept, made, "create")
        self._answer(201, self.cluster.objects[kept])

    def do_PUT(self) -> None:
        path, _ = self._asked()
        self._keep(path, self._body(), "replace")
        self._answer(200, self.cluster.objects[path])

    def do_PATCH(self) -> None:
        path, _ = self._asked()
        change = self._body()
        if path not in self.cluster.objects:
            self._not_found()
            return
        self._keep(path, _merged(self.cluster.objects[path], change), "patch")
        self._answer(200, self.cluster.objects[path])

    def do_DELETE(self) -> None:
        path, _ = self._asked()
        self._body()
        if path not in self.cluster.objects:
            self._not_found()
            return
        self.cluster.changes.append(("delete", path))
        del self.cluster.objects[path]
        self._answer(200, _status(200, ""))

    def _asked(self) -> tuple[str, dict[str, list[str]]]:
        parts = urlsplit(self.path)
        return parts.path, parse_qs(parts.query)

    def _body(self) -> Object:
        length = int(self.headers.get("Content-Length") or 0)
        content = self.rfile.read(length)
        if not content:
            return {}
        loaded: Object = json.loads(content)
        return loaded

    def _keep(self, path: str, kept: Object, change: str) -> None:
        if "/namespaces/" in path:
            kept["metadata"].setdefault("namespace", "bank")
        kept["metadata"]["uid"] = f"uid-{len(self.cluster.changes)}"
        kept["metadata"]["resourceVersion"] = str(len(self.cluster.changes) + 1)
        kept["metadata"].setdefault("generation", 1)
        kept["status"] = _ended_well(kept)
        self.cluster.objects[path] = kept
        self.cluster.changes.append((change, path))

    def _list(self, path: str) -> Object | None:
        kind = next((known for known in KINDS if path.endswith(f"/{known[2]}")), None)
        if kind is None:
            return None
        items = [kept for place, kept in self.cluster.objects.items() if place.rpartition("/")[0] == path]
        return {
            "apiVersion": kind[0],
            "kind": f"{kind[1]}List",
            "metadata": {"resourceVersion": str(len(self.cluster.changes) + 1)},
            "items": items,
        }

    def _watch(self, path: str, query: dict[str, list[str]]) -> None:
        """What is there now, then the bookmark that says so; the connection then ends and the client asks again."""
        kind = next(known for known in KINDS if path.endswith(f"/{known[2]}"))
        name = query.get("fieldSelector", [""])[0].removeprefix("metadata.name=")
        shown = [
            kept
            for place, kept in self.cluster.objects.items()
            if place == f"{path}/{name}" or (not name and place.rpartition("/")[0] == path)
        ]
        events = [{"type": "ADDED", "object": kept} for kept in shown]
        mark = {
            "apiVersion": kind[0],
            "kind": kind[1],
            "metadata": {
                "resourceVersion": str(len(self.cluster.changes) + 1),
                "annotations": {"k8s.io/initial-events-end": "true"},
            },
        }
        events.append({"type": "BOOKMARK", "object": mark})
        content = b"".join(json.dumps(event).encode() + b"\n" for event in events)
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)
        self.wfile.flush()
        self.close_connection = True
        self.cluster.closing.wait(WATCH_SECONDS)

    def _answer(self, status: int, answer: Object) -> None:
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _not_found(self) -> None:
        self._answer(404, _status(404, "NotFound"))


def _status(code: int, reason: str) -> Object:
    outcome = "Success" if code == 200 else "Failure"
    return {"apiVersion": "v1", "kind": "Status", "status": outcome, "reason": reason, "code": code}


def _discovery(path: str) -> Object | None:
    groups = sorted({known[0] for known in KINDS if "/" in known[0]})
    if path == "/version":
        return dict(VERSION)
    if path == "/api":
        return {"kind": "APIVersions", "versions": ["v1"]}
    if path == "/apis":
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(version) for version in groups]}
    if path == "/openapi/v3":
        places = {("api/v1" if version == "v1" else f"apis/{version}") for version, *_ in KINDS}
        return {"paths": {place: {"serverRelativeURL": f"/openapi/v3/{place}"} for place in sorted(places)}}
    if path.startswith("/openapi/v3/"):
        return _openapi(path.removeprefix("/openapi/v3/"))
    version = path.removeprefix("/apis/") if path.startswith("/apis/") else path.removeprefix("/api/")
    kinds = [known for known in KINDS if known[0] == version]
    if not kinds:
        return None
    resources = [
        {"name": plural, "singularName": "", "namespaced": spaced, "kind": kind, "verbs": ["create", "get", "patch"]}
        for _, kind, plural, spaced in kinds
    ]
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": resources}


def _group(version: str) -> Object:
    name, _, number = version.partition("/")
    known = {"groupVersion": version, "version": number}
    return {"name": name, "versions": [known], "preferredVersion": known}


def _openapi(place: str) -> Object:
    """Of each kind the one operation that Helm looks for: that a change may name its own validation."""
    version = "v1" if place == "api/v1" else place.removeprefix("apis/")
    group, _, number = version.rpartition("/")
    paths = {}
    for known, kind, plural, _ in KINDS:
        if known == version:
            paths[f"/{place}/{plural}/{{name}}"] = {
                "patch": {
                    "parameters": [{"name": "fieldValidation", "in": "query"}],
                    "x-kubernetes-group-version-kind": {"group": group, "version": number, "kind": kind},
                }
            }
    return {"openapi": "3.0.0", "info": {"title": "stub", "version": "v1"}, "paths": paths}


def _ended_well(kept: Object) -> Object:
    replicas = kept.get("spec", {}).get("replicas", 1)
    done = {"type": "Complete", "status": "True"}
    ended: dict[str, Object] = {
        "Job": {"succeeded": 1, "conditions": [done], "completionTime": "2026-01-01T00:00:00Z"},
        "Pod": {"phase": "Succeeded", "conditions": [{"type": "Ready", "status": "True"}]},
        "Deployment": {
            "observedGeneration": 1,
            "replicas": replicas,
            "updatedReplicas": replicas,
            "readyReplicas": replicas,
            "availableReplicas": replicas,
            "conditions": [
                {"type": "Available", "status": "True"},
                {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"},
            ],
        },
        "StatefulSet": {
            "observedGeneration": 1,
            "replicas": replicas,
            "readyReplicas": replicas,
            "currentReplicas": replicas,
            "updatedReplicas": replicas,
        },
        "PersistentVolumeClaim": {"phase": "Bound"},
    }
    return ended.get(kept.get("kind", ""), {})


def _merged(before: Object, change: Object) -> Object:
    """RFC 7396's merge, which for these tests is near enough to a strategic one: lists are replaced whole."""
    merged = dict(before)
    for name, value in change.items():
        if value is None:
            merged.pop(name, None)
        elif isinstance(value, dict) and isinstance(merged.get(name), dict):
            merged[name] = _merged(merged[name], value)
        else:
            merged[name] = value
    return merged
