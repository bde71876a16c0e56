// Why a step went as it did: what was looked for and found, the template with this problem's values, the exchanges.

import { h } from "../dom.js";
import { formula, prose } from "../formulas.js";
import { link } from "../routes.js";
import { count, percent, plain, seconds } from "../words.js";
import { exchangeDetail } from "./exchange.js";

export function evidence(state, told, library, exchanges, statements, act) {
  const { retrieval, instantiations } = state;
  return h("div", { class: "evidence" },
    given(state.step, statements),
    retrieval && search(retrieval, library, state.step.id),
    retrieval?.template && card(retrieval.template, instantiations.at(-1), library),
    told?.exchanges.length ? ledger(told.exchanges, exchanges, act, told.id) : null);
}

/** What the executor saw of the problem: nothing but this. */
function given({ uses }, statements) {
  const seen = statements.filter(({ id }) => uses.includes(id));
  if (!seen.length) return null;
  return h("section", null,
    h("h4", null, "What the step was given"),
    h("dl", { class: "given" }, seen.map(({ id, text }) => [h("dt", null, id), h("dd", null, prose(text))])));
}

/** What a store may tell of a candidate beyond its score. */
const TOLD = [
  ["Matched", ({ matched }) => matched.map((field) => [h("span", { class: "tag" }, field), " "])],
  ["Parts", ({ parts }) => Object.entries(parts).map(([part, value]) => h("span", { class: "part" }, `${part} `, h("b", null, value.toFixed(2))))],
];

function search({ query, candidates, template }, library, id) {
  const told = TOLD.filter(([, read]) => candidates.some((one) => read(one).length));
  return h("section", null,
    h("h4", null, "What was looked for"),
    h("p", { class: "query" },
      query.name && h("strong", null, query.name), query.text && query.text !== query.name && [" ", query.text],
      query.tags.map((tag) => [" ", h("span", { class: "tag" }, tag)])),
    candidates.length
      ? h("div", { class: "scroller", tabindex: 0, role: "region", "aria-label": `Candidates for step ${id}` },
        h("table", { class: "candidates" },
          h("caption", { class: "visually-hidden" }, "Candidates by score"),
          h("thead", null, h("tr", null, ["Candidate", "Score", ...told.map(([name]) => name)].map((name) => h("th", { scope: "col" }, name)))),
          h("tbody", null, candidates.map((one) => candidate(one, template, library, told)))))
      : h("p", { class: "none" }, template ? "Asked for by its id: nothing was searched." : "Nothing was found."),
    !template && candidates.length > 0 && h("p", { class: "none" }, "The best score did not reach the threshold: the step went without a template."));
}

function candidate(one, chosen, library, told) {
  const { template_id: id, name, score } = one;
  return h("tr", { class: chosen?.id === id ? "chosen" : null },
    h("td", null, h("a", { href: link.template(library, id) }, name), chosen?.id === id && h("span", { class: "mark" }, " chosen")),
    h("td", null, h("span", { class: "scored" }, h("span", null, score.toFixed(3)), meter(score))),
    told.map(([name, read]) => h("td", { class: name.toLowerCase() }, read(one))));
}

export function meter(share) {
  return h("span", { class: "meter", "aria-hidden": "true" }, h("span", { style: { width: `${100 * Math.max(0, Math.min(1, share))}%` } }));
}

