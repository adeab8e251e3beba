"""Every setting of every process as the page docs/settings.md: what `haechi settings` prints."""

from pydantic_settings import BaseSettings

from admin.settings import ConsoleSettings
from bot.actions import app as actions
from bot.gateway.settings import GatewaySettings
from bot.gateway.slack.settings import SlackSettings
from bot.gateway.teams.settings import TeamsSettings
from bot.rasa import settings as rasa_settings
from bot.teams_door.settings import TeamsDoorSettings
from haechi.settings import PlatformSettings
from llm_service.settings import Settings

SETTINGS_CLASSES: dict[str, type[BaseSettings]] = {
    "The machine and the `haechi` command": PlatformSettings,
    "Gateway": GatewaySettings,
    "Slack": SlackSettings,
    "Teams door (DMZ)": TeamsDoorSettings,
    "Teams worker": TeamsSettings,
    "Console": ConsoleSettings,
    "llm_service": Settings,
}
# Two processes read plain variables: Rasa's interpreter has no pydantic-settings, and the action server needs no more.
_HOME = "Data directory; Rasa keeps its model there."
_SECRETS = "Directory of secrets, a file each; empty means `secrets` in the data directory."
PLAIN_VARIABLES: dict[str, tuple[tuple[str, object, str], ...]] = {
    "Rasa": (
        ("HAECHI_HOME", rasa_settings.DEFAULT_HOME, _HOME),
        ("HAECHI_SECRETS_DIRECTORY", "", _SECRETS),
        ("HAECHI_RASA_HOST", rasa_settings.DEFAULT_HOST, "Address Rasa listens on."),
        ("HAECHI_RASA_PORT", rasa_settings.DEFAULT_PORT, "Port Rasa listens on."),
        ("HAECHI_RASA_TOKEN", "", "Token that the gateway has to present to Rasa."),
        ("HAECHI_ACTIONS_URL", rasa_settings.DEFAULT_ACTIONS_URL, "Where Rasa finds the action server."),
        ("HAECHI_SERVICE_TOKEN", "", "Token that Rasa presents to the action server."),
        (
            "HAECHI_RASA_TRACKER_URL",
            "",
            "Redis that holds masked conversations, redis://[:password@]host:port/database, 30 minutes each; empty"
            " keeps them in this process until it ends. `haechi up` sets it.",
        ),
        ("HAECHI_REDIS_PASSWORD", "", "Password of that Redis where the URL carries none."),
    ),
    "Action server": (
        ("HAECHI_HOME", actions.DEFAULT_HOME, "Data directory."),
        ("HAECHI_SECRETS_DIRECTORY", "", _SECRETS),
        ("HAECHI_ACTIONS_HOST", actions.DEFAULT_HOST, "Address the action server listens on."),
        ("HAECHI_ACTIONS_PORT", actions.DEFAULT_PORT, "Port the action server listens on."),
        ("HAECHI_SERVICE_TOKEN", "", "Token that Rasa has to present."),
    ),
}
PAGE_HEAD = """# Settings

Printed by `haechi settings`; a test holds this page to the code. A value comes from the variable, else from a file of
that name in lower case in the secrets directory (`HAECHI_SECRETS_DIRECTORY`, else `$HAECHI_HOME/secrets`), else it is
the default.
"""


def settings_page() -> str:
    """docs/settings.md: a table per part with variable, default and help."""
    tables = {
        title: tuple(
            (f"HAECHI_{name.upper()}", described.get_default(call_default_factory=False), described.description)
            for name, described in settings_class.model_fields.items()
        )
        for title, settings_class in SETTINGS_CLASSES.items()
    }
    parts = [PAGE_HEAD]
    for title, rows in {**tables, **PLAIN_VARIABLES}.items():
        parts.append(f"\n## {title}\n\n| variable | default | what it does |\n|---|---|---|\n")
        for variable, default, meaning in rows:
            shown = "" if default is None or str(default) == "" else f"`{default}`"
            parts.append(f"| `{variable}` | {shown} | {meaning} |\n")
    return "".join(parts)
