// The story of a conversation: a question is sent, its answer grows, is stopped if wanted, judged if wanted, kept masked.
//
// Knows no element: who draws it is told that something changed, and what has happened.

import type { Connection } from "./connection.js";
import { type Gateway, Refused } from "./gateway.js";
import type { HandoffStatus } from "./handoff.js";
import type { Saved } from "./saved.js";
import { ask, type ChatEvent } from "./stream.js";
import type { Locale, TextKey, Texts } from "./texts.js";
import { labelOf, newId, newTurn, restoredTurn, savedTurn, type Turn } from "./turn.js";

/** What the element around is told. */
export interface Listener {
  changed(): void;
  /** A sentence for screen readers, said once. */
  say(sentence: string): void;
  happened(kind: "message" | "feedback" | "error", detail: Record<string, unknown>): void;
  /** The gateway called a person, or says why none can be had; older gateways say it without a status. */
  personCalled(status: HandoffStatus | null): void;
  locale(): Locale;
  texts(): Texts;
}

export class Conversation {
  id = newId();
  turns: Turn[] = [];
  running: Turn | null = null;
  #stopWanted = false;

  readonly #gateway: Gateway;
  readonly #connection: Connection;
  readonly #listener: Listener;

  constructor(
    gateway: Gateway,
    connection: Connection,
    listener: Listener,
  ) {
    this.#gateway = gateway;
    this.#connection = connection;
    this.#listener = listener;
  }

  /** Forgets everything and begins anew. */
  clear(): void {
    this.id = newId();
    this.turns = [];
    this.#listener.changed();
  }

  /** Asks, and resolves when the answer has ended, however it ended. */
  async ask(question: string): Promise<void> {
    if (this.running) return;
    const turn = newTurn(question);
    this.turns = [...this.turns, turn];
    await this.#answer(turn);
  }

  /** Asks again: the same message where the connection failed, so that nothing is answered twice; see `draw`. */
  async retry(turn: Turn): Promise<void> {
    if (this.running) return;
    const again = { ...newTurn(turn.question), messageId: turn.messageId };
    this.turns = this.turns.map((other) => (other === turn ? again : other));
    await this.#answer(again);
  }

  async stop(): Promise<void> {
    const turnId = this.running?.turnId;
    this.#stopWanted = true;
    if (!turnId) return;
    try {
      await this.#gateway.post(`/v1/chat/${encodeURIComponent(turnId)}/stop`, () => ({}));
    } catch (error) {
      // Refused means that the answer had ended by itself.
      if (!(error instanceof Refused)) throw error;
    }
  }

  async judge(turn: Turn, verdict: "up" | "down", reason: string | null, correction: string | null): Promise<void> {
    const { judgement } = turn;
    Object.assign(judgement, { step: "sending", verdict, error: "" });
    this.#listener.changed();
    const body = { turn_id: turn.turnId, event_id: judgement.eventId, verdict, reason, correction };
    try {
      await this.#gateway.post("/v1/feedback", () => body);
    } catch (error) {
      const sentence = this.#sentence(error);
      Object.assign(judgement, { step: reason || correction ? "form" : "none", verdict: null, error: sentence });
      this.#listener.changed();
      return;
    }
    judgement.step = "thanked";
    this.#listener.happened("feedback", { turnId: turn.turnId, verdict, reason });
    this.#listener.changed();
  }

  /** Adds what a person wrote elsewhere, what staff wrote, or how things stand; each message once. */
  add(turn: Turn): void {
    if (this.turns.some((known) => known.messageId === turn.messageId)) return;
    this.turns = [...this.turns, turn];
    this.#listener.changed();
  }

  /** What may be kept over a reload. */
  saved(): Pick<Saved, "conversation" | "guest" | "turns"> {
    const turns = this.turns.map(savedTurn).filter((turn) => turn !== null);
    return { conversation: this.id, guest: this.#gateway.guest, turns };
  }

  restore(kept: Saved): void {
    this.id = kept.conversation;
    this.#gateway.guest = kept.guest;
    this.turns = kept.turns.map(restoredTurn);
  }

  async #answer(turn: Turn): Promise<void> {
    this.running = turn;
    this.#stopWanted = false;
    this.#listener.say(this.#text("status_writing"));
    this.#listener.happened("message", { role: "question", messageId: turn.messageId });
    this.#listener.changed();
    const body = (): unknown => ({
      message_id: turn.messageId, conversation: this.id, text: turn.question, locale: this.#listener.locale(),
    });
    try {
      for await (const event of ask(this.#gateway, this.#connection, body)) {
        this.#draw(turn, event);
        this.#listener.changed();
      }
    } catch (error) {
      this.#fail(turn, this.#sentence(error), error instanceof Refused ? error.code : "internal_error");
      if (!(error instanceof Refused)) throw error;
    } finally {
      this.#connection.heard();
      this.running = null;
      this.#listener.changed();
    }
  }

  #draw(turn: Turn, { event, data }: ChatEvent): void {
    switch (event) {
      case "turn":
        turn.turnId = data.turn_id;
        turn.maskedQuestion = data.masked_text ?? (data.masked ? null : turn.question);
        if (data.masked) this.#note(turn, "masked", this.#text("masked"));
        if (this.#stopWanted) void this.stop();
        break;
      case "notice":
        // What was shown is told anew, since a check took it back.
        if (data.code === "answer_restated") turn.answer = turn.maskedAnswer = "";
        if (data.code === "handoff") this.#listener.personCalled(data.handoff ?? null);
        this.#note(turn, data.code, data.text, data.masked);
        break;
      case "sources":
        turn.sources = data.sources;
        break;
      case "token":
        turn.state = "writing";
        turn.answer += data.text;
        turn.maskedAnswer += data.masked ?? data.text;
        break;
      case "done":
        this.#finish(turn, data);
        break;
      case "error":
        this.#fail(turn, this.#listener.locale() === "ko" ? data.message_ko : data.message, data.code);
        // The answer itself has failed: asking again asks for another one.
        turn.messageId = newId();
        break;
    }
  }

  #note(turn: Turn, code: string, text: string, masked = text): void {
    turn.notes = [...turn.notes, { code, text, masked, after: turn.answer !== "" || code === "follow_up" }];
  }

  #finish(turn: Turn, done: { turn_id: string; state: string; refused: boolean; engine: string }): void {
    turn.state = done.state === "stopped" ? "stopped" : "ended";
    turn.turnId = done.turn_id;
    turn.refused = done.refused;
    turn.label = labelOf(done);
    if (done.state === "stopped") turn.notes = [...turn.notes, this.#stopped()];
    this.#listener.say(this.#text(done.state === "stopped" ? "status_stopped" : "status_done"));
    this.#listener.happened("message", { role: "answer", turnId: done.turn_id, state: done.state, refused: done.refused });
  }

  #stopped(): Turn["notes"][number] {
    const text = this.#text("stopped");
    return { code: "stopped", text, masked: text, after: true };
  }

  #fail(turn: Turn, sentence: string, code: string): void {
    turn.state = "failed";
    turn.error = sentence;
    this.#listener.say(this.#listener.texts()("status_failed", { reason: sentence }));
    this.#listener.happened("error", { code, messageId: turn.messageId });
  }

  #sentence(error: unknown): string {
    const told = error instanceof Refused ? error.messages[this.#listener.locale()] : undefined;
    return told || this.#text("connection_lost");
  }

  #text(key: TextKey): string {
    return this.#listener.texts()(key);
  }
}
