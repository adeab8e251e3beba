// One question's events, from the first to `done` or `error`; a cut connection is taken up again where it broke.

import { Refused, conversationId, post } from "./session.js";

const RESUME_ATTEMPTS = 4;
const FIRST_PAUSE_MILLISECONDS = 400;
// The answer itself is well when its stream breaks for one of these: it can be read on.
const RESUMABLE = new Set(["stream_interrupted", "llm_service_unreachable", "llm_service_timeout"]);

/** Yields {id, event, data}. Throws `Refused` when the gateway declines or cannot be reached again. */
export async function* ask(messageId, text, locale) {
  let lastId = null;
  for (let attempt = 0; attempt <= RESUME_ATTEMPTS; attempt += 1) {
    if (attempt) await pause(FIRST_PAUSE_MILLISECONDS * 2 ** (attempt - 1));
    try {
      const headers = lastId === null ? {} : { "Last-Event-ID": lastId };
      const body = () => ({ message_id: messageId, conversation: conversationId(), text, locale });
      const response = await post("/v1/chat", body, { headers });
      for await (const event of eventsOf(response.body)) {
        lastId = event.id;
        if (event.event === "error" && RESUMABLE.has(event.data.code) && attempt < RESUME_ATTEMPTS) break;
        yield event;
        if (event.event === "done" || event.event === "error") return;
      }
    } catch (error) {
      if (error instanceof Refused && error.code !== "connection_lost") throw error;
      if (!(error instanceof Refused || error instanceof TypeError)) throw error;
    }
  }
  throw new Refused("connection_lost");
}

/** Server-sent events of a body (WHATWG HTML, "Server-sent events"); comments are skipped. */
async function* eventsOf(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const blocks = (rest + value).split("\n\n");
      rest = blocks.pop();
      for (const block of blocks) {
        const fields = Object.fromEntries(block.split("\n").map(fieldOf));
        if (fields.data) yield { id: fields.id, event: fields.event, data: JSON.parse(fields.data) };
      }
    }
  } finally {
    await reader.cancel();
  }
}

function fieldOf(line) {
  const colon = line.indexOf(":");
  return [line.slice(0, colon), line.slice(colon + 1).replace(/^ /, "")];
}

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
