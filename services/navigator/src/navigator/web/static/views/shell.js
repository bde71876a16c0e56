// What stands around every screen: the name, the ways, the key, the help.

import { h } from "../dom.js";
import { hasKey } from "../api.js";
import { link } from "../routes.js";

export function shell(state, act, at, content) {
  return [
    h("header", { class: "bar", key: "bar" },
      h("a", { class: "wordmark", href: link.home, "aria-label": "ReasonFlux, ask a problem" }, mark(), "ReasonFlux"),
      h("nav", { "aria-label": "Pages" },
        way("Ask", link.home, at.screen === "home"),
        way("Sessions", link.sessions, ["sessions", "session", "solution"].includes(at.screen)),
        way("Compare", link.compare(), at.screen === "compare"),
        way("Library", link.library(), ["library", "template"].includes(at.screen))),
      h("div", { class: "bar-tools" },
        h("button", { class: "quiet", onclick: () => act.askKey(!state.asksKey), "aria-expanded": String(state.asksKey) }, hasKey() && !state.keyRefused ? "Key ✓" : "Key"),
        h("button", { class: "quiet", onclick: act.theme, "aria-label": `Colours: ${state.theme}` }, { system: "◐", light: "☀", dark: "☾" }[state.theme]),
        h("button", { class: "quiet", onclick: () => act.help(!state.help), "aria-expanded": String(state.help), "aria-label": "Keyboard help" }, "?"))),
    state.asksKey && keyForm(state, act),
    state.help && help(act),
    h("main", { id: "main", tabindex: "-1", key: `main:${at.screen}` }, content),
  ];
}

function mark() {
  return h("svg", { viewBox: "0 0 20 20", width: 18, height: 18, "aria-hidden": "true" },
    h("path", { d: "M4 4v4a3 3 0 0 0 3 3h6a3 3 0 0 1 3 3v2", class: "mark-line" }),
    h("circle", { cx: 4, cy: 4, r: 2.4, class: "mark-start" }),
    h("circle", { cx: 16, cy: 16, r: 2.4, class: "mark-end" }));
}

function way(name, href, here) {
  return h("a", { href, "aria-current": here ? "page" : null }, name);
}

function keyForm(state, act) {
  const submit = (event) => {
    event.preventDefault();
    const form = event.target;
    act.enterKey(form.elements.key.value, form.elements.keep.checked);
  };
  return h("form", { class: "notice key-form", key: "key", onsubmit: submit, "aria-label": "Enter a key" },
    h("p", null, state.keyRefused || "This deployment may ask for an API key. It is kept in memory only, unless you say otherwise."),
    h("label", null, "API key", h("input", { type: "password", name: "key", autocomplete: "off", spellcheck: "false", placeholder: "rf_…" })),
    h("label", { class: "inline" }, h("input", { type: "checkbox", name: "keep" }), "until this tab is closed"),
    h("button", { class: "primary" }, "Use it"),
    h("button", { type: "button", onclick: () => act.askKey(false) }, "Close"));
}

const KEYS = [
  ["[ and ]", "one event back, one event on"],
  ["Home and End", "the first event, the present"],
  ["Space", "play or pause the replay"],
  ["j and k", "the next step, the step before"],
  ["o", "the step's evidence: template, candidates, exchanges"],
  ["/", "to the first field"],
  ["Ctrl Enter", "ask, from the problem's field"],
];

function help(act) {
  return h("section", { class: "notice", key: "help", "aria-label": "Keyboard help" },
    h("dl", { class: "keys" }, KEYS.map(([key, does]) => [h("dt", null, h("kbd", null, key)), h("dd", null, does)])),
    h("button", { onclick: () => act.help(false) }, "Close"));
}

/** What went wrong, and what can be done about it. */
export function trouble(error, again) {
  return error && h("div", { class: "trouble", role: "alert" },
    h("p", null, h("strong", null, error.message)),
    error.hint && h("p", null, error.hint),
    again && h("button", { onclick: again }, "Try again"));
}

export function choice(name, among, chosen, change) {
  return h("label", { class: "inline" }, `${name} `,
    h("select", { onchange: (event) => change(event.target.value) }, among.map((one) => h("option", { value: one, selected: one === chosen }, one))));
}

export function tick(name, checked, change) {
  return h("label", { class: "inline" },
    h("input", { type: "checkbox", checked, onchange: (event) => change(event.target.checked) }), name);
}
