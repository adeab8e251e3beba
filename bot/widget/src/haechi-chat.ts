// <haechi-chat>: the element itself. Draws the conversation, passes on what the person does, tells the page what happened.

import { html, LitElement, nothing, type PropertyValues, type TemplateResult, unsafeCSS } from "lit";
import { Connection } from "./connection.js";
import { Conversation, type Listener } from "./conversation.js";
import { Gateway } from "./gateway.js";
import { Handoff, type HandoffStatus } from "./handoff.js";
import { masked, personalData } from "./personal-data.js";
import { save, saved } from "./saved.js";
import styles from "./styles.css?inline";
import { type Locale, localeOf, type TextKey, type Texts, textsOf } from "./texts.js";
import type { Turn } from "./turn.js";
import { onEscape } from "./views/escape.js";
import { icon } from "./views/icons.js";
import { drawConnection, drawHandoff, drawRating, drawWarning } from "./views/panels.js";
import { drawTurn, type TurnActions } from "./views/turn.js";

export type Theme = "auto" | "light" | "dark";
/** `launcher`: a button that opens a window. `page`: the conversation fills the element. */
export type Mode = "launcher" | "page";

const SUGGESTIONS: TextKey[] = ["suggestion_1", "suggestion_2", "suggestion_3"];
const NARROW = "(max-width: 480px)";
const LONGEST_QUESTION = 4000;
const MOST_LINES = 6;
const MARGIN_PIXELS = 16;
const KEY_CODE_OF_COMPOSITION = 229;
const COPIED_MILLISECONDS = 2_000;

export class HaechiChat extends LitElement {
  static override styles = unsafeCSS(styles);
  static override properties = {
    endpoint: {},
    lang: { reflect: true },
    theme: { reflect: true },
    mode: { reflect: true },
    open: { type: Boolean, reflect: true },
    userToken: { attribute: "user-token" },
    suggestions: { attribute: false },
    tokenProvider: { attribute: false },
  };

  /** Where the gateway is; empty means the page's own origin. */
  endpoint = "";
  theme: Theme = "auto";
  mode: Mode = "launcher";
  open = false;
  /** The bank's signed token of the person; short-lived, so give `tokenProvider` too. Never an API key. */
  userToken = "";
  /** Fetches a new signed token when the last one has expired. */
  tokenProvider: (() => Promise<string>) | null = null;
  /** Questions to begin with, in place of the built-in ones. */
  suggestions: string[] | null = null;

