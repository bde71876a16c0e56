// The library's page: what to look for on the left, what there is on the right.

import { h, memo } from "../dom.js";
import { prose } from "../formulas.js";
import { link } from "../routes.js";
import { count, percent, plain, some } from "../words.js";
import { meter } from "./evidence.js";
import { trouble } from "./shell.js";

const SORTS = { name: "by name", use: "by use", success: "by success" };

export function libraryPage(state, act) {
  const { asked, cards } = state;
  if (!cards) return h("div", { class: "waiting" }, trouble(state.error, act.read) ?? h("p", { role: "status" }, "Opening the library…"));
  const all = cards.templates;
  const found = chosen(all, asked, state.use, state.found);
  return h("div", { class: "library" },
    h("div", { class: "page-head" },
      h("h1", null, "Library ", state.libraries.length > 1
        ? h("select", { "aria-label": "Library", onchange: (event) => act.choose(event.target.value) }, state.libraries.map(({ name }) => h("option", { value: name, selected: name === state.library }, name)))
        : state.library),
      h("p", { class: "figures" }, `${some(all.length, "template")} · revision ${count(cards.revision)}${state.counted ? ` · use in your latest ${some(state.counted, "session")}` : ""}`)),
    trouble(state.error, act.read),
    h("div", { class: "library-sides" },
      h("div", { class: "filters", role: "group", "aria-label": "Filters" },
        memo("fields", fields, all, asked.field ?? "", act),
        memo("types", options, "Type", "type", tally(all, ({ type }) => [type]), asked.type ?? "", act),
        memo("tags", tags, all, asked.field ?? "", asked.tag ?? "", act)),
      h("div", { class: "found" },
        h("div", { class: "search", role: "search" },
          h("input", { type: "search", value: asked.q ?? "", placeholder: "What do you want to do? e.g. sum of a geometric series", "aria-label": "Search the library", "data-first": true, oninput: (event) => act.ask({ q: event.target.value }) }),
          !asked.q && h("select", { "aria-label": "Order", onchange: (event) => act.ask({ sort: event.target.value }) },
            Object.entries(SORTS).map(([name, said]) => h("option", { value: name, selected: (asked.sort ?? "name") === name }, said)))),
        h("p", { class: "figures", role: "status" }, summary(found, state, asked)),
        h("ul", { class: "template-rows" }, found.slice(0, state.shown).map(({ card, candidate }) => memo(card.id, row, card, candidate ?? null, state.use.get(card.id) ?? null, state.library, state.found?.template?.id === card.id && Boolean(candidate)))),
        found.length > state.shown && h("button", { onclick: act.more }, `Show more of ${count(found.length)}`))));
}

function summary(found, state, asked) {
  if (!asked.q) return `${some(found.length, "template")}${state.cards.complete ? "" : "; the library has more, search finds them"}`;
  if (!state.found) return "Searching…";
  return state.found.template ? `${some(found.length, "candidate")}, as a step's search would find them` : `${some(found.length, "candidate")}; none fits well enough for a step to use it`;
}

/** The cards that the filters admit, in the order asked for; while searching, the candidates. Pure. */
export function chosen(cards, { q, field, type, tag, sort }, use, found) {
  const admitted = (card) => (!field || card.field === field || card.field.startsWith(`${field}/`)) && (!type || card.type === type) && (!tag || card.tags.includes(tag));
  if (q && found) {
    const known = new Map(cards.map((card) => [card.id, card]));
    return found.candidates.map((candidate) => ({ card: known.get(candidate.template_id), candidate })).filter(({ card }) => card && admitted(card));
  }
  const order = {
    use: (card) => -(use.get(card.id)?.steps ?? 0),
    success: (card) => -(use.has(card.id) ? use.get(card.id).done / use.get(card.id).steps + 1e-6 * use.get(card.id).steps : -1),
  }[sort] ?? (() => 0);
  return cards.filter(admitted).map((card) => ({ card })).sort((a, b) => order(a.card) - order(b.card) || a.card.name.localeCompare(b.card.name));
}

function row(card, candidate, use, library, best) {
  return h("li", { class: best ? "template-row best" : "template-row" },
    h("div", null,
      h("a", { href: link.template(library, card.id), class: "template-name" }, card.name),
      h("span", { class: "figures" }, ` ${card.field} · ${plain(card.type)}${card.status === "active" ? "" : ` · ${card.status}`}`),
      h("p", null, prose(card.description)),
      h("p", { class: "tags" }, (candidate?.matched.length ? candidate.matched.map((field) => `matched: ${field}`) : card.tags).map((tag) => [h("span", { class: "tag" }, tag), " "]))),
    h("div", { class: "template-use" },
      candidate && h("p", { class: "scored" }, h("span", null, candidate.score.toFixed(3)), meter(candidate.score)),
      use && h("p", { class: "figures" }, `${some(use.steps, "step")}, ${percent(use.done / use.steps)} stood`)));
}

function tally(cards, read) {
  const counts = new Map();
  for (const card of cards) for (const value of read(card)) counts.set(value, (counts.get(value) ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
}

function fields(cards, now, act) {
  const above = (path) => path.split("/").map((_, n, parts) => parts.slice(0, n + 1).join("/"));
  const counts = tally(cards, ({ field }) => above(field)).sort((a, b) => (a[0] < b[0] ? -1 : 1));
  const open = (path) => !path.includes("/") || now === path || above(now).some((one) => path.startsWith(`${one}/`) && path.split("/").length === one.split("/").length + 1) || path.split("/").slice(0, -1).join("/") === now.split("/").slice(0, -1).join("/") && now.includes("/");
  return group("Field", "field", counts.filter(([path]) => open(path)), now, act, (path) => plain(path.split("/").at(-1)), (path) => path.split("/").length - 1);
}

function options(title, name, counts, now, act) {
  return group(title, name, counts, now, act, plain, () => 0);
}

function tags(cards, field, now, act) {
  const within = cards.filter((card) => !field || card.field === field || card.field.startsWith(`${field}/`));
  const counts = tally(within, (card) => card.tags);
  return group("Tag", "tag", counts.filter(([tag], n) => n < 24 || tag === now), now, act, (tag) => tag, () => 0);
}

function group(title, name, counts, now, act, say, depth) {
  return h("details", { class: "filter", open: true },
    h("summary", null, title, now && h("span", { class: "figures" }, ` ${say(now)}`)),
    h("ul", null, counts.map(([value, number]) => h("li", { key: value, class: `depth-${Math.min(2, depth(value))}` },
      h("button", { "aria-pressed": String(now === value), onclick: () => act.ask({ [name]: now === value ? "" : value }) },
        h("span", null, say(value)), h("span", { class: "number" }, count(number)))))));
}
