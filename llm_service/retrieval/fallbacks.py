"""Watches optional parts of retrieval: what falls out is said in the log once, and once when it is back."""

from threading import Lock

from llm_service.logs import get_logger

_log = get_logger("retrieval")


class Watch:
    """One optional part, by name. What happens on every question is counted elsewhere; here, changes are told."""

    def __init__(self, part: str) -> None:
        self._part = part
        self._gone = False
        self._lock = Lock()

    def is_back(self) -> None:
        """The part has answered."""
        if self._change(False):
            _log.info("optional_part_back", part=self._part)

    def is_gone(self, reason: str) -> str:
        """The part has not answered, for a reason that is a code; returns `part:reason` for the answer's record."""
        if self._change(True):
            _log.warning("optional_part_gone", part=self._part, reason=reason)
        return f"{self._part}:{reason}"

    def _change(self, gone: bool) -> bool:
        with self._lock:
            changed, self._gone = self._gone != gone, gone
        return changed
