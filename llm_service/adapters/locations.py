"""Where the files of a version lie, as a typed location, and what turns it into a directory that servers can load.

Only directories are fetched today: object stores and image registries have a place in the type, none in the code.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Protocol

from llm_service.errors import InvalidInput

Scheme = Literal["path", "s3", "oci"]
PATH_PREFIX: Final = "path:"
SCHEMES: Final[dict[str, Scheme]] = {PATH_PREFIX: "path", "s3://": "s3", "oci://": "oci"}


@dataclass(frozen=True)
class Location:
    """A scheme and what stands behind it; a path is the name of a directory below the adapters' root."""

    scheme: Scheme
    value: str

    @classmethod
    def parse(cls, text: str) -> "Location":
        """Raises `InvalidInput` (adapter_location_refused) for a scheme that nobody knows, or a path that climbs."""
        for prefix, scheme in SCHEMES.items():
            if text.startswith(prefix) and (value := text.removeprefix(prefix)):
                if scheme == "path" and (Path(value).name != value or value in {".", ".."}):
                    break
                return cls(scheme, value)
        raise InvalidInput("adapter_location_refused", "a location is path:NAME, s3://… or oci://…")

    def __str__(self) -> str:
        return next(prefix for prefix, scheme in SCHEMES.items() if scheme == self.scheme) + self.value


class Fetcher(Protocol):
    """Makes the files of a location available: here, to check them, and where the model servers look for them."""

    def here(self, location: Location) -> Path:
        """The directory as this process sees it. Raises `InvalidInput` (adapter_location_unsupported)."""
        ...

    def on_servers(self, location: Location) -> str:
        """The same directory as the model servers see it."""
        ...


class SharedVolume:
    """One volume that this process writes and every model server reads, mounted at one place or at two."""

    def __init__(self, root: Path, root_on_servers: str = "") -> None:
        self.root = root
        self._root_on_servers = root_on_servers or str(root.resolve())

    def here(self, location: Location) -> Path:
        return self.root / _name_in(location)

    def on_servers(self, location: Location) -> str:
        return f"{self._root_on_servers.rstrip('/')}/{_name_in(location)}"


def _name_in(location: Location) -> str:
    if location.scheme != "path":
        raise InvalidInput(
            "adapter_location_unsupported",
            f"{location.scheme} locations are not fetched; copy the files to the adapters' volume and register them",
        )
    return location.value
