// Draws Markdown as elements: p, strong, em, code, pre, ul, ol, li, table, tr, th, td, a, sup and div, and no others.

import { html, type TemplateResult } from "lit";
import { type Block, blocksOf, type Inline } from "../markdown.js";

/** What the words stand in: which sources there are, what they are called, what opens one. */
export interface Citations {
  label(number: number): string | null;
  open(number: number): void;
  tableLabel: string;
  linkTitle: string;
}

type Drawn = TemplateResult | string;

export function drawMarkdown(text: string, citations: Citations): Drawn[] {
  return blocksOf(text).map((block) => drawBlock(block, citations));
}

function drawBlock(block: Block, citations: Citations): Drawn {
  switch (block.kind) {
    case "paragraph":
      return html`<p>${drawInlines(block.children, citations)}</p>`;
    case "pre":
      return html`<pre tabindex="0"><code>${block.text}</code></pre>`;
    case "quote":
      return html`<div class="quote">${block.children.map((child) => drawBlock(child, citations))}</div>`;
    case "list": {
      const items = block.items.map((item) => html`<li>${drawItem(item, citations)}</li>`);
      return block.ordered ? html`<ol start=${block.start}>${items}</ol>` : html`<ul>${items}</ul>`;
    }
    case "table":
      return html`<div class="table" tabindex="0" role="region" aria-label=${citations.tableLabel}><table>${[
        html`<tr>${block.head.map((cell) => html`<th scope="col">${drawInlines(cell, citations)}</th>`)}</tr>`,
        ...block.rows.map((row) => html`<tr>${row.map((cell) => html`<td>${drawInlines(cell, citations)}</td>`)}</tr>`),
      ]}</table></div>`;
  }
}

/** The first paragraph of an item stands beside its mark, without a margin of its own. */
function drawItem([first, ...rest]: Block[], citations: Citations): Drawn[] {
  const opening = first?.kind === "paragraph" ? drawInlines(first.children, citations) : first ? [drawBlock(first, citations)] : [];
  return [...opening, ...rest.map((block) => drawBlock(block, citations))];
}

function drawInlines(inlines: Inline[], citations: Citations): Drawn[] {
  return inlines.map((inline) => drawInline(inline, citations));
}

function drawInline(inline: Inline, citations: Citations): Drawn {
  switch (inline.kind) {
    case "text":
      return inline.text;
    case "code":
      return html`<code>${inline.text}</code>`;
    case "strong":
      return html`<strong>${drawInlines(inline.children, citations)}</strong>`;
    case "em":
      return html`<em>${drawInlines(inline.children, citations)}</em>`;
    case "link":
      return html`<a href=${inline.href} title=${citations.linkTitle} target="_blank" rel="noopener noreferrer">${drawInlines(inline.children, citations)}</a>`;
    case "citation":
      return drawCitation(inline.number, citations);
  }
}

function drawCitation(number: number, citations: Citations): Drawn {
  const label = citations.label(number);
  if (label === null) return `[${number}]`;
  return html`<sup><button type="button" class="citation" aria-label=${label} @click=${() => citations.open(number)}>${number}</button></sup>`;
}
