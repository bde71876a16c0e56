// The solution as one would write it down: nothing that only the machinery needs.

import { h } from "../dom.js";
import { formula, prose } from "../formulas.js";
import { link } from "../routes.js";
import { OUTCOMES, moment } from "../words.js";
import { trouble } from "./shell.js";

export function solutionPage({ id, session, error }, read) {
  if (!session) return h("div", { class: "waiting" }, trouble(error, read) ?? h("p", { role: "status" }, "Opening the session…"));
  const carried = session.steps.filter(({ phase, instantiations }) => phase !== "dropped" && instantiations.length);
  return h("article", { class: "solution" },
    h("p", { class: "screen-only solution-tools" }, h("a", { href: link.session(id) }, "← The trace"), h("button", { onclick: () => window.print() }, "Print")),
    h("h1", { class: "statement" }, prose(session.problem.text)),
    session.abstraction && h("p", { class: "abstraction" }, prose(session.abstraction)),
    h("ol", { class: "worked" }, carried.map(worked)),
    h("p", { class: "conclusion" }, conclusion(session)),
    h("p", { class: "colophon" }, `ReasonFlux session ${id}, ${moment(session.started_at)}. Values were computed exactly.`));
}

function worked({ step, retrieval, instantiations }) {
  const { reasoning, calculations, result, failure } = instantiations.at(-1);
  return h("li", { key: step.id, value: step.id },
    h("h2", null, prose(step.goal)),
    retrieval?.template && h("p", { class: "by" }, `By ${retrieval.template.name}.`),
    reasoning && h("p", null, prose(reasoning)),
    calculations.map(({ statement, value, error }) => h("p", { class: "line" }, formula(statement), error ? ` (${error.message})` : [" = ", h("b", null, value)])),
    failure ? h("p", null, `No result: ${failure.message}`) : h("p", { class: "result" }, "So r", h("sub", null, step.id), " = ", h("b", null, result)));
}

function conclusion({ outcome, answer, explanation }) {
  if (outcome === "solved") return ["The answer is ", h("b", null, prose(answer)), "."];
  return outcome ? `${OUTCOMES[outcome]}. ${explanation}` : "The session has not finished yet.";
}
