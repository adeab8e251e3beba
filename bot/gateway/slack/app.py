"""Builds the Slack process from its settings and runs it: Bolt's door, the inbox behind it, the desk that works.

What is delivered is queued before it is acknowledged, and acknowledged before anything is asked of anybody. The only
place of this package that chooses parts.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import urlsplit

import uvicorn
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncAck, AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_sdk.http_retry.builtin_async_handlers import AsyncRateLimitErrorRetryHandler
from slack_sdk.web.async_client import AsyncWebClient
from starlette.applications import Starlette

from bot.gateway.channel import ChannelQuestion, ChannelTurns
from bot.gateway.conversation_queue import ConversationQueue
from bot.gateway.directory import Directory
from bot.gateway.fallback import FallbackRouter
from bot.gateway.handoff import Handoffs
from bot.gateway.inbox import ChannelInbox, InProcessInbox, RedisInbox
from bot.gateway.limits import Limits
from bot.gateway.metrics import Metrics
from bot.gateway.outbound import OutboundGate
from bot.gateway.rasa import RasaClient
from bot.gateway.rate_limit import InProcessRateLimit, RateLimit, RedisRateLimit
from bot.gateway.reply_pump import ReplyPump
from bot.gateway.routing import Router
from bot.gateway.sessions import Sessions
from bot.gateway.settings import GatewaySettings
from bot.gateway.settings import load_settings as load_gateway_settings
from bot.gateway.slack.deliveries import ASK_COMMAND, CORRECTION_VIEW, DOWN, JUDGE_ACTION, delivery_of, team_of
from bot.gateway.slack.desk import DeskParts, SlackDesk
from bot.gateway.slack.handoff import SlackHandoff
from bot.gateway.slack.http import slack_http
from bot.gateway.slack.people import SLACK, SlackPeople, read_entitlements
from bot.gateway.slack.settings import SlackSettings, load_settings
from bot.gateway.turn import ChatTurns
from llm_service.client import LlmServiceClient
from llm_service.handoff_client import PersonHandoffs
from llm_service.logs import configure_logging, get_logger, leave_no_text_behind

PACE_SECONDS: Final = 1.0
"""Between two pieces of a stream: chat.appendStream takes 60 of them a minute (S3), and one message a second."""
RATE_LIMIT_RETRIES: Final = 20
CALL_TIMEOUT_SECONDS: Final = 10
PING_SECONDS: Final = 1.0
"""Between two looks of the SDK at its connection: so long a cut one may go unnoticed (S6)."""
STOP_GRACE_SECONDS: Final = 20.0
RESPONSE_HOST: Final = "hooks.slack.com"
_log = get_logger("gateway.slack.app")


class SlackProcess:
    """The whole process: `start`, then answer until `stop`. `pace_seconds` is for tests that cannot wait."""

    def __init__(self, gateway: GatewaySettings, slack: SlackSettings, pace_seconds: float = PACE_SECONDS) -> None:
        self._slack = slack
        self.client = _client(slack)
        redis_url = gateway.redis_url.get_secret_value()
        secret = gateway.session_secret.get_secret_value() or secrets.token_urlsafe(48)
        shared = RedisInbox(redis_url, SLACK, secret, slack.slack_waiting) if redis_url else None
        self.inbox = ChannelInbox(InProcessInbox(slack.slack_waiting), shared)
        self._llm_service = LlmServiceClient(gateway.llm_service_url, gateway.service_token.get_secret_value())
        self._rasa = RasaClient(gateway.rasa_url, gateway.rasa_token.get_secret_value())
        self.metrics = Metrics()
        sessions = Sessions(secret, gateway.service_token.get_secret_value(), gateway.session_seconds)
        limit: RateLimit = RedisRateLimit(redis_url) if redis_url else InProcessRateLimit()
        self._limits = Limits(limit, gateway, sessions.pseudonym, self.metrics)
        gate = OutboundGate(self._llm_service, slack.allowed_link_hosts, slack.slack_web_chat_url)
        self._handoff = SlackHandoff(self.client, gate, self.inbox, slack.slack_handoff_channel)
        self._people_handoffs = PersonHandoffs(self._llm_service)
        self._replies = ReplyPump(self._people_handoffs, SLACK, self._handoff)
        self.desk = SlackDesk(
            DeskParts(
                client=self.client,
                turns=ChannelTurns(
                    self._chat_turns(gateway),
                    gate,
                    gateway.maximum_question_characters,
                    pace_seconds,
                    self._admit,
                ),
                gate=gate,
                people=self._people(gateway),
                inbox=self.inbox,
                sessions=sessions,
                llm_service=self._llm_service,
                limits=self._limits,
                proxy=slack.slack_proxy or None,
                response_hosts=frozenset({RESPONSE_HOST, urlsplit(slack.slack_api_url).hostname or ""}),
            )
        )
        self.bolt: AsyncApp | None = None
        self._socket: AsyncSocketModeHandler | None = None
        self._beside: set[asyncio.Task[None]] = set()
        self._pumping: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Ask Slack who we are, then take deliveries. Raises `SlackApiError` where the token is refused."""
        me = (await self.client.auth_test()).data
        self.bolt = self._bolt(dict(me) if isinstance(me, dict) else {})
        self.inbox.start(self.desk.handle, self._slack.slack_answers_at_once)
        if self._slack.slack_transport == "socket":
            self._socket = AsyncSocketModeHandler(
                self.bolt,
                self._slack.slack_app_token.get_secret_value(),
                web_client=self.client,
                proxy=self._slack.slack_proxy or None,
                ping_interval=PING_SECONDS,
            )
            await self._socket.connect_async()  # type: ignore[no-untyped-call]
        self._pumping = asyncio.create_task(self._replies.run())
        _log.info("slack_ready", transport=self._slack.slack_transport)

    async def stop(self, grace_seconds: float = STOP_GRACE_SECONDS) -> None:
        """Take nothing more, finish what is begun, leave the rest to other replicas."""
        if self._socket is not None:
            await self._socket.close_async()  # type: ignore[no-untyped-call]
        if self._pumping is not None:
            self._pumping.cancel()
            await asyncio.wait({self._pumping})
        await self.inbox.stop(grace_seconds)
        if self._beside:
            await asyncio.wait(self._beside)
        await self._llm_service.close()
        await self._rasa.close()
        await self._limits.close()

    @property
    def is_connected(self) -> bool:
        """Whether deliveries can come in."""
        if self._slack.slack_transport == "http":
            return self.bolt is not None
        session = self._socket.client.current_session if self._socket is not None else None
        return session is not None and not session.closed

    def _bolt(self, me: dict[str, Any]) -> AsyncApp:
        known = AuthorizeResult(
            enterprise_id=me.get("enterprise_id"),
            team_id=me.get("team_id"),
            bot_user_id=me["user_id"],
            bot_id=me.get("bot_id"),
            bot_token=self._slack.slack_bot_token.get_secret_value(),
        )

        async def authorize() -> AuthorizeResult:
            # Known since the start: what comes in is acknowledged without a call to anybody.
            return known

        bolt = AsyncApp(
            client=self.client,
            authorize=authorize,
            signing_secret=self._slack.slack_signing_secret.get_secret_value() or "by socket, not by signature",
            request_verification_enabled=self._slack.slack_transport == "http",
        )
        bolt.use(self._queueing(str(me["user_id"]), self._slack.slack_team_id or str(me.get("team_id", ""))))
        for event in ("app_mention", "message", "app_home_opened", "agent_session_stopped"):
            bolt.event(event)(_acknowledge)
        bolt.command(ASK_COMMAND)(_acknowledge)
        bolt.action(JUDGE_ACTION)(_acknowledge)
        bolt.view(CORRECTION_VIEW)(_acknowledge)
        return bolt

    def _queueing(self, bot_user: str, team: str) -> Callable[..., Awaitable[None]]:
        async def queue(body: dict[str, Any], next: Callable[[], Awaitable[None]]) -> None:
            if team_of(body) not in ("", team):
                _log.warning("foreign_workspace", consequence="delivery dropped")
            elif (delivery := delivery_of(body, bot_user)) is not None:
                put = await self.inbox.put(delivery)
                if put == "full":
                    self._soon(self.desk.decline_busy(delivery))
                if put == "queued" and delivery.kind == "verdict" and delivery.body["verdict"] == DOWN:
                    self._soon(self.desk.open_form(delivery, body["trigger_id"]))
            await next()

        return queue

    def _soon(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)

    def _chat_turns(self, gateway: GatewaySettings) -> ChatTurns:
        router = Router(self._rasa, FallbackRouter(), lambda reason: self.metrics.rasa_fallbacks.labels(reason).inc())
        queue = ConversationQueue(gateway.waiting_questions_per_conversation)
        handoffs = Handoffs(self._people_handoffs, {SLACK: self._handoff})
        return ChatTurns(self._llm_service, router, queue, self.metrics, handoffs)

    def _people(self, gateway: GatewaySettings) -> SlackPeople:
        return SlackPeople(
            self.client,
            Directory(gateway.directory_file),
            read_entitlements(self._slack.slack_entitlements),
            directory_decides=gateway.directory_file is not None,
        )

    async def _admit(self, question: ChannelQuestion) -> None:
        await self._limits.question(SLACK, question.person.id)


