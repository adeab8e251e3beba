"""Slack's published types as JSON Schemas, and its SDK's models: what a payload must pass to count as one.

`schemas/slack.json` is made by `bin/slack-schemas`; see docs/decisions on Slack.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any, Final

from jsonschema import Draft7Validator  # type: ignore[import-untyped]
from slack_sdk.errors import SlackObjectFormationError
from slack_sdk.models.blocks import Block
from slack_sdk.models.views import View

FILE: Final = Path(__file__).with_name("schemas") / "slack.json"
NAMES: Final = {
    "chat.postMessage": "ChatPostMessage",
    "chat.postEphemeral": "ChatPostEphemeral",
    "chat.update": "ChatUpdate",
    "chat.startStream": "ChatStartStream",
    "chat.appendStream": "ChatAppendStream",
    "chat.stopStream": "ChatStopStream",
    "views.open": "ViewsOpen",
    "assistant.threads.setStatus": "AssistantThreadsSetStatus",
    "assistant.threads.setSuggestedPrompts": "AssistantThreadsSetSuggestedPrompts",
    "usergroups.users.list": "UsergroupsUsersList",
}
# Named by Slack's documents, not yet by @slack/web-api 8.2.0.
KNOWN_BEFORE_THE_TYPES: Final = {"assistant:write", "agent_session_stopped"}


def faults_of_call(method: str, arguments: dict[str, Any]) -> list[str]:
    """What is wrong with a call, by the types and by the SDK's models; a method without a schema is a fault."""
    if method in ("auth.test", "apps.connections.open"):
        return []
    if method not in NAMES:
        return [f"{method}: no schema"]
    # Blocks are held to the schema of their own type, which is stricter than the arguments' "known or any block".
    faults = faults_of(NAMES[method], arguments | {"blocks": []} if "blocks" in arguments else arguments)
    if "blocks" in arguments:
        faults += faults_of_blocks(arguments["blocks"])
    if "view" in arguments:
        faults += faults_of("Modal", arguments["view"])
        View(**arguments["view"]).to_dict()
    if len(arguments.get("markdown_text") or "") > 12_000:
        faults.append(f"{method}: markdown_text is longer than 12,000 characters")
    return [f"{method}: {fault}" for fault in faults]


def faults_of_blocks(blocks: list[dict[str, Any]]) -> list[str]:
    faults = [fault for block in blocks for fault in faults_of(_definition_of(block.get("type", "")), block)]
    if len(blocks) > 50:
        faults.append("more than 50 blocks")
    try:
        for block in Block.parse_all(blocks):
            block.to_dict()  # checks lengths, which the types do not know
    except (SlackObjectFormationError, TypeError) as error:
        faults.append(f"slack_sdk: {error}")
    written = sum(len(block["text"]) for block in blocks if block["type"] == "markdown")
    return [*faults, "markdown blocks of more than 12,000 characters"] if written > 12_000 else faults


def faults_of(definition: str, value: Any) -> list[str]:
    found = []
    for error in _validator(definition).iter_errors(value):
        unknown = [one.instance for one in error.context or [error] if one.validator == "enum"]
        if not unknown or not KNOWN_BEFORE_THE_TYPES.issuperset(unknown):
            found.append(f"{error.json_path}: {error.validator} ({definition})")
    return found


@cache
def _definition_of(block_type: str) -> str:
    """The definition of a block's type; for a type Slack does not have, the one of all blocks, which says so."""
    known = _definitions()
    named = [name for name in known if name.endswith("Block") and known[name].get("properties", {}).get("type", {})]
    found = [name for name in named if known[name]["properties"]["type"].get("const") == block_type]
    return found[0] if found else "KnownBlock"


@cache
def _validator(definition: str) -> Draft7Validator:
    return Draft7Validator({"$ref": f"#/definitions/{definition}", "definitions": _definitions()})


@cache
def _definitions() -> dict[str, Any]:
    definitions: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))["definitions"]
    return definitions
