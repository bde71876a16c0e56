// The plan: what the navigator took the problem for, the trajectory as a graph, and every change of it.

import { h, memo } from "../dom.js";
import { formulasKnown, inline, prose } from "../formulas.js";
import { depths, layout } from "../graph.js";
import { resultOf, total } from "../fold.js";
import { running } from "../trace.js";
import { count, seconds, short, some } from "../words.js";
import { exchangeDetail } from "./exchange.js";

const WIDE = { height: 62, gapY: 14 };
const ROOM = 840;
const DENSE = { width: 46, height: 30, gapX: 18, gapY: 10 };
const DENSE_FROM = 25;

export function plan(session, plans, steps, live, exchanges, act) {
  const made = plans.filter(({ kind }) => kind === "planned" || kind === "continued");
  return h("section", { class: "plan", "aria-labelledby": "plan-title" },
    h("h2", { id: "plan-title" }, "Plan"),
    session.abstraction
      ? h("p", { class: "abstraction" }, prose(session.abstraction))
      : !session.outcome && h("p", { class: "abstraction pending" }, "The navigator is reading the problem…"),
    live && h("pre", { class: "writing", "aria-label": "The plan as it is written" }, live.slice(-600)),
    session.steps.length ? graph(session) : null,
    plans.filter(({ kind }) => kind === "revised").map((change) => revision(change, session)),
    plans.filter(({ kind }) => kind === "failed").map((change) => h("p", { class: "failed-try" }, `A plan could not be used: ${change.reason}`)),
    made.length ? planning(made, exchanges, act) : null);
}

function planning(made, exchanges, act) {
  const lines = h("ul", { class: "plan-exchanges" }, made.map((one) => exchangeLine(one, exchanges, act)));
  if (made.length < 3) return lines;
  const tokens = made.reduce((sum, { exchange }) => sum + total(exchange.tokens), 0);
  return h("details", { class: "plan-exchanges" }, h("summary", null, `Planned in ${made.length} rounds, ${count(tokens)} tokens`), lines);
}

function exchangeLine({ seq, kind, added, exchange }, exchanges, act) {
  const { tokens, since, at } = exchange;
  return h("li", { key: seq },
    h("span", null, `${kind === "planned" ? "Planned" : "Planned on"} ${some(added.length, "step")}: `),
    h("span", { class: "figures" }, `${count(total(tokens))} tokens${tokens.cached ? ` (${count(tokens.cached)} cached)` : ""} · ${seconds(at - since)} `),
    h("button", { class: "link", onclick: () => act.exchange(seq), "aria-expanded": String(exchanges.has(seq)) }, "prompt"),
    exchanges.has(seq) && exchangeDetail(exchanges.get(seq)));
}

/** What was struck out, what came instead, and why. */
function revision(change, session) {
  const goal = (id) => session.steps.find(({ step }) => step.id === id)?.step.goal ?? "";
  return h("div", { class: "revision", key: `revision:${change.seq}`, id: `change-${change.seq}` },
    h("p", { class: "revision-why" }, h("strong", null, `The plan changed after step ${change.after}. `), prose(change.reason)),
    h("div", { class: "revision-sides" },
      h("div", null,
        h("h3", null, "Struck out"),
        change.struck.length
          ? h("ul", null, change.struck.map((id) => h("li", null, h("del", null, `${id}. `, inline(goal(id))))))
          : h("p", { class: "none" }, "nothing")),
      h("div", null,
        h("h3", null, "Instead"),
        change.added.length
          ? h("ul", null, change.added.map((id) => h("li", null, h("ins", null, `${id}. `, inline(goal(id))))))
          : h("p", { class: "none" }, "nothing: no other way was seen"))));
}

function graph(session) {
  const dense = session.steps.length >= DENSE_FROM;
  const { size, nodes, edges, width, height } = drawing(session.steps, dense);
  const busy = running(session);
  const states = new Map(session.steps.map((state) => [state.step.id, state]));
  return h("div", { class: dense ? "graph dense scroller" : "graph scroller", tabindex: 0, role: "region", "aria-label": "The trajectory as a graph" },
    h("div", { class: "canvas", style: { width: `${width}px`, height: `${height}px` } },
      h("svg", { width, height, "aria-hidden": "true" },
        edges.map((edge) => memo(edge.key, edgeView, edge, edgeClass(states.get(edge.to), busy)))),
      nodes.map((node) => memo(node.id, nodeView, node, states.get(node.id), size, dense, busy.has(node.id), formulasKnown()))));
}

let drawn = null;

/** Places of nodes and edges. They change only with the plan, so they are kept from one event to the next. */
function drawing(states, dense) {
  const plan = states.map(({ step }) => step);
  if (drawn?.dense === dense && drawn.plan.length === plan.length && plan.every((step, n) => step === drawn.plan[n])) return drawn;
  const size = dense ? DENSE : fitting(depths(states));
  drawn = { dense, plan, size, ...layout(states, size) };
  return drawn;
}

/** Nodes as wide as a page has room for: a graph that needs no scrolling is seen at once. */
function fitting(columns) {
  const gapX = columns > 4 ? 26 : 44;
  const width = Math.max(136, Math.min(212, Math.floor((ROOM - gapX * (columns - 1)) / columns)));
  return { ...WIDE, width, gapX };
}

function edgeClass(state, busy) {
  if (state.phase === "dropped") return "edge struck";
  return busy.has(state.step.id) ? "edge busy" : "edge";
}

function edgeView({ path }, name) {
  return h("path", { d: path, class: name });
}

function nodeView({ id, x, y }, state, size, dense, busy) {
  const style = { left: `${x}px`, top: `${y}px`, width: `${size.width}px`, height: `${size.height}px` };
  const { phase, step } = state;
  const result = resultOf(state);
  const label = `Step ${id}: ${step.goal}, ${busy ? "under way" : phase}`;
  return h("a", { class: "node", href: `#step-${id}`, style, "data-phase": busy ? "busy" : phase, "aria-label": label },
    h("span", { class: "node-id" }, id),
    !dense && h("span", { class: "node-goal" }, inline(step.goal)),
    !dense && result !== null && h("span", { class: "node-result" }, short(result, 18)));
}
