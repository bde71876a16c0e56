// What the page tells beyond the session itself: when each exchange began and ended, what it cost, how the plan changed.
// Pure: one trace after another, sharing what did not change.

import { advance, begin, plus, stepOf } from "./fold.js";

const NO_TOKENS = Object.freeze({ prompt: 0, cached: 0, completion: 0, calls: 0 });

/** A trace before the first entry. */
export function blank(id) {
  return { id, session: null, entries: [], steps: new Map(), plans: [], last: {} };
}

/** The trace after one more entry; one that is there already changes nothing. */
export function tell(trace, entry) {
  if (trace.session && entry.seq <= trace.session.last_seq) return trace;
  const before = trace.session;
  const session = before ? advance(before, entry) : begin(trace.id, entry);
  const at = Date.parse(entry.at);
  const told = { ...trace, session, entries: [...trace.entries, entry] };
  if (!before) return { ...told, start: at, last: { entry: at, review: at } };
  const change = TELLS[entry.event.type]?.(told, entry.event, { seq: entry.seq, at, before }) ?? {};
  return { ...told, ...change, last: { ...(change.last ?? told.last), entry: at } };
}

export function traced(id, entries) {
  return entries.reduce(tell, blank(id));
}

const TELLS = {
  "plan.made": (trace, { trajectory, usage }, { seq, at }) => {
    const kind = trace.plans.length ? "continued" : "planned";
    const cost = exchange(seq, "plan", "navigator", usage, trace.last.entry, at);
    const plan = { seq, kind, reason: "", struck: [], added: ids(trajectory), exchange: cost };
    return { plans: [...trace.plans, plan], steps: opened(trace.steps, trajectory, at) };
  },
  "step.retrieved": (trace, { step_id }, { seq, at }) => {
    const own = trace.steps.get(step_id);
    const cost = exchange(seq, "retrieve", "store", NO_TOKENS, own.ready, at);
    return { steps: withStep(trace.steps, step_id, { ready: at, exchanges: [...own.exchanges, cost] }) };
  },
  "step.instantiated": (trace, { step_id, attempt, instantiation }, { seq, at, before }) => {
    const own = trace.steps.get(step_id);
    const since = Math.max(own.ready, ...readyTimes(trace, before, step_id));
    const cost = exchange(seq, "instantiate", "executor", instantiation.usage, since, at, {
      attempt,
      failure: instantiation.failure,
      calls: instantiation.attempts,
    });
    const settled = trace.session.options.review ? own.settled : at;
    const change = { ready: at, settled, exchanges: [...own.exchanges, cost] };
    return { steps: withStep(trace.steps, step_id, change) };
  },
  "step.reviewed": (trace, { step_id, attempt, review, usage }, { seq, at, before }) => {
    const own = trace.steps.get(step_id);
    const since = Math.max(own.ready, trace.last.review);
    const cost = exchange(seq, "review", "navigator", usage, since, at, { attempt, verdict: review.verdict });
    const change = { ready: at, settled: at, exchanges: [...own.exchanges, cost] };
    const last = { ...trace.last, review: at };
    const steps = withStep(trace.steps, step_id, change);
    if (review.verdict !== "revise") return { steps, last };
    const struck = before.steps.filter((state) => isStruck(state, trace.session)).map(({ step }) => step.id);
    const plan = { seq, kind: "revised", after: step_id, reason: review.reason, struck, added: ids(review.remainder) };
    const reopened = opened(steps, review.remainder, at);
    for (const id of struck) reopened.set(id, { ...reopened.get(id), struck: { seq, after: step_id } });
    return { steps: reopened, last, plans: [...trace.plans, plan] };
  },
  "action.failed": (trace, { action, step_id, failure, usage }, { seq, at }) => {
    const role = { instantiate: "executor", retrieve: "store" }[action] ?? "navigator";
    const own = trace.steps.get(step_id);
    const tokens = plus(usage.navigator, usage.executor);
    const cost = exchange(seq, action, role, tokens, own?.ready ?? trace.last.entry, at, { failure });
    if (!own) return { plans: [...trace.plans, { seq, kind: "failed", reason: failure.message, struck: [], added: [], exchange: cost }] };
    return { steps: withStep(trace.steps, step_id, { ready: at, exchanges: [...own.exchanges, cost] }) };
  },
  "action.dropped": (trace, { action, step_id, usage }, { seq, at }) => {
    const own = trace.steps.get(step_id);
    if (!own) return {};
    const role = action === "instantiate" ? "executor" : "navigator";
    const cost = exchange(seq, action, role, plus(usage.navigator, usage.executor), own.ready, at, { dropped: true });
    return { steps: withStep(trace.steps, step_id, { exchanges: [...own.exchanges, cost] }) };
  },
};

function exchange(seq, kind, role, tokens, since, at, more = {}) {
  return { seq, kind, role, tokens, since: Math.min(since, at), at, attempt: 1, ...more };
}

function ids(trajectory) {
  return trajectory.steps.map(({ id }) => id);
}

function opened(steps, trajectory, at) {
  const all = new Map(steps);
  for (const { id } of trajectory.steps) all.set(id, { id, ready: at, settled: at, exchanges: [], struck: null });
  return all;
}

function withStep(steps, id, change) {
  return new Map(steps).set(id, { ...steps.get(id), ...change });
}

function readyTimes(trace, session, id) {
  return stepOf(session, id).step.depends_on.map((other) => trace.steps.get(other)?.settled ?? 0);
}

function isStruck(state, session) {
  return state.phase !== "dropped" && stepOf(session, state.step.id).phase === "dropped";
}

/** Live text by what is being done; void once that is committed. */
export function heard(live, delta) {
  const key = liveKey(delta.action, delta.step_id);
  const known = live.get(key);
  const void_ = delta.restarted || !known || known.attempt !== delta.attempt || known.epoch !== delta.epoch;
  return new Map(live).set(key, {
    attempt: delta.attempt,
    epoch: delta.epoch,
    text: (void_ ? "" : known.text) + delta.text,
  });
}

export function settled(live, event) {
  if (!live.size) return live;
  if (event.type === "session.finished" || event.type === "step.restarted") return new Map();
  const action = { "plan.made": "plan", "step.instantiated": "instantiate", "step.reviewed": "review" }[event.type];
  const left = new Map(live);
  left.delete(liveKey(action ?? event.action, event.step_id ?? null));
  return left;
}

export function liveKey(action, stepId) {
  return `${action}:${stepId ?? ""}`;
}

/** What is under way now, in the words of the policy: enough to show which steps run. */
export function running(session) {
  if (!session || session.outcome) return new Set();
  const done = new Set(session.steps.filter(({ phase }) => phase === "done").map(({ step }) => step.id));
  const live = session.steps.filter(({ phase }) => phase !== "dropped").map(({ step }) => step.id);
  const busy = new Set();
  for (const { step, phase } of session.steps) {
    const ready = step.depends_on.every((id) => done.has(id));
    const given = live.indexOf(step.id) < (session.options.templates?.length ?? 0);
    const wants = session.options.retrieve && (step.query !== null || step.template_id !== null || given);
    if (phase === "instantiated" || (phase === "retrieved" && ready) || (phase === "planned" && (wants || ready))) {
      busy.add(step.id);
    }
  }
  return busy;
}
