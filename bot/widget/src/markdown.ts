// The Markdown that answers are written in, read into plain data: paragraphs, lists, tables, code, emphasis, links.
//
// What comes in is a model's and is trusted in nothing: markup is text, and a link is one only to https, tel or mailto.

export type Inline =
  | { kind: "text"; text: string }
  | { kind: "code"; text: string }
  | { kind: "strong" | "em"; children: Inline[] }
  | { kind: "link"; href: string; children: Inline[] }
  | { kind: "citation"; number: number };

export type Block =
  | { kind: "paragraph"; children: Inline[] }
  | { kind: "pre"; text: string }
  | { kind: "list"; ordered: boolean; start: number; items: Block[][] }
  | { kind: "table"; head: Inline[][]; rows: Inline[][][] }
  | { kind: "quote"; children: Block[] };

const FENCE = /^ {0,3}(```|~~~)/;
const ITEM = /^( {0,3})(?:([-*+])|(\d{1,3})[.)])\s+(?=\S)/;
const QUOTE = /^ {0,3}> ?/;
const HEADING = /^ {0,3}#{1,6}\s+(.*?)\s*#*$/;
const TABLE_RULE = /^\s*\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?\s*$/;
const DEPTH_LIMIT = 4;
const PROTOCOLS = new Set(["https:", "tel:", "mailto:"]);

/** The blocks of a text that may still be growing: what has not ended yet ends where the text does. */
export function blocksOf(text: string, depth = 0): Block[] {
  const lines = text.replaceAll("\r\n", "\n").split("\n");
  const blocks: Block[] = [];
  let at = 0;
  while (at < lines.length) {
    const line = lines[at] ?? "";
    if (!line.trim()) at += 1;
    else if (FENCE.test(line)) at = readCode(lines, at, blocks);
    else if (depth < DEPTH_LIMIT && QUOTE.test(line)) at = readQuote(lines, at, depth, blocks);
    else if (depth < DEPTH_LIMIT && ITEM.test(line)) at = readList(lines, at, depth, blocks);
    else if (line.includes("|") && TABLE_RULE.test(lines[at + 1] ?? "")) at = readTable(lines, at, blocks);
    else at = readParagraph(lines, at, depth, blocks);
  }
  return blocks;
}

function readCode(lines: string[], from: number, blocks: Block[]): number {
  const fence = FENCE.exec(lines[from] ?? "")?.[1] ?? "```";
  let at = from + 1;
  while (at < lines.length && !lines[at]?.trimStart().startsWith(fence)) at += 1;
  blocks.push({ kind: "pre", text: lines.slice(from + 1, at).join("\n") });
  return at + 1;
}

function readQuote(lines: string[], from: number, depth: number, blocks: Block[]): number {
  let at = from;
  while (at < lines.length && QUOTE.test(lines[at] ?? "")) at += 1;
  const inside = lines.slice(from, at).map((line) => line.replace(QUOTE, ""));
  blocks.push({ kind: "quote", children: blocksOf(inside.join("\n"), depth + 1) });
  return at;
}

function readList(lines: string[], from: number, depth: number, blocks: Block[]): number {
  const first = ITEM.exec(lines[from] ?? "");
  const ordered = first?.[3] !== undefined;
  const inside = (first?.[1]?.length ?? 0) + 2;
  const items: string[][] = [];
  let at = from;
  for (; at < lines.length; at += 1) {
    const line = lines[at] ?? "";
    const item = ITEM.exec(line);
    const deeper = (item?.[1]?.length ?? 0) >= inside;
    if (item && !deeper && (item[3] !== undefined) === ordered) items.push([line.slice(item[0].length)]);
    else if (/^\s{2,}\S/.test(line)) items.at(-1)?.push(line.replace(/^\s{2,4}/, ""));
    else break;
  }
  blocks.push({
    kind: "list",
    ordered,
    start: Number(first?.[3] ?? 1),
    items: items.map((item) => blocksOf(item.join("\n"), depth + 1)),
  });
  return at;
}

function readTable(lines: string[], from: number, blocks: Block[]): number {
  const head = cellsOf(lines[from] ?? "");
  let at = from + 2;
  const rows: Inline[][][] = [];
  for (; at < lines.length && lines[at]?.includes("|"); at += 1) {
    const cells = cellsOf(lines[at] ?? "");
    rows.push(head.map((_, column) => cells[column] ?? []));
  }
  blocks.push({ kind: "table", head, rows });
  return at;
}

function cellsOf(line: string): Inline[][] {
  const inside = line.trim().replace(/^\|/, "").replace(/(?<!\\)\|$/, "");
  return inside.split(/(?<!\\)\|/).map((cell) => inlinesOf(cell.trim()));
}

function readParagraph(lines: string[], from: number, depth: number, blocks: Block[]): number {
  const heading = HEADING.exec(lines[from] ?? "");
  if (heading) {
    blocks.push({ kind: "paragraph", children: [{ kind: "strong", children: inlinesOf(heading[1] ?? "") }] });
    return from + 1;
  }
  let at = from + 1;
  while (at < lines.length && lines[at]?.trim() && !beginsBlock(lines[at] ?? "", depth)) at += 1;
  blocks.push({ kind: "paragraph", children: inlinesOf(lines.slice(from, at).join("\n")) });
  return at;
}