def _client(slack: SlackSettings) -> AsyncWebClient:
    client = AsyncWebClient(
        slack.slack_bot_token.get_secret_value(),
        base_url=slack.slack_api_url,
        proxy=slack.slack_proxy or None,
        timeout=CALL_TIMEOUT_SECONDS,
    )
    # Retry-After is waited out here; meanwhile the answer grows, and what follows is one larger piece.
    client.retry_handlers.append(AsyncRateLimitErrorRetryHandler(max_retry_count=RATE_LIMIT_RETRIES))
    return client


async def _acknowledge(ack: AsyncAck) -> None:
    await ack()


def create_app(process: SlackProcess, slack: SlackSettings) -> Starlette:
    """Health for the platform and, by the transport http, Slack's requests."""

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        await process.start()
        yield
        await process.stop()

    secret = slack.slack_signing_secret.get_secret_value() if slack.slack_transport == "http" else ""
    return slack_http(process, secret, lifespan)


def main() -> None:
    """Run the Slack process until it is told to stop."""
    gateway, slack = load_gateway_settings(), load_settings()
    configure_logging("slack", gateway.log_level)
    leave_no_text_behind()
    uvicorn.run(
        create_app(SlackProcess(gateway, slack), slack),
        host=slack.slack_host,
        port=slack.slack_port,
        access_log=False,
        log_config=None,
        server_header=False,
    )


if __name__ == "__main__":
    main()
