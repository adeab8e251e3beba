"""Checks replies of the action server with a validator built once.

Rasa 3.6 calls `jsonschema.validate`, which checks the schema itself again at every reply: a third of the server's time.
What is accepted and what is refused stays the same.
"""

from typing import Any

from jsonschema import Draft202012Validator
from rasa.core.actions.action import RemoteAction

_VALIDATOR = Draft202012Validator(RemoteAction.action_response_format_spec())


def _validate(_: RemoteAction, result: dict[str, Any]) -> bool:
    for error in _VALIDATOR.iter_errors(result):
        raise error
    return True


def validate_replies_once_built() -> None:
    """Put the prepared validator in Rasa's place."""
    RemoteAction._validate_action_result = _validate
