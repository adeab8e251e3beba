"""What the console itself declines, by code; the sentences for people stand in `texts.yaml` under `error_<code>`."""


class Declined(Exception):
    """A request is answered with an error page: `code` names its words, `status` is HTTP's."""

    def __init__(self, code: str, status: int) -> None:
        super().__init__(f"{code} ({status})")
        self.code = code
        self.status = status


class LoginRequired(Exception):
    """Nobody is logged in; the person is sent to the login and comes back to `where`."""

    def __init__(self, where: str) -> None:
        super().__init__("nobody is logged in")
        self.where = where


class StageMissing(Exception):
    """The login lacks a step (a new password, a code, a second factor): the person is sent to its page."""

    def __init__(self, stage: str) -> None:
        super().__init__(f"the login is at {stage}")
        self.stage = stage
