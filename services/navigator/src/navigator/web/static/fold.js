// A session is the fold of its journal: the server's `navigator/session.py`, once more. A test holds both to the same
// results on the same journals.

const NOTHING = Object.freeze({ prompt: 0, cached: 0, completion: 0, calls: 0 });
const DROPPED = "dropped";

/** The session that the entries tell, or null while there are none. */
export function fold(id, entries) {
  return entries.reduce((session, entry) => (session ? advance(session, entry) : begin(id, entry)), null);
}

/** The session as its first entry tells it. */
export function begin(id, entry) {
  const { type, problem, options, delivery, parent, turns, instructions, metadata } = entry.event;
  if (type !== "session.started") throw new Error(`the journal of session ${id} does not begin with session.started`);
  return {
    id,
    problem,
    options,
    delivery,
    parent,
    turns,
    instructions,
    metadata,
    outcome: null,
    abstraction: null,
    complete: false,
    done: [],
    steps: [],
    revisions: 0,
    rounds: 0,
    failures: {},
    last_failure: null,
    reply: null,
    answer: null,
    explanation: "",
    usage: { navigator: NOTHING, executor: NOTHING },
    speculated: 0,
    started_at: entry.at,
    updated_at: entry.at,
    last_seq: 1,
  };
}

/** The session after one more entry. */
export function advance(session, entry) {
  if (entry.seq !== session.last_seq + 1) throw new Error(`entry ${entry.seq} does not follow ${session.last_seq}`);
  const change = CHANGES[entry.event.type]?.(session, entry.event) ?? {};
  return { ...session, ...change, last_seq: entry.seq, updated_at: entry.at };
}

const CHANGES = {
  "plan.made": (session, { trajectory, usage }) => ({
    abstraction: session.abstraction || trajectory.abstraction,
    steps: [...session.steps, ...trajectory.steps.map((step) => planned(session, step))],
    done: [...new Set([...session.done, ...trajectory.done])],
    complete: trajectory.complete,
    reply: trajectory.reply,
    usage: spent(session, { navigator: usage }),
    failures: Object.fromEntries(Object.entries(session.failures).filter(([key]) => key !== "plan")),
  }),
  "step.retrieved": (session, { step_id, retrieval }) => withStep(session, step_id, { phase: "retrieved", retrieval }),
  "step.instantiated": (session, { step_id, instantiation }) => {
    const accepted = !session.options.review && !instantiation.failure;
    const instantiations = [...stepOf(session, step_id).instantiations, instantiation];
    return {
      ...withStep(session, step_id, { phase: accepted ? "done" : "instantiated", instantiations }),
      rounds: session.rounds + 1,
      usage: spent(session, { executor: instantiation.usage }),
    };
  },
  "step.reviewed": (session, { step_id, review, usage }) => {
    const state = stepOf(session, step_id);
    const phase = phaseAfter(review.verdict, state);
    const change = withStep(session, step_id, { phase, reviews: [...state.reviews, review] });
    change.usage = spent(session, { navigator: usage });
    if (review.verdict === "revise") Object.assign(change, revised(session, change.steps, review.remainder));
    if (review.verdict === "finish") {
      Object.assign(change, { answer: review.answer, explanation: review.reason, complete: true });
    }
    return change;
  },
  "action.failed": (session, { action, step_id, failure, usage }) => {
    const key = step_id === null ? action : `${action}:${step_id}`;
    return {
      failures: { ...session.failures, [key]: (session.failures[key] ?? 0) + 1 },
      last_failure: failure,
      usage: spent(session, usage),
    };
  },
  "action.dropped": (session, { usage, ahead }) => {
    const lost = (tokens) => tokens.prompt + tokens.completion;
    const speculated = session.speculated + (ahead ? lost(usage.navigator) + lost(usage.executor) : 0);
    return { usage: spent(session, usage), speculated };
  },
  "step.restarted": () => ({}),
  "session.finished": (session, { outcome, answer, explanation, failure }) => ({
    outcome,
    answer: outcome === "solved" ? answer : null,
    explanation: explanation || session.explanation,
    last_failure: failure ?? session.last_failure,
  }),
};

function planned(session, step) {
  return { step, phase: "planned", since: session.last_seq + 1, retrieval: null, instantiations: [], reviews: [] };
}

function phaseAfter(verdict, state) {
  if (verdict === "retry") return "retrieved";
  if (verdict !== "revise") return "done";
  return state.instantiations.at(-1).result === null ? DROPPED : "done";
}

/** The remainder takes the place of every step that is not done. */
function revised(session, steps, remainder) {
  const kept = steps.map((state) => (state.phase === "done" ? state : { ...state, phase: DROPPED }));
  return {
    steps: [...kept, ...remainder.steps.map((step) => planned(session, step))],
    complete: remainder.complete,
    revisions: session.revisions + 1,
  };
}

/** One step changed. A dropped step stays dropped: its work may have been under way when the plan changed. */
function withStep(session, id, change) {
  const state = stepOf(session, id);
  const changed = { ...state, ...change, since: session.last_seq + 1 };
  if (state.phase === DROPPED) changed.phase = DROPPED;
  return { steps: session.steps.map((other) => (other === state ? changed : other)) };
}

export function stepOf(session, id) {
  const state = session.steps.find(({ step }) => step.id === id);
  if (!state) throw new Error(`session ${session.id} has no step ${id}`);
  return state;
}

/** The value that later steps may use; null until the step is done. */
export function resultOf(state) {
  return state.phase === "done" ? (state.instantiations.at(-1)?.result ?? null) : null;
}

function spent(session, { navigator = NOTHING, executor = NOTHING }) {
  const { usage } = session;
  return { navigator: plus(usage.navigator, navigator), executor: plus(usage.executor, executor) };
}

export function plus(a, b) {
  return {
    prompt: a.prompt + b.prompt,
    cached: a.cached + b.cached,
    completion: a.completion + b.completion,
    calls: a.calls + b.calls,
  };
}

export function total(tokens) {
  return tokens.prompt + tokens.completion;
}
