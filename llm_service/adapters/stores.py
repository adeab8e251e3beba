"""Brings an adapter's files from an S3-compatible store or an OCI registry into a directory of this machine.

Nothing is believed of a store: which one is a setting, names are fixed, sizes are bounded, an OCI reference is a digest
and every piece is hashed against it. What the files may hold is `files`' affair.
"""

import hashlib
import importlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx

from llm_service.adapters.files import CONFIGURATION, WEIGHTS
from llm_service.adapters.locations import Location
from llm_service.errors import InvalidInput, Misconfigured, TooLarge, Unavailable

PROBES: Final = "probes.json"
FETCHED: Final = (CONFIGURATION, PROBES, WEIGHTS)
CHUNK_BYTES: Final = 1_048_576
MAXIMUM_MANIFEST_BYTES: Final = 1_048_576
STORE_SECONDS: Final = 60.0
OCI_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
OCI_TITLE: Final = "org.opencontainers.image.title"
S3_PLACE: Final = re.compile(r"(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/(?P<prefix>[A-Za-z0-9._/-]{1,512})")
OCI_PLACE: Final = re.compile(
    r"(?P<host>[a-z0-9.-]{1,253}(?::\d{1,5})?)/(?P<name>[a-z0-9._/-]{1,255})@(?P<digest>sha256:[0-9a-f]{64})"
)


@dataclass(frozen=True)
class StoreAccess:
    """The one S3-compatible store and the one registry that are asked; "" for none. `registry` is HOST or HOST:PORT.

    Whoever has no secrets asks without any. `plain_http` is for a registry on this host.
    """

    s3_endpoint: str = ""
    s3_region: str = "us-east-1"
    s3_access_key: str = field(default="", repr=False)
    s3_secret_key: str = field(default="", repr=False)
    registry: str = ""
    registry_user: str = ""
    registry_password: str = field(default="", repr=False)
    plain_http: bool = False


def fetch(location: Location, into: Path, access: StoreAccess, maximum_bytes: int) -> None:
    """Write the three files of an adapter below `into`, which must be empty.

    Raises `InvalidInput` (adapter_location_refused, adapter_store_refused), `TooLarge` (adapter_too_large),
    `Unavailable` (adapter_store_unavailable) and `Misconfigured` (extra_missing).
    """
    if location.scheme == "s3":
        _from_s3(location.value, into, access, maximum_bytes)
    elif location.scheme == "oci":
        _from_registry(location.value, into, access, maximum_bytes)
    else:
        raise InvalidInput("adapter_location_refused", "only s3:// and oci:// locations are fetched")


def _from_s3(value: str, into: Path, access: StoreAccess, maximum_bytes: int) -> None:
    place = S3_PLACE.fullmatch(value)
    if place is None:
        raise InvalidInput("adapter_location_refused", "an S3 location is s3://BUCKET/PREFIX")
    if not access.s3_endpoint:
        raise InvalidInput("adapter_store_refused", "no S3 store is set: HAECHI_ADAPTER_S3_ENDPOINT")
    boto3, failures = _boto()
    client = boto3.client(
        "s3",
        endpoint_url=access.s3_endpoint,
        region_name=access.s3_region,
        aws_access_key_id=access.s3_access_key or None,
        aws_secret_access_key=access.s3_secret_key or None,
    )
    try:
        for name in FETCHED:
            found = client.get_object(Bucket=place["bucket"], Key=f"{place['prefix'].rstrip('/')}/{name}")
            _write(into / name, found["Body"].iter_chunks(CHUNK_BYTES), maximum_bytes)
    except failures.ClientError as error:
        raise InvalidInput("adapter_store_refused", "the store has no such object, or does not show it") from error
    except failures.BotoCoreError as error:
        raise Unavailable("adapter_store_unavailable", "the S3 store cannot be reached") from error
    finally:
        client.close()


def _boto() -> tuple[Any, Any]:
    try:
        return importlib.import_module("boto3"), importlib.import_module("botocore.exceptions")
    except ModuleNotFoundError as error:
        raise Misconfigured("extra_missing", "s3:// locations need the extra `artifacts`") from error


def _from_registry(value: str, into: Path, access: StoreAccess, maximum_bytes: int) -> None:
    place = OCI_PLACE.fullmatch(value)
    if place is None:
        raise InvalidInput("adapter_location_refused", "an OCI location is oci://HOST/NAME@sha256:…; tags move")
    if place["host"] != access.registry:
        raise InvalidInput("adapter_store_refused", "only the registry of HAECHI_ADAPTER_REGISTRY is asked")
    scheme = "http" if access.plain_http else "https"
    credentials = (access.registry_user, access.registry_password) if access.registry_user else None
    base = f"{scheme}://{place['host']}/v2/{place['name']}"
    try:
        with httpx.Client(auth=credentials, timeout=STORE_SECONDS, trust_env=False) as http:
            for name, digest in _layers(http, base, place["digest"]).items():
                with http.stream("GET", f"{base}/blobs/{digest}") as blob:
                    _require_found(blob)
                    written = _write(into / name, blob.iter_bytes(CHUNK_BYTES), maximum_bytes)
                if written != digest:
                    raise InvalidInput("adapter_store_refused", "a blob of the registry is not what its digest says")
    except httpx.TransportError as error:
        raise Unavailable("adapter_store_unavailable", "the registry cannot be reached") from error


def _layers(http: httpx.Client, base: str, digest: str) -> dict[str, str]:
    """The digest of each of the adapter's files, out of the manifest that the location names."""
    with http.stream("GET", f"{base}/manifests/{digest}", headers={"Accept": OCI_MANIFEST}) as response:
        _require_found(response)
        manifest = bytearray()
        for piece in response.iter_bytes():
            manifest += piece
            if len(manifest) > MAXIMUM_MANIFEST_BYTES:
                raise TooLarge("adapter_too_large", "the registry's manifest is too large")
    if f"sha256:{hashlib.sha256(manifest).hexdigest()}" != digest:
        raise InvalidInput("adapter_store_refused", "the registry's manifest is not what the digest says")
    try:
        layers = {layer["annotations"][OCI_TITLE]: str(layer["digest"]) for layer in json.loads(manifest)["layers"]}
    except (ValueError, KeyError, TypeError):
        raise InvalidInput("adapter_store_refused", "the manifest is none of an artifact with named files") from None
    if set(layers) != set(FETCHED) or not all(re.fullmatch(r"sha256:[0-9a-f]{64}", one) for one in layers.values()):
        raise InvalidInput("adapter_store_refused", f"the artifact must hold {', '.join(FETCHED)} and nothing else")
    return layers


def _require_found(response: httpx.Response) -> None:
    if response.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
        raise Unavailable("adapter_store_unavailable", f"the registry failed (HTTP {response.status_code})")
    if not response.is_success:
        raise InvalidInput("adapter_store_refused", f"the registry does not show it (HTTP {response.status_code})")


def _write(path: Path, pieces: Iterable[bytes] | Iterator[bytes], maximum_bytes: int) -> str:
    """Streams to the disk, never more than is allowed; the digest of what was written."""
    digest, size = hashlib.sha256(), 0
    with path.open("xb") as file:
        for piece in pieces:
            size += len(piece)
            if size > maximum_bytes:
                raise TooLarge("adapter_too_large", f"a file of an adapter may have {maximum_bytes} bytes at most")
            digest.update(piece)
            file.write(piece)
    return f"sha256:{digest.hexdigest()}"
