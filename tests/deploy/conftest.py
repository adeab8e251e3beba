"""Helm's real engine on a stub of the cluster: every profile of the chart rendered once, hooks and tests included."""

import json
import os
import subprocess
import sys
import venv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.stub_cluster import StubCluster, run_stub_cluster

PROJECT = Path(__file__).resolve().parents[2]
CHART = PROJECT / "deploy" / "helm" / "haechi"
PROFILES = ("default", "minimal", "cpu", "gpu", "ha", "airgap")
LOCK = PROJECT / "locks" / "helm.txt"
TOOLS = PROJECT / ".setup" / "helm"
LONGEST_RELEASE_NAME = "a-release-whose-name-is-as-long-as-helm-lets-it-be-53"

Object = dict[str, Any]


class HelmRefused(Exception):
    """What Helm says why it refuses."""


@dataclass(frozen=True)
class Helm:
    """Orders to Helm's engine, which keeps its releases in memory."""

    cluster: StubCluster
    process: "subprocess.Popen[str]"

    def order(self, action: str, **arguments: object) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"action": action, **arguments}) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        if "error" in answer:
            raise HelmRefused(answer["error"])
        return answer.get("result")

    def install(self, values: Object, name: str = "haechi", *, wait: bool = True) -> list[Object]:
        """The objects of a new release: those of the manifest, then the hooks'."""
        made = self.order("install", release_name=name, chart_path=str(CHART), values=values, wait=wait, timeout=60)
        return objects_of(made)

    def render(self, values: Object, name: str = "haechi") -> list[Object]:
        """What an installation would bring, and away with it again."""
        try:
            return self.install(values, name, wait=False)
        finally:
            if any(name in path for path in self.cluster.objects):
                self.order("uninstall", release_name=name, wait=False)
                self.cluster.objects.clear()


def objects_of(release: Object) -> list[Object]:
    manifests = [release["manifest"], *(hook["manifest"] for hook in release.get("hooks", []))]
    return [item for manifest in manifests for item in yaml.safe_load_all(manifest) if item]


def profile_values(profile: str) -> Object:
    if profile == "default":
        return {}
    loaded: Object = yaml.safe_load((CHART / f"values-{profile}.yaml").read_text("utf-8"))
    return loaded


@pytest.fixture(scope="session")
def helm_python() -> Path:
    """The interpreter of an environment that holds Helm's engine, made when the lock changes."""
    python = TOOLS / "bin" / "python"
    stamp = TOOLS / ".stamp"
    wanted = f"{sys.version} {sha256(LOCK.read_bytes()).hexdigest()}"
    if not stamp.is_file() or stamp.read_text() != wanted:
        venv.create(TOOLS, clear=True, with_pip=True)
        options = [
            "--quiet",
            "--disable-pip-version-check",
            "--require-hashes",
            "--no-deps",
            "--ignore-requires-python",
        ]
        subprocess.run([python, "-m", "pip", "install", *options, "-r", LOCK], check=True, stderr=subprocess.DEVNULL)
        stamp.write_text(wanted)
    return python


@contextmanager
def run_helm(python: Path) -> Iterator[Helm]:
    """An engine of its own with a cluster of its own."""
    with run_stub_cluster() as cluster:
        process = subprocess.Popen(
            [python, Path(__file__).with_name("helm_engine.py")],
            env={**os.environ, "HELM_DRIVER": "memory"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        try:
            helm = Helm(cluster, process)
            helm.order("connect", namespace="bank", kubeconfig=cluster.kubeconfig)
            yield helm
        finally:
            process.communicate()


@pytest.fixture
def helm(helm_python: Path) -> Iterator[Helm]:
    with run_helm(helm_python) as running:
        yield running


@pytest.fixture(scope="session")
def rendered(helm_python: Path) -> Callable[[str], list[Object]]:
    """Objects of a profile, a copy for each test; rendered once."""
    kept: dict[str, list[Object]] = {}

    def render(profile: str) -> list[Object]:
        if not kept:
            with run_helm(helm_python) as helm:
                for each in PROFILES:
                    kept[each] = helm.render(profile_values(each))
                kept["long"] = helm.render(profile_values("ha"), LONGEST_RELEASE_NAME)
        return deepcopy(kept[profile])

    return render
