"""The committed manifest is one that Slack takes, and asks for what the process uses and nothing more."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from bot.gateway.slack import app as slack_app
from bot.gateway.slack.deliveries import ASK_COMMAND
from tests.bot.slack.slack_types import faults_of, faults_of_call

MANIFEST: dict[str, Any] = yaml.safe_load(Path(slack_app.__file__).with_name("manifest.yaml").read_text("utf-8"))
SCOPES_BY_USE = {
    "app_mentions:read": "app_mention",
    "assistant:write": "assistant.threads.setSuggestedPrompts",
    "channels:history": "message.channels",
    "chat:write": "chat.postMessage",
    "commands": "/ask",
    "groups:history": "message.groups",
    "im:history": "message.im",
    "im:write": "direct messages",
    "usergroups:read": "usergroups.users.list",
}


@pytest.mark.parametrize(
    ("section", "definition"),
    [
        ("display_information", "ManifestDisplay"),
        ("features", "ManifestFeatures"),
        ("oauth_config", "ManifestOAuth"),
        ("settings", "ManifestSettings"),
    ],
)
def test_every_section_is_what_slacks_types_say(section: str, definition: str) -> None:
    assert faults_of(definition, MANIFEST[section]) == []


def test_a_misspelt_scope_or_event_is_found() -> None:
    assert faults_of("ManifestOAuth", {"scopes": {"bot": ["chat:pen"]}})
    assert faults_of("ManifestSettings", {"event_subscriptions": {"bot_events": ["app_mentioned"]}})


def test_it_asks_for_the_scopes_that_are_used_and_no_others() -> None:
    assert set(MANIFEST["oauth_config"]["scopes"]["bot"]) == set(SCOPES_BY_USE)


def test_names_keep_to_slacks_lengths() -> None:
    assert len(MANIFEST["display_information"]["name"]) <= 35
    assert len(MANIFEST["display_information"]["description"]) <= 140
    assert len(MANIFEST["features"]["agent_view"]["agent_description"]) <= 300
    assert len(MANIFEST["features"]["agent_view"]["suggested_prompts"]) <= 4
    assert [command["command"] for command in MANIFEST["features"]["slash_commands"]] == [ASK_COMMAND]


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("chat.postMessage", {"channel": "C1", "blocks": [{"type": "section"}]}),
        (
            "chat.postMessage",
            {
                "channel": "C1",
                "blocks": [{"type": "context_actions", "elements": [{"type": "feedback_buttons", "action_id": "a"}]}],
            },
        ),
        ("chat.startStream", {"channel": "C1"}),
        ("chat.postMessage", {"text": "no channel"}),
        ("chat.delete", {"channel": "C1", "ts": "1.1"}),
        ("chat.appendStream", {"channel": "C1", "ts": "1.1", "markdown_text": "가" * 12_001}),
    ],
)
def test_a_payload_that_slack_would_not_take_is_found(method: str, arguments: dict[str, Any]) -> None:
    assert faults_of_call(method, arguments)
