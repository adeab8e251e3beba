"""Which servers an activity may name for the answer: hosts from an exact list, never a suffix, never plain HTTP.

Asked at the door, and asked again before an answer leaves: a forged message must not make us show our token elsewhere.
"""

from urllib.parse import urlsplit

from bot.teams_door.errors import Refused

HTTPS_PORT = 443


def check_service_host(service_url: str, hosts: frozenset[str], *, https_only: bool) -> None:
    """Pass a serviceUrl whose host stands in the list. Raises `Refused` 403."""
    try:
        parts = urlsplit(service_url)
        port = parts.port
    except ValueError:
        raise Refused("service_url_refused", 403) from None
    is_plain = parts.username is None and parts.password is None and not parts.query and not parts.fragment
    if not is_plain or (parts.hostname or "") not in hosts or _is_odd(service_url):
        raise Refused("service_url_refused", 403)
    if https_only and (parts.scheme != "https" or port not in (None, HTTPS_PORT)):
        raise Refused("service_url_refused", 403)


def _is_odd(url: str) -> bool:
    # urlsplit drops line breaks and tabs, and other readers take a backslash for a slash: no honest address has either.
    return "\\" in url or any(character.isspace() or not character.isprintable() for character in url)
