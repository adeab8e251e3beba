"""Typed settings of the console, each with a sentence of help; `docs/settings.md` is checked against them.

Values come from `HAECHI_*` variables, then from files of the secrets directory, then from defaults that work embedded.
"""

import os
from datetime import timedelta
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from llm_service.store.console import Lifetimes

MINIMUM_SECRET_CHARACTERS = 32


class ConsoleSettings(BaseSettings):
    """Settings of the console for reviewers, approvers, trainers, admins and auditors."""

    model_config = SettingsConfigDict(env_prefix="HAECHI_", extra="ignore", frozen=True, hide_input_in_errors=True)

    environment: Literal["embedded", "production"] = Field(
        "embedded", description="production refuses missing and short secrets, plain HTTP and the SQLite file."
    )
    home: Path = Field(Path(".haechi"), description="Data directory, where the SQLite file of the records lies.")
    database_url: SecretStr = Field(
        SecretStr(""), description="SQLAlchemy URL of the records; empty means the SQLite file, embedded only."
    )
    console_host: str = Field("127.0.0.1", description="Address the console listens on.")
    console_port: int = Field(8083, description="Port the console listens on.")
    console_url: str = Field(
        "http://127.0.0.1:8083",
        description="Where browsers find the console; with https its cookie is bound to the host and never sent bare.",
    )
    llm_service_url: str = Field("http://127.0.0.1:8081", description="Where the console finds llm_service.")
    service_token: SecretStr = Field(SecretStr(""), description="Token of service-to-service calls.")
    console_key: SecretStr = Field(
        SecretStr(""), description="Key that encrypts the secrets of second factors, 32 characters or more."
    )
    identity_key: SecretStr = Field(
        SecretStr(""),
        description="The key of llm_service of the same name, by which the console shows people in place of hashes.",
    )
    console_second_factor: Literal["required", "optional"] = Field(
        "required",
        description="Whether a local account needs a time-based code; optional is refused in production.",
    )
    console_idle_minutes: int = Field(15, ge=1, le=60, description="A login ends after this time without use.")
    console_absolute_hours: int = Field(8, ge=1, le=24, description="A login ends after this time in any case.")
    console_maximum_body_bytes: int = Field(
        262_144, ge=1024, description="Largest request body accepted by every route but the upload of documents."
    )
    maximum_document_bytes: int = Field(50_000_000, ge=1024, description="Largest document accepted.")
    oidc_issuer: str = Field("", description="URL of the OpenID provider; empty means local accounts only.")
    oidc_client_id: str = Field("", description="The console's client id at the provider.")
    oidc_client_secret: SecretStr = Field(SecretStr(""), description="The console's client secret at the provider.")
    oidc_groups_claim: str = Field("groups", description="The claim of the ID token that lists a person's groups.")
    oidc_roles: dict[str, str] = Field(
        {},
        description='Which group gives which role, as JSON: {"bank-reviewers": "reviewer"}; '
        "a person without any such group is not let in.",
    )
    oidc_strong_acr: str = Field(
        "",
        description="The acr that approvers, trainers and admins must log in with, such as a second factor's; "
        "empty leaves that to the provider.",
    )
    trusted_proxies: str = Field(
        "", description="Addresses of reverse proxies whose X-Forwarded-For is believed, separated by commas."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="Level of our own log lines; none of them carries text."
    )

    @property
    def resolved_database_url(self) -> str:
        """The database URL with the embedded default filled in. It may hold a password: it is never logged."""
        return self.database_url.get_secret_value() or f"sqlite:///{self.home / 'haechi.db'}"

    @property
    def is_behind_tls(self) -> bool:
        return urlsplit(self.console_url).scheme == "https"

    @property
    def cookie_name(self) -> str:
        """With TLS the name itself makes the browser refuse the cookie of another host (RFC 6265bis, __Host-)."""
        return "__Host-haechi_console" if self.is_behind_tls else "haechi_console"

    @property
    def lifetimes(self) -> Lifetimes:
        return Lifetimes(timedelta(minutes=self.console_idle_minutes), timedelta(hours=self.console_absolute_hours))

    @model_validator(mode="after")
    def refuse_unsafe_production(self) -> Self:
        """Production does not start on missing or short secrets, without TLS, nor on the embedded database."""
        if self.environment == "production":
            secrets = {"HAECHI_SERVICE_TOKEN": self.service_token, "HAECHI_CONSOLE_KEY": self.console_key}
            weak = [name for name, value in secrets.items() if len(value) < MINIMUM_SECRET_CHARACTERS]
            if weak:
                raise ValueError(
                    f"production needs {MINIMUM_SECRET_CHARACTERS} characters or more in {', '.join(weak)};"
                    " see docs/settings.md"
                )
            if not self.is_behind_tls:
                raise ValueError("production needs an https HAECHI_CONSOLE_URL; see docs/settings.md")
            if self.resolved_database_url.startswith("sqlite"):
                raise ValueError("production needs HAECHI_DATABASE_URL; see docs/settings.md")
            if self.console_second_factor != "required":
                raise ValueError("production needs second factors; leave HAECHI_CONSOLE_SECOND_FACTOR required")
        return self


def load_settings() -> ConsoleSettings:
    """Settings of this process: variables first, then one file per secret in the secrets directory."""
    named = os.environ.get("HAECHI_SECRETS_DIRECTORY")
    directory = Path(named) if named else Path(os.environ.get("HAECHI_HOME", ".haechi")) / "secrets"
    return ConsoleSettings(_secrets_dir=directory if directory.is_dir() else None)
