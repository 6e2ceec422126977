// The controls of a run choose a table; the chart draws that table's rows, and nothing else.
"use strict";

const unpack = async (name) => {
  const held = document.getElementById(name);
  if (!held) return null;
  const bytes = Uint8Array.from(atob(held.textContent), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
};

const make = (tag, options = {}, ...children) => {
  const { attributes = {}, ...rest } = options;
  const node = Object.assign(document.createElement(tag), rest);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);  // strings become text, never markup
  return node;
};

// What a hover says: text in a table of its own, of the point that is nearest.
const tip = make("div", { id: "tip", attributes: { role: "tooltip" } });
const hover = (_, event, item, value) => {
  tip.classList.toggle("visible", Boolean(value));
  if (!value) return;
  const row = item.datum?.datum ?? item.datum;  // a nearest point's own data lie one level deeper
  const pairs = Object.entries({ ...value, ...(row.series ? { pool: row.series, at: row.at } : {}) });
  const line = ([key, text]) => make("tr", {}, make("td", { className: "key", textContent: key }),
    make("td", { className: "value", textContent: text }));
  tip.replaceChildren(make("table", {}, ...pairs.map(line)));
  const { width, height } = tip.getBoundingClientRect();
  const left = event.clientX + 14 + width > innerWidth ? event.clientX - width - 14 : event.clientX + 14;
  const top = event.clientY + 14 + height > innerHeight ? event.clientY - height - 14 : event.clientY + 14;
  Object.assign(tip.style, { left: `${Math.max(4, left)}px`, top: `${Math.max(4, top)}px` });
};

const OPTIONS = {
  ast: true,  // Vega's own interpreter: the page forbids scripts made of text
  logLevel: 1,  // errors: a chart of no rows is no mistake
  actions: false, renderer: "svg", defaultStyle: false, tooltip: hover,
  config: {
    font: "system-ui, sans-serif", view: { stroke: null },
    axis: { labelFontSize: 12, titleFontSize: 12, titleFontWeight: "normal", titlePadding: 10, tickSize: 4 },
    legend: { labelFontSize: 12, titleFontSize: 12 }, title: { fontSize: 13, anchor: "start" },
  },
};

const narrow = () => window.matchMedia("(max-width: 60rem)").matches;

// A specification's panels side by side, or one below the other where there is no room.
const fitted = (specification) => {
  const { hconcat, ...rest } = structuredClone(specification);
  return hconcat && narrow() ? { ...rest, vconcat: hconcat } : specification;
};

// Vega names what it draws into; the element around it keeps the name that the page gave it.
const embed = (element, specification) => {
  const inner = make("div");
  element.replaceChildren(inner);
  return vegaEmbed(inner, specification, OPTIONS);
};

const pointsOf = (table, chosen) => {
  const columns = Object.entries(table.points);
  const rows = columns[0][1].map((_, at) => Object.fromEntries(columns.map(([name, values]) => [name, values[at]])));
  return rows.filter((row) => chosen.has(row.series));
};

class Explorer {
  constructor(section, data) {
    Object.assign(this, { section, data, shown: null, view: null, queue: Promise.resolve() });
    this.selects = [...section.querySelectorAll(".controls select")];
    this.boxes = [...section.querySelectorAll(".controls input")];
    this.tables = [...section.querySelectorAll(".table")];
    this.chart = section.querySelector(".chart.main");
    this.listeners = [];
    for (const control of [...this.selects, ...this.boxes]) control.addEventListener("change", () => this.update(true));
  }

  get where() { return Object.fromEntries(this.selects.map((one) => [one.name, one.value])); }
  get series() { return new Set(this.boxes.filter((box) => box.checked).map((box) => box.value)); }

  update(announce = false) {
    const where = this.where, series = this.series;
    const match = (table) => Object.entries(table.where).every(([name, value]) => where[name] === value);
    this.at = this.data.tables.findIndex(match);
    this.tables.forEach((table, at) => { table.hidden = at !== this.at; });
    for (const row of this.section.querySelectorAll("tr[data-series]")) row.hidden = !series.has(row.dataset.series);
    const status = this.section.querySelector(".selection");
    const words = this.at < 0 ? "There is no such cell." : `${Object.values(where).join(", ")}: ${[...series].join(", ") || "nothing chosen"}`;
    if (announce || this.at < 0) status.textContent = words;
    this.queue = this.queue.then(() => this.draw(series)).catch((error) => console.error(error));
    for (const listener of this.listeners) listener();
    return this.queue;
  }

  async draw(series) {
    const table = this.data.tables[this.at];
    this.chart.hidden = !table || table.spec === null;
    if (this.chart.hidden) return;
    const rows = pointsOf(table, series);
    const shown = this.tables[this.at].querySelector("table");
    this.chart.setAttribute("aria-label", `Chart of the table below: ${shown.caption.textContent}`);
    this.chart.setAttribute("aria-describedby", shown.id);
    if (this.shown !== table.spec) {
      if (this.view) this.view.finalize();
      const specification = structuredClone(this.data.specs[table.spec]);
      specification.datasets.points = rows;
      ({ view: this.view } = await embed(this.chart, specification));
      this.shown = table.spec;
    } else {
      await this.view.data("points", rows).runAsync();
    }
    this.section.dataset.drawn = String(Number(this.section.dataset.drawn || 0) + 1);
  }
}
