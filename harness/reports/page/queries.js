// Query by query: sorted by loss; a row opens to the text, the relevant documents' ranks and the token alignment.
"use strict";

const STEP = 20;
const four = (value) => (value === null ? "–" : value.toFixed(4));

class Queries {
  constructor(explorer, texts) {
    const panel = explorer.section.querySelector(".queries");
    Object.assign(this, { explorer, panel, held: explorer.data.queries, texts, shown: STEP, by: "loss", down: true });
    this.pool = panel.querySelector(".pool");
    this.find = panel.querySelector(".find");
    this.pool.addEventListener("change", () => this.render());
    this.find.addEventListener("input", () => { this.shown = STEP; this.render(); });
    panel.querySelector(".more").addEventListener("click", () => { this.shown += 100; this.render(); });
    explorer.listeners.push(() => this.render());
    panel.hidden = false;
    let start = 0;
    this.starts = this.held.gold.map((documents) => { const at = start; start += documents.length; return at; });
    this.render();
  }

  get place() { const { arm, inject } = this.explorer.where; return arm ?? inject; }
  get measure() { return this.explorer.where.measure.replace("hijack rate", "hijack_rate"); }
  text(kind, id) { return this.texts?.[kind]?.[id] ?? ""; }
  ranks(pool) { return this.held.ranks?.[this.place]?.[pool]; }

  rows() {
    const cells = this.held.values[this.place]?.[this.pool.value]?.[this.measure];
    if (!cells) return [];
    const last = cells.length - 1, sign = this.measure === "hijack_rate" ? -1 : 1, ranks = this.ranks(this.pool.value);
    const wanted = this.find.value.trim().toLowerCase();
    const rows = this.held.ids.map((id, at) => {
      const [from, to] = [0, last].map((one) => this.held.levels[cells[one][at]]);
      const loss = from === null || to === null ? null : sign * (from - to);
      const best = ranks && [0, last].map((one) => this.best(ranks[one], at));
      return { id, at, from, to, loss, best, text: this.text("query", id) };
    }).filter((row) => !wanted || `${row.id} ${row.text}`.toLowerCase().includes(wanted));
    const key = { query: (row) => row.id, from: (row) => row.from, to: (row) => row.to, loss: (row) => row.loss }[this.by];
    const order = (a, b) => (key(a) === key(b) ? 0 : key(a) === null ? 1 : key(b) === null ? -1 : key(a) < key(b) ? -1 : 1);
    const aligned = (row) => (this.held.alignment[row.id] ? 0 : 1);  // of equals, those with more to see first
    return rows.sort((a, b) => (this.down ? order(b, a) : order(a, b)) || aligned(a) - aligned(b));
  }

  best(ranks, at) {
    const mine = ranks.slice(this.starts[at], this.starts[at] + this.held.gold[at].length).filter((rank) => rank > 0);
    return mine.length ? Math.min(...mine) : null;
  }

  render() {
    const rows = this.rows(), at = this.held.at, last = at[at.length - 1];
    const heads = [["query", "Query"], ["from", at[0]], ["to", last], ["loss", this.measure === "hijack_rate" ? "Gain" : "Loss"]];
    const head = this.panel.querySelector(".list thead tr");
    head.replaceChildren(...heads.map(([name, label]) => {
      const button = make("button", { type: "button", textContent: label });
      button.addEventListener("click", () => {
        this.down = this.by === name ? !this.down : name !== "query";
        this.by = name;
        this.render();
        this.panel.querySelectorAll(".list thead button")[heads.findIndex(([one]) => one === name)].focus();
      });
      const sorted = this.by === name ? { "aria-sort": this.down ? "descending" : "ascending" } : {};
      return make("th", { attributes: { scope: "col", ...sorted } }, button);
    }));
    if (this.ranks(this.pool.value)) head.append(make("th", { attributes: { scope: "col" }, textContent: "Best relevant rank" }));
    this.panel.querySelector(".list tbody").replaceChildren(...rows.slice(0, this.shown).map((row) => this.row(row)));
    this.panel.querySelector(".more").hidden = rows.length <= this.shown;
    const lost = rows.filter((row) => row.loss > 0).length;
    this.panel.querySelector(".counted").textContent =
      `${this.explorer.where.measure}, ${this.place}, ${this.pool.value}: ${rows.length} queries; ${lost} `
      + `${this.measure === "hijack_rate" ? "are hijacked more" : "lose"} from ${at[0]} to ${last}. `
      + `${Math.min(this.shown, rows.length)} are shown; a query opens to its text, ranks and tokens.`;
  }

