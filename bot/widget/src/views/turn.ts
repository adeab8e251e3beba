// Draws one turn. Text becomes text nodes only, never markup.

import { html, nothing, type TemplateResult } from "lit";
import { drawFeedback, type FeedbackActions } from "./feedback.js";
import { icon } from "./icons.js";
import { drawMarkdown } from "./markdown.js";
import type { Source } from "../stream.js";
import type { Texts } from "../texts.js";
import type { Note, Turn } from "../turn.js";

export interface TurnActions extends FeedbackActions {
  retry(turn: Turn): void;
  copy(turn: Turn): void;
  askPerson(): void;
  openSource(turn: Turn, number: number): void;
  /** Whether this turn's answer has just been copied. */
  copied(turn: Turn): boolean;
  /** Whether copying is possible here at all. */
  canCopy: boolean;
  heading(level: number, words: string): TemplateResult;
}

export function drawTurn(turn: Turn, t: Texts, actions: TurnActions): TemplateResult {
  if (turn.from === "notice") return html`<p class="note handoff" id=${`turn-${turn.messageId}`}>${turn.answer}</p>`;
  const question = turn.question
    ? html`<div class="question" part="question">${actions.heading(1, t("you"))}<p>${turn.question}</p></div>`
    : nothing;
  const silent = turn.state === "ended" && !turn.answer && !turn.notes.length && !turn.label;
  return html`<article class="turn" id=${`turn-${turn.messageId}`}>
    ${question}${silent ? nothing : drawAnswer(turn, t, actions)}
  </article>`;
}

function drawAnswer(turn: Turn, t: Texts, actions: TurnActions): TemplateResult {
  const label = turn.label ? html`<p class="label" data-kind=${turn.label}>${t(turn.label)}</p>` : nothing;
  return html`<div class="answer" part="answer">
    ${actions.heading(2, t(turn.from === "staff" ? "label_person" : "answer"))}
    ${turn.state === "waiting" ? html`<p class="waiting">${t("looking")}</p>` : nothing}
    ${label}
    <div class="notes">${turn.notes.filter((note) => !note.after).map(drawNote)}</div>
    <div class="words">${drawMarkdown(turn.answer, {
      label: (number) => (turn.sources.some((source) => source.number === number) ? t("source_number", { number }) : null),
      open: (number) => actions.openSource(turn, number),
      tableLabel: t("table"),
      linkTitle: t("new_window"),
    })}</div>
    <div class="notes">${turn.notes.filter((note) => note.after).map(drawNote)}</div>
    ${turn.sources.length ? drawSources(turn, t, actions) : nothing}
    <div class="controls">${drawControls(turn, t, actions)}</div>
  </div>`;
}

function drawNote(note: Note): TemplateResult {
  return html`<p class=${`note ${note.code}`}>${note.text}</p>`;
}

function drawSources(turn: Turn, t: Texts, actions: TurnActions): TemplateResult {
  return html`<div class="sources">
    ${actions.heading(3, t("sources", { count: turn.sources.length }))}
    <ol>${turn.sources.map((source) => html`<li>${drawSource(source, t)}</li>`)}</ol>
  </div>`;
}

/** The passage itself, with where it stands and since when it is in force. */
function drawSource(source: Source, t: Texts): TemplateResult {
  const place = [source.title, ...(source.heading_path ?? [])].filter((part) => part).join(" › ");
  const facts: [string, string | number | null][] = [
    [t("source_article"), source.article],
    [t("source_page"), source.page],
    [t("source_in_force"), source.in_force_from],
    [t("source_place"), place],
  ];
  return html`<details data-number=${source.number}>
    <summary><span class="number">${source.number}</span><span>${source.label}</span></summary>
    <blockquote>${source.text}</blockquote>
    <dl class="place">${facts.map(([name, value]) => (value ? html`<div><dt>${name}</dt><dd>${value}</dd></div>` : nothing))}</dl>
  </details>`;
}

function drawControls(turn: Turn, t: Texts, actions: TurnActions): TemplateResult | typeof nothing {
  if (turn.state === "failed") {
    return html`<p class="error">${turn.error}</p>
      <button type="button" class="secondary" @click=${() => actions.retry(turn)}>${t("retry")}</button>`;
  }
  if (turn.from !== "person" || !turn.label || (turn.state !== "ended" && turn.state !== "stopped")) return nothing;
  const person = turn.refused
    ? html`<button type="button" class="chip" @click=${() => actions.askPerson()}>${t("ask_person")}</button>`
    : nothing;
  const copy = actions.canCopy
    ? html`<button type="button" class="thumb copy" @click=${() => actions.copy(turn)}>${icon("copy")}${t(actions.copied(turn) ? "copied" : "copy")}</button>`
    : nothing;
  return html`${person}${drawFeedback(turn, t, actions, copy)}`;
}
