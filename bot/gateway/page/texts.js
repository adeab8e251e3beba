// The page's words: one table per language, fetched once; nothing here knows what the words mean.

const LOCALES = ["ko", "en"];
const tables = {};
let current = "ko";

export async function loadTexts() {
  const fetched = LOCALES.map(async (locale) => {
    tables[locale] = await (await fetch(`/widget/locales/${locale}.json`)).json();
  });
  await Promise.all(fetched);
}

export const locale = () => current;

export function switchLocale() {
  current = LOCALES[(LOCALES.indexOf(current) + 1) % LOCALES.length];
}

/** The text of a key, with {name} replaced by the value given for it. */
export function text(key, values = {}) {
  const found = tables[current][key];
  return typeof found === "string" ? found.replace(/\{(\w+)\}/g, (_, name) => values[name]) : found;
}

/** Fill every element that names a text: its content, its placeholder or its label. */
export function fillTexts(root) {
  document.documentElement.lang = current;
  for (const element of root.querySelectorAll("[data-text]")) element.textContent = text(element.dataset.text);
  for (const element of root.querySelectorAll("[data-placeholder]")) element.placeholder = text(element.dataset.placeholder);
  for (const element of root.querySelectorAll("[data-label]")) element.ariaLabel = text(element.dataset.label);
}
