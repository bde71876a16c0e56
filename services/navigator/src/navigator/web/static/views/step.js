// One step: what it was to find, what was calculated, what became of it. Its evidence is a click away.

import { h } from "../dom.js";
import { formula, inline, prose } from "../formulas.js";
import { resultOf, total } from "../fold.js";
import { count, seconds } from "../words.js";
import { evidence } from "./evidence.js";

const PHASES = { planned: "planned", retrieved: "ready", instantiated: "in review", done: "done", dropped: "struck out" };

export function step(state, told, library, live, busy, open, exchanges, statements, act) {
  const { step: { id, goal }, phase, retrieval, instantiations, reviews } = state;
  const result = resultOf(state);
  const last = instantiations.at(-1);
  const template = retrieval?.template;
  const struck = phase === "dropped";
  return h("li", { class: "step", id: `step-${id}`, "data-phase": busy ? "busy" : phase, "data-step": id, tabindex: -1 },
    h("header", { class: "step-head" },
      h("span", { class: "step-id", "aria-hidden": "true" }, id),
      h("h3", null, h("span", { class: "visually-hidden" }, `Step ${id}: `), struck ? h("del", null, inline(goal)) : inline(goal)),
      result !== null && h("span", { class: "step-result" }, h("span", { class: "visually-hidden" }, "Result "), result),
      result === null && h("span", { class: "step-phase" }, busy ? working(state) : phase === "done" ? "no result" : PHASES[phase])),
    h("p", { class: "step-by" },
      template
        ? ["by ", h("span", { class: "template-name" }, template.name)]
        : retrieval ? "no template fits well enough" : state.step.query ? "looking for a template" : "without a template",
      uses(state.step, act),
      cost(told)),
    struck && told?.struck && h("p", { class: "struck-why" }, "Struck out by ", h("a", { href: `#change-${told.struck.seq}` }, `the change of plan after step ${told.struck.after}`)),
    instantiations.slice(0, -1).map((one, n) => attempt(one, reviews[n], n + 1)),
    last && carriedOut(last),
    live && h("p", { class: "writing", "aria-live": "off" }, live.slice(-1200).trimStart()),
    (!struck || told?.exchanges.length > 0) && h("div", { class: "step-foot" },
      reviews.length >= instantiations.length && reviews.length ? verdict(reviews.at(-1)) : null,
      h("button", { class: "link evidence-toggle", onclick: () => act.toggle(id), "aria-expanded": String(open) }, open ? "Hide the evidence" : "Evidence")),
    open && evidence(state, told, library, exchanges, statements, act));
}

function working({ phase }) {
  return { planned: "looking up", retrieved: "working", instantiated: "in review" }[phase] ?? "working";
}

function uses({ uses: names }, act) {
  if (!names.length) return null;
  // The text is looked up when it is pointed at: no step waits for the statements.
  const told = (event) => { event.target.title = act.statement(event.target.textContent); };
  return [" · uses ", names.map((name, n) => [
    n ? " " : "",
    name.startsWith("r")
      ? h("a", { href: `#step-${name.slice(1)}`, class: "use" }, name)
      : h("span", { class: "use", onpointerenter: told }, name),
  ])];
}

function cost(told) {
  if (!told?.exchanges.length) return null;
  const tokens = told.exchanges.reduce((sum, { tokens: spent }) => sum + total(spent), 0);
  const spent = told.exchanges.reduce((sum, { since, at }) => sum + at - since, 0);
  return h("span", { class: "figures" }, `${tokens ? `${count(tokens)} tokens · ` : ""}${seconds(spent)}`);
}

function carriedOut({ reasoning, calculations, failure }) {
  return h("div", { class: "carried-out" },
    reasoning && h("p", { class: "reasoning" }, prose(reasoning)),
    calculations.length > 0 && sums(calculations),
    failure && h("p", { class: "failure" }, h("strong", null, "No result. "), failure.message, failure.hint && ` (${failure.hint})`));
}

function sums(calculations) {
  return h("ul", { class: "sums", "aria-label": "Calculations" }, calculations.map(({ statement, value, error }) => h("li", null,
    formula(statement),
    error
      ? h("span", { class: "failure" }, error.message)
      : h("span", { class: "value" }, h("span", { class: "arrow", "aria-label": "is" }, "→ "), value))));
}

/** An attempt that did not stand. */
function attempt(one, review, number) {
  return h("details", { class: "attempt", key: `attempt:${number}` },
    h("summary", null, `Attempt ${number}: `, one.failure ? one.failure.message : `result ${one.result}`),
    carriedOut(one),
    review && verdict(review));
}

const VERDICTS = { continue: "stands", retry: "try again", revise: "change the plan", finish: "the answer is found" };

function verdict({ verdict: said, reason, answer }) {
  const word = said === "finish" && answer === null ? "cannot be solved" : VERDICTS[said];
  return h("p", { class: "verdict", "data-verdict": said === "finish" && answer === null ? "none" : said },
    h("span", { class: "verdict-word" }, word), reason && [" ", h("q", null, inline(reason))]);
}
