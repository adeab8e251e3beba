// One turn as it is drawn: question, answer as it grows, what was said beside it, and the person's judgement.

import type { Source } from "./stream.js";
import type { TextKey } from "./texts.js";

export type TurnState = "waiting" | "writing" | "ended" | "stopped" | "failed";

export interface Note {
  text: string;
  masked: string;
  code: string;
  /** Above the answer where it came before any words, below it otherwise. */
  after: boolean;
}

/** What the person does with the thumbs: nothing yet, the form, on its way, kept. */
export interface Judgement {
  /** Stays the same from try to try, so that one opinion is kept once. */
  eventId: string;
  step: "none" | "form" | "sending" | "thanked";
  verdict: "up" | "down" | null;
  error: string;
}

export interface Turn {
  messageId: string;
  from: "person" | "staff" | "notice";
  question: string;
  /** The question as the gateway masked it; null until it has said so. */
  maskedQuestion: string | null;
  answer: string;
  maskedAnswer: string;
  notes: Note[];
  sources: Source[];
  state: TurnState;
  label: TextKey | null;
  refused: boolean;
  turnId: string | null;
  error: string;
  judgement: Judgement;
}

/** What is kept of a turn over a reload. Nothing in it is unmasked. */
export interface SavedTurn {
  messageId: string;
  from: Turn["from"];
  question: string;
  answer: string;
  notes: Note[];
  sources: Source[];
  state: TurnState;
  label: TextKey | null;
  refused: boolean;
  turnId: string | null;
  verdict: Judgement["verdict"];
}

/** A random UUID, also where `crypto.randomUUID` is withheld (pages without TLS). */
export function newId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  const digits = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return digits.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

export function newTurn(question: string): Turn {
  return {
    messageId: newId(),
    from: "person",
    question,
    maskedQuestion: null,
    answer: "",
    maskedAnswer: "",
    notes: [],
    sources: [],
    state: "waiting",
    label: null,
    refused: false,
    turnId: null,
    error: "",
    judgement: { eventId: newId(), step: "none", verdict: null, error: "" },
  };
}

/** Words that answer no question: a member of staff's, or a notice of how the hand-off stands. */
export function saidTurn(from: "staff" | "notice", messageId: string, text: string, masked = text): Turn {
  const label = from === "staff" ? "label_person" : null;
  return { ...newTurn(""), messageId, from, maskedQuestion: "", answer: text, maskedAnswer: masked, state: "ended", label };
}

/** The turn as it may be kept; null while it is not known to be masked. */
export function savedTurn(turn: Turn): SavedTurn | null {
  const { messageId, from, sources, state, label, refused, turnId, maskedQuestion, maskedAnswer } = turn;
  if (maskedQuestion === null || state === "waiting" || state === "writing") return null;
  return {
    messageId, from, sources, state, label, refused, turnId,
    question: maskedQuestion,
    answer: maskedAnswer,
    notes: turn.notes.map((note) => ({ ...note, text: note.masked })),
    verdict: turn.judgement.verdict,
  };
}

export function restoredTurn(kept: SavedTurn): Turn {
  const turn = { ...newTurn(kept.question), ...kept, maskedQuestion: kept.question, maskedAnswer: kept.answer };
  if (kept.verdict) turn.judgement = { ...turn.judgement, verdict: kept.verdict, step: "thanked" };
  return turn;
}

/** How an answer is named: whether it was quoted, generated, fixed or not to be found. */
export function labelOf(done: { state: string; refused: boolean; engine: string }): TextKey | null {
  if (done.state === "handed_off") return null;
  if (done.refused) return "label_refused";
  if (done.state === "replied") return "label_fixed";
  return done.engine === "extractive" ? "label_quotation" : "label_generated";
}
