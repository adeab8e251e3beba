// What stands between the conversation and the box for the next question: warnings, the network, the hand-off.

import { html, nothing, type TemplateResult } from "lit";
import { onEscape } from "./escape.js";
import type { Connection } from "../connection.js";
import type { Handoff } from "../handoff.js";
import { masked, nameOf, personalData } from "../personal-data.js";
import type { Texts } from "../texts.js";

const SCORES = [1, 2, 3, 4, 5];

export function drawConnection(connection: Connection, t: Texts): TemplateResult | typeof nothing {
  if (connection.state === "connected") return nothing;
  const waiting = connection.state === "waiting";
  return html`<div class="banner" part="banner" role="alert">
    <p>${waiting ? t("reconnecting", { seconds: connection.seconds }) : t("offline")}</p>
    ${waiting ? html`<button type="button" class="secondary" @click=${() => connection.tryNow()}>${t("reconnect_now")}</button>` : nothing}
  </div>`;
}

export interface WarningActions {
  edit(): void;
  sendMasked(): void;
}

/** Asks before personal data is sent: what was found, what would be sent instead. */
export function drawWarning(typed: string, t: Texts, actions: WarningActions): TemplateResult {
  const kinds = [...new Set(personalData(typed).map((found) => t(nameOf(found.kind))))].join(", ");
  return html`<div class="warning" part="warning" role="alertdialog" aria-labelledby="warning-title" aria-describedby="warning-text" @keydown=${onEscape(() => actions.edit())}>
    <p class="strong" id="warning-title">${t("warning_title")}</p>
    <div id="warning-text">
      <p>${t("warning_kinds", { kinds })}</p>
      <p>${t("warning_hint")}</p>
      <blockquote>${masked(typed, t)}</blockquote>
    </div>
    <div class="actions">
      <button type="button" class="primary" id="edit" @click=${() => actions.edit()}>${t("warning_edit")}</button>
      <button type="button" class="secondary" @click=${() => actions.sendMasked()}>${t("warning_send_masked")}</button>
    </div>
  </div>`;
}

export interface HandoffActions {
  ask(): void;
  leave(): void;
  rate(score: number): void;
  back(): void;
}

export function drawHandoff(handoff: Handoff, t: Texts, actions: HandoffActions): TemplateResult {
  return html`<section class="handoff-panel" part="handoff" aria-label=${t("handoff_title")} tabindex="-1" @keydown=${onEscape(() => actions.back())}>
    <p class="strong">${t("handoff_title")}</p>
    <div aria-live="polite">${drawState(handoff, t)}</div>
    <div class="actions">
      ${drawCall(handoff, t, actions)}
      <button type="button" class="secondary" @click=${() => actions.back()}>${t("handoff_back")}</button>
    </div>
  </section>`;
}

function drawState(handoff: Handoff, t: Texts): TemplateResult {
  const { status } = handoff;
  if (handoff.unavailable) return html`<p class="error">${t("handoff_unavailable")}</p>`;
  if (!status) return html`<p>${t("handoff_loading")}</p>`;
  const { office } = status;
  const open = office.enabled && office.open;
  // The gateway's sentence says how things stand; where nothing stands yet, the hours do.
  const sentence = open && !handoff.underWay ? t("handoff_open") : status.text || t("handoff_closed");
  return html`<p class="office" data-open=${open}>${sentence}</p>
    ${status.state === "waiting" && status.ahead ? html`<p>${t("handoff_ahead", { count: status.ahead })}</p>` : nothing}
    ${open && !handoff.underWay ? html`<p class="hint">${t("handoff_privacy")}</p>` : nothing}`;
}

function drawCall(handoff: Handoff, t: Texts, actions: HandoffActions): TemplateResult | typeof nothing {
  const office = handoff.status?.office;
  if (handoff.underWay) {
    return html`<button type="button" class="primary" ?disabled=${handoff.busy} @click=${() => actions.leave()}>${t("handoff_leave")}</button>`;
  }
  if (!office?.enabled || !office.open) return nothing;
  return html`<button type="button" class="primary" ?disabled=${handoff.busy} @click=${() => actions.ask()}>${t("handoff_ask")}</button>`;
}

/** After staff have closed the talk: five buttons, once. */
export function drawRating(handoff: Handoff, t: Texts, rate: (score: number) => void): TemplateResult | typeof nothing {
  if (handoff.rated) return html`<p class="note rating">${t("handoff_rated")}</p>`;
  if (!handoff.ratable) return nothing;
  return html`<div class="rating" role="group" aria-label=${t("handoff_rate")}>
    <p>${t("handoff_rate")}</p>
    <div class="actions">${SCORES.map(
      (score) => html`<button type="button" class="secondary" aria-label=${t("handoff_score", { score })} @click=${() => rate(score)}>${score}</button>`,
    )}</div>
  </div>`;
}
