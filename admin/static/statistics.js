// The course of a period, drawn by uPlot from the table that says the same; without scripts the table remains.

const HEIGHT = 200;
const DAY = 86_400;
// The bank's clocks are Korean wherever the browser is.
const ZONE = "Asia/Seoul";
const HOUR_SHOWN = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", timeZone: ZONE });
const DAY_SHOWN = new Intl.DateTimeFormat("en-CA", { month: "2-digit", day: "2-digit", timeZone: ZONE });
const STROKES = ["chart-loss", "chart-heldout", "chart-third"];

function colour(place, name) {
  // uPlot draws on a canvas, which knows no light-dark(): the computed colour of an element does.
  const probe = document.createElement("span");
  probe.className = name;
  place.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

function columns(table) {
  const heads = [...table.tHead.rows[0].cells];
  const rows = [...table.tBodies[0].rows];
  const told = heads.map((head, index) => ({
    name: head.dataset.column,
    label: head.textContent,
    values: rows.map((row) => Number(row.cells[index].textContent)),
  }));
  return { times: rows.map((row) => Number(row.dataset.at)), told };
}

function draw(place, table) {
  const { times, told } = columns(table);
  const wanted = place.dataset.columns.split(" ").map((name) => told.find((column) => column.name === name));
  const font = `12px ${getComputedStyle(document.documentElement).getPropertyValue("--font")}`;
  const grid = { stroke: colour(place, "chart-grid"), width: 1 };
  const axis = { stroke: colour(place, "soft"), grid, ticks: grid, font };
  const clocked = (_chart, times, _index, _space, step) => times.map((at) => (step < DAY ? HOUR_SHOWN : DAY_SHOWN).format(at * 1000));
  const chart = new uPlot(
    {
      width: place.clientWidth,
      height: HEIGHT,
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), ZONE),
      scales: { y: { range: (_chart, _low, high) => [0, Math.max(high * 1.1, 1)] } },
      axes: [{ ...axis, values: clocked }, { ...axis, size: 56 }],
      series: [
        { label: told[0].label, value: "{YYYY}-{MM}-{DD} {HH}:{mm}" },
        ...wanted.map((column, index) => ({
          label: column.label,
          stroke: colour(place, STROKES[index]),
          width: 2,
          dash: index ? [6, 2 + 4 * index] : undefined,
          points: { show: times.length < 2 },
        })),
      ],
    },
    [times, ...wanted.map((column) => column.values)],
    place,
  );
  new ResizeObserver(() => chart.setSize({ width: place.clientWidth, height: HEIGHT })).observe(place);
  place.dataset.points = String(times.length);
}

const table = document.getElementById("statistics");
if (table) for (const place of document.querySelectorAll("[data-columns]")) draw(place, table);
