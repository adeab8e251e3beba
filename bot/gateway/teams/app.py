"""Builds the Teams worker from its settings and runs it: a process of its own beside the gateway, inside the bank."""

import asyncio
import hashlib
import hmac
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Final
from uuid import uuid4

import httpx

from bot.gateway.channel import ChannelQuestion, ChannelTurns
from bot.gateway.conversation_queue import ConversationQueue
from bot.gateway.directory import Directory
from bot.gateway.fallback import FallbackRouter
from bot.gateway.handoff import Handoffs
from bot.gateway.limits import Limits
from bot.gateway.metrics import Metrics
from bot.gateway.outbound import OutboundGate
from bot.gateway.rasa import RasaClient
from bot.gateway.rate_limit import RedisRateLimit
from bot.gateway.reply_pump import ReplyPump
from bot.gateway.routing import Router
from bot.gateway.settings import GatewaySettings
from bot.gateway.settings import load_settings as load_gateway_settings
from bot.gateway.teams.answering import CHANNEL, MakeMessage, People, TeamsAnswers, TeamsParts
from bot.gateway.teams.connector import CONNECT_TIMEOUT_SECONDS, TIMEOUT_SECONDS, BotToken, Connector, Place
from bot.gateway.teams.handoff import TeamsHandoff
from bot.gateway.teams.kept import KeptMessages
from bot.gateway.teams.settings import TeamsSettings, load_settings
from bot.gateway.teams.streamed_message import PIECE_SECONDS, StreamedMessage
from bot.gateway.teams.worker import Worker
from bot.gateway.turn import ChatTurns
from bot.teams_door.inbox import InboxWorker
from bot.teams_door.settings import named
from llm_service.client import LlmServiceClient
from llm_service.handoff_client import PersonHandoffs
from llm_service.logs import configure_logging, leave_no_text_behind

HEARTBEAT_SECONDS: Final = 10


class TeamsWorker:
    """The whole worker: `run` until stopped, then `close`. `people` stands in for the directory file."""

    def __init__(
        self,
        gateway: GatewaySettings,
        teams: TeamsSettings,
        http: httpx.AsyncClient,
        inbox: InboxWorker,
        people: People | None = None,
        pace_seconds: float = PIECE_SECONDS,
        message: MakeMessage = StreamedMessage,
    ) -> None:
        redis_url = teams.teams_redis_url.get_secret_value()
        metrics = Metrics()
        self._http = http
        self._llm_service = LlmServiceClient(gateway.llm_service_url, gateway.service_token.get_secret_value())
        self._rasa = RasaClient(gateway.rasa_url, gateway.rasa_token.get_secret_value())
        self._limits = Limits(RedisRateLimit(redis_url), gateway, _pseudonym(gateway), metrics)
        self._kept = KeptMessages(redis_url, teams.teams_feedback_days)
        self._inbox = inbox
        router = Router(self._rasa, FallbackRouter(), lambda reason: metrics.rasa_fallbacks.labels(reason).inc())
        queue = ConversationQueue(gateway.waiting_questions_per_conversation)
        link_hosts = sorted(named(teams.teams_allowed_link_hosts))
        gate = OutboundGate(self._llm_service, link_hosts, teams.teams_web_chat_url)
        connector = _connector(teams, http)
        handoff = TeamsHandoff(connector, gate, self._kept, _staff_channel(teams))
        waiting = PersonHandoffs(self._llm_service)
        self._replies = ReplyPump(waiting, CHANNEL, handoff)
        turns = ChatTurns(self._llm_service, router, queue, metrics, Handoffs(waiting, {CHANNEL: handoff}))
        maximum = gateway.maximum_question_characters
        parts = TeamsParts(
            turns=ChannelTurns(turns, gate, maximum, pace_seconds, self._admit),
            llm_service=self._llm_service,
            gate=gate,
            people=people or Directory(gateway.directory_file),
            connector=connector,
            kept=self._kept,
            message=message,
        )
        self._worker = Worker(self._inbox, TeamsAnswers(parts), teams.tenants, teams.teams_answers_at_once)

    async def run(self, stop: asyncio.Event) -> None:
        """Answer questions, and bring agents' words, until `stop` is set."""
        replies = asyncio.create_task(self._replies.run())
        try:
            await self._worker.run(stop)
        finally:
            replies.cancel()
            await asyncio.wait({replies})

    async def close(self) -> None:
        await self._inbox.close()
        await self._kept.close()
        await self._limits.close()
        await self._rasa.close()
        await self._llm_service.close()
        await self._http.aclose()

    async def _admit(self, question: ChannelQuestion) -> None:
        await self._limits.question(question.channel, question.person.id)


def main() -> None:
    """Answer until told to stop; a worker that is not enabled does not begin."""
    gateway, teams = load_gateway_settings(), load_settings()
    configure_logging("teams", gateway.log_level)
    leave_no_text_behind()
    if not teams.teams_enabled:
        raise SystemExit("Teams is not enabled: set HAECHI_TEAMS_ENABLED, see docs/teams.md")
    asyncio.run(_serve(gateway, teams))


def http_client(teams: TeamsSettings) -> httpx.AsyncClient:
    """The way to Microsoft: by the proxy where there is one, and by no other that the environment names."""
    return httpx.AsyncClient(
        timeout=httpx.Timeout(TIMEOUT_SECONDS, connect=CONNECT_TIMEOUT_SECONDS),
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=64),
        trust_env=False,
        proxy=teams.teams_proxy or None,
    )


async def _serve(gateway: GatewaySettings, teams: TeamsSettings) -> None:
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    keys = teams.teams_inbox_private_keys.get_secret_value()
    inbox = InboxWorker(teams.teams_redis_url.get_secret_value(), keys, uuid4().hex)
    worker = TeamsWorker(gateway, teams, http_client(teams), inbox)
    pulse = asyncio.create_task(beat(teams.heartbeat_file)) if teams.heartbeat_file else None
    try:
        await worker.run(stop)
    finally:
        if pulse:
            pulse.cancel()
        await worker.close()


async def beat(file: Path) -> None:
    """Touch the file as long as the event loop turns, so that a probe sees a stuck worker."""
    while True:
        file.touch()  # noqa: ASYNC240 a file in memory, and a loop that cannot touch it is what the probe looks for
        await asyncio.sleep(HEARTBEAT_SECONDS)


def _connector(teams: TeamsSettings, http: httpx.AsyncClient) -> Connector:
    form = {
        "grant_type": "client_credentials",
        "client_id": teams.teams_app_id,
        "client_secret": teams.teams_app_secret.get_secret_value(),
        "scope": teams.teams_scope,
    }
    token = BotToken(http, f"{teams.teams_login_url}/{teams.teams_app_tenant}/oauth2/v2.0/token", form)
    return Connector(http, token, teams.service_hosts, https_only=teams.environment == "production")


def _staff_channel(teams: TeamsSettings) -> Place | None:
    if not teams.teams_handoff_channel:
        return None
    bot = f"28:{teams.teams_app_id}"
    tenant = teams.teams_app_tenant
    return Place(teams.teams_handoff_service_url, tenant, teams.teams_handoff_channel, "channel", bot)


def _pseudonym(gateway: GatewaySettings) -> Callable[[str], str]:
    secret = gateway.session_secret.get_secret_value().encode()
    return lambda subject: hmac.new(secret, subject.encode(), hashlib.sha256).hexdigest()[:32]


if __name__ == "__main__":
    main()
