// Texts, numbers, and one entry as it is shown when opened. Texts only ever become text nodes.

const DASH = "–";
const C_DIST = "c-dist"; // the paper's constraint, which is named only beside others
const MARKS = { " ": "␣", "\n": "⏎", "\t": "⇥" };
// What cannot be seen; joiners and variation selectors stay, which emoji and scripts are made with.
const UNSEEN = /([\p{Cc}\p{Cs}\p{Z}]|(?![\u200c\u200d\p{VS}])[\p{Cf}\p{DI}])/u;

const percentage = (value) => (value === null ? null : 100 * value);
const percent = (value) => (value === null ? DASH : (100 * value).toFixed(1));
const rounded = (value) => (Math.abs(value) < 999.5 ? value.toPrecision(3) : value.toFixed(0));
const precise = (value) => (value === null ? DASH : rounded(value));
const plain = (value) => (value === null || value === "" ? DASH : seen(String(value)));

const code = (char) => `U+${char.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`;

// A name with its unseen characters as codes; spaces stay.
function seen(name) {
  const parts = name.split(UNSEEN);
  return parts.map((part, k) => (k % 2 && part !== " " ? code(part) : part)).join("");
}

function make(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children.filter((child) => child !== null));
  return node;
}

// A text with its unseen characters made visible; a space stays a space where `spaces` is false.
function visible(text, spaces = true) {
  const node = make("bdi");
  for (const [k, part] of text.split(UNSEEN).entries()) {
    const unseen = k % 2 && (spaces || part !== " ");
    node.append(unseen ? make("span", { class: "unseen" }, MARKS[part] ?? code(part)) : part);
    if (part === "\n" && !spaces) node.append(part);
  }
  return node;
}

const badge = (text) => make("span", { class: "badge" }, seen(text));
const badges = (row) => [
  row.demo ? badge("demo") : null,
  row.status && row.status !== "done" ? badge(row.status) : null,
  row.certified ? make("span", { class: "badge", title: certificate(row) }, "✓ certified") : null,
];

// What is certain of what a prompt reads as, in a sentence.
function certificate(row) {
  const metrics = (row.certified_metrics ?? []).map(seen).join(", ");
  const metric = plain(row.projection ?? "euclidean");
  const type = plain(row.certify_dtype ?? "float32");
  const checked = "Checked in float64 against every token";
  if (row.certified) {
    return (
      `${checked}: it reads as its target, token by token, by ${metrics}, as it is and stored in ` +
      `any type up to ${type}.`
    );
  }
  const others = metrics ? `; by ${metrics} it does not` : "";
  return `${checked}: by ${metric} it may read as another text, as it is or as ${type}${others}.`;
}

const targetName = (row) => seen([row.target_group, row.target_name].filter(Boolean).join("/"));

function titled(title, ...children) {
  return make("section", {}, make("h3", {}, title), ...children);
}

// Target over reading, position by position.
function gloss(entry, texts) {
  const line = (name, content) => make("span", { class: name }, content);
  const pair = (attributes, over, under) =>
    make("li", attributes, line("target", over), line("reading", under));
  const length = Math.max(entry.target.length, entry.nearest.length);
  const items = Array.from({ length }, (_, k) => {
    const [target, reading] = [entry.target[k], entry.nearest[k]?.[0]?.[0]];
    const [over, under] = [target, reading].map((id) => visible(texts[id] ?? ""));
    return pair(target === reading ? {} : { class: "differs" }, over, under);
  });
  const isEuclidean = (entry.row.projection ?? "euclidean") === "euclidean";
  const under = isEuclidean ? "reads as" : "nearest (Euclidean)";
  const labels = pair({ class: "labels" }, "target", under);
  return make("ol", { class: "gloss" }, labels, ...items);
}

// Two texts below each other; the words that the other lacks are marked.
function passages(words) {
  const text = (side) =>
    side.flatMap(([word, differs]) => [make(differs ? "mark" : "span", {}, visible(word)), " "]);
  return make(
    "dl",
    { class: "texts" },
    ...["target", "reads as"].flatMap((name, k) => [
      make("dt", {}, name),
      make("dd", {}, ...text(words[k])),
    ]),
  );
}

