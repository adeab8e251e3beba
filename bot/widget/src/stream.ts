// One question's events, from the first to `done` or `error`; a cut connection is taken up again where it broke.

import type { Connection } from "./connection.js";
import { eventsOf } from "./events.js";
import { type Gateway, Refused } from "./gateway.js";
import type { HandoffStatus } from "./handoff.js";

export interface Source {
  number: number;
  label: string;
  title: string;
  article: string | null;
  page: number | null;
  heading_path: string[];
  text: string;
  in_force_from: string | null;
}

/** What the gateway tells of one turn; `docs/widget.md` lists the events. */
export type ChatEvent =
  | { event: "turn"; data: { turn_id: string; masked: boolean; masked_text?: string } }
  | { event: "notice"; data: { code: string; text: string; masked?: string; handoff?: HandoffStatus } }
  | { event: "sources"; data: { sources: Source[] } }
  | { event: "token"; data: { text: string; masked?: string } }
  | { event: "done"; data: { turn_id: string; state: string; refused: boolean; engine: string } }
  | { event: "error"; data: { code: string; message: string; message_ko: string } };

/** Attempts without any progress after which the person is asked whether to go on. */
const ATTEMPTS = 7;
const TOO_MANY_REQUESTS = 429;
/** The answer itself is well when its stream breaks for one of these: it can be read on. */
const RESUMABLE = new Set(["stream_interrupted", "llm_service_unreachable", "llm_service_timeout"]);

/** Yields the events. Throws `Refused` when the gateway declines or cannot be reached again. */
export async function* ask(
  gateway: Gateway,
  connection: Connection,
  body: () => unknown,
): AsyncGenerator<ChatEvent> {
  let lastEventId: string | undefined;
  for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
    try {
      const options = lastEventId === undefined ? {} : { lastEventId };
      const response = await gateway.post("/v1/chat", body, options);
      connection.heard();
      if (!response.body) throw new Refused("connection_lost");
      for await (const { id, event, data } of eventsOf(response.body)) {
        const told = { event, data: JSON.parse(data) } as ChatEvent;
        if (told.event === "error" && RESUMABLE.has(told.data.code) && attempt < ATTEMPTS - 1) break;
        if (id !== lastEventId) attempt = -1;
        lastEventId = id;
        yield told;
        if (told.event === "done" || told.event === "error") return;
      }
    } catch (error) {
      // Whoever comes back too often for one answer comes back later; a new question is refused in words.
      const busy = error instanceof Refused && error.status === TOO_MANY_REQUESTS && lastEventId !== undefined;
      const cut = error instanceof TypeError || (error instanceof Refused && error.code === "connection_lost");
      if (!cut && !busy) throw error;
    }
    await connection.pause(Math.max(attempt, 0));
  }
  throw new Refused("connection_lost");
}
