// What pages do in the browser beyond links and forms: the keyboard of the review, uploads with progress, followed runs.
// Writes text only (textContent), never HTML.

const ACTIONS = { next: "KeyJ", previous: "KeyK", approve: "KeyA", reject: "KeyR", edit: "KeyE", skip: "KeyS", undo: "KeyU", start: "KeyN" };
const STORE = "haechi-console-keys";

const kept = () => {
  try {
    return JSON.parse(localStorage.getItem(STORE) ?? "{}");
  } catch {
    return {};
  }
};
const keys = () => ({ on: kept().on ?? true, map: { ...ACTIONS, ...kept().map } });
const keep = (changed) => localStorage.setItem(STORE, JSON.stringify({ ...kept(), ...changed }));
const nameOf = (code) => code.replace(/^(Key|Digit)/, "");
const find = (action) => document.querySelector(`[data-action="${action}"]:not([disabled])`);

function showKeys() {
  const { on, map } = keys();
  document.body.dataset.keys = on ? "on" : "off";
  for (const place of document.querySelectorAll("[data-key]")) place.textContent = nameOf(map[place.dataset.key] ?? "");
  for (const button of document.querySelectorAll("[data-action]")) {
    const code = map[button.dataset.action];
    if (on && code) button.setAttribute("aria-keyshortcuts", nameOf(code));
    else button.removeAttribute("aria-keyshortcuts");
  }
}

function isWriting(target) {
  return target.closest?.("input:not([type=checkbox], [type=radio]), textarea, select, [contenteditable], dialog[open]");
}

function move(step) {
  const rows = [...document.querySelectorAll("[data-item]")];
  if (!rows.length) return;
  const at = rows.findIndex((row) => row.hasAttribute("aria-current"));
  const next = rows[Math.min(Math.max(at + step, 0), rows.length - 1)];
  rows[at]?.removeAttribute("aria-current");
  next.setAttribute("aria-current", "true");
  next.querySelector("a")?.focus();
}

// Out of a field the shortcuts work again; what was typed stays.
function leave(event) {
  const opened = event.target.closest?.("details[open]");
  if (!isWriting(event.target) || !opened) return;
  event.preventDefault();
  opened.open = false;
  opened.querySelector("summary")?.focus();
}

// event.code names the key and not the letter, so shortcuts work while a Hangul input method is on.
document.addEventListener("keydown", (event) => {
  if (event.code === "Enter" && (event.ctrlKey || event.metaKey) && !event.isComposing && event.target.matches?.("textarea")) {
    event.preventDefault();
    event.target.form?.requestSubmit();
    return;
  }
  if (event.code === "Escape" && !event.isComposing) leave(event);
  if (event.isComposing || event.ctrlKey || event.altKey || event.metaKey || event.defaultPrevented) return;
  const { on, map } = keys();
  if (!on || isWriting(event.target)) return;
  if (event.code === "Slash" && event.shiftKey) {
    event.preventDefault();
    document.getElementById("keyboard")?.showModal();
    return;
  }
  if (event.shiftKey) return;
  const action = Object.keys(map).find((name) => map[name] === event.code);
  if (!action) return;
  if (action === "next" || action === "previous") {
    if (!document.querySelector("[data-item]")) return;
    event.preventDefault();
    move(action === "next" ? 1 : -1);
    return;
  }
  const target = find(action);
  if (!target) return;
  event.preventDefault();
  const opens = target.dataset.opens && document.getElementById(target.dataset.opens);
  if (opens) {
    opens.open = true;
    opens.querySelector("textarea, select, input:not([type=hidden])")?.focus();
  } else target.click();
});

document.addEventListener("click", (event) => {
  const opener = event.target.closest?.("[data-opens]");
  if (!opener) return;
  const opened = document.getElementById(opener.dataset.opens);
  if (opened instanceof HTMLDialogElement) opened.showModal();
  else if (opened) {
    opened.open = true;
    opened.querySelector("textarea, select, input:not([type=hidden])")?.focus();
  }
});

