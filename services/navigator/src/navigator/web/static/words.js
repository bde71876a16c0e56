// How numbers, times and names are said. Pure.

const WHOLE = new Intl.NumberFormat("en");

export const count = (number) => WHOLE.format(number);

export const some = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;

export function seconds(milliseconds) {
  const s = Math.max(0, milliseconds) / 1000;
  if (s < 1) return `${Math.round(s * 1000)} ms`;
  if (s < 10) return `${s.toFixed(2)} s`;
  if (s < 100) return `${s.toFixed(1)} s`;
  const whole = Math.round(s);
  return `${Math.floor(whole / 60)} min ${whole % 60} s`;
}

export const percent = (share) => `${Math.round(share * 100)} %`;

const DAY = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

export const moment = (iso) => DAY.format(new Date(iso));

export const plain = (name) => name.replaceAll("_", " ").replaceAll("-", " ");

export function short(text, most = 90) {
  const line = text.replace(/\s+/g, " ").trim();
  return line.length <= most ? line : `${line.slice(0, most - 1).trimEnd()}…`;
}

export const OUTCOMES = { solved: "Solved", unsolved: "Not solved", cancelled: "Cancelled", failed: "Failed" };

const DOING = { plan: "Planning", retrieve: "Looking for a template for", instantiate: "Carrying out", review: "Reviewing" };

/** One sentence for an entry of the journal: what happened, in the order of the story. */
export function happened({ event }) {
  const step = event.step_id ? `step ${event.step_id}` : "";
  switch (event.type) {
    case "session.started": return "The problem was asked";
    case "plan.made": return planned(event.trajectory);
    case "step.retrieved": return retrieved(step, event.retrieval);
    case "step.instantiated": return carriedOut(step, event);
    case "step.reviewed": return reviewed(step, event.review);
    case "action.failed": return `${DOING[event.action]} ${step} failed: ${event.failure.message}`.replace("  ", " ");
    case "action.dropped": return stopped(step || event.action, event.ahead);
    case "step.restarted": return "Another worker took over";
    case "session.finished": return finished(event);
    default: return event.type;
  }
}

function stopped(what, ahead) {
  if (ahead) return `Work on ${what}, begun ahead of a review, was not needed`;
  return `Work on ${what} was stopped: the plan had changed`;
}

function planned({ steps, reply }) {
  if (reply !== null) return "The conversation so far held the answer";
  return steps.length ? `${some(steps.length, "step")} planned` : "No way was seen";
}

function retrieved(step, { template }) {
  return template ? `Template for ${step}: ${template.name}` : `No template fits ${step}`;
}

function carriedOut(step, { instantiation, attempt }) {
  const again = attempt > 1 ? ` (attempt ${attempt})` : "";
  if (instantiation.failure) return `No result in ${step}${again}: ${instantiation.failure.message}`;
  return `Result of ${step}${again}: ${short(instantiation.result ?? "", 60)}`;
}

function reviewed(step, { verdict, answer }) {
  const said = { continue: `${step} stands`, retry: `${step} is to be tried again`, revise: `The plan changes after ${step}` };
  if (verdict !== "finish") return said[verdict][0].toUpperCase() + said[verdict].slice(1);
  return answer === null ? "The navigator sees no solution" : `The navigator has the answer: ${short(answer, 60)}`;
}

function finished({ outcome, answer }) {
  return answer === null ? OUTCOMES[outcome] : `${OUTCOMES[outcome]}: ${short(answer, 60)}`;
}
