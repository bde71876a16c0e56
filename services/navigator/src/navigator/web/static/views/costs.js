// Where the cost went: a bar for each step, what there was to spend, and when who worked.

import { h, memo } from "../dom.js";
import { plus, total } from "../fold.js";
import { count, seconds, some } from "../words.js";

const ROLES = ["navigator", "executor", "store"];
const NONE = { prompt: 0, cached: 0, completion: 0, calls: 0 };

export function costs(session, steps, plans, start, shown) {
  const told = costRows(steps, plans);
  return h("section", { class: "costs", "aria-labelledby": "costs-title" },
    h("h2", { id: "costs-title" }, "Cost"),
    budget(session),
    told.length ? bars(told, start, Date.parse(session.updated_at), session.outcome === null, shown) : null);
}

/** Planning, then each step: its exchanges, and its tokens by role. Pure. */
export function costRows(steps, plans) {
  const planning = plans.map(({ exchange }) => exchange).filter(Boolean);
  const all = [...(planning.length ? [{ id: "plan", exchanges: planning }] : []), ...steps.values()];
  return all.filter(({ exchanges }) => exchanges.length).map(costRow);
}

const rows = new WeakMap();

/** One row; the same one for the same exchanges. */
function costRow({ id, exchanges, struck }) {
  if (!rows.has(exchanges) || rows.get(exchanges).struck !== Boolean(struck)) rows.set(exchanges, {
    id,
    exchanges,
    struck: Boolean(struck),
    roles: Object.fromEntries(ROLES.map((role) => [role, exchanges.filter((one) => one.role === role).reduce((sum, { tokens }) => plus(sum, tokens), NONE)])),
  });
  return rows.get(exchanges);
}

function budget({ options: { budget: whole }, usage, rounds, started_at: start, updated_at: now }) {
  const spent = plus(usage.navigator, usage.executor);
  const took = Math.max(0, Date.parse(now) - Date.parse(start)) / 1000;
  return [
    h("dl", { class: "totals" },
      figure("Rounds", rounds, whole.rounds, count(rounds)),
      figure("Tokens", total(spent), whole.tokens, count(total(spent))),
      whole.completion_tokens !== null && figure("Written", spent.completion, whole.completion_tokens, count(spent.completion)),
      figure("Time", took, whole.seconds, seconds(took * 1000))),
    h("p", { class: "note" },
      `${some(spent.calls, "engine call")} · ${count(spent.cached)} of ${count(spent.prompt)} prompt tokens came from the cache`),
  ];
}

function figure(name, used, whole, said) {
  const share = whole ? Math.min(1, used / whole) : 1;
  const rest = Math.max(0, whole - used);
  const left = name === "Time" ? seconds(rest * 1000) : count(rest);
  return [
    h("dt", null, name),
    h("dd", null, h("b", null, said), h("span", { class: "left" }, ` ${left} left`),
      h("span", { class: "gauge", "aria-hidden": "true" }, h("span", { style: { width: width(share) }, class: share > 0.9 ? "full" : null }))),
  ];
}

function bars(rows, start, end, growing, shown) {
  const most = Math.max(1, ...rows.map(({ roles }) => ROLES.reduce((sum, role) => sum + total(roles[role]), 0)));
  const took = Math.max(1, end - start);
  // While it runs the scale grows by leaps: not every event moves every bar.
  const span = growing ? 1.5 ** Math.ceil(Math.log(took) / Math.log(1.5)) : took;
  return h("div", { class: "bars-frame" },
    h("ul", { class: "legend", "aria-hidden": "true" },
      h("li", { "data-role": "navigator" }, "navigator"), h("li", { "data-role": "executor" }, "executor"), h("li", { "data-role": "store" }, "store"), h("li", { "data-role": "cached" }, "cached")),
    h("p", { class: "bar-row bar-heads", "aria-hidden": "true" }, h("span", null, "step"), h("span", null, "tokens"), h("span", { class: "number" }), h("span", null, "when")),
    h("ol", { class: rows.length > 14 ? "bars scroller tall" : "bars scroller", tabindex: 0, "aria-label": "Cost of each step" },
      rows.slice(0, shown).map((row) => memo(row.id, barRow, row, most, start, span))));
}

function barRow({ id, exchanges, roles, struck }, most, start, span) {
  const sum = ROLES.reduce((all, role) => all + total(roles[role]), 0);
  const took = exchanges.reduce((all, { since, at }) => all + at - since, 0);
  return h("li", { class: struck ? "bar-row struck" : "bar-row", title: `${id === "plan" ? "plan" : `step ${id}`}: ${count(sum)} tokens, ${seconds(took)}` },
    h("span", { class: "bar-step" }, id),
    h("span", { class: "bar-line" }, ["navigator", "executor"].map((role) => [
      part(role, total(roles[role]) - roles[role].cached, most), part(`${role} cached`, roles[role].cached, most)])),
    h("span", { class: "number" }, sum > 0 && count(sum)),
    h("span", { class: "when-line" },
      h("span", { class: "visually-hidden" }, seconds(took)),
      exchanges.map(({ seq, role, since, at }) => h("span", {
        key: seq, class: `stint ${role}`,
        style: { left: width((since - start) / span), width: `max(2px, ${width((at - since) / span)})` },
      }))));
}

function part(kind, tokens, most) {
  return tokens > 0 && h("span", { class: `part ${kind}`, style: { width: width(tokens / most) } });
}

const width = (share) => `${(100 * Math.max(0, Math.min(1, share))).toFixed(2)}%`;
