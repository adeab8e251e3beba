"""What the start hands to the processes, and what a command that starts Rasa alone leaves out."""

from pathlib import Path

from haechi.intents import _rasa_alone
from haechi.secrets import read_secret
from haechi.settings import PlatformSettings
from haechi.start import plan_start


def test_rasa_keeps_its_conversations_in_a_redis_database_of_its_own(tmp_path: Path) -> None:
    plan = plan_start(PlatformSettings(home=tmp_path, redis_port=6399))
    password = read_secret(tmp_path, "haechi_redis_password")
    assert plan.environment["HAECHI_RASA_TRACKER_URL"] == f"redis://:{password}@127.0.0.1:6399/1"
    assert plan.environment["HAECHI_REDIS_URL"] == f"redis://:{password}@127.0.0.1:6399/0"


def test_rasa_alone_keeps_them_in_memory_for_there_is_no_redis(tmp_path: Path) -> None:
    alone = _rasa_alone(plan_start(PlatformSettings(home=tmp_path)))
    assert alone.processes == ("rasa",)
    assert alone.environment["HAECHI_RASA_TRACKER_URL"] == ""
