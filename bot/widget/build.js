// Builds <haechi-chat> twice (ES module, IIFE) into dist/ and, with the page, the demonstration and the hashes of all of it,
// into the gateway's static folder. Fails where a language lacks a word, where the source does what a strict policy
// forbids, and where a bundle is larger than its budget.
//
// Run by `npm ci --ignore-scripts && npm run build`; `npm run build -- --into FOLDER` writes the static files elsewhere.

import { createHash } from "node:crypto";
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { gzipSync } from "node:zlib";
import { build } from "vite";

const BUDGET_BYTES = 25_000;
const HERE = dirname(fileURLToPath(import.meta.url));
const { values } = parseArgs({ options: { into: { type: "string" } } });
const TARGET = values.into ?? join(HERE, "..", "gateway", "static");
const DIST = join(TARGET, "..", values.into ? "widget-dist" : "../widget/dist");
const BUNDLES = { es: "haechi-chat.js", iife: "haechi-chat.iife.js" };
// What no line of ours may do; Lit's own templates go through its policy "lit-html".
const FORBIDDEN = /\b(innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|unsafeHTML|unsafeSVG|eval|Function)\s*[(=]|\bstyle=|https?:\/\/(?!\[)[a-z]/;

checkWords();
checkSources();
const smaller = { name: "smaller", enforce: "pre", load: wordsWithoutKeys, transform: smallerTemplates };
rmSync(DIST, { recursive: true, force: true });
for (const [format, fileName] of Object.entries(BUNDLES)) {
  await build({
    root: HERE,
    configFile: false,
    logLevel: "warn",
    plugins: [smaller],
    build: {
      target: "es2022",
      // Younger browsers than the script needs, so that nothing is added for older ones; none of the rules is that young.
      cssTarget: ["chrome124", "firefox124", "safari17.5"],
      outDir: DIST,
      emptyOutDir: false,
      lib: { entry: join(HERE, "src", "index.ts"), formats: [format], name: "Haechi", fileName: () => fileName },
      rolldownOptions: { output: { minify: true } },
    },
  });
}
writeFileSync(join(DIST, "haechi-chat.LICENSE.txt"), licences());
writeFileSync(join(DIST, "integrity.json"), `${JSON.stringify(integrity(), null, 2)}\n`);
publish();

/** Every language has every word, with the same values in it, and every word is used. */
function checkWords() {
  const folder = join(HERE, "src", "locales");
  const tables = Object.fromEntries(
    readdirSync(folder).map((name) => [name, JSON.parse(readFileSync(join(folder, name), "utf8"))]),
  );
  const keys = [...new Set(Object.values(tables).flatMap(Object.keys))];
  const holes = (text) => [...(text ?? "").matchAll(/\{\w+\}/g)].map(([hole]) => hole).sort().join();
  const source = sources().map(({ text }) => text).join("\n");
  const composed = ["data_", "reason_", "feedback_"];
  const wrong = keys.flatMap((key) => [
    ...Object.entries(tables).filter(([, table]) => !table[key]).map(([name]) => `${name} lacks ${key}`),
    ...(new Set(Object.values(tables).map((table) => holes(table[key]))).size > 1 ? [`${key} has other values by language`] : []),
    ...(source.includes(`"${key}"`) || composed.some((prefix) => key.startsWith(prefix)) ? [] : [`${key} is not used`]),
  ]);
  if (wrong.length) fail(wrong);
}

function checkSources() {
  const wrong = sources().flatMap(({ name, text }) =>
    text.split("\n").flatMap((line, at) => (FORBIDDEN.test(line) ? [`${name}:${at + 1} is forbidden under the policy`] : [])),
  );
  if (wrong.length) fail(wrong);
}

function sources() {
  return readdirSync(join(HERE, "src"), { recursive: true })
    .filter((name) => name.endsWith(".ts"))
    .map((name) => ({ name, text: readFileSync(join(HERE, "src", name), "utf8") }));
}

/** The English words in the order of the Korean keys, so that the keys are sent once. */
function wordsWithoutKeys(id) {
  if (!id.endsWith("en.json")) return null;
  const [ko, en] = ["ko.json", "en.json"].map((name) => JSON.parse(readFileSync(join(dirname(id), name), "utf8")));
  const words = JSON.stringify(Object.keys(ko).map((key) => en[key]));
  return { code: `import ko from "./ko.json"; const words = ${words}; export default Object.fromEntries(Object.keys(ko).map((key, at) => [key, words[at]]));`, moduleType: "js" };
}

/** Templates without the indentation between their tags. */
function smallerTemplates(code, id) {
  if (!id.endsWith(".ts")) return null;
  return code.replaceAll(/(?<=[>}])\n\s*(?=<|\$\{)/g, "").replaceAll(/\n\s+(?=[@?][a-z]+=\$)/g, " ");
}

/** Each file's hash for `integrity=` and its size; fails above the budget. */
function integrity() {
  const found = {};
  for (const name of Object.values(BUNDLES)) {
    const content = readFileSync(join(DIST, name));
    const gzipped = gzipSync(content, { level: 9 }).length;
    if (gzipped > BUDGET_BYTES) fail([`${name} is ${gzipped} bytes gzipped, more than ${BUDGET_BYTES}`]);
    console.log(`${name}: ${content.length} bytes, ${gzipped} gzipped`);
    found[name] = `sha384-${createHash("sha384").update(content).digest("base64")}`;
  }
  return found;
}

function licences() {
  const lit = readFileSync(join(HERE, "node_modules", "lit", "LICENSE"), "utf8");
  return `haechi-chat.js and haechi-chat.iife.js contain Lit (lit, lit-html, lit-element, @lit/reactive-element):\n\n${lit}`;
}

/** Everything browsers are given, in one folder, with the SHA-256 of each file. */
function publish() {
  rmSync(TARGET, { recursive: true, force: true });
  mkdirSync(TARGET, { recursive: true });
  for (const folder of [DIST, join(HERE, "page"), join(HERE, "demo")]) cpSync(folder, TARGET, { recursive: true });
  const listed = readdirSync(TARGET).sort();
  const sha256 = (name) => createHash("sha256").update(readFileSync(join(TARGET, name))).digest("hex");
  const manifest = Object.fromEntries(listed.map((name) => [name, sha256(name)]));
  writeFileSync(join(TARGET, "manifest.json"), `${JSON.stringify(manifest, null, 2)}\n`);
}

function fail(wrong) {
  for (const sentence of wrong) console.error(`build: ${sentence}`);
  process.exit(1);
}