function numbers(row) {
  const shown = [
    ["accuracy %", percent(row.accuracy), "of the tuned prompt"],
    ["macro F1 %", percent(row.macro_f1), "of the tuned prompt"],
    ["accuracy %", percent(row.text_accuracy), "as plain text, before any step"],
    ["accuracy %", percent(row.hard_accuracy), "of the tokens it reads as"],
    ["prompt F1 %", percent(row.prompt_f1), "of its words with the target's"],
    ["lemma F1 %", percent(row.prompt_f1_lemma), "of their lemmas"],
    ["tokens %", percent(row.token_match), "that read as the target's"],
    ["c-dist", precise(row.c_dist), "from the target's embeddings"],
  ];
  if (row.log_loss !== null) shown.push(["log-loss", precise(row.log_loss), "nats a token"]);
  if (row.rouge_l !== null) shown.push(["ROUGE-L %", percent(row.rouge_l), "of its answers"]);
  if (row.certified !== null) {
    shown.push(["margin", precise(row.margin), "to the nearest wall of a cell"]);
    shown.push(["relative margin", precise(row.margin_relative), "1 is what an embedding has"]);
  }
  const cell = ([name, value, note]) =>
    make("div", {}, make("dt", {}, name, make("small", {}, note)), make("dd", {}, value));
  return make("dl", { class: "numbers" }, ...shown.map(cell));
}

// How settings are written: in phrases, or not at all where they stand elsewhere. All others stand
// here under their names.
const SETTINGS = {
  model: (model) => [model],
  dataset: () => [],
  split: (split) => [`${split} split`],
  steps: (steps, row) => [
    `${steps.toLocaleString("en")} steps`,
    ...(row.diverged_at === null ? [] : [`diverged at step ${row.diverged_at}`]),
  ],
  init: (init) => [`starts at ${init}`],
  lr: (lr) => [`learning rate ${lr}`],
  precision: (precision) => [precision],
  projection: () => [],
  certify_dtype: () => [],
  certify_metrics: (metrics, row) => (hasOtherConstraint(row) ? [`held by ${metrics}`] : []),
};

function settings(row, names) {
  const written = (name) => SETTINGS[name] ?? ((value) => [`${name} ${value}`]);
  const known = names.filter((name) => row[name] !== null && row[name] !== "");
  const parts = known.flatMap((name) => written(name)(row[name], row));
  return make("p", { class: "caption" }, make("bdi", {}, seen(parts.join(" · "))));
}

const hasOtherConstraint = (row) => (row.constraint ?? C_DIST) !== C_DIST;

// What every reader says, side by side; the nearest tokens by every metric.
function readings(entry) {
  const { row } = entry;
  const others = ["euclidean", "dot", "cosine"].filter((metric) => metric !== row.projection);
  const told = entry.readings.filter(([name]) => name !== "nearest");
  const known = [
    ["target", row.target_text],
    [row.projection ? `reads as (${row.projection})` : "reads as", row.projected_text],
    ...others.map((metric) => [metric, row[`projected_text_${metric}`]]),
    ...told.map(([name, text, f1]) => [seen(name), text, f1]),
  ].filter(([, text]) => text !== null);
  const lines = known.flatMap(([name, text, f1]) => [
    make("dt", {}, name, f1 === undefined ? null : make("small", {}, ` F1 ${percent(f1)}`)),
    make("dd", {}, text === "" ? DASH : visible(text, false)),
  ]);
  if (!lines.length) return null;
  const title = told.length ? "By every reader" : "As plain text, under every metric";
  return titled(title, make("dl", { class: "texts" }, ...lines));
}

