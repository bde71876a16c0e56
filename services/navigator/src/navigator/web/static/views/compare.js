// What two sessions have in common and where they part: the plans step by step, the answers, the costs.

import { h } from "../dom.js";
import { plus, resultOf, total } from "../fold.js";
import { inline, prose } from "../formulas.js";
import { link } from "../routes.js";
import { OUTCOMES, count, seconds, short } from "../words.js";
import { excerpt } from "./sessions.js";
import { trouble } from "./shell.js";

export function comparePage(state, act) {
  const { sides: [left, right] } = state;
  return h("div", { class: "compare" },
    h("div", { class: "page-head" },
      h("h1", null, "Compare"),
      left.id && right.id && h("button", { onclick: act.swap }, "Swap")),
    trouble(state.error), trouble(left.error), trouble(right.error),
    left.id && right.id ? !left.error && !right.error && both(left.trace, right.trace) : picking(state, act));
}

function picking({ sides: [left], recent }, act) {
  const place = left.id ? 1 : 0;
  return h("section", null,
    left.trace.session && h("p", { class: "lead" }, "With: ", prose(left.trace.session.problem.text)),
    h("h2", null, left.id ? "Choose the session to compare it with" : "Choose the first session"),
    recent === null ? h("p", { role: "status" }, "Looking…") : h("ul", { class: "session-rows" },
      recent.filter(({ id }) => id !== left.id).map((one) => h("li", { key: one.id, class: "session-row", "data-outcome": one.outcome ?? "running" },
        h("div", { class: "session-asked" }, h("button", { class: "link", onclick: () => act.pick(place, one.id) }, excerpt(one.problem))),
        h("p", { class: "session-told" }, h("span", { class: "light", "aria-hidden": "true" }), one.answer ?? OUTCOMES[one.outcome] ?? "Under way")))));
}

function both(left, right) {
  if (!left.session || !right.session) return h("p", { role: "status" }, "Opening the sessions…");
  const [a, b] = [left.session, right.session];
  const same = a.problem.text === b.problem.text;
  return h("div", null,
    same && h("p", { class: "shared statement" }, prose(a.problem.text)),
    h("div", { class: "sides" }, h("span", { class: "sides-corner" }), [left, right].map((trace, n) => h("section", { class: "side", key: n, "aria-label": n ? "The second session" : "The first session" },
      h("h2", null, h("a", { href: link.session(trace.session.id) }, `Session ${trace.session.id.slice(0, 8)}`)),
      !same && h("p", { class: "statement" }, prose(trace.session.problem.text)),
      h("p", { class: "status", "data-outcome": trace.session.outcome ?? "running" }, h("span", { class: "light", "aria-hidden": "true" }),
        h("strong", null, OUTCOMES[trace.session.outcome] ?? "Under way"),
        trace.session.answer !== null && [" ", h("span", { class: "short-answer" }, short(trace.session.answer, 60))])))),
    differences(a, b),
    h("h2", null, "Steps"),
    stepPairs(a, b, same));
}

/** What each was given and what it cost; rows that differ are marked. */
function differences(a, b) {
  const rows = ROWS.map(([name, read, say]) => ({ name, values: [read(a), read(b)], say })).filter(({ values, say }) => say || values[0] !== values[1]);
  return h("div", { class: "scroller", tabindex: 0, role: "region", "aria-label": "How they differ" },
    h("table", { class: "differences" },
      h("caption", { class: "visually-hidden" }, "How they differ"),
      h("colgroup", null, h("col", { class: "col-what" }), h("col", null), h("col", null)),
      h("thead", { class: "visually-hidden" }, h("tr", null, ["What", "First", "Second"].map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", null, rows.map(({ name, values, say }) => h("tr", { key: name },
        h("th", { scope: "row" }, name),
        values.map((value) => say ? costCell(name, value, values, say) : h("td", null, value)))))));
}

