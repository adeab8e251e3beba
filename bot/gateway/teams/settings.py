"""Typed settings of the Teams worker, each with a sentence of help; `docs/settings.md` is checked against them.

The worker runs inside the bank and has the gateway's settings besides these. What the door in the DMZ needs stands in
`bot/teams_door/settings.py`; both read the same variables where they mean the same.
"""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from bot.teams_door.settings import PUBLIC_SERVICE_HOST, named, secrets_directory


class TeamsSettings(BaseSettings):
    """Settings of the process that answers in Teams."""

    model_config = SettingsConfigDict(env_prefix="HAECHI_", extra="ignore", frozen=True, hide_input_in_errors=True)

    environment: Literal["embedded", "production"] = Field(
        "embedded", description="production sends answers by https only, and to the usual port."
    )
    teams_enabled: bool = Field(False, description="Whether questions from Teams are answered at all.")
    teams_app_id: str = Field("", description="The bot's Microsoft App ID.")
    teams_app_secret: SecretStr = Field(SecretStr(""), description="Client secret of the bot's app registration.")
    teams_app_tenant: str = Field("", description="Entra tenant of the app registration: the bot is single-tenant.")
    teams_tenants: str = Field("", description="Entra tenants whose people are served, separated by commas.")
    teams_service_hosts: str = Field(
        PUBLIC_SERVICE_HOST, description="Hosts that answers may be sent to, exactly, separated by commas."
    )
    teams_login_url: str = Field(
        "https://login.microsoftonline.com", description="Where the bot gets its own token; sovereign clouds differ."
    )
    teams_scope: str = Field(
        "https://api.botframework.com/.default", description="What the bot's token is for; sovereign clouds differ."
    )
    teams_proxy: str = Field("", description="Forward proxy towards Microsoft, http://host:port; empty goes directly.")
    teams_redis_url: SecretStr = Field(SecretStr(""), description="Redis in which the door leaves messages.")
    teams_inbox_private_keys: SecretStr = Field(
        SecretStr(""),
        description="Private keys, from `haechi teams-keys`, that open the inbox: the current one first, then those"
        " before it, separated by commas.",
    )
    teams_allowed_link_hosts: str = Field(
        "", description="Hosts whose links stay links in answers shown in Teams, separated by commas."
    )
    teams_web_chat_url: str = Field(
        "", description="The bank's own chat page, where a person is sent with what may not leave."
    )
    teams_handoff_channel: str = Field(
        "",
        description="Channel, 19:…@thread.tacv2, in which staff's calls for a colleague are posted; empty posts none.",
    )
    teams_handoff_service_url: str = Field(
        "https://smba.trafficmanager.net/teams/", description="The serviceUrl of that channel, as its messages name it."
    )
    heartbeat_file: Path | None = Field(
        None, description="File the worker touches while it lives, for a probe that reads its age; empty touches none."
    )
    teams_answers_at_once: int = Field(64, ge=1, description="Answers one worker writes at the same time.")
    teams_feedback_days: int = Field(
        30, ge=1, description="How long an answer in Teams can be judged by its thumbs; ids only are kept for it."
    )

    @property
    def tenants(self) -> frozenset[str]:
        return named(self.teams_tenants)

    @property
    def service_hosts(self) -> frozenset[str]:
        return named(self.teams_service_hosts)

    @model_validator(mode="after")
    def refuse_half_a_bot(self) -> Self:
        """A worker that runs can open the inbox and prove who it is."""
        if not self.teams_enabled:
            return self
        needed = {
            "HAECHI_TEAMS_APP_ID": self.teams_app_id,
            "HAECHI_TEAMS_APP_SECRET": self.teams_app_secret.get_secret_value(),
            "HAECHI_TEAMS_APP_TENANT": self.teams_app_tenant,
            "HAECHI_TEAMS_TENANTS": self.tenants,
            "HAECHI_TEAMS_REDIS_URL": self.teams_redis_url.get_secret_value(),
            "HAECHI_TEAMS_INBOX_PRIVATE_KEYS": self.teams_inbox_private_keys.get_secret_value(),
            "HAECHI_TEAMS_WEB_CHAT_URL": self.teams_web_chat_url,
        }
        if missing := [name for name, value in needed.items() if not value]:
            raise ValueError(f"the Teams worker needs {', '.join(missing)}; see docs/teams.md")
        if self.environment == "production" and not self.teams_login_url.startswith("https://"):
            raise ValueError("production gets its token by https: see HAECHI_TEAMS_LOGIN_URL")
        return self


def load_settings() -> TeamsSettings:
    """Settings of this process: variables first, then one file per secret in the secrets directory."""
    return TeamsSettings(_secrets_dir=secrets_directory())
