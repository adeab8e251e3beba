// Copies what the console serves into ../static and writes the SHA-256 of every file beside it.
// Run by `npm ci --ignore-scripts && npm run build`; the console refuses to start on a file that is not as listed.

import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const target = join(here, "..", "static");
const files = {
  "htmx.min.js": "node_modules/htmx.org/dist/htmx.min.js",
  "hx-csp.min.js": "node_modules/htmx.org/dist/ext/hx-csp.min.js",
  "htmx.LICENSE.txt": "node_modules/htmx.org/LICENSE",
  "uplot.min.js": "node_modules/uplot/dist/uPlot.iife.min.js",
  "uplot.min.css": "node_modules/uplot/dist/uPlot.min.css",
  "uplot.LICENSE.txt": "node_modules/uplot/LICENSE",
  "console.css": "src/console.css",
  "console.js": "src/console.js",
  "chart.js": "src/chart.js",
  "statistics.js": "src/statistics.js",
  "haechi.svg": "src/haechi.svg",
};

mkdirSync(target, { recursive: true });
const manifest = {};
for (const [name, source] of Object.entries(files)) {
  // A source map is not shipped, so nothing may ask for one.
  const content = readFileSync(join(here, source), "utf8").replace(/\n?\/\/# sourceMappingURL=.*\n?$/, "\n");
  writeFileSync(join(target, name), content);
  manifest[name] = createHash("sha256").update(content).digest("hex");
}
writeFileSync(join(target, "manifest.json"), `${JSON.stringify(manifest, null, 2)}\n`);