function beginsBlock(line: string, depth: number): boolean {
  return FENCE.test(line) || HEADING.test(line) || (depth < DEPTH_LIMIT && (QUOTE.test(line) || ITEM.test(line)));
}

const TOKEN =
  /\\([!-/:-@[-`{-~])|(`+)([^`][\s\S]*?)\2(?!`)|(\*\*|__)(?=\S)|([*_])(?=\S)|!?\[|(https:\/\/[^\s<>"'`|\\^{}]+)/g;
const CITATION = /\[(\d{1,2})\](?!\()/y;

/** Emphasis, code, links and citations of one piece of text. */
export function inlinesOf(text: string, depth = 0): Inline[] {
  const found: Inline[] = [];
  const token = new RegExp(TOKEN);
  let from = 0;
  for (let match = token.exec(text); match; match = token.exec(text)) {
    const read = depth < DEPTH_LIMIT ? inlineAt(text, match, depth) : null;
    if (!read) continue;
    if (match.index > from) found.push({ kind: "text", text: text.slice(from, match.index) });
    found.push(read.inline);
    from = token.lastIndex = read.end;
  }
  if (from < text.length) found.push({ kind: "text", text: text.slice(from) });
  return found;
}

interface Read {
  inline: Inline;
  end: number;
}

function inlineAt(text: string, match: RegExpExecArray, depth: number): Read | null {
  const [whole, escaped, , code, strong, em, url] = match;
  const end = match.index + whole.length;
  if (escaped) return { inline: { kind: "text", text: escaped }, end };
  if (code !== undefined) return { inline: { kind: "code", text: code.trim() }, end };
  if (strong) return emphasis(text, match.index, strong, "strong", depth);
  if (em) return emphasis(text, match.index, em, "em", depth);
  if (url) return bareLink(url, match.index);
  return citationAt(text, match.index) ?? linkAt(text, match.index, whole.length, depth);
}

function emphasis(text: string, at: number, mark: string, kind: "strong" | "em", depth: number): Read | null {
  // An underscore inside a word is a letter of a name: account_number.
  const inWord = mark.startsWith("_") && /[\p{L}\p{N}]/u.test(text.charAt(at - 1));
  const end = inWord ? -1 : text.indexOf(mark, at + mark.length + 1);
  if (end < 0 || /\s/.test(text.charAt(end - 1)) || text.slice(at, end).includes("\n\n")) return null;
  if (mark.startsWith("_") && /[\p{L}\p{N}]/u.test(text.charAt(end + mark.length))) return null;
  const children = inlinesOf(text.slice(at + mark.length, end), depth + 1);
  return { inline: { kind, children }, end: end + mark.length };
}

function citationAt(text: string, at: number): Read | null {
  CITATION.lastIndex = at;
  const match = CITATION.exec(text);
  return match ? { inline: { kind: "citation", number: Number(match[1]) }, end: at + match[0].length } : null;
}

/** [label](address); of an image its label remains, of a forbidden address too. */
function linkAt(text: string, at: number, opener: number, depth: number): Read | null {
  const closed = text.indexOf("](", at + opener);
  const label = text.slice(at + opener, closed);
  if (closed < 0 || /[\n[\]]/.test(label)) return null;
  const end = closingParenthesis(text, closed + 2);
  if (end < 0) return null;
  const address = text.slice(closed + 2, end).trim().split(/\s/)[0] ?? "";
  const href = opener === 1 ? allowedAddress(address) : null;
  const children = inlinesOf(label, depth + 1);
  const inline: Inline = href ? { kind: "link", href, children } : { kind: "text", text: label };
  return { inline, end: end + 1 };
}

function closingParenthesis(text: string, from: number): number {
  let open = 1;
  for (let at = from; at < text.length && text.charAt(at) !== "\n"; at += 1) {
    if (text.charAt(at) === "(") open += 1;
    if (text.charAt(at) === ")") open -= 1;
    if (!open) return at;
  }
  return -1;
}

/** An address in running text ends before the punctuation that belongs to the sentence. */
function bareLink(url: string, at: number): Read | null {
  let address = url.replace(/[.,;:!?*_\]]+$/, "");
  while (address.endsWith(")") && address.split(")").length > address.split("(").length) address = address.slice(0, -1);
  const href = allowedAddress(address);
  const children: Inline[] = [{ kind: "text", text: address }];
  return href ? { inline: { kind: "link", href, children }, end: at + address.length } : null;
}

/** The address in its normal form if it may be followed, else null. Relative ones lead into somebody else's site. */
export function allowedAddress(address: string): string | null {
  const url = URL.canParse(address) ? new URL(address) : null;
  return url && PROTOCOLS.has(url.protocol) && !url.username && !url.password ? url.href : null;
}
