"""Adapters out of an S3-compatible store and an OCI registry: whole and as named, or not at all."""

import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from llm_service.adapters.locations import Location
from llm_service.adapters.stores import FETCHED, OCI_TITLE, StoreAccess, fetch
from llm_service.errors import InvalidInput, TooLarge, Unavailable

FILES = {name: f"content of {name}".encode() for name in FETCHED}
LIMIT = 1000


def _read(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[StoreAccess]:
    pytest.importorskip("moto", reason="moto is missing: pip install 'moto[server]'")
    from moto.server import ThreadedMotoServer  # noqa: PLC0415  takes seconds

    monkeypatch.delenv("AWS_PROFILE", raising=False)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield StoreAccess(f"http://{host}:{port}", s3_access_key="key", s3_secret_key="secret")
    finally:
        server.stop()


def _put(access: StoreAccess, files: dict[str, bytes]) -> None:
    boto3: Any = pytest.importorskip("boto3")
    client = boto3.client(
        "s3",
        endpoint_url=access.s3_endpoint,
        region_name=access.s3_region,
        aws_access_key_id=access.s3_access_key,
        aws_secret_access_key=access.s3_secret_key,
    )
    client.create_bucket(Bucket="adapters")
    for name, content in files.items():
        client.put_object(Bucket="adapters", Key=f"bank-qa/v1/{name}", Body=content)
    client.close()


def test_an_adapter_comes_from_a_bucket(s3: StoreAccess, tmp_path: Path) -> None:
    _put(s3, FILES)
    fetch(Location.parse("s3://adapters/bank-qa/v1"), tmp_path, s3, LIMIT)
    assert _read(tmp_path) == FILES


def test_a_file_that_is_missing_or_too_large_refuses_the_bucket(s3: StoreAccess, tmp_path: Path) -> None:
    _put(s3, FILES)
    with pytest.raises(InvalidInput) as missing:
        fetch(Location.parse("s3://adapters/bank-qa/v2"), tmp_path, s3, LIMIT)
    assert missing.value.code == "adapter_store_refused"
    with pytest.raises(TooLarge):
        fetch(Location.parse("s3://adapters/bank-qa/v1"), tmp_path, s3, maximum_bytes=3)


class _Registry(BaseHTTPRequestHandler):
    """The two reads of a registry (OCI distribution specification 1.1, "Pull") over fixed content."""

    content: dict[str, bytes]

    def do_GET(self) -> None:
        found = self.content.get(self.path)
        self.send_response(200 if found is not None else 404)
        self.send_header("Content-Length", str(len(found or b"")))
        self.end_headers()
        self.wfile.write(found or b"")

    def log_message(self, format: str, *arguments: Any) -> None: ...


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@pytest.fixture
def registry() -> Iterator[tuple[str, dict[str, bytes]]]:
    """A location in a registry, and what the registry serves."""
    layers = [{"digest": _digest(content), "annotations": {OCI_TITLE: name}} for name, content in FILES.items()]
    manifest = json.dumps({"schemaVersion": 2, "layers": layers}).encode()
    served = {f"/v2/bank/qa/blobs/{_digest(content)}": content for content in FILES.values()}
    served[f"/v2/bank/qa/manifests/{_digest(manifest)}"] = manifest
    handler = type("Registry", (_Registry,), {"content": served})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    yield f"oci://127.0.0.1:{server.server_port}/bank/qa@{_digest(manifest)}", served
    server.shutdown()
    serving.join()
    server.server_close()


def _of(location: str) -> StoreAccess:
    return StoreAccess(registry=location.removeprefix("oci://").partition("/")[0], plain_http=True)


def test_an_adapter_comes_from_a_registry(registry: tuple[str, dict[str, bytes]], tmp_path: Path) -> None:
    fetch(Location.parse(registry[0]), tmp_path, _of(registry[0]), LIMIT)
    assert _read(tmp_path) == FILES


def test_a_registry_that_serves_other_bytes_is_refused(registry: tuple[str, dict[str, bytes]], tmp_path: Path) -> None:
    location, served = registry
    for path in served:
        served[path] = served[path] + b" "
    with pytest.raises(InvalidInput) as refused:
        fetch(Location.parse(location), tmp_path, _of(location), LIMIT)
    assert refused.value.code == "adapter_store_refused"
    assert _read(tmp_path) == {}


def test_a_blob_that_was_exchanged_is_refused(registry: tuple[str, dict[str, bytes]], tmp_path: Path) -> None:
    location, served = registry
    for path in served:
        if "/blobs/" in path:
            served[path] = b"exchanged"
    with pytest.raises(InvalidInput):
        fetch(Location.parse(location), tmp_path, _of(location), LIMIT)


@pytest.mark.parametrize(
    "place",
    ["oci://registry/bank/qa:latest", "oci://registry/bank/qa", "s3://UPPER/x", "s3://bucket", "path:directory"],
)
def test_a_place_that_is_not_a_fixed_one_is_refused(place: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as refused:
        fetch(Location.parse(place), tmp_path, StoreAccess(), LIMIT)
    assert refused.value.code == "adapter_location_refused"


def test_a_registry_that_is_gone_is_unavailable(registry: tuple[str, dict[str, bytes]], tmp_path: Path) -> None:
    digest = registry[0].rpartition("@")[2]
    gone = f"oci://127.0.0.1:1/bank/qa@{digest}"
    with pytest.raises(Unavailable):
        fetch(Location.parse(gone), tmp_path, _of(gone), LIMIT)


def test_only_the_registry_and_the_store_of_the_settings_are_asked(
    registry: tuple[str, dict[str, bytes]], tmp_path: Path
) -> None:
    for place in (registry[0], "s3://adapters/bank-qa/v1"):
        with pytest.raises(InvalidInput) as refused:
            fetch(Location.parse(place), tmp_path, StoreAccess(), LIMIT)
        assert refused.value.code == "adapter_store_refused"