const spent = ({ usage }) => plus(usage.navigator, usage.executor);
const ROWS = [
  ["Templates", ({ options }) => (options.retrieve ? "with" : "without")],
  ["Reviews", ({ options }) => (options.review ? "with" : "without")],
  ["Library", ({ options }) => options.library],
  ["Engine", ({ options }) => options.engine ?? ""],
  ["Planned at a time", ({ options }) => (options.horizon === null ? "the whole trajectory" : `${options.horizon}`)],
  ["Budget", ({ options: { budget } }) => `${count(budget.rounds)} rounds, ${count(budget.tokens)} tokens, ${budget.samples} tries a step`],
  ["Abstraction", ({ abstraction }) => abstraction ?? ""],
  ["Rounds", ({ rounds }) => rounds, count],
  ["Changes of plan", ({ revisions }) => revisions, count],
  ["Tokens", (session) => total(spent(session)), count],
  ["From the cache", (session) => spent(session).cached, count],
  ["Engine calls", (session) => spent(session).calls, count],
  ["Time", ({ started_at: start, updated_at: end }) => Date.parse(end) - Date.parse(start), seconds],
];
const MORE_IS_BETTER = new Set(["From the cache"]);

function costCell(name, value, values, say) {
  const most = Math.max(...values, 1);
  const best = MORE_IS_BETTER.has(name) ? Math.max(...values) : Math.min(...values);
  return h("td", { class: "cost-cell" },
    h("span", { class: "gauge", "aria-hidden": "true" }, h("span", { style: { width: `${(100 * value) / most}%` } })),
    h("span", { class: value === best && values[0] !== values[1] ? "number best" : "number" }, say(value)));
}

/** What differs is marked, unless they solve different problems: then everything does. */
function stepPairs(a, b, same) {
  const pairs = Array.from({ length: Math.max(a.steps.length, b.steps.length) }, (_, n) => [a.steps[n], b.steps[n]]);
  return h("ol", { class: "pairs" }, pairs.map(([left, right], n) => {
    const parts = same ? parting(left, right) : [];
    return h("li", { class: parts.length || !same ? "pair parted" : "pair", key: n },
      h("p", { class: "pair-place" }, h("span", { class: "visually-hidden" }, "Place "), `${n + 1}`, parts.length > 0 && h("span", { class: "pair-parts" }, `other ${parts.filter((part) => part !== "phase").join(", ")}`)),
      h("div", { class: "pair-cell" }, oneStep(left, parts)),
      h("div", { class: "pair-cell" }, oneStep(right, parts)));
  }));
}

/** In what two steps at the same place differ. Pure. */
export function parting(left, right) {
  if (!left || !right) return ["steps"];
  const template = (state) => state.retrieval?.template?.id ?? null;
  return [
    left.step.goal !== right.step.goal && "goal",
    template(left) !== template(right) && "template",
    resultOf(left) !== resultOf(right) && "result",
    (left.phase === "dropped") !== (right.phase === "dropped") && "phase",
  ].filter(Boolean);
}

function oneStep(state, parts) {
  if (!state) return h("p", { class: "none" }, "no such step");
  const { step, phase, retrieval, instantiations } = state;
  const differs = (part) => (parts.includes(part) ? "differs" : null);
  const result = resultOf(state);
  return [
    h("p", { class: "pair-goal" },
      h("span", null, h("span", { class: "pair-id" }, `${step.id}. `), h(phase === "dropped" ? "del" : "span", { class: differs("goal") }, inline(step.goal))),
      h("span", { class: "pair-result" }, h("span", { class: differs("result") ?? differs("phase") }, result ?? (phase === "dropped" ? "struck out" : "no result")))),
    h("p", { class: "pair-by" }, h("span", { class: differs("template") }, retrieval?.template?.name ?? "no template")),
    (instantiations.at(-1)?.calculations ?? []).map(({ statement, value, error }) => h("p", { class: "pair-sum" }, h("code", null, statement), " → ", h("b", null, value ?? error?.message ?? ""))),
  ];
}
