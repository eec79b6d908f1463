// Elements, tables and the words for numbers. Text is only ever set as text: nothing that a peer wrote becomes markup.

export const by = (id) => document.getElementById(id);

// h("td", { class: "number" }, "12", element): an element; null and false children are left out.
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child != null && child !== false));
  return element;
}

export const pill = (kind, text) => h("span", { class: `pill ${kind}` }, text);

// A table that becomes cards on a narrow screen. `columns` are { name, class?, head? }; update() keeps rows that did not change,
// and with them the keyboard's place.
export class Table {
  constructor(place, caption, columns, empty) {
    Object.assign(this, { place, columns, rows: new Map() });
    this.body = h("tbody", { role: "rowgroup" });
    const heads = columns.map((column) => h("th", { role: "columnheader", scope: "col", class: column.class }, column.name));
    this.table = h("table", { role: "table" }, h("caption", {}, caption),
      h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, heads)), this.body);
    this.empty = h("p", { class: "empty" }, ...[empty].flat());
    place.replaceChildren(this.empty);
  }

  // `rows` are { key, cells, fresh? }; a cell is text, an element, or nothing.
  update(rows) {
    const focused = this.body.contains(document.activeElement) ? document.activeElement : null;
    const place = focused && { key: focused.closest("tr").dataset.key, what: focused.dataset.action };
    const kept = new Map();
    for (const row of rows) {
      const element = this.element(row);
      const before = this.rows.get(row.key);
      const same = before && before.innerHTML === element.innerHTML && !row.redraw;
      kept.set(row.key, same ? before : element);
    }
    this.rows = kept;
    const wanted = [...kept.values()];
    if (wanted.length !== this.body.children.length || wanted.some((row, at) => this.body.children[at] !== row)) {
      this.body.replaceChildren(...wanted);
      if (place) kept.get(place.key)?.querySelector(`[data-action="${place.what}"]`)?.focus();
    }
    const shown = rows.length ? this.table : this.empty;
    if (this.place.firstChild !== shown) this.place.replaceChildren(shown);
  }

  element({ key, cells, fresh }) {
    const cell = (content, at) => {
      const { name, class: kind, head } = this.columns[at];
      const inside = content == null ? "" : content;
      const label = { "data-label": name, class: [kind, inside === "" && "void"].filter(Boolean).join(" ") || null };
      return head ? h("th", { scope: "row", role: "rowheader", ...label }, inside) : h("td", { role: "cell", ...label }, inside);
    };
    return h("tr", { role: "row", "data-key": key, class: fresh ? "new" : null }, cells.map(cell));
  }
}

// A button in a row; `what` tells it from its siblings when the row is drawn anew.
export const action = (what, text, label, click, kind = "") =>
  h("button", { type: "button", class: kind || null, "data-action": what, "aria-label": label, onclick: click }, text);

export const facts = (pairs) => h("dl", { class: "facts" },
  pairs.filter(([, value]) => value != null && value !== "" && value !== false)
    .flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, typeof value === "object" ? value : String(value))]));

export const steps = (list) => h("ol", { class: "steps" }, list.map((step) => h("li", {}, step)));

// ---------------------------------------------------------------------------------------------------- words

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const fine = new Intl.NumberFormat("en", { maximumSignificantDigits: 2 });

export const number = (value) => whole.format(value ?? 0);
export const rate = (perSecond) => (perSecond == null ? "–" : perSecond === 0 ? "0/s" : `${perSecond < 10 ? fine.format(perSecond) : whole.format(perSecond)}/s`);

export function duration(seconds) {
  if (seconds == null) return "";
  const s = Math.round(seconds);
  if (s < 100) return `${s} s`;
  if (s < 6000) return `${Math.round(s / 60)} min`;
  if (s < 48 * 3600) return `${Math.round(s / 3600)} h`;
  return `${Math.round(s / 86400)} days`;
}

export function octets(value) {
  if (value < 1000) return `${value} B`;
  if (value < 1e6) return `${fine.format(value / 1e3)} kB`;
  return `${fine.format(value / 1e6)} MB`;
}

export const milliseconds = (ms) => (ms == null ? "" : ms < 1000 ? `${fine.format(ms)} ms` : `${fine.format(ms / 1000)} s`);
export const clock = (seconds) => new Date(seconds * 1000).toLocaleTimeString("en-GB");

export function toast(text) {
  const line = h("p", {}, text);
  by("toast").append(line);
  setTimeout(() => line.remove(), 8000);
}

// Opens the dialog; returns what its button says when it is closed.
export function dialog(title, body, buttons = [h("button", { value: "close" }, "Close")]) {
  const box = by("dialog");
  by("dialog-title").textContent = title;
  by("dialog-body").replaceChildren(...[body].flat());
  by("dialog-actions").replaceChildren(...buttons);
  box.returnValue = "";
  if (!box.open) box.showModal();
  return new Promise((done) => box.addEventListener("close", () => done(box.returnValue), { once: true }));
}
