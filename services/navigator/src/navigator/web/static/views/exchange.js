// The exact words between us and an engine.

import { h } from "../dom.js";

export function exchangeDetail(found) {
  if (found.state === "asking") return h("p", { class: "none", role: "status" }, "Asking…");
  if (found.error) return h("p", { class: "failure", role: "alert" }, found.error.message, found.error.hint && `: ${found.error.hint}`);
  return h("div", { class: "exchange" },
    found.messages.map(({ role, content }) => said(role, content)),
    found.reply === null ? h("p", { class: "none" }, "There was no reply that could be used.") : said("reply", pretty(found.reply), found.role === "executor" ? "reply, as it was kept" : "reply"));
}

function said(role, content, name = role) {
  return h("div", { class: "message", "data-role": role }, h("span", { class: "message-role" }, name),
    h("pre", { tabindex: 0, "aria-label": name }, content));
}

function pretty(reply) {
  try {
    return JSON.stringify(JSON.parse(reply), null, 2);
  } catch {
    return reply;
  }
}
