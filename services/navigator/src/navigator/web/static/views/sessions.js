// Sessions in a list.

import { h } from "../dom.js";
import { inline } from "../formulas.js";
import { link } from "../routes.js";
import { OUTCOMES, count, moment, seconds, short } from "../words.js";
import { trouble } from "./shell.js";

export function sessionsPage(state, act) {
  return h("div", { class: "sessions" },
    h("div", { class: "page-head" },
      h("h1", null, "Sessions"),
      h("button", { onclick: act.compare, disabled: state.chosen.length !== 2 }, state.chosen.length === 2 ? "Compare these two" : `Choose two to compare (${state.chosen.length})`)),
    trouble(state.error, act.more),
    state.loaded && !state.found.length && h("p", { class: "none" }, "Nothing has been asked yet. ", h("a", { href: link.home }, "Ask a problem")),
    sessionRows(state.found, { chosen: state.chosen, choose: act.choose }),
    state.cursor && h("button", { onclick: act.more }, "Show older ones"));
}

/** As much of a problem as a list has room for. */
export function excerpt(problem) {
  return inline(problem.length > 700 ? short(problem, 300) : problem);
}

/** Rows for sessions as the API lists them; with `choosing`, each can be ticked. */
export function sessionRows(found, choosing) {
  if (!found.length) return null;
  return h("ul", { class: "session-rows" }, found.map((one) => h("li", { key: one.id, class: "session-row", "data-outcome": one.outcome ?? "running" },
    choosing && h("input", {
      type: "checkbox", checked: choosing.chosen.includes(one.id), "aria-label": `Compare: ${short(one.problem, 60)}`,
      onchange: (event) => choosing.choose(one.id, event.target.checked),
    }),
    h("div", { class: "session-asked" },
      h("a", { href: link.session(one.id) }, excerpt(one.problem)),
      h("p", { class: "figures" }, `${moment(one.started_at)} · ${count(spent(one.usage))} tokens · ${seconds(Date.parse(one.updated_at) - Date.parse(one.started_at))}`)),
    h("p", { class: "session-told" }, h("span", { class: "light", "aria-hidden": "true" }),
      one.answer !== null ? h("b", null, short(one.answer, 32)) : OUTCOMES[one.outcome] ?? "Under way",
      one.answer !== null && h("span", { class: "visually-hidden" }, ` ${OUTCOMES[one.outcome] ?? ""}`)))));
}

export function spent({ navigator, executor }) {
  return navigator.prompt + navigator.completion + executor.prompt + executor.completion;
}
