// Personal numbers in what a person is about to send: resident and foreigner numbers, telephones, cards, accounts.
//
// A courtesy to the person, not the bank's protection: the gateway masks every question again, and knows far more.
// Formats: 주민등록법 시행규칙 제2조 (seventh digit 1-4, 9, 0; 5-8 for foreigners), 전기통신번호관리세칙 (telephones),
// ISO/IEC 7812-1 (Luhn). Resident numbers given since October 2020 have no check digit, so it is asked of bare digits only.

import type { TextKey, Texts } from "./texts.js";

export type PersonalDataKind = "resident_number" | "foreigner_number" | "phone" | "card" | "account";

/** A value at `start`..`end` of the text as it was typed. */
export interface Finding {
  kind: PersonalDataKind;
  start: number;
  end: number;
}

type Rule = (text: string) => Iterable<Finding>;

const RESIDENT = /(?<!\d)(\d{2})(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(\s{0,2}[-~/.·_]?\s{0,2})(\d{7})(?!\d)/g;
const PHONE =
  /(?<!\d)(?:\(?\+?(?:00)?\s?82\)?[\s.·-]{0,2}\(?0?\)?|\(?0)(?:1[016789]|70|50[2-8]|2|3[1-3]|4[1-4]|5[1-5]|6[1-4])\)?[\s.·/_~-]{0,3}\d{3,4}[\s.·/_~-]{0,3}\d{4}(?!\d)/g;
const CARD = /(?<![\d-])[2-69](?:[\s-]?\d){14,15}(?![\d-]|\s\d)/g;
const GROUPED = /(?<![\dA-Za-z.-])\d{1,9}(?:(?:-\d{1,9}){1,4}|(?: \d{1,9}){2,4})(?![\dA-Za-z]|-\d|[,.]\d)/g;
const BARE = /(?<![\dA-Za-z.,-])\d{10,14}(?![\dA-Za-z]|[,.]\d|-\d)/g;
const DATE = /^(?:(?:19|20)\d{2}[- ](?:0?[1-9]|1[0-2])[- ](?:0?[1-9]|[12]\d|3[01]))(?!\d)/;
const TIME_STAMP = /^(?:19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:[01]\d|2[0-4])/;
const SERVICE_NUMBER = /^1[568]\d{2}[- ]?\d{4}/;
const ACCOUNT_WORD =
  /계좌|통장|입금|송금|이체|출금|환불|예금주|수취|급여|뱅킹|은행|적금|예금|인출|보내|넣어|부쳐|account|acct/i;
/** A number that a word says to be another thing's: 승인번호, 운송장, REF-. */
const THING_BEFORE =
  /(?:(?<!계좌\s?|카드\s?|전화\s?|폰\s?|등록\s?|주민\s?|통장\s?)(?:번호|코드)|승인|주문|접수|문서|전표|송장|조회|사건|ID|No\.?)\s?(?:는|은|이|가|:|：|=|#|\()?\s*["'([A-Za-z#-]{0,6}$|(?:[A-Za-z]{2,}[-_#:]|\b(?:REF|order|code|error|txn)\b[\s.:=#-]{0,3})$/i;
const UNIT_AFTER =
  /^\s?(?:[만억조천백]*\s?(?:원|달러|불|엔|좌|건|개|명|회|년|주|점|포인트|퍼센트|바이트|초)|[만억조천백])(?=$|[^가-힣]|[은는이가을를의에으로도만씩정까부입인짜])|^\s?(?:[%㎡]|byte|KRW|USD|won)/;
const CURRENCY_BEFORE = /(?:₩|\\|\$|€|KRW|USD|금액|잔액|한도|총액|합계|매출|자산)\s?[:은는이가]{0,2}\s?$/;
const REACH = 24;

/** Every value found, from left to right and without overlaps; of two at one place the one listed first. */
export function personalData(typed: string): Finding[] {
  const { text, at } = plain(typed);
  const found: Finding[] = [];
  for (const rule of [cards, residents, phones, accounts]) {
    for (const finding of rule(text)) {
      if (!found.some((other) => finding.start < other.end && other.start < finding.end)) found.push(finding);
    }
  }
  return found
    .map(({ kind, start, end }) => ({ kind, start: at[start] ?? 0, end: (at[end - 1] ?? 0) + 1 }))
    .sort((one, other) => one.start - other.start);
}

/** The text with every value replaced by the name of its kind. */
export function masked(typed: string, texts: Texts): string {
  let from = 0;
  let result = "";
  for (const { kind, start, end } of personalData(typed)) {
    result += typed.slice(from, start) + texts("masked_value", { kind: texts(nameOf(kind)) });
    from = end;
  }
  return result + typed.slice(from);
}

export const nameOf = (kind: PersonalDataKind): TextKey => `data_${kind}`;

/** The text in ordinary digits and hyphens, and for each of its characters the place it has in the original. */
function plain(typed: string): { text: string; at: number[] } {
  let text = "";
  const at: number[] = [];
  for (let place = 0; place < typed.length; place += 1) {
    const character = typed.charAt(place).normalize("NFKC").replace(/\p{Pd}|−/gu, "-").replace(/\p{Cf}/gu, "");
    for (const unit of character) {
      text += unit;
      at.push(place);
    }
  }
  return { text, at };
}

const cards: Rule = function* (text) {
  for (const match of text.matchAll(CARD)) {
    if (luhnHolds(digitsOf(match[0]))) yield finding("card", match);
  }
};

const residents: Rule = function* (text) {
  for (const match of text.matchAll(RESIDENT)) {
    const digits = digitsOf(match[0]);
    const bare = !match[4];
    if (bare && !checkDigitHolds(digits) && (isAmount(text, match) || namesAThing(text, match))) continue;
    yield finding("5678".includes(digits.charAt(6)) ? "foreigner_number" : "resident_number", match);
  }
};

const phones: Rule = function* (text) {
  for (const match of text.matchAll(PHONE)) {
    const landline = /^02\d*$/.test(match[0]);
    if (!(landline && namesAThing(text, match))) yield finding("phone", match);
  }
};

const accounts: Rule = function* (text) {
  for (const match of text.matchAll(GROUPED)) {
    const groups = match[0].split(/[ -]/);
    const length = groups.join("").length;
    if (length < 10 || length > 16 || DATE.test(match[0]) || SERVICE_NUMBER.test(match[0])) continue;
    if (isAmount(text, match) || namesAThing(text, match)) continue;
    if ((groups.length > 2 && match[0].includes("-")) || inContext(text, match)) yield finding("account", match);
  }
  for (const match of text.matchAll(BARE)) {
    if (isAmount(text, match) || namesAThing(text, match)) continue;
    if (inContext(text, match) || !TIME_STAMP.test(match[0])) yield finding("account", match);
  }
};

function finding(kind: PersonalDataKind, match: RegExpExecArray): Finding {
  return { kind, start: match.index, end: match.index + match[0].length };
}

const digitsOf = (value: string): string => value.replace(/\D/g, "");
const before = (text: string, match: RegExpExecArray): string => text.slice(Math.max(0, match.index - REACH), match.index);
const after = (text: string, match: RegExpExecArray): string =>
  text.slice(match.index + match[0].length, match.index + match[0].length + REACH);
const namesAThing = (text: string, match: RegExpExecArray): boolean => THING_BEFORE.test(before(text, match));
const isAmount = (text: string, match: RegExpExecArray): boolean =>
  UNIT_AFTER.test(after(text, match)) || CURRENCY_BEFORE.test(before(text, match));
const inContext = (text: string, match: RegExpExecArray): boolean =>
  ACCOUNT_WORD.test(`${before(text, match)}\n${after(text, match)}`);

function luhnHolds(digits: string): boolean {
  let sum = 0;
  for (const [place, digit] of [...digits].reverse().entries()) {
    const value = Number(digit) * (place % 2 ? 2 : 1);
    sum += value > 9 ? value - 9 : value;
  }
  return sum % 10 === 0;
}

function checkDigitHolds(digits: string): boolean {
  const offset = "5678".includes(digits.charAt(6)) ? 13 : 11;
  let sum = 0;
  for (let place = 0; place < 12; place += 1) sum += ((place % 8) + 2) * Number(digits.charAt(place));
  return (offset - (sum % 11)) % 10 === Number(digits.charAt(12));
}
