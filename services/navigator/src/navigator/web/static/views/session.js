// A session as a page: problem → plan → steps → answer, and beside them what it cost and how it went.

import { h, memo } from "../dom.js";
import { formulasKnown, prose } from "../formulas.js";
import { link } from "../routes.js";
import { liveKey, running } from "../trace.js";
import { OUTCOMES, count, moment, seconds, short, some } from "../words.js";
import { costs } from "./costs.js";
import { plan } from "./plan.js";
import { history, replayBar } from "./replay.js";
import { step } from "./step.js";
import { choice, tick, trouble } from "./shell.js";

export function sessionPage(state, act, trace) {
  const { session } = trace;
  if (!session) return h("div", { class: "waiting" }, trouble(state.error, act.retry) ?? h("p", { role: "status" }, "Opening the session…"));
  const replaying = state.at !== null;
  const live = replaying ? new Map() : state.live;
  const busy = running(session);
  return h("div", { class: "session", "data-replaying": replaying },
    h("div", { class: "story" },
      head(state, act, session, trace, busy, replaying),
      trouble(state.error),
      memo("turns", turns, session.turns, formulasKnown()),
      memo("plan", plan, session, trace.plans, trace.steps, live.get(liveKey("plan", null))?.text ?? "", state.exchanges, act, formulasKnown()),
      steps(state, act, trace, live, busy),
      answer(session),
      session.outcome && !replaying && afterwards(state, act, session)),
    h("aside", { class: "beside", "aria-label": "Cost and history" },
      memo("costs", costs, session, trace.steps, trace.plans, trace.start, state.most),
      memo("history", history, state.trace.entries, trace.entries.length, act, state.most)),
    replayBar(state, act, trace, replaying));
}

function head(state, act, session, trace, busy, replaying) {
  const long = session.problem.text.length > 420;
  return h("header", { class: "problem" },
    h("p", { class: "eyebrow" },
      session.parent ? ["Follows up ", h("a", { href: link.session(session.parent) }, session.parent.slice(0, 8)), " · "] : null,
      `${session.options.library} · ${moment(session.started_at)}`,
      session.options.engine !== "default" && ` · engine ${session.options.engine}`,
      !session.options.retrieve && " · without templates", !session.options.review && " · without reviews"),
    h("h1", { class: long ? "statement long" : "statement" }, prose(session.problem.text)),
    h("div", { class: "standing" },
      status(state, session, trace, busy, replaying),
      h("div", { class: "tools" },
        !session.outcome && state.line !== "ended" && h("button", { class: "danger", onclick: act.cancel }, "Cancel"),
        h("button", { onclick: act.play, "aria-pressed": String(state.playing) }, state.playing ? "Pause" : "Replay"),
        h("a", { class: "button", href: link.compare(session.id) }, "Compare"),
        share(state, act, session))),
    state.said && h("p", { class: "said", role: "status" }, state.said));
}

function status(state, session, trace, busy, replaying) {
  const spent = session.usage.navigator.prompt + session.usage.navigator.completion + session.usage.executor.prompt + session.usage.executor.completion;
  const took = Date.parse(session.updated_at) - trace.start + (session.outcome || replaying ? 0 : state.waited);
  const doing = { waiting: "The line is broken; trying again", broken: "Not connected" }[state.line];
  const word = session.outcome ? OUTCOMES[session.outcome] : replaying ? "Looking back" : doing ?? (busy.size ? `Working on ${some(busy.size, "step")}` : "Planning");
  return h("p", { class: "status", "data-outcome": session.outcome ?? (replaying ? "replayed" : "running") },
    h("span", { class: "light", "aria-hidden": "true" }),
    h("strong", { role: "status" }, word),
    session.answer !== null && session.outcome === "solved" ? [" ", h("a", { class: "short-answer", href: "#answer" }, short(session.answer, 40))] : null,
    h("span", { class: "figures" }, ` ${seconds(took)} · ${some(session.rounds, "round")} · ${count(spent)} tokens`));
}

