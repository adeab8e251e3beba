// The few drawings of the chat, as shapes of 24 by 24.

import { svg, html, type TemplateResult } from "lit";

const SHAPES = {
  up: "M7 11v9H4v-9zm2 8.4V10.6L12.6 3c1.5 0 2.4 1 2.2 2.5L14.2 9H19c1.3 0 2.2 1.2 1.9 2.4l-1.8 7A2.1 2.1 0 0 1 17 20h-6z",
  down: "M17 13V4h3v9zm-2-8.4v8.8L11.4 21c-1.5 0-2.4-1-2.2-2.5l.6-3.5H5c-1.3 0-2.2-1.2-1.9-2.4l1.8-7A2.1 2.1 0 0 1 7 4h6z",
  copy: "M8 3h11v14h-2V5H8zM5 7h10v14H5zm2 2v10h6V9z",
  close: "m6.4 5 5.6 5.6L17.6 5 19 6.4 13.4 12l5.6 5.6-1.4 1.4-5.6-5.6L6.4 19 5 17.6l5.6-5.6L5 6.4z",
  person: "M12 3a4.5 4.5 0 1 1 0 9 4.5 4.5 0 0 1 0-9zm0 11c5 0 8 2.6 8 6v1H4v-1c0-3.4 3-6 8-6z",
  notice: "M12 2 4 5v6c0 5 3.4 8.7 8 10.5 4.6-1.8 8-5.5 8-10.5V5zm-1 5h2v6h-2zm0 8h2v2h-2z",
  chat: "M4 4h16a2 2 0 0 1 2 2v9a2 2 0 0 1-2 2h-7l-5 4v-4H4a2 2 0 0 1-2-2V6c0-1.1.9-2 2-2zm3 5v2h10V9zm0 3.5v1.5h7v-1.5z",
} as const;

export function icon(name: keyof typeof SHAPES): TemplateResult {
  return html`<svg viewBox="0 0 24 24" width="20" height="20" aria-hidden="true">${svg`<path fill="currentColor" d=${SHAPES[name]}></path>`}</svg>`;
}
