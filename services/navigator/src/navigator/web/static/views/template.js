// A thought template as a card to read.

import { h } from "../dom.js";
import { formula, prose } from "../formulas.js";
import { link } from "../routes.js";
import { moment, plain, some } from "../words.js";
import { list } from "./evidence.js";
import { sessionRows } from "./sessions.js";
import { trouble } from "./shell.js";

export function templatePage(state, read) {
  const { template, library } = state;
  if (!template) return h("div", { class: "waiting" }, trouble(state.error, read) ?? h("p", { role: "status" }, "Opening the template…"));
  return h("article", { class: "template" },
    h("p", { class: "eyebrow" }, h("a", { href: link.library(library) }, library), " / ",
      h("a", { href: link.library(library, { field: template.field }) }, template.field)),
    h("h1", null, template.name),
    h("p", { class: "figures" }, `${plain(template.type)} · ${template.id} · revision ${template.revision} · ${template.status}`),
    h("p", { class: "lead" }, prose(template.description)),
    h("p", { class: "tags" }, template.tags.map((tag) => [h("a", { class: "tag", href: link.library(library, { tag }) }, tag), " "])),
    trouble(state.error, read),
    h("div", { class: "card-sides" }, list("Use it when", template.scope, "h2"), list("Beware", template.pitfalls, "h2")),
    steps(template),
    example(template),
    history(state),
    use(state));
}

function steps({ variables, steps: all }) {
  return h("section", { "aria-labelledby": "steps-title" },
    h("h2", { id: "steps-title" }, "Steps"),
    Object.keys(variables).length > 0 && h("dl", { class: "bindings" }, Object.entries(variables).map(([name, meaning]) => [h("dt", null, h("code", null, name)), h("dd", null, prose(meaning))])),
    h("ol", { class: "card-steps" }, all.map(({ instruction, formula: text }) => h("li", null, prose(instruction), text && h("div", { class: "filled" }, formula(text))))));
}

function example({ example: { problem, bindings, steps: lines, answer, check } }) {
  return h("section", { "aria-labelledby": "example-title" },
    h("h2", { id: "example-title" }, "Worked example"),
    h("p", { class: "statement" }, prose(problem)),
    Object.keys(bindings).length > 0 && h("p", null, "With ", Object.entries(bindings).map(([name, value], n) => [n ? ", " : "", formula(`${name} = ${value}`)])),
    lines.map((line) => h("p", null, prose(line))),
    answer && h("p", null, "Answer ", formula(answer)),
    check && h("p", { class: "figures" }, "Checked by ", formula(check)));
}

function history({ changes, library, id, template }) {
  if (!changes.length) return null;
  return h("section", { "aria-labelledby": "history-title" },
    h("h2", { id: "history-title" }, "History"),
    h("ol", { class: "changes" }, changes.map(({ seq, revision, kind, at, by, note }) => h("li", { key: seq },
      h("a", { href: link.template(library, id, revision), "aria-current": revision === template.revision ? "true" : null }, `revision ${revision}`),
      ` ${plain(kind)}, ${moment(at)}`, by && ` by ${by}`, note && h("q", null, note)))));
}

function use({ sessions }) {
  return h("section", { "aria-labelledby": "use-title" },
    h("h2", { id: "use-title" }, "Sessions that followed it"),
    sessions === null ? h("p", { role: "status" }, "Looking…")
      : sessions.length ? [h("p", { class: "figures" }, `${some(sessions.length, "session")}, ${some(sessions.filter(({ outcome }) => outcome === "solved").length, "was", "were")} solved`), sessionRows(sessions)]
        : h("p", { class: "none" }, "None of your latest sessions."));
}
