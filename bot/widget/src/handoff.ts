// The hand-off to a person as a page sees it: how it stands, asking, the words of staff as they come, the rating.
// `docs/handoff.md` holds the calls. What the person writes goes the way of every question; the gateway passes it on.

import type { Connection } from "./connection.js";
import { eventsOf } from "./events.js";
import { type Gateway, Refused } from "./gateway.js";
import type { Locale } from "./texts.js";
import { newTurn, saidTurn, type Turn } from "./turn.js";

export interface HandoffStatus {
  state: "none" | "waiting" | "taken" | "answered" | "closed" | "abandoned";
  ahead: number | null;
  rating: number | null;
  office: { enabled: boolean; open: boolean; opens_at: string | null };
  text: string;
}

type Told =
  | { event: "state"; data: { state: HandoffStatus["state"]; text: string } }
  | { event: "message"; data: { author: "agent" | "person"; message_id: string; text: string; masked?: string } };

export interface HandoffListener {
  changed(): void;
  said(turn: Turn): void;
  /** An agent wrote: worth a sentence for screen readers. */
  replied(): void;
  conversation(): string;
  locale(): Locale;
}

const UNDER_WAY = new Set<HandoffStatus["state"]>(["waiting", "taken", "answered"]);

export class Handoff {
  status: HandoffStatus | null = null;
  /** The last call failed: nothing is known. */
  unavailable = false;
  busy = false;
  rated = false;
  #following: AbortController | null = null;

  readonly #gateway: Gateway;
  readonly #connection: Connection;
  readonly #listener: HandoffListener;

  constructor(
    gateway: Gateway,
    connection: Connection,
    listener: HandoffListener,
  ) {
    this.#gateway = gateway;
    this.#connection = connection;
    this.#listener = listener;
  }

  get underWay(): boolean {
    return this.status !== null && UNDER_WAY.has(this.status.state);
  }

  get ratable(): boolean {
    return this.status?.state === "closed" && this.status.rating === null && !this.rated;
  }

  refresh(): Promise<void> {
    const query = new URLSearchParams({ conversation: this.#listener.conversation(), locale: this.#listener.locale() });
    return this.#call(() => this.#gateway.get(`/v1/handoff?${query}`));
  }

  ask(reason: "asked" | "refused"): Promise<void> {
    return this.#post("/v1/handoff", { locale: this.#listener.locale(), reason });
  }

  leave(): Promise<void> {
    return this.#post("/v1/handoff/leave", {});
  }

  async rate(rating: number): Promise<void> {
    await this.#post("/v1/handoff/rate", { rating });
    this.rated = !this.unavailable;
    this.#listener.changed();
  }

  /** Takes over a status that came another way, and listens for staff where there is something to hear. */
  take(status: HandoffStatus): void {
    this.status = status;
    this.unavailable = false;
    if (this.underWay) void this.#follow();
    this.#listener.changed();
  }

  /** Stops listening; the hand-off itself goes on. */
  drop(): void {
    this.#following?.abort();
    this.#following = null;
    this.status = null;
    this.rated = false;
  }

  #post(path: string, body: Record<string, unknown>): Promise<void> {
    return this.#call(() => this.#gateway.post(path, () => ({ conversation: this.#listener.conversation(), ...body })));
  }

  async #call(send: () => Promise<Response>): Promise<void> {
    this.busy = true;
    this.#listener.changed();
    try {
      const response = await send();
      this.take((await response.json()) as HandoffStatus);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      this.unavailable = true;
    } finally {
      this.busy = false;
      this.#listener.changed();
    }
  }

  /** Listens until the hand-off ends; a cut connection is taken up again behind the last event. */
  async #follow(): Promise<void> {
    if (this.#following) return;
    const listening = (this.#following = new AbortController());
    const { signal } = listening;
    let lastEventId: string | undefined;
    for (let attempt = 0; this.underWay && !signal.aborted; attempt += 1) {
      try {
        const query = new URLSearchParams({ conversation: this.#listener.conversation(), locale: this.#listener.locale() });
        const options = lastEventId === undefined ? { signal } : { signal, lastEventId };
        const response = await this.#gateway.get(`/v1/handoff/events?${query}`, options);
        this.#connection.heard();
        if (!response.body) break;
        for await (const { id, event, data } of eventsOf(response.body)) {
          attempt = -1;
          lastEventId = id;
          this.#hear(id, { event, data: JSON.parse(data) } as Told);
        }
      } catch (error) {
        if (signal.aborted) break;
        if (error instanceof Refused && error.code !== "connection_lost") break;
        if (!(error instanceof Refused || error instanceof TypeError)) throw error;
      }
      if (this.underWay) await this.#connection.pause(Math.max(attempt, 0));
    }
    if (this.#following === listening) this.#following = null;
  }

  #hear(id: string, { event, data }: Told): void {
    if (event === "state") {
      if (this.status) this.status = { ...this.status, state: data.state, text: data.text || this.status.text };
      if (data.text && data.state !== "waiting") this.#listener.said(saidTurn("notice", `state-${id}`, data.text));
    } else if (data.author === "agent") {
      this.#listener.said(saidTurn("staff", data.message_id, data.text, data.masked));
      this.#listener.replied();
    } else {
      const maskedQuestion = data.masked ?? data.text;
      this.#listener.said({ ...newTurn(data.text), messageId: data.message_id, maskedQuestion, state: "ended" });
    }
    this.#listener.changed();
  }
}
