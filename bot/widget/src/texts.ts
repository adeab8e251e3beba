// The words of the chat: one table per language. Nothing here knows what the words mean.

import en from "./locales/en.json";
import ko from "./locales/ko.json";

export type Locale = "ko" | "en";
export type TextKey = keyof typeof ko;
/** The text of a key, with {name} replaced by the value given for it. */
export type Texts = (key: TextKey, values?: Record<string, string | number>) => string;

const TABLES: Record<Locale, Record<TextKey, string>> = { ko, en };

export function textsOf(locale: Locale): Texts {
  return (key, values = {}) => TABLES[locale][key].replace(/\{(\w+)\}/g, (_, name: string) => String(values[name]));
}

/** The language of a BCP 47 tag; whatever is not English is answered in Korean. */
export function localeOf(tag: string): Locale {
  return tag.toLowerCase().startsWith("en") ? "en" : "ko";
}
