"""What the start hands to the processes, and what a command that starts Rasa alone leaves out."""

from pathlib import Path

from haechi.intents import _rasa_alone
from haechi.secrets import read_secret
from haechi.settings import PlatformSettings
from haechi.start import KEPT_LOGS, plan_start, set_aside


def test_rasa_keeps_its_conversations_in_a_redis_database_of_its_own(tmp_path: Path) -> None:
    plan = plan_start(PlatformSettings(home=tmp_path, redis_port=6399))
    password = read_secret(tmp_path, "haechi_redis_password")
    assert plan.environment["HAECHI_RASA_TRACKER_URL"] == f"redis://:{password}@127.0.0.1:6399/1"
    assert plan.environment["HAECHI_REDIS_URL"] == f"redis://:{password}@127.0.0.1:6399/0"


def test_rasa_alone_keeps_them_in_memory_for_there_is_no_redis(tmp_path: Path) -> None:
    alone = _rasa_alone(plan_start(PlatformSettings(home=tmp_path)))
    assert alone.processes == ("rasa",)
    assert alone.environment["HAECHI_RASA_TRACKER_URL"] == ""


def test_every_start_begins_a_log_of_its_own_and_the_last_five_are_kept(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "platform.log"
    set_aside(log)  # the first start: there is none yet
    for start in range(7):
        log.write_text(f"start {start}", encoding="utf-8")
        set_aside(log)
    assert not log.exists()
    assert [path.name for path in sorted(log.parent.iterdir())] == [f"platform.log.{age}" for age in range(1, 6)]
    assert [Path(f"{log}.{age}").read_text(encoding="utf-8") for age in range(1, KEPT_LOGS + 1)] == [
        f"start {start}" for start in (6, 5, 4, 3, 2)
    ]


def test_rasa_alone_leaves_the_log_of_the_platform_as_it_is(tmp_path: Path) -> None:
    plan = plan_start(PlatformSettings(home=tmp_path))
    assert _rasa_alone(plan).log != plan.log