function nearest(entry, texts) {
  if (!entry.nearest.length) return null;
  const distances = entry.nearest.flatMap((tokens) => tokens.map(([, distance]) => distance));
  const farthest = Math.max(0, ...distances) || 1;
  const ranks = Array.from({ length: Math.max(...entry.nearest.map((tokens) => tokens.length)) });
  const cell = (token, target) => {
    if (!token) return make("td");
    const [id, distance] = token;
    const td = make("td", {}, id === target ? "✓ " : null, visible(texts[id]), " ");
    td.append(make("span", { class: "distance" }, precise(distance)));
    td.style.setProperty("--share", (distance ?? 0) / farthest);
    return td;
  };
  const head = ["", "target", ...ranks.map((_, k) => `nearest ${k + 1}`)];
  const lines = entry.nearest.map((tokens, k) =>
    make(
      "tr",
      {},
      make("th", { scope: "row" }, String(k + 1)),
      make("td", { class: "target" }, visible(texts[entry.target[k]] ?? "")),
      ...ranks.map((_, rank) => cell(tokens[rank], entry.target[k])),
    ),
  );
  const table = make(
    "table",
    { class: "nearest" },
    make("thead", {}, make("tr", {}, ...head.map((name) => make("th", { scope: "col" }, name)))),
    make("tbody", {}, ...lines),
  );
  const note =
    "Of every position, with Euclidean distances; a bar is a distance, a ✓ the target's token.";
  const title = "Nearest tokens";
  return titled(title, make("p", { class: "caption" }, note), scrolled(table, title));
}

function scrolled(table, name) {
  const box = { class: "scroll", tabindex: "0", role: "region", "aria-label": name };
  return make("div", box, table);
}

// How far every position is from being read as another token, and as which.
function walls(entry, texts) {
  if (!entry.walls.length) return null;
  const farthest = Math.max(0, ...entry.walls.map(([, distance]) => distance)) || 1;
  const lines = entry.walls.map(([id, distance, relative], k) => {
    const far = make("td", { class: "number" }, precise(distance));
    far.style.setProperty("--share", Math.max(0, distance ?? 0) / farthest);
    const isBeyond = distance !== null && distance < 0;
    return make(
      "tr",
      isBeyond ? { class: "differs" } : {},
      make("th", { scope: "row" }, String(k + 1)),
      make("td", { class: "target" }, visible(texts[entry.target[k]] ?? "")),
      far,
      make("td", { class: "number" }, precise(relative)),
      make("td", { class: "behind" }, visible(texts[id] ?? DASH)),
    );
  });
  const head = ["", "target", "distance", "relative", "behind the wall"];
  const table = make(
    "table",
    { class: "walls" },
    make("thead", {}, make("tr", {}, ...head.map((name) => make("th", { scope: "col" }, name)))),
    make("tbody", {}, ...lines),
  );
  const note =
    `By ${plain(entry.row.projection ?? "euclidean")}. Of every position the distance to the ` +
    "nearest wall of its token's cell, as it is and as a share of what the token's embedding has " +
    "to its own, and the token behind that wall. Below 0 it is beyond the wall, and reads as another.";
  const title = "Distance to the nearest wall";
  const isChecked = entry.row.certified !== null;
  return titled(
    title,
    isChecked ? make("p", { class: "certificate" }, certificate(entry.row)) : "",
    make("p", { class: "caption" }, note),
    scrolled(table, title),
  );
}

function opened(entry, texts, names) {
  const { row } = entry;
  const drawn = panels(entry.curve);
  const facts = [plain(row.dataset), `γ = ${plain(row.gamma)}`, `seed ${plain(row.seed)}`];
  if (hasOtherConstraint(row)) facts.splice(1, 0, plain(row.constraint));
  const name = make("bdi", {}, targetName(row) || "Prompt");
  return [
    make("h2", { id: "entry-title" }, name, " ", ...badges(row)),
    make("p", { class: "facts" }, make("bdi", {}, facts.join(" · "))),
    settings(row, names),
    entry.words ? passages(entry.words) : gloss(entry, texts),
    numbers(row),
    drawn.length ? titled("Training", make("div", { class: "panels" }, ...drawn)) : null,
    walls(entry, texts),
    nearest(entry, texts),
    readings(entry),
  ].filter(Boolean);
}
