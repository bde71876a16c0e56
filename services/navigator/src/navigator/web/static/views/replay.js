// The journal as a list, and the bar that goes through it event by event.

import { h, memo } from "../dom.js";
import { happened, seconds } from "../words.js";
import { exchangeDetail } from "./exchange.js";

const ASKED = new Set(["plan.made", "step.instantiated", "step.reviewed", "action.failed"]);

export function history(entries, at, act, shown) {
  const start = Date.parse(entries[0].at);
  return h("section", { class: "history", "aria-labelledby": "history-title" },
    h("h2", { id: "history-title" }, "Events"),
    h("ol", { class: entries.length > 200 ? "events scroller many" : "events scroller", tabindex: 0, "aria-label": "Events" },
      entries.slice(0, shown).map((entry) => memo(entry.seq, eventLine, entry, start, entry.seq === at ? "now" : entry.seq > at ? "ahead" : "behind", act))));
}

function eventLine(entry, start, place, act) {
  return h("li", { class: `event ${place}`, "data-type": entry.event.type },
    h("button", { onclick: () => act.moveTo(entry.seq), "aria-current": place === "now" ? "step" : null },
      h("span", { class: "event-what" }, happened(entry)),
      h("span", { class: "event-when" }, seconds(Date.parse(entry.at) - start))));
}

const SIGNS = { first: "M4 4v8M12 4 6 8l6 4z", before: "M10.5 4 5.5 8l5 4z", play: "M5 3l8 5-8 5z", pause: "M5.5 3.5v9M10.5 3.5v9", next: "M5.5 4l5 4-5 4z" };

function sign(path) {
  return h("svg", { viewBox: "0 0 16 16", width: 16, height: 16, "aria-hidden": "true", class: "sign" }, h("path", { d: path }));
}

export function replayBar(state, act, trace, replaying) {
  const { entries } = state.trace;
  if (!replaying && !state.playing) return null;
  const at = trace.entries.length;
  const entry = trace.entries.at(-1);
  const asked = ASKED.has(entry.event.type) && entry.event.action !== "retrieve";
  return h("div", { class: "replay", key: "replay", role: "region", "aria-label": "Replay" },
    h("div", { class: "replay-said" },
      h("p", { role: "status" }, h("b", null, `Event ${at} of ${entries.length} `), happened(entry)),
      asked && h("button", { class: "link", onclick: () => act.exchange(entry.seq), "aria-expanded": String(state.exchanges.has(entry.seq)) }, "What did it know?")),
    asked && state.exchanges.has(entry.seq) && h("div", { class: "replay-exchange" }, exchangeDetail(state.exchanges.get(entry.seq))),
    h("div", { class: "replay-ways" },
      h("button", { onclick: () => act.moveTo(1), "aria-label": "First event", disabled: at <= 1 }, sign(SIGNS.first)),
      h("button", { onclick: () => act.moveTo(at - 1), "aria-label": "Event before", disabled: at <= 1 }, sign(SIGNS.before)),
      h("button", { onclick: act.play, "aria-label": state.playing ? "Pause" : "Play" }, sign(state.playing ? SIGNS.pause : SIGNS.play)),
      h("button", { onclick: () => act.moveTo(at + 1), "aria-label": "Next event", disabled: at >= entries.length }, sign(SIGNS.next)),
      h("input", { type: "range", min: 1, max: entries.length, value: at, "aria-label": "Event", "aria-valuetext": `${at}: ${happened(entry)}`,
        oninput: (event) => act.moveTo(Number(event.target.value)) }),
      h("button", { onclick: () => act.moveTo(null) }, "To the present")));
}
