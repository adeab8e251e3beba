// The page's story: a question is sent, its answer drawn as it arrives, stopped if wanted, judged if wanted.

import { feedbackControls } from "./feedback.js";
import { newId, post } from "./session.js";
import { ask } from "./stream.js";
import { fillTexts, loadTexts, locale, switchLocale, text } from "./texts.js";
import { TurnView, element } from "./view.js";

const byId = (id) => document.getElementById(id);
const [main, log, status, form, box, sendButton, stopButton] =
  ["main", "log", "status", "composer", "question", "send", "stop"].map(byId);
const MARGIN_PIXELS = 16;
let running = null;
let scrolledTo = 0;

await loadTexts();
showTexts();
form.addEventListener("submit", (event) => { event.preventDefault(); submit(); });
box.addEventListener("keydown", sendOnEnter);
box.addEventListener("input", fitBox);
stopButton.addEventListener("click", stop);
byId("language").addEventListener("click", () => { switchLocale(); showTexts(); });
box.focus();
document.documentElement.dataset.ready = "true";

function showTexts() {
  fillTexts(document);
  document.title = text("name");
  byId("suggestions").replaceChildren(...text("suggestions").map(suggestion));
}

function suggestion(words) {
  const button = element("button", { type: "button", className: "chip" }, words);
  button.addEventListener("click", () => answer(words));
  return element("li", {}, button);
}

function submit() {
  const words = box.value.trim();
  if (!words || running) return;
  box.value = "";
  fitBox();
  answer(words);
}

// While Hangul is being composed, Enter ends the syllable and must not send (keyCode 229: browsers that say it late).
function sendOnEnter(event) {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
  event.preventDefault();
  submit();
}

function fitBox() {
  box.rows = Math.min(6, box.value.split("\n").length);
}

async function answer(words, messageId = newId(), replaced = null) {
  if (running) return;
  byId("welcome").hidden = true;
  const view = new TurnView(words);
  if (replaced) replaced.replaceWith(view.root);
  else log.append(view.root);
  scrollTo(view);
  begin();
  try {
    for await (const event of ask(messageId, words, locale())) draw(view, event, words);
  } catch (error) {
    if (!("code" in error)) throw error;
    fail(view, error.messages?.[locale()] ?? text("connection_lost"), () => answer(words, messageId, view.root));
  } finally {
    end();
  }
}

function draw(view, { event, data }, words) {
  switch (event) {
    case "turn":
      running.turnId = data.turn_id;
      if (running.stopWanted) stop();
      if (data.masked) view.addNote(text("masked"));
      break;
    case "notice":
      if (data.code === "answer_restated") view.clearWords();
      view.addNote(data.text, data.code);
      break;
    case "sources":
      view.showSources(data.sources);
      break;
    case "token":
      followWhile(view, () => view.addWords(data.text));
      break;
    case "done":
      finish(view, data);
      break;
    case "error": {
      const sentence = locale() === "ko" ? data.message_ko : data.message;
      fail(view, sentence, () => answer(words, newId(), view.root));
      break;
    }
  }
}

function begin() {
  running = { turnId: null, stopWanted: false };
  status.textContent = text("status_writing");
  sendButton.hidden = true;
  stopButton.hidden = false;
  main.setAttribute("aria-busy", "true");
}

function end() {
  const hadFocus = document.activeElement === stopButton;
  running = null;
  sendButton.hidden = false;
  stopButton.hidden = true;
  main.removeAttribute("aria-busy");
  if (hadFocus) box.focus();
}

function finish(view, done) {
  followWhile(view, () => {
    view.finish(done);
    if (done.state === "failed") return;
    view.controls.append(feedbackControls(done.turn_id));
    if (done.refused) view.controls.prepend(handoffChip());
  });
  status.textContent = text(done.state === "stopped" ? "status_stopped" : "status_done");
}

function handoffChip() {
  const button = element("button", { type: "button", className: "chip" }, text("ask_person"));
  button.addEventListener("click", () => answer(text("ask_person_question")));
  return button;
}

function fail(view, sentence, retry) {
  view.showError(sentence, retry);
  status.textContent = `${text("status_failed")} ${sentence}`;
}

async function stop() {
  if (!running) return;
  running.stopWanted = true;
  const { turnId } = running;
  // Refused means that the answer had ended by itself.
  if (turnId) await post(`/v1/chat/${encodeURIComponent(turnId)}/stop`, () => ({})).catch(() => null);
}

// Keep the growing answer in sight until its question stands at the top; leave a reader who scrolls alone.
function followWhile(view, change) {
  const untouched = Math.abs(main.scrollTop - scrolledTo) < 2;
  change();
  if (untouched) scrollTo(view);
}

function scrollTo(view) {
  const top = view.root.getBoundingClientRect().top - main.getBoundingClientRect().top;
  main.scrollTop += top - MARGIN_PIXELS;
  scrolledTo = main.scrollTop;
}
