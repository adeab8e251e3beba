"""Publishes which adapters model servers should be started with, for servers that load none at run time (TGI).

The file is a Kubernetes ConfigMap in JSON, to be applied as it is; what rolls the servers is not known here.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from uuid import uuid4

from llm_service.errors import Unavailable

CONFIG_MAP_NAME: Final = "haechi-adapters"


class PublishedSet:
    """One file, replaced as a whole. A reader sees the set before or the set after, never half of one."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def publish(self, directories: Mapping[str, str]) -> bool:
        """Write the set {adapter: directory on the servers} if it changed; whether it did.

        Raises `Unavailable` (adapter_set_unwritable).
        """
        wanted = config_map(directories)
        try:
            if self._path.is_file() and self._path.read_bytes() == wanted:
                return False
            self._path.parent.mkdir(parents=True, exist_ok=True)
            scratch = self._path.with_name(f".{self._path.name}.{uuid4().hex}")
            with scratch.open("wb") as stream:
                stream.write(wanted)
                stream.flush()
                os.fsync(stream.fileno())
            scratch.replace(self._path)
        except OSError as error:
            raise Unavailable("adapter_set_unwritable", "the file of published adapters cannot be written") from error
        return True


def config_map(directories: Mapping[str, str]) -> bytes:
    """A ConfigMap with `LORA_ADAPTERS` as TGI reads it at start: name=directory pairs, separated by commas."""
    pairs = ",".join(f"{name}={directory}" for name, directory in sorted(directories.items()))
    manifest = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": CONFIG_MAP_NAME},
        "data": {"LORA_ADAPTERS": pairs},
    }
    return json.dumps(manifest, indent=2, sort_keys=True).encode() + b"\n"