function share(state, act, session) {
  return h("div", { class: "menu" },
    h("button", { onclick: () => act.share(!state.share), "aria-expanded": String(state.share) }, "Share"),
    state.share && h("div", { class: "menu-list" },
      h("button", { onclick: act.copyLink }, "Copy link"),
      h("button", { onclick: act.saveJson }, "Save as JSON"),
      h("button", { onclick: act.saveMarkdown }, "Save as Markdown"),
      h("a", { href: link.solution(session.id) }, "Worked solution, to print")));
}

function turns(earlier) {
  if (!earlier.length) return h("div", { hidden: true });
  return h("section", { class: "turns", "aria-label": "Earlier in this conversation" },
    earlier.map((turn) => h("div", { class: "turn" },
      h("p", { class: "turn-asked" }, prose(turn.problem)),
      h("p", { class: "turn-told" }, "→ ", prose(turn.steps.at(-1)?.result ?? short(turn.reply, 200)),
        turn.session && [" ", h("a", { href: link.session(turn.session) }, "how")]))));
}

function steps(state, act, trace, live, busy) {
  const { session } = trace;
  if (!session.steps.length) return null;
  const many = session.steps.length > 12;
  return h("section", { class: many ? "steps many" : "steps", "aria-labelledby": "steps-title" },
    h("h2", { id: "steps-title" }, "Steps"),
    h("ol", { class: "step-list" }, session.steps.slice(0, state.most).map((own) => memo(
      own.step.id, step, own, trace.steps.get(own.step.id), session.options.library,
      live.get(liveKey("instantiate", own.step.id))?.text ?? live.get(liveKey("review", own.step.id))?.text ?? "",
      busy.has(own.step.id), state.evidence.has(own.step.id),
      state.evidence.has(own.step.id) ? state.exchanges : null, state.evidence.has(own.step.id) ? state.statements : null, act, formulasKnown()))));
}

function answer(session) {
  if (!session.outcome) return null;
  const { answer: found, explanation, last_failure: failure } = session;
  return h("section", { class: "answer", id: "answer", "data-outcome": session.outcome, "aria-labelledby": "answer-title" },
    h("h2", { id: "answer-title" }, session.outcome === "solved" ? "Answer" : OUTCOMES[session.outcome]),
    found !== null && h("p", { class: found.length > 60 ? "found long" : "found" }, prose(found)),
    explanation && h("p", { class: "explanation" }, prose(explanation)),
    session.outcome !== "solved" && failure?.hint && h("p", { class: "hint" }, failure.hint));
}

function afterwards(state, act, session) {
  const submit = (event) => {
    event.preventDefault();
    act.ask(event.target.elements.question.value);
  };
  const { again } = state;
  return h("section", { class: "afterwards", "aria-label": "Go on" },
    h("form", { class: "follow-up", onsubmit: submit },
      h("label", { for: "question" }, "Ask a follow-up"),
      h("div", { class: "row" },
        h("textarea", { id: "question", name: "question", rows: 2, placeholder: "Let K be the previous answer. What is …", "data-first": true,
          onkeydown: (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) event.target.form.requestSubmit(); } }),
        h("button", { class: "primary" }, "Ask"))),
    h("details", { class: "another" },
      h("summary", null, "Solve it another way and compare"),
      h("div", { class: "row" },
        tick("templates", again.retrieve, (retrieve) => act.another({ retrieve })),
        tick("reviews", again.review, (review) => act.another({ review })),
        choice("effort", ["low", "medium", "high"], again.effort, (effort) => act.another({ effort })),
        state.engines.length > 1 && choice("engine", state.engines, again.engine ?? session.options.engine, (engine) => act.another({ engine })),
        h("button", { onclick: act.askAgain }, "Solve and compare"))));
}
