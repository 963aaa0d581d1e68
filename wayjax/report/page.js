// The list of the tuned prompts: sorted, filtered, opened.

const AT_ONCE = 100; // rows drawn before a click asks for more
const {
  entries,
  texts,
  settings: names,
} = JSON.parse(document.getElementById("data").textContent);
const at = (id) => document.getElementById(id);
const anchors = new Map(entries.map((entry) => [entry.anchor, entry]));
const CERTIFIED_MARKS = new Map([[true, "✓"], [false, "no"]]);
const collator = new Intl.Collator("en", { numeric: true });

// name -> what it is of a row, how it is written, and whether a larger value is better.
const COLUMNS = [
  { name: "task", of: (row) => row.dataset },
  { name: "model", of: (row) => row.model },
  { name: "target", of: targetName },
  ...(entries.some(({ row }) => hasOtherConstraint(row))
    ? [{ name: "constraint", of: (row) => row.constraint }]
    : []),
  { name: "γ", of: (row) => row.gamma, number: true },
  { name: "seed", of: (row) => row.seed, number: true },
  { name: "accuracy %", of: (row) => row.accuracy, write: percent, number: true, best: true },
  { name: "prompt F1 %", of: (row) => row.prompt_f1, write: percent, number: true, best: true },
  { name: "tokens %", of: (row) => row.token_match, write: percent, number: true, best: true },
  ...(entries.some(({ row }) => hasOtherConstraint(row))
    ? [{ name: "certified", of: (row) => CERTIFIED_MARKS.get(row.certified) ?? null }]
    : []),
  {
    name: "c-dist",
    of: (row) => row.c_dist,
    write: (value) => (value === null ? DASH : value.toFixed(2)),
    number: true,
  },
];
const isLost = (row) => row.status !== null && row.status !== "done";
if (entries.some(({ row }) => isLost(row))) {
  COLUMNS.push({ name: "status", of: (row) => (isLost(row) ? row.status : "") });
}

let shown = []; // entries that pass the filters, in order
let drawn = 0;
let order = null; // { column, sign }
let isFromList = false; // whether going back leads to the list

function compare(a, b) {
  if (a === null || b === null) return (a === null) - (b === null);
  return typeof a === "number" && typeof b === "number" ? a - b : collator.compare(a, b);
}

// What is unknown comes last, whichever way the list is sorted.
function inOrder(first, second) {
  const [a, b] = [first, second].map(({ row }) => order.column.of(row));
  return a === null || b === null ? compare(a, b) : order.sign * compare(a, b);
}

function cell(column, row, anchor) {
  const value = column.of(row);
  const attributes = { class: column.number ? "number" : "text", "data-label": column.name };
  if (column.name !== "target") {
    const text = (column.write ?? plain)(value);
    if (column.name !== "status") return make("td", attributes, make("bdi", {}, text));
    return make("td", attributes, value ? badge(text) : null);
  }
  const link = make(
    "a",
    { href: `#${anchor}` },
    row.demo ? badge("demo") : null,
    make("bdi", { class: "name" }, value),
    " ",
    visible(row.target_text || DASH, false),
  );
  return make("td", { ...attributes, class: "target" }, link);
}

function drawMore() {
  const next = shown.slice(drawn, drawn + AT_ONCE);
  const lines = next.map(({ row, anchor }) =>
    make("tr", {}, ...COLUMNS.map((column) => cell(column, row, anchor))),
  );
  at("list").tBodies[0].append(...lines);
  drawn += next.length;
  const left = shown.length - drawn;
  at("more").hidden = !left;
  at("more").textContent = `Show ${Math.min(left, AT_ONCE)} more of ${left}`;
}

function update() {
  const words = at("search").value.toLowerCase();
  const selects = [...at("filters").querySelectorAll("select")].filter((select) => select.value);
  const passes = ({ row }, { dataset, value }) => plain(COLUMNS[dataset.column].of(row)) === value;
  shown = entries.filter(
    (entry) =>
      entry.searched.includes(words) && selects.every((select) => passes(entry, select)),
  );
  if (order) shown.sort(inOrder);
  const counts = [shown, entries].map(({ length }) => length.toLocaleString("en"));
  at("count").textContent = `${counts.join(" of ")} prompts`;
  at("list").tBodies[0].replaceChildren();
  drawn = 0;
  drawMore();
}

function addHeadings() {
  for (const column of COLUMNS) {
    const button = make("button", { type: "button" }, column.name);
    const th = make("th", { scope: "col", class: column.number ? "number" : "text" }, button);
    button.addEventListener("click", () => {
      const first = column.best ? -1 : 1;
      order = { column, sign: order?.column === column ? -order.sign : first };
      for (const other of th.parentNode.children) other.removeAttribute("aria-sort");
      th.setAttribute("aria-sort", order.sign > 0 ? "ascending" : "descending");
      update();
    });
    at("list").tHead.rows[0].append(th);
  }
}

function addFilters() {
  const search = at("search").parentNode;
  for (const [k, column] of COLUMNS.entries()) {
    if (!["task", "model", "target", "constraint", "γ", "certified"].includes(column.name)) continue;
    const values = [...new Set(entries.map(({ row }) => column.of(row)))].sort(compare);
    if (column.name === "model" && values.length < 2) continue;
    const options = values.map((value) => make("option", { value: plain(value) }, plain(value)));
    const id = `filter-${k}`;
    const all = make("option", { value: "" }, "all");
    const select = make("select", { id, "data-column": k }, all, ...options);
    select.addEventListener("change", update);
    search.before(make("label", { for: id }, `${column.name} `, select));
  }
  at("search").addEventListener("input", update);
  at("filters").addEventListener("submit", (event) => event.preventDefault());
}

const current = () => anchors.get(location.hash.slice(1));

// Shows what the address names, so that links and the browser's own buttons work.
function show() {
  const entry = current();
  if (!entry) return at("entry").close();
  at("entry").querySelector("article").replaceChildren(...opened(entry, texts, names));
  const place = shown.indexOf(entry);
  at("previous").disabled = place < 1;
  at("next").disabled = place < 0 || place === shown.length - 1;
  if (!at("entry").open) at("entry").showModal();
  at("entry").scrollTop = 0;
}

function leave() {
  if (!current()) return;
  if (isFromList) history.back();
  else history.replaceState(null, "", location.pathname + location.search);
}

function step(by) {
  location.replace(`#${shown[shown.indexOf(current()) + by].anchor}`);
}

function start() {
  at("prompts").hidden = false;
  for (const entry of entries) {
    const { target_text: target, projected_text: reading } = entry.row;
    entry.searched = `${target ?? ""}\n${reading ?? ""}`.toLowerCase();
  }
  addHeadings();
  addFilters();
  update();
  at("list").tBodies[0].addEventListener("click", ({ target }) => {
    isFromList = true;
    const isText = target.closest("a") || !getSelection().isCollapsed; // followed, or selected
    if (!isText) target.closest("tr").querySelector("a").click();
  });
  at("more").addEventListener("click", drawMore);
  at("previous").addEventListener("click", () => step(-1));
  at("next").addEventListener("click", () => step(1));
  at("close").addEventListener("click", () => at("entry").close());
  at("entry").addEventListener("click", ({ target }) => {
    if (target === at("entry")) at("entry").close(); // beside it
  });
  at("entry").addEventListener("close", leave);
  window.addEventListener("hashchange", show);
  show();
}

if (entries.length) start();
