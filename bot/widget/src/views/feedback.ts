// Thumbs under an answer: up is sent at once, down asks for an optional reason and correction first.

import { html, nothing, type TemplateResult } from "lit";
import { onEscape } from "./escape.js";
import { icon } from "./icons.js";
import type { Texts } from "../texts.js";
import type { Turn } from "../turn.js";

export interface FeedbackActions {
  judge(turn: Turn, verdict: "up" | "down", reason: string | null, correction: string | null): void;
  openForm(turn: Turn): void;
  closeForm(turn: Turn): void;
}

const REASONS = ["wrong", "outdated", "missing_source", "incomplete", "unclear"] as const;
const LONGEST_CORRECTION = 4000;

export function drawFeedback(
  turn: Turn, t: Texts, actions: FeedbackActions, copy: TemplateResult | typeof nothing,
): TemplateResult {
  const { step, verdict, error } = turn.judgement;
  const settled = step === "sending" || step === "thanked";
  const thumb = (which: "up" | "down", click: () => void): TemplateResult =>
    html`<button type="button" class="thumb" data-verdict=${which} aria-pressed=${verdict === which && settled}
      ?disabled=${settled} @click=${click}>${icon(which)}<span>${t(`feedback_${which}`)}</span></button>`;
  return html`<div class="feedback" role="group" aria-label=${t("feedback_label")}>
    ${thumb("up", () => actions.judge(turn, "up", null, null))}${thumb("down", () => actions.openForm(turn))}${copy}
    <div class="outcome">
      ${step === "thanked" ? html`<p class="note" tabindex="-1">${t("feedback_thanks")}</p>` : nothing}
      ${step === "form" ? drawForm(turn, t, actions) : nothing}
      ${error ? html`<p class="error">${error}</p>` : nothing}
    </div>
  </div>`;
}

function drawForm(turn: Turn, t: Texts, actions: FeedbackActions): TemplateResult {
  const name = `feedback-${turn.messageId}`;
  const send = (event: SubmitEvent): void => {
    event.preventDefault();
    const given = new FormData(event.target as HTMLFormElement);
    const correction = String(given.get("correction") ?? "").trim();
    actions.judge(turn, "down", given.get("reason") as string | null, correction || null);
  };
  return html`<form class="feedback-form" @submit=${send} @keydown=${onEscape(() => actions.closeForm(turn))}>
    <fieldset><legend>${t("feedback_reason")}</legend>${REASONS.map(
      (reason) => html`<label class="reason"><input type="radio" name="reason" value=${reason}><span>${t(`reason_${reason}`)}</span></label>`,
    )}</fieldset>
    <label for=${name}>${t("feedback_correction")}</label>
    <textarea id=${name} name="correction" rows="3" maxlength=${LONGEST_CORRECTION} aria-describedby=${`${name}-privacy`}></textarea>
    <p class="hint" id=${`${name}-privacy`}>${t("feedback_privacy")}</p>
    <div class="actions">
      <button type="submit" class="primary">${t("feedback_send")}</button>
      <button type="button" class="secondary" @click=${() => actions.closeForm(turn)}>${t("feedback_cancel")}</button>
    </div>
  </form>`;
}
