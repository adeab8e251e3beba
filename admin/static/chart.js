// The loss curve of a training run, drawn by uPlot and followed by server-sent events; a table on the page says the same.

const REDRAW_EVERY_MS = 200;
const place = document.getElementById("chart");
const data = [[], [], []];
const style = getComputedStyle(document.documentElement);
const colour = (name) => {
  // uPlot draws on a canvas, which knows no light-dark(): the computed colour of an element does.
  const probe = document.createElement("span");
  probe.className = name;
  place.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
};

function axes() {
  const stroke = colour("soft");
  const grid = { stroke: colour("chart-grid"), width: 1 };
  return [
    { stroke, grid, ticks: grid, font: `12px ${style.getPropertyValue("--font")}` },
    { stroke, grid, ticks: grid, size: 64, font: `12px ${style.getPropertyValue("--font")}` },
  ];
}

const chart = new uPlot(
  {
    width: place.clientWidth,
    height: 300,
    scales: { x: { time: false } },
    axes: axes(),
    series: [
      { label: place.dataset.step },
      { label: place.dataset.loss, stroke: colour("chart-loss"), width: 2, points: { show: false } },
      { label: place.dataset.heldout, stroke: colour("chart-heldout"), width: 2, dash: [6, 4], spanGaps: true },
    ],
  },
  data,
  place,
);
new ResizeObserver(() => chart.setSize({ width: place.clientWidth, height: 300 })).observe(place);

let isDue = false;
function redrawSoon() {
  if (isDue) return;
  isDue = true;
  setTimeout(() => {
    isDue = false;
    const begun = performance.now();
    chart.setData(data);
    // uPlot draws in a microtask; the next frame's task comes after it.
    queueMicrotask(() => (place.dataset.redrawMs = (performance.now() - begun).toFixed(1)));
    place.dataset.points = String(data[0].length);
  }, REDRAW_EVERY_MS);
}

function told(id, text) {
  const element = document.getElementById(id);
  if (element) element.textContent = text;
}

const source = new EventSource(place.dataset.events);
source.addEventListener("point", (event) => {
  const point = JSON.parse(event.data);
  const last = data[0].length - 1;
  if (last >= 0 && point.step < data[0][last]) return;
  // A point that comes again was completed meanwhile.
  const at = last >= 0 && point.step === data[0][last] ? last : last + 1;
  [point.step, point.loss, point.heldout_loss].forEach((value, row) => (data[row][at] = value));
  redrawSoon();
});
source.addEventListener("progress", (event) => {
  const found = JSON.parse(event.data);
  const bar = document.getElementById("progress");
  if (bar) bar.value = found.progress;
  told("percent", `${Math.round(found.progress * 100)}%`);
  told("step", found.total_steps ? `${found.step} / ${found.total_steps}` : `${found.step}`);
  told("log", found.lines.join("\n"));
  const log = document.getElementById("log");
  if (log) log.scrollTop = log.scrollHeight;
});
source.addEventListener("over", () => {
  source.close();
  place.dataset.over = "true";
});
