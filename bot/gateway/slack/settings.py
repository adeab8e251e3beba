"""Typed settings of the Slack process, each with a sentence of help; `docs/settings.md` is checked against them.

The process has the gateway's settings besides these: the same llm_service, Rasa, Redis, directory file and limits.
"""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from bot.gateway.settings import secrets_directory


class SlackSettings(BaseSettings):
    """Settings of the process that answers in Slack."""

    model_config = SettingsConfigDict(env_prefix="HAECHI_", extra="ignore", frozen=True, hide_input_in_errors=True)

    slack_transport: Literal["socket", "http"] = Field(
        "socket", description="socket: the process calls Slack (WebSocket); http: Slack calls the process."
    )
    slack_bot_token: SecretStr = Field(SecretStr(""), description="Bot token (xoxb-) of the Slack app.")
    slack_app_token: SecretStr = Field(
        SecretStr(""), description="App-level token (xapp-) with connections:write, for the transport socket."
    )
    slack_signing_secret: SecretStr = Field(
        SecretStr(""), description="Signing secret of the Slack app; for the transport http."
    )
    slack_team_id: str = Field("", description="The workspace that is served, T…; deliveries of others are dropped.")
    slack_api_url: str = Field("https://slack.com/api/", description="Where Slack's Web API is.")
    slack_proxy: str = Field(
        "", description="Forward proxy towards Slack, http://host:port; empty takes HTTPS_PROXY, or goes directly."
    )
    slack_host: str = Field(
        "127.0.0.1", description="Address on which health, and Slack's requests over http, are taken."
    )
    slack_port: int = Field(8084, description="Port of that address.")
    slack_entitlements: Path | None = Field(
        None,
        description="YAML file: which Slack user groups give which rights, and which channels are read by staff only"
        " (docs/slack.md); used where no directory file is set.",
    )
    slack_allowed_link_hosts: str = Field(
        "", description="Hosts whose links stay links in answers shown in Slack, separated by commas."
    )
    slack_web_chat_url: str = Field(
        "", description="The bank's own chat page, where a person is sent with what may not leave."
    )
    slack_handoff_channel: str = Field(
        "", description="Channel, C…, in which staff's calls for a colleague are posted."
    )
    slack_answers_at_once: int = Field(32, ge=1, description="Answers one process writes at the same time.")
    slack_waiting: int = Field(
        2000, ge=1, description="Deliveries that may wait for an answer; further ones are declined with a sentence."
    )

    @model_validator(mode="after")
    def refuse_missing_tokens(self) -> Self:
        """A process that was started for Slack has what its transport needs."""
        needed = {"HAECHI_SLACK_BOT_TOKEN": self.slack_bot_token}
        if self.slack_transport == "socket":
            needed["HAECHI_SLACK_APP_TOKEN"] = self.slack_app_token
        else:
            needed["HAECHI_SLACK_SIGNING_SECRET"] = self.slack_signing_secret
        missing = [name for name, value in needed.items() if not value.get_secret_value()]
        if missing:
            raise ValueError(f"Slack by {self.slack_transport} needs {', '.join(missing)}; see docs/slack.md")
        return self

    @property
    def allowed_link_hosts(self) -> list[str]:
        return [host.strip() for host in self.slack_allowed_link_hosts.split(",") if host.strip()]


def load_settings() -> SlackSettings:
    """Settings of this process: variables first, then one file per secret in the secrets directory."""
    return SlackSettings(_secrets_dir=secrets_directory())
