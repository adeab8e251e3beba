// Thumbs under an answer: up is sent at once, down asks for an optional reason and correction first.

import { newId, post } from "./session.js";
import { locale, text } from "./texts.js";
import { element } from "./view.js";

/** The controls of one turn. The thanks take the focus, which is how they are read aloud. */
export function feedbackControls(turnId) {
  const eventId = newId();
  const up = thumb("up", "M7 11v9H4v-9zm2 8.4V10.6L12.6 3c1.5 0 2.4 1 2.2 2.5L14.2 9H19c1.3 0 2.2 1.2 1.9 2.4l-1.8 7A2.1 2.1 0 0 1 17 20h-6z");
  const down = thumb("down", "M17 13V4h3v9zm-2-8.4v8.8L11.4 21c-1.5 0-2.4-1-2.2-2.5l.6-3.5H5c-1.3 0-2.2-1.2-1.9-2.4l1.8-7A2.1 2.1 0 0 1 7 4h6z");
  const outcome = element("div", { className: "outcome" });
  const root = element(
    "div", { className: "feedback", role: "group", ariaLabel: text("feedback_label") }, up, down, outcome,
  );
  const give = async (verdict, reason = null, correction = null) => {
    up.disabled = down.disabled = true;
    const body = () => ({ turn_id: turnId, event_id: eventId, verdict, reason, correction });
    try {
      await post("/v1/feedback", body);
    } catch (error) {
      up.disabled = down.disabled = false;
      outcome.replaceChildren(element("p", { className: "error" }, error.messages?.[locale()] ?? text("connection_lost")));
      return;
    }
    (verdict === "up" ? up : down).ariaPressed = "true";
    outcome.replaceChildren(element("p", { className: "note", tabIndex: -1 }, text("feedback_thanks")));
    outcome.firstChild.focus();
  };
  up.addEventListener("click", () => give("up"));
  down.addEventListener("click", () => openForm(outcome, down, give));
  return root;
}

function thumb(verdict, shape) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  for (const [key, value] of Object.entries({ viewBox: "0 0 24 24", width: 20, height: 20, "aria-hidden": "true" })) svg.setAttribute(key, value);
  path.setAttribute("d", shape);
  path.setAttribute("fill", "currentColor");
  svg.append(path);
  const button = element("button", { type: "button", className: "thumb", ariaPressed: "false", dataset: { verdict } });
  button.append(svg, element("span", {}, text(`feedback_${verdict}`)));
  return button;
}

function openForm(outcome, opener, give) {
  const name = newId();
  const reasons = Object.entries(text("reasons")).map(([value, words]) =>
    element("label", { className: "reason" }, element("input", { type: "radio", name, value }), element("span", {}, words)));
  const correction = element("textarea", { id: `${name}-correction`, rows: 3, maxLength: 4000 });
  const privacy = element("p", { className: "hint", id: `${name}-privacy` }, text("feedback_privacy"));
  correction.setAttribute("aria-describedby", privacy.id);
  const send = element("button", { type: "submit", className: "primary" }, text("feedback_send"));
  const cancel = element("button", { type: "button", className: "secondary" }, text("feedback_cancel"));
  const form = element(
    "form", { className: "feedback-form" },
    element("fieldset", {}, element("legend", {}, text("feedback_reason")), ...reasons),
    element("label", { htmlFor: correction.id }, text("feedback_correction")), correction, privacy,
    element("div", { className: "actions" }, send, cancel),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const reason = form.querySelector("input:checked")?.value ?? null;
    give("down", reason, correction.value.trim() || null);
  });
  const close = () => { outcome.replaceChildren(); opener.focus(); };
  cancel.addEventListener("click", close);
  form.addEventListener("keydown", (event) => { if (event.key === "Escape") close(); });
  outcome.replaceChildren(form);
  form.querySelector("input").focus();
  form.scrollIntoView({ block: "nearest" });
}
