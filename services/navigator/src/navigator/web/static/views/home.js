// The problem's field, how to solve it, and what was asked last.

import { h } from "../dom.js";
import { inline } from "../formulas.js";
import { link } from "../routes.js";
import { sessionRows } from "./sessions.js";
import { choice, tick, trouble } from "./shell.js";

const EXAMPLES = [
  "An arithmetic sequence has first term 3 and common difference 4. What is the sum of its first 20 terms?",
  "Let K be the greatest common divisor of 84 and 126. An arithmetic sequence has first term 5 and common difference 2. What is the sum of its first K terms?",
  "It is known that x + y = 7 and x*y = 5. Write L for the value of x^2 + y^2. Sofia borrows L dollars for 15 years at a simple interest rate of 10 percent per year. How many dollars of interest does Sofia pay in total?",
];

const EFFORTS = { low: "few rounds, one try a step", medium: "the usual budget", high: "long problems" };

export function homePage(state, act) {
  return h("div", { class: "home" },
    h("h1", null, "Ask a problem, watch it being solved"),
    h("p", { class: "lead" }, "A navigator plans a trajectory of thought templates, an executor carries each step out, a calculator computes exactly. Every decision is on the page."),
    form(state, act),
    h("div", { class: "examples" },
      h("h2", null, "For example"),
      h("ul", null, EXAMPLES.map((text) => h("li", null, h("button", { class: "example-problem", onclick: () => act.change({ problem: text }) }, inline(text)))))),
    state.recent?.length > 0 && h("section", { class: "recent", "aria-labelledby": "recent-title" },
      h("h2", { id: "recent-title" }, "Lately"), sessionRows(state.recent),
      h("p", null, h("a", { href: link.sessions }, "All sessions"))));
}

function form(state, act) {
  const submit = (event) => { event.preventDefault(); act.ask(); };
  return h("form", { class: "ask", onsubmit: submit },
    h("label", { for: "problem", class: "visually-hidden" }, "The problem"),
    h("textarea", {
      id: "problem", rows: 5, value: state.problem, "data-first": true, maxlength: 20000, spellcheck: "true",
      placeholder: "Write a problem; LaTeX between dollar signs is understood.",
      oninput: (event) => act.change({ problem: event.target.value }),
      onkeydown: (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) act.ask(); },
    }),
    trouble(state.error),
    h("div", { class: "ask-how" },
      h("fieldset", { class: "segments" },
        h("legend", null, "Effort"),
        Object.entries(EFFORTS).map(([name, means]) => h("label", { title: means },
          h("input", { type: "radio", name: "effort", value: name, checked: state.effort === name, onchange: () => act.change({ effort: name }) }), h("span", null, name)))),
      state.libraries.length > 1
        ? choice("Library", state.libraries.map(({ name }) => name), state.library, (library) => act.change({ library }))
        : state.libraries.map(({ name, counts }) => h("p", { class: "library-name" }, "Library ", h("a", { href: link.library(name) }, name), `, ${counts.active ?? 0} templates`)),
      state.engines.length > 1 && choice("Engine", state.engines, state.engine, (engine) => act.change({ engine })),
      h("button", { class: "primary", disabled: state.busy }, state.busy ? "Asking…" : "Solve")),
    h("details", { class: "more" },
      h("summary", null, "More ways to solve it"),
      h("div", { class: "row" },
        tick("with templates", state.retrieve, (retrieve) => act.change({ retrieve })),
        tick("with reviews", state.review, (review) => act.change({ review })),
        h("label", { class: "inline" }, "steps planned at a time ",
          h("input", { type: "number", min: 1, max: 12, value: state.horizon, class: "narrow", placeholder: "all", oninput: (event) => act.change({ horizon: event.target.value }) })))));
}
