"""The adapters' registry: takes versions in, and hands the ones in use to whoever loads them, hashes checked each time.

Files are `files`' affair and rows the store's; which version serves is decided elsewhere.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from anyio import to_thread
from sqlalchemy.orm import Session

from llm_service.adapters.files import CheckedDirectory, Limits, PublishedFiles, check_directory, publish, verify
from llm_service.adapters.locations import Fetcher, Location, SharedVolume
from llm_service.errors import InvalidInput
from llm_service.masked import MaskedText
from llm_service.store import adapters
from llm_service.store.adapters import NewAdapter, RecordedProbe
from llm_service.store.transactions import Transactions

RESERVED_FAMILIES: Final = frozenset({"active", "base", "canary", "dummy", "none", "previous", "tgi"})
"""Words that mean something else: our aliases, TGI's name of the base, what its client sends for no name at all."""
FAMILY: Final = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,30}[a-z0-9])?")
SHA256: Final = re.compile(r"[0-9a-f]{64}")
MAXIMUM_PROBES: Final = 16
MAXIMUM_PROBE_TOKENS: Final = 256

IsMasked = Callable[[str], bool]
"""Whether masking leaves a text as it is."""


@dataclass(frozen=True)
class Origin:
    """Where a version comes from. `trained_by` is the keyed hash of a person; `evaluation` holds figures, no text."""

    family: str
    base_model: str
    base_revision: str
    dataset_version: str
    training_run_id: str
    trained_by: str
    evaluation_id: str = ""
    evaluation: Mapping[str, Any] | None = None
    recipe: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Version:
    """What loading and proving a version takes. It never changes, so it may be kept."""

    name: str
    location: Location
    files: Mapping[str, Mapping[str, Any]]
    base_model: str
    base_revision: str
    probes: tuple[RecordedProbe, ...]


class Registry:
    """Takes adapters in from directories and keeps them on the volume that the model servers read."""

    def __init__(
        self, transactions: Transactions, volume: SharedVolume, fetcher: Fetcher, limits: Limits, is_masked: IsMasked
    ) -> None:
        self._transactions = transactions
        self._volume = volume
        self._fetcher = fetcher
        self._limits = limits
        self._is_masked = is_masked
        self._versions: dict[str, Version] = {}

    async def register(
        self, directory: Path, origin: Origin, probes: Sequence[RecordedProbe], registered_by: str
    ) -> str:
        """The name of the version that these files are; registering them again changes nothing.

        Raises `InvalidInput` for what is refused (adapter_name_refused, adapter_probe_missing, adapter_probe_refused
        and the codes of `files`), `TooLarge` and `Conflict` as `files` and `store.adapters.register` do.
        """
        _check_origin(origin)
        self._check_probes(probes)
        checked = await to_thread.run_sync(check_directory, directory, origin.base_model, self._limits)
        published = await to_thread.run_sync(publish, checked, self._volume.root)
        new = _new_adapter(origin, checked, published, probes)
        return await self._transactions.run(partial(_registered_name, new=new, registered_by=registered_by))

    async def version(self, name: str) -> Version:
        """A registered version. Raises `NotFound` (adapter_not_found)."""
        if name not in self._versions:
            self._versions[name] = await self._transactions.read(partial(_version, name=name))
        return self._versions[name]

    async def verified_directory(self, version: Version) -> str:
        """The directory as the model servers see it, its files hashed a moment ago.

        Raises `Conflict` (adapter_files_changed) and `InvalidInput` (adapter_location_unsupported).
        """
        await to_thread.run_sync(verify, self._fetcher.here(version.location), version.files)
        return self.directory_on_servers(version)

    def directory_on_servers(self, version: Version) -> str:
        return self._fetcher.on_servers(version.location)

    def _check_probes(self, probes: Sequence[RecordedProbe]) -> None:
        if not 0 < len(probes) <= MAXIMUM_PROBES:
            raise InvalidInput("adapter_probe_missing", f"give 1 to {MAXIMUM_PROBES} probes from the evaluation")
        for probe in probes:
            hashes = (probe.answer_sha256, probe.base_answer_sha256)
            if not all(map(SHA256.fullmatch, hashes)) or hashes[0] == hashes[1]:
                raise InvalidInput("adapter_probe_refused", "a probe needs two different hashes: adapter's and base's")
            if not 0 < probe.maximum_tokens <= MAXIMUM_PROBE_TOKENS:
                raise InvalidInput("adapter_probe_refused", f"a probe asks for 1 to {MAXIMUM_PROBE_TOKENS} tokens")
            if not all(map(self._is_masked, (probe.prompt, probe.system, probe.user))):
                raise InvalidInput("adapter_probe_refused", "a probe holds what masking would replace; choose another")


def probe_from(fields: Mapping[str, Any]) -> RecordedProbe:
    """A probe as it is written in a file. It counts as masked because registering it checks that it is."""
    return RecordedProbe(
        prompt=MaskedText(fields["prompt"]),
        system=MaskedText(fields["system"]),
        user=MaskedText(fields["user"]),
        maximum_tokens=fields["maximum_tokens"],
        answer_sha256=fields["answer_sha256"],
        base_answer_sha256=fields["base_answer_sha256"],
    )


def _check_origin(origin: Origin) -> None:
    words = (origin.base_model, origin.base_revision, origin.dataset_version, origin.training_run_id)
    if not FAMILY.fullmatch(origin.family) or origin.family in RESERVED_FAMILIES:
        raise InvalidInput("adapter_name_refused", "a family is a-z, 0-9, '.', '_', '-', 32 at most, no reserved word")
    if origin.family == origin.base_model or not all(words):
        raise InvalidInput("adapter_name_refused", "base model, its revision, data set and training run must be named")


def _new_adapter(
    origin: Origin, checked: CheckedDirectory, published: PublishedFiles, probes: Sequence[RecordedProbe]
) -> NewAdapter:
    return NewAdapter(
        family=origin.family,
        sha256=published.sha256,
        files=published.files,
        location=str(Location("path", published.directory.name)),
        base_model=origin.base_model,
        base_revision=origin.base_revision,
        lora_rank=checked.lora_rank,
        target_modules=checked.target_modules,
        dataset_version=origin.dataset_version,
        recipe=origin.recipe or {},
        evaluation_id=origin.evaluation_id,
        evaluation=origin.evaluation or {},
        training_run_id=origin.training_run_id,
        trained_by=origin.trained_by,
        probes=[replace(probe) for probe in probes],
    )


def _registered_name(session: Session, new: NewAdapter, registered_by: str) -> str:
    return adapters.register(session, new, registered_by).name


def _version(session: Session, name: str) -> Version:
    row = adapters.adapter_named(session, name)
    probes = tuple(
        RecordedProbe(**{field: getattr(probe, field) for field in RecordedProbe.__dataclass_fields__})
        for probe in adapters.probes_of(session, name)
    )
    return Version(row.name, Location.parse(row.location), row.files, row.base_model, row.base_revision, probes)
