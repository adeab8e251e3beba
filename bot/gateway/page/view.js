// Draws one turn: question, answer as it grows, sources, notes. Text becomes text nodes only, never markup.

import { text } from "./texts.js";

// A citation with the word before it, so that the two are not torn apart at the end of a line.
const CITATION = /(\S{0,16}?)[ \u00a0]?\[(\d{1,2})\]/g;

/** An element with properties and children; strings become text nodes. */
export function element(name, properties = {}, ...children) {
  const { className, dataset, ...rest } = properties;
  const made = document.createElement(name);
  if (className) made.className = className;
  Object.assign(made.dataset, dataset);
  for (const [key, value] of Object.entries(rest)) {
    if (key in made) made[key] = value;
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

/** The drawn turn, with the parts that change while its answer arrives. */
export class TurnView {
  constructor(question) {
    this.words = "";
    this.body = element("div", { className: "words" });
    this.label = element("p", { className: "label", hidden: true });
    this.waiting = element("p", { className: "waiting" }, text("looking"));
    this.before = element("div", { className: "notes" });
    this.after = element("div", { className: "notes" });
    this.sources = element("section", { className: "sources", hidden: true });
    this.controls = element("div", { className: "controls" });
    const answer = element("div", { className: "answer" });
    answer.append(
      element("h3", { className: "visually-hidden" }, text("answer")),
      this.waiting, this.label, this.before, this.body, this.after, this.sources, this.controls,
    );
    this.root = element(
      "article", { className: "turn" },
      element("div", { className: "question" }, element("h2", { className: "visually-hidden" }, text("you")), element("p", {}, question)),
      answer,
    );
  }

  addWords(words) {
    this.waiting.hidden = true;
    this.words += words;
    this.body.append(words);
  }

  clearWords() {
    this.words = "";
    this.body.replaceChildren();
  }

  /** A note stands where it comes: above the answer until there are words, below them afterwards. */
  addNote(note, kind = "") {
    const place = this.words || kind === "follow_up" ? this.after : this.before;
    place.append(element("p", { className: `note ${kind}` }, note));
  }

  showSources(sources) {
    if (!sources.length) return;
    const items = sources.map((source) => element("li", {}, drawSource(source)));
    this.sources.replaceChildren(
      element("h3", {}, text("sources", { count: sources.length })),
      element("ol", {}, ...items),
    );
    this.sources.hidden = false;
  }

  /** The answer is whole: citations become buttons that open their source. */
  finish(done) {
    this.waiting.hidden = true;
    this.label.textContent = text(labelOf(done));
    this.label.dataset.kind = labelOf(done);
    this.label.hidden = false;
    this.body.replaceChildren(...this.#withCitations());
    if (done.state === "stopped") this.addNote(text("stopped"));
  }

  showError(sentence, retry) {
    this.waiting.hidden = true;
    const button = element("button", { type: "button", className: "secondary" }, text("retry"));
    button.addEventListener("click", retry);
    this.controls.replaceChildren(element("p", { className: "error" }, sentence), button);
  }

  #withCitations() {
    const nodes = [];
    let from = 0;
    for (const match of this.words.matchAll(CITATION)) {
      const [whole, word, number] = match;
      nodes.push(this.words.slice(from, match.index), element("span", { className: "cited" }, word, this.#citation(number)));
      from = match.index + whole.length;
    }
    return [...nodes, this.words.slice(from)];
  }

  #citation(number) {
    const target = this.sources.querySelector(`[data-number="${number}"]`);
    if (!target) return `[${number}]`;
    const button = element("button", { type: "button", className: "citation", ariaLabel: text("source_number", { number }) }, number);
    button.addEventListener("click", () => {
      target.open = true;
      target.querySelector("summary").focus();
    });
    return button;
  }
}

function drawSource(source) {
  const place = [source.title, ...(source.heading_path ?? [])].filter((part) => part && !source.label.includes(part));
  return element(
    "details", { dataset: { number: source.number } },
    element("summary", {}, element("span", { className: "number" }, String(source.number)), element("span", {}, source.label)),
    element("blockquote", {}, source.text),
    element("p", { className: "place" }, place.join(" › ")),
  );
}

function labelOf(done) {
  if (done.refused) return "label_refused";
  if (done.state === "replied") return "label_fixed";
  return done.engine === "extractive" ? "label_quotation" : "label_generated";
}