  row(row) {
    const button = make("button", { type: "button", className: "open", attributes: { "aria-expanded": "false" } },
      make("bdi", { textContent: row.text || row.id }));
    const line = make("tr", {}, make("th", { attributes: { scope: "row" } }, button),
      ...[row.from, row.to, row.loss].map((value) => make("td", { textContent: four(value) })));
    const rank = (value) => (value === null ? `>${this.held.depth}` : String(value));
    if (row.best) line.append(make("td", { textContent: row.best.map(rank).join(" → ") }));
    button.addEventListener("click", () => {
      const open = button.getAttribute("aria-expanded") === "true";
      button.setAttribute("aria-expanded", String(!open));
      if (open) line.nextSibling.remove();
      else line.after(make("tr", { className: "details" }, this.details(row)));
    });
    return line;
  }

  details(row) {
    const box = make("td", { colSpan: 5 }, make("h4", { textContent: `Query ${row.id}` }),
      make("p", { className: "text", textContent: row.text || "This run holds no texts." }));
    this.held.gold[row.at].forEach((document, number) => {
      box.append(make("h4", {}, "Relevant document ", make("bdi", { textContent: document }), `: rank by ${this.held.at[0][0]}`));
      box.append(this.rankTable(row, number));
      box.append(make("p", { className: "text", textContent: this.text("document", document) }));
    });
    const aligned = this.held.alignment[row.id];
    if (aligned?.kinds[this.place]) box.append(...this.tokens(aligned, aligned.kinds[this.place]));
    else if (Object.keys(this.held.alignment).length) {
      box.append(make("p", { className: "note", textContent: "Tokens are aligned for the queries that lose most on average over pools; this is not among them." }));
    }
    return box;
  }

  rankTable(row, number) {
    const head = make("tr", {}, make("th", { attributes: { scope: "col" }, textContent: "pool" }),
      ...this.held.at.map((one) => make("th", { attributes: { scope: "col" }, textContent: one })));
    const lines = Object.entries(this.held.ranks?.[this.place] ?? {}).map(([pool, ranks]) => make("tr", {},
      make("th", { attributes: { scope: "row" }, textContent: pool }),
      ...ranks.map((one) => make("td", { textContent: one[this.starts[row.at] + number] || `>${this.held.depth}` }))));
    return make("div", { className: "scroll" },
      make("table", { className: "ranks" }, make("thead", {}, head), make("tbody", {}, ...lines)));
  }

  // The winning patch of every query token before and after injection, as a chart and as the table behind it.
  tokens(aligned, rows) {
    const label = (row, at) => `${String(at).padStart(2, "0")} ${row[0]}`;
    const points = rows.flatMap((row, at) => [
      { label: label(row, at), winner: "before, own", similarity: row[3] },
      { label: label(row, at), winner: `after, ${row[4]}`, similarity: row[6] }]);
    const taken = rows.filter((row) => row[4] === "injected").length;
    const chart = make("div", { className: "chart", attributes: { role: "img", "aria-label": "Winning similarity of every token before and after injection; the table below holds the same" } });
    const specification = structuredClone(this.explorer.data.alignment);
    specification.datasets.points = points;
    specification.height = 20 * rows.length;
    requestAnimationFrame(() => embed(chart, specification).catch((error) => console.error(error)));
    const cells = rows.map((row, at) => make("tr", {},
      make("th", { attributes: { scope: "row" }, textContent: label(row, at) }),
      make("td", { className: "word", textContent: `${row[1]} ${row[2]}` }), make("td", { textContent: four(row[3]) }),
      make("td", { className: row[4] === "injected" ? "word injected" : "word", textContent: row[4] === "injected" ? `injected ${row[5]}` : "the same" }),
      make("td", { textContent: four(row[6]) })));
    const heads = ["query token", "won before", "similarity", "wins after", "similarity"];
    const table = make("table", { className: "tokens" },
      make("thead", {}, make("tr", {}, ...heads.map((one) => make("th", { attributes: { scope: "col" }, textContent: one })))),
      make("tbody", {}, ...cells));
    return [make("h4", {}, "Tokens, in document ", make("bdi", { textContent: aligned.document }),
      ` (not relevant), ${aligned.count} ${this.place} patches`),
      make("p", { className: "text", textContent: `${taken} of ${rows.length} query tokens change to an injected patch.` }),
      chart, make("div", { className: "scroll" }, table)];
  }
}
