"""The part of Rasa's action protocol that is spoken here: JSON in, events and responses out, without rasa-sdk."""

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field


class Tracker(BaseModel):
    """Of the whole conversation that Rasa sends, only the slots are read."""

    model_config = ConfigDict(extra="ignore")

    slots: dict[str, Any] = Field(default_factory=dict)


class ActionCall(BaseModel):
    """One call of an action by its name."""

    model_config = ConfigDict(extra="ignore")

    next_action: str
    tracker: Tracker


class ActionReply(BaseModel):
    """Events for the conversation, and names of responses in Rasa's domain with the values they quote."""

    events: list[dict[str, Any]] = Field(default_factory=list)
    responses: list[dict[str, Any]] = Field(default_factory=list)

    def set_slot(self, name: str, value: int | str | None) -> Self:
        self.events.append({"event": "slot", "timestamp": None, "name": name, "value": value})
        return self

    def say(self, response: str, **values: str) -> Self:
        """Utter a response of the domain; the words themselves live there."""
        self.responses.append({"response": response, **values})
        return self