function prepareKeySettings() {
  const form = document.getElementById("key-settings");
  if (!form) return;
  const status = document.getElementById("key-status");
  const toggle = form.querySelector("[name=on]");
  toggle.checked = keys().on;
  for (const input of form.querySelectorAll("[data-remap]")) {
    input.value = nameOf(keys().map[input.dataset.remap]);
    input.addEventListener("keydown", (event) => {
      if (event.code === "Tab" || event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      const { map } = keys();
      const taken = Object.keys(map).find((name) => map[name] === event.code && name !== input.dataset.remap);
      if (!/^(Key[A-Z]|Digit[0-9])$/.test(event.code) || taken) {
        status.textContent = form.dataset.taken;
        return;
      }
      keep({ map: { ...map, [input.dataset.remap]: event.code } });
      input.value = nameOf(event.code);
      status.textContent = form.dataset.saved;
      showKeys();
    });
  }
  toggle.addEventListener("change", () => {
    keep({ on: toggle.checked });
    status.textContent = form.dataset.saved;
    showKeys();
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    localStorage.removeItem(STORE);
    toggle.checked = true;
    for (const input of form.querySelectorAll("[data-remap]")) input.value = nameOf(ACTIONS[input.dataset.remap]);
    status.textContent = form.dataset.saved;
    showKeys();
  });
}

// The browser's own form works without this, for one file; here it takes several, and tells how far each has come.
function prepareUpload() {
  const form = document.querySelector("form[data-upload]");
  if (!form) return;
  const file = form.querySelector("input[type=file]");
  const path = form.querySelector("input[name=path]");
  const button = form.querySelector("button[type=submit]");
  const bar = form.querySelector("progress");
  const status = form.querySelector("[role=status]");
  const outcomes = document.getElementById("uploaded");
  file.multiple = true;
  file.addEventListener("change", () => {
    if (file.files.length > 1) {
      status.textContent = file.dataset.many;
      if (path.value === path.dataset.proposed) path.value = "";
      path.required = false;
    } else if (file.files[0] && (!path.value || path.value === path.dataset.proposed)) {
      path.value = file.files[0].name;
      path.dataset.proposed = path.value;
      path.required = true;
    }
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const chosen = [...file.files];
    const folder = path.value.replace(/\/+$/, "");
    button.disabled = true;
    outcomes.replaceChildren();
    outcomes.hidden = chosen.length < 2;
    for (const one of chosen) {
      const data = new FormData(form);
      data.set("file", one);
      data.set("path", chosen.length < 2 ? path.value : folder ? `${folder}/${one.name}` : one.name);
      const answer = await sent(form, data, bar, (text) => (status.textContent = text));
      status.textContent = answer.message;
      status.className = answer.is_good ? "note" : "note bad";
      const outcome = document.createElement("li");
      outcome.className = status.className;
      outcome.textContent = `${one.name}: ${answer.message}`;
      outcomes.append(outcome);
    }
    button.disabled = false;
  });
}

function sent(form, data, bar, tell) {
  const failed = { message: form.dataset.failed, is_good: false };
  return new Promise((done) => {
    const request = new XMLHttpRequest();
    request.open("POST", form.action);
    request.setRequestHeader("X-Upload", "1");
    request.upload.addEventListener("progress", (told) => {
      if (!told.lengthComputable) return;
      bar.hidden = false;
      bar.value = told.loaded / told.total;
      tell(told.loaded < told.total ? form.dataset.sending : form.dataset.reading);
    });
    request.addEventListener("load", () => {
      const isAnswer = request.getResponseHeader("Content-Type")?.startsWith("application/json");
      bar.hidden = true;
      done(isAnswer ? JSON.parse(request.responseText) : failed);
    });
    request.addEventListener("error", () => done(failed));
    request.send(data);
  });
}

document.addEventListener("DOMContentLoaded", () => {
  showKeys();
  prepareKeySettings();
  prepareUpload();
});
document.addEventListener("htmx:after:swap", showKeys);
