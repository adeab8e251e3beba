"""Guest tokens and turn handles: who is let in, for how long, and whose turn is whose."""

import pytest

from bot.gateway.errors import Declined
from bot.gateway.sessions import OwnedTurn, Sessions
from tests.bot.gateway.stand_ins import SERVICE_TOKEN

SESSIONS = Sessions("the secret of this test", SERVICE_TOKEN, valid_seconds=60)
TURN = OwnedTurn("a" * 32, "b" * 32)


def test_a_guest_token_names_a_random_guest() -> None:
    one, other = (SESSIONS.person(SESSIONS.issue()) for _ in range(2))
    assert one.user != other.user
    assert (one.audience, one.is_service) == ("customer", False)


def test_a_renewed_token_names_the_same_guest() -> None:
    guest = SESSIONS.person(SESSIONS.issue())
    assert SESSIONS.person(SESSIONS.issue(guest)) == guest


@pytest.mark.parametrize("token", ["", "nonsense", "a.b.c", SERVICE_TOKEN[:-1], "토큰"])
def test_a_token_that_was_not_issued_here_is_refused(token: str) -> None:
    with pytest.raises(Declined, match="session_required"):
        SESSIONS.person(token)


def test_a_token_signed_with_another_secret_is_refused() -> None:
    with pytest.raises(Declined, match="session_required"):
        SESSIONS.person(Sessions("another secret", "", 60).issue())


def test_an_expired_token_is_refused_by_its_own_code() -> None:
    with pytest.raises(Declined, match="session_expired"):
        Sessions("the secret of this test", "", valid_seconds=-1).person(SESSIONS.issue())


def test_an_empty_service_token_lets_nobody_in() -> None:
    with pytest.raises(Declined):
        Sessions("the secret of this test", "", 60).person("")


def test_a_turn_handle_is_worth_nothing_to_anyone_else() -> None:
    handle = SESSIONS.turn_handle(TURN, "owner")
    assert handle.startswith(f"{TURN.turn_id}.")
    assert SESSIONS.owned_turn(handle, "owner") == TURN
    with pytest.raises(Declined, match=r"turn_not_found \(404\)"):
        SESSIONS.owned_turn(handle, "somebody else")


@pytest.mark.parametrize("handle", ["", "x", f"{'c' * 32}.{'b' * 32}.", "a.b.c.d"])
def test_a_made_up_turn_handle_is_not_found(handle: str) -> None:
    with pytest.raises(Declined, match=r"turn_not_found \(404\)"):
        SESSIONS.owned_turn(handle, "owner")