/** The template, with this problem's values filled in. */
function card(template, done, library) {
  const bindings = done?.bindings ?? {};
  const values = new Map((done?.calculations ?? []).map(({ statement, value }) => [statement, value]));
  const filled = new Map(Object.entries(bindings));
  for (const { name, value } of done?.calculations ?? []) if (name && value !== null) filled.set(name, value);
  return h("section", { class: "card" },
    h("h4", null, "The template ", h("a", { href: link.template(library, template.id, template.revision) }, template.name),
      h("span", { class: "figures" }, ` ${plain(template.type)} · ${template.field} · revision ${template.revision}`)),
    h("p", null, prose(template.description)),
    h("div", { class: "card-sides" },
      list("Use it when", template.scope), list("Beware", template.pitfalls)),
    Object.keys(template.variables).length > 0 && h("dl", { class: "bindings" },
      Object.entries(template.variables).map(([name, meaning]) => [
        h("dt", null, h("code", null, name), bindings[name] !== undefined && [" = ", h("code", { class: "bound" }, bindings[name])]),
        h("dd", null, prose(meaning))])),
    h("ol", { class: "card-steps" }, template.steps.map(({ instruction, formula: text }) => h("li", null,
      prose(instruction),
      text && h("div", { class: "filled" }, formula(text),
        filled.size > 0 && h("span", null, " ⇒ ", formula(substituted(text, filled))),
        values.has(text) && h("span", { class: "value" }, " → ", values.get(text)))))),
    h("details", { class: "example" },
      h("summary", null, "Its worked example"),
      h("p", null, prose(template.example.problem)),
      template.example.steps.map((line) => h("p", null, prose(line))),
      h("p", null, "Answer ", formula(template.example.answer))));
}

export function list(title, items, heading = "h5") {
  if (!items.length) return null;
  return h("div", null, h(heading, null, title), h("ul", null, items.map((item) => h("li", null, prose(item)))));
}

/** A formula with values in the place of names, for reading: `n*(first + last)/2` → `20*(3 + 79)/2`. Pure. */
export function substituted(text, values) {
  const [, assigned = "", right = text] = /^(\s*[A-Za-z]\w*\s*=(?!=)\s*)(.*)$/s.exec(text) ?? [];
  const own = assigned.replace(/[\s=]/g, "");
  return right.replace(/[A-Za-z]\w*/g, (name, at) => {
    if (name === own || !values.has(name) || right[at + name.length] === "(") return name;
    const value = values.get(name);
    return /^[\w.]+$/.test(value) ? value : `(${value})`;
  });
}

const DOES = { plan: "planned", retrieve: "looked up", instantiate: "carried out", review: "reviewed" };

/** Who was asked what, and what it cost. */
function ledger(all, exchanges, act, id) {
  return h("section", null,
    h("h4", null, "Exchanges"),
    h("div", { class: "scroller", tabindex: 0, role: "region", "aria-label": `Exchanges of step ${id}` },
      h("table", { class: "ledger" },
        h("caption", { class: "visually-hidden" }, "Exchanges and their cost"),
        h("thead", null, h("tr", null, ["Who", "What", "Prompt", "Cached", "Written", "Time", "Asked"].map((name) => h("th", { scope: "col" }, name)))),
        h("tbody", null, all.map((one) => exchangeRow(one, exchanges, act))))),
    all.map(({ seq }) => exchanges?.has(seq) && h("div", { key: seq }, exchangeDetail(exchanges.get(seq)))));
}

function exchangeRow({ seq, kind, role, tokens, since, at, attempt, failure, calls, dropped }, exchanges, act) {
  const outcome = failure ? ", failed" : dropped ? ", stopped" : "";
  const again = attempt > 1 ? `, attempt ${attempt}` : "";
  return h("tr", { "data-role": role },
    h("td", null, h("span", { class: "role" }, role)),
    h("td", null, `${DOES[kind]}${again}${outcome}${calls > 1 ? `, ${calls} replies` : ""}`),
    h("td", { class: "number" }, count(tokens.prompt)),
    h("td", { class: "number" }, tokens.cached ? `${count(tokens.cached)} (${percent(tokens.cached / tokens.prompt)})` : "0"),
    h("td", { class: "number" }, count(tokens.completion)),
    h("td", { class: "number" }, seconds(at - since)),
    h("td", null, kind !== "retrieve" && !dropped && h("button", { class: "link", onclick: () => act.exchange(seq), "aria-expanded": String(Boolean(exchanges?.has(seq))) }, "prompt and reply")));
}