  readonly #connection = new Connection(() => this.requestUpdate());
  readonly #gateway = new Gateway(
    () => this.endpoint.replace(/\/$/, ""),
    (renew) => this.#identity(renew),
    () => this.#conversation.clear(),
  );
  readonly #conversation = new Conversation(this.#gateway, this.#connection, this.#listener());
  readonly #handoff = new Handoff(this.#gateway, this.#connection, {
    changed: () => this.requestUpdate(),
    said: (turn) => this.#conversation.add(turn),
    replied: () => this.#say(this.#t("status_person")),
    conversation: () => this.#conversation.id,
    locale: () => this.#locale,
  });
  #status = "";
  #warned = "";
  #handoffShown = false;
  #copiedTurn: Turn | null = null;
  #composing = false;
  #scrolledTo = 0;
  #follow = false;
  /** The window was open before a reload: it comes back without taking the focus, nor the whole of a small screen. */
  #reopened = false;

  get #locale(): Locale {
    return localeOf(this.lang || document.documentElement.lang || navigator.language);
  }

  get #t(): Texts {
    return textsOf(this.#locale);
  }

  /** Opens or closes the window. */
  toggle(open = !this.open): void {
    if (this.mode === "page" || open === this.open) return;
    this.open = open;
    this.#tell("toggle", { open });
  }

  override connectedCallback(): void {
    super.connectedCallback();
    this.#connection.watch();
    if (!this.#conversation.turns.length) this.#restore();
  }

  #restore(): void {
    const kept = saved(this.#owner());
    if (!kept) return;
    this.#conversation.restore(kept);
    this.#reopened = this.mode === "launcher" && kept.open && !matchMedia(NARROW).matches;
    if (this.#reopened) this.open = true;
    // Staff may have written meanwhile.
    if (kept.turns.length) void this.#handoff.refresh();
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.#connection.unwatch();
    this.#handoff.drop();
  }

  protected override willUpdate(changed: PropertyValues<this>): void {
    // Another person's token: nothing of the one before may stay on the screen.
    const before = changed.get("userToken");
    const another = before !== undefined && subjectOf(before) !== subjectOf(this.userToken);
    // The first token of somebody who has not yet asked as a guest changes nothing.
    if (another && (before || this.#gateway.guest)) this.#begin();
    const scroller = this.#element<HTMLElement>(".scroller");
    this.#follow = scroller !== null && Math.abs(scroller.scrollTop - this.#scrolledTo) < 2;
  }

  protected override updated(changed: PropertyValues<this>): void {
    if (changed.has("open") && this.mode === "launcher") this.#showWindow(changed.get("open") === true);
    if (this.#follow && this.#conversation.running) this.#bringIntoSight(this.#conversation.running);
    const { turns, running } = this.#conversation;
    if (turns.length && !running) save(this.#owner(), { ...this.#conversation.saved(), open: this.open });
  }

  protected override render(): TemplateResult {
    const t = this.#t;
    if (this.mode === "page") return html`<div class="window" part="window">${this.#drawInside(t)}</div>`;
    return html`<section class="host" aria-label=${t("window_label")}>
      ${this.open ? nothing : html`<button type="button" class="launcher" part="launcher" aria-haspopup="dialog" aria-label=${t("open")} @click=${() => this.toggle(true)}>${icon("chat")}</button>`}
      <dialog class="window" part="window" aria-label=${t("window_label")} @keydown=${this.#closeOnEscape} @cancel=${this.#cancelled}>${this.open ? this.#drawInside(t) : nothing}</dialog>
    </section>`;
  }

  #drawInside(t: Texts): TemplateResult {
    return html`${this.#drawHeader(t)}
      <div class="scroller" aria-busy=${this.#conversation.running ? "true" : "false"}>
        ${this.#conversation.turns.length ? nothing : this.#drawWelcome(t)}
        <div id="log" role="log" aria-live="off" tabindex="0" aria-label=${t("log_label")}>
          ${this.#conversation.turns.map((turn) => drawTurn(turn, t, this.#actions))}
        </div>
        ${drawRating(this.#handoff, t, (score) => void this.#handoff.rate(score))}
      </div>
      ${this.#drawComposer(t)}`;
  }

  #drawHeader(t: Texts): TemplateResult {
    const close = html`<button type="button" class="quiet icon" id="close" aria-label=${t("close")} @click=${() => this.toggle(false)}>${icon("close")}</button>`;
    return html`<div class="header" part="header">
      <div class="masthead">
        <slot name="mark"></slot>
        <div class="title">${this.#heading(0, t("name"), "name")}<p>${t("tagline")}</p></div>
        <button type="button" class="quiet icon" id="person" aria-label=${t("ask_person")} aria-expanded=${this.#handoffShown ? "true" : "false"} @click=${this.#openHandoff}>${icon("person")}</button>
        <button type="button" class="quiet" id="language" @click=${this.#switchLanguage}><span lang=${this.#locale === "ko" ? "en" : "ko"}>${t("other_language")}</span></button>
        ${this.mode === "launcher" ? close : nothing}
      </div>
      <p class="ai-notice" part="notice">${icon("notice")}<span>${t("ai_notice")}</span></p>
    </div>`;
  }

  #drawWelcome(t: Texts): TemplateResult {
    const suggestions = this.suggestions ?? SUGGESTIONS.map((key) => t(key));
    return html`<div class="welcome">
      ${this.#heading(1, t("welcome"), "greeting")}
      <p>${t("welcome_hint")}</p>
      <ul class="suggestions">${suggestions.map(
        (words) => html`<li><button type="button" class="chip" @click=${() => this.#ask(words)}>${words}</button></li>`,
      )}</ul>
    </div>`;
  }

  #drawComposer(t: Texts): TemplateResult {
    const running = this.#conversation.running !== null;
    const stop = html`<button type="button" id="stop" class="primary stop" @click=${() => void this.#conversation.stop()}>${t("stop")}</button>`;
    const send = html`<button type="submit" id="send" class="primary" part="send">${t("send")}</button>`;
    return html`<div class="composer" part="composer">
      ${drawConnection(this.#connection, t)}
      ${this.#handoffShown ? drawHandoff(this.#handoff, t, this.#handoffActions) : nothing}
      ${this.#warned ? drawWarning(this.#warned, t, { edit: () => this.#editWarned(), sendMasked: () => this.#sendMasked() }) : nothing}
      <p class="visually-hidden" id="status" role="status">${this.#status}</p>
      <form id="composer" @submit=${this.#submitted}>
        <label class="visually-hidden" for="question">${t("question_label")}</label>
        <textarea id="question" name="question" rows="1" maxlength=${LONGEST_QUESTION} autocomplete="off" enterkeyhint="send" aria-describedby="hint" placeholder=${t("question_placeholder")}
          @keydown=${this.#sendOnEnter} @input=${this.#typed} @compositionstart=${this.#composed} @compositionend=${this.#composed}></textarea>
        ${running ? stop : send}
      </form>
      <p class="hint" id="hint">${t("hint")}</p>
    </div>`;
  }

  /** A heading below those of the page: `depth` counts from the name of the chat. */
  #heading(depth: number, words: string, name = "visually-hidden"): TemplateResult {
    return html`<div role="heading" class=${name} aria-level=${depth + (this.mode === "page" ? 1 : 2)}>${words}</div>`;
  }

  readonly #actions: TurnActions = {
    canCopy: typeof navigator.clipboard?.writeText === "function",
    copied: (turn) => this.#copiedTurn === turn,
    copy: (turn) => void this.#copy(turn),
    retry: (turn) => void this.#conversation.retry(turn).then(() => this.#returnFocus()),
    askPerson: () => void this.#ask(this.#t("ask_person_question")),
    openSource: (turn, number) => this.#openSource(turn, number),
    judge: (turn, verdict, reason, correction) => void this.#judge(turn, verdict, reason, correction),
    openForm: (turn) => void this.#showForm(turn),
    closeForm: (turn) => void this.#hideForm(turn),
    heading: (depth, words) => this.#heading(depth, words),
  };

  readonly #handoffActions = {
    ask: () => void this.#handoff.ask("asked"),
    leave: () => void this.#handoff.leave(),
    rate: (score: number) => void this.#handoff.rate(score),
    back: () => this.#closeHandoff(),
  };

  #listener(): Listener {
    return {
      changed: () => this.requestUpdate(),
      say: (sentence) => this.#say(sentence),
      happened: (kind, detail) => this.#tell(kind, detail),
      personCalled: (status: HandoffStatus | null) => status && this.#handoff.take(status),
      locale: () => this.#locale,
      texts: () => this.#t,
    };
  }

  // --- asking

  async #ask(words: string): Promise<void> {
    const asked = this.#conversation.ask(words);
    await this.updateComplete;
    if (this.#conversation.running) this.#bringIntoSight(this.#conversation.running);
    await asked;
    await this.#returnFocus();
  }

  readonly #submitted = (event: SubmitEvent): void => {
    event.preventDefault();
    this.#submit();
  };

  #submit(): void {
    const words = this.#box?.value.trim() ?? "";
    if (!words || this.#conversation.running) return;
    if (personalData(words).length) void this.#warn(words);
    else this.#send(words);
  }

  #send(words: string): void {
    this.#warned = "";
    if (this.#box) this.#box.value = "";
    this.#fitBox();
    void this.#ask(words);
  }

  async #warn(words: string): Promise<void> {
    this.#warned = words;
    this.requestUpdate();
    await this.updateComplete;
    this.#element<HTMLElement>("#edit")?.focus();
  }

  #editWarned(): void {
    this.#warned = "";
    this.requestUpdate();
    this.#box?.focus();
  }

  #sendMasked(): void {
    this.#send(masked(this.#warned, this.#t));
    this.#box?.focus();
  }

  // While Hangul is being composed, Enter ends the syllable and must not send. Safari ends the composition before the key
  // arrives and gives itself away by the key code alone.
  readonly #sendOnEnter = (event: KeyboardEvent): void => {
    const composing = event.isComposing || this.#composing || event.keyCode === KEY_CODE_OF_COMPOSITION;
    if (event.key !== "Enter" || event.shiftKey || composing) return;
    event.preventDefault();
    this.#submit();
  };

  readonly #composed = (event: CompositionEvent): void => {
    this.#composing = event.type === "compositionstart";
  };

  readonly #typed = (): void => {
    // A warning about words that are no longer there would be one about nothing.
    if (this.#warned) {
      this.#warned = "";
      this.requestUpdate();
    }
    this.#fitBox();
  };

  #fitBox(): void {
    if (this.#box) this.#box.rows = Math.min(MOST_LINES, this.#box.value.split("\n").length);
  }

  /** Whoever pressed "stop" or "again" is left on a button that has gone. */
  async #returnFocus(): Promise<void> {
    await this.updateComplete;
    if (this.shadowRoot?.activeElement === null && document.activeElement === document.body) this.#box?.focus();
  }

  // --- what can be done with an answer

  #openSource(turn: Turn, number: number): void {
    const details = this.#element<HTMLDetailsElement>(`#turn-${turn.messageId} [data-number="${number}"]`);
    if (!details) return;
    details.open = true;
    details.querySelector("summary")?.focus();
  }

  async #copy(turn: Turn): Promise<void> {
    try {
      await navigator.clipboard.writeText(turn.answer);
    } catch {
      // The browser forbids it, which is the person's or the page's wish.
      this.#say(this.#t("copy_failed"));
      return;
    }
    this.#copiedTurn = turn;
    this.#say(this.#t("status_copied"));
    setTimeout(() => {
      this.#copiedTurn = null;
      this.requestUpdate();
    }, COPIED_MILLISECONDS);
  }

  /** The thanks take the focus, which is how they are read aloud. */
  async #judge(turn: Turn, verdict: "up" | "down", reason: string | null, correction: string | null): Promise<void> {
    await this.#conversation.judge(turn, verdict, reason, correction);
    await this.updateComplete;
    this.#element<HTMLElement>(`#turn-${turn.messageId} .outcome .note`)?.focus();
  }

  async #showForm(turn: Turn): Promise<void> {
    turn.judgement.step = "form";
    this.requestUpdate();
    await this.updateComplete;
    const form = this.#element<HTMLElement>(`#turn-${turn.messageId} .feedback-form`);
    form?.querySelector("input")?.focus();
    form?.scrollIntoView({ block: "nearest" });
  }

  async #hideForm(turn: Turn): Promise<void> {
    turn.judgement.step = "none";
    this.requestUpdate();
    await this.updateComplete;
    this.#element<HTMLElement>(`#turn-${turn.messageId} [data-verdict="down"]`)?.focus();
  }

  // --- the hand-off

  readonly #openHandoff = async (): Promise<void> => {
    if (this.#handoffShown) {
      this.#closeHandoff();
      return;
    }
    this.#handoffShown = true;
    this.requestUpdate();
    await this.updateComplete;
    this.#element<HTMLElement>(".handoff-panel")?.focus();
    await this.#handoff.refresh();
  };

  #closeHandoff(): void {
    this.#handoffShown = false;
    this.requestUpdate();
    this.#element<HTMLElement>("#person")?.focus();
  }

  // --- the window

  #showWindow(wasOpen: boolean): void {
    const dialog = this.#element<HTMLDialogElement>("dialog");
    if (this.open && dialog && !dialog.open) {
      if (this.#reopened) dialog.open = true;
      else this.#takeFocus(dialog);
      this.#reopened = false;
    } else if (!this.open && dialog?.open) {
      dialog.close();
      if (wasOpen) this.#element<HTMLElement>(".launcher")?.focus();
    }
  }

  #takeFocus(dialog: HTMLDialogElement): void {
    // On a small screen the window covers the page, so nothing behind it may be reached.
    if (matchMedia(NARROW).matches) dialog.showModal();
    else dialog.show();
    this.#box?.focus();
  }

  readonly #closeOnEscape = onEscape(() => this.toggle(false));

  readonly #cancelled = (event: Event): void => {
    event.preventDefault();
    this.toggle(false);
  };

  readonly #switchLanguage = (): void => {
    this.lang = this.#locale === "ko" ? "en" : "ko";
  };

  // --- who, where, what happened

  async #identity(renew: boolean): Promise<string | null> {
    if (this.tokenProvider && (renew || !this.userToken)) this.userToken = await this.tokenProvider();
    return this.userToken || null;
  }

  /** Tells the conversations of several persons in one tab apart; a guest's token may change from page to page. */
  #owner(): string {
    return `${this.endpoint}|${subjectOf(this.userToken)}`;
  }

  #begin(): void {
    this.#handoff.drop();
    this.#gateway.guest = null;
    this.#conversation.clear();
    this.#restore();
  }

  #say(sentence: string): void {
    this.#status = sentence;
    this.requestUpdate();
  }

  #tell(kind: "toggle" | "message" | "feedback" | "error", detail: Record<string, unknown>): void {
    this.dispatchEvent(new CustomEvent(`haechi-chat-${kind}`, { detail, bubbles: true, composed: true }));
  }

  /** Keeps the growing answer in sight until its question stands at the top; leaves a reader who scrolls alone. */
  #bringIntoSight(turn: Turn): void {
    const scroller = this.#element<HTMLElement>(".scroller");
    const drawn = this.#element<HTMLElement>(`#turn-${turn.messageId}`);
    if (!scroller || !drawn) return;
    scroller.scrollTop += drawn.getBoundingClientRect().top - scroller.getBoundingClientRect().top - MARGIN_PIXELS;
    this.#scrolledTo = scroller.scrollTop;
  }

  get #box(): HTMLTextAreaElement | null {
    return this.#element<HTMLTextAreaElement>("#question");
  }

  #element<E extends Element>(selector: string): E | null {
    return this.renderRoot?.querySelector<E>(selector) ?? null;
  }
}

/** Whom a signed token is about; read without checking, for telling persons apart on this screen only. */
function subjectOf(token: string): string {
  try {
    const claims = JSON.parse(atob(token.split(".")[1]?.replaceAll("-", "+").replaceAll("_", "/") ?? "")) as { sub?: string };
    return claims.sub ?? "";
  } catch {
    return "";
  }
}
