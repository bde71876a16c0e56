// Text with formulas: MathML comes from the server. It is read once more here and rebuilt from an allowlist, so that
// not even a server that was talked into something could put more than a formula on the page.

import { h, leaf } from "./dom.js";
import { mathml } from "./api.js";

const MATHML = "http://www.w3.org/1998/Math/MathML";
const ELEMENTS = new Set((
  "math mrow mi mn mo ms mspace mtext mfrac msqrt mroot mstyle merror mpadded mphantom menclose msub msup msubsup " +
  "munder mover munderover mmultiscripts mprescripts mtable mtr mtd"
).split(" "));
const ATTRIBUTES = new Set((
  "display displaystyle scriptlevel mathvariant stretchy fence separator form accent accentunder largeop movablelimits " +
  "symmetric columnalign rowalign width height depth lspace rspace voffset linethickness minsize maxsize notation"
).split(" "));
const SUSPECT = /\$|\\\(|\\\[|\\begin\{/;
const MOST_TEXTS = 200;
const MOST_CHARS = 90_000;

const policy = globalThis.trustedTypes?.createPolicy("formulas", { createHTML: (text) => text });
const known = new Map();
let waiting = new Set();
let arrivals = 0;
let onArrival = () => {};

/** Call `again` whenever formulas have arrived. */
export function whenFormulasArrive(again) {
  onArrival = again;
}

/** The text as children of an element: words as text, formulas as MathML once the server has told them. */
export function prose(text) {
  return piecesOf(text)?.map((piece, place) => shown(piece, place)) ?? text ?? "";
}

/** The same for a line: a formula that would stand by itself stands in the line as well. */
export function inline(text) {
  return piecesOf(text)?.map((piece, place) => shown({ ...piece, mathml: piece.mathml?.replace('display="block"', 'display="inline"') }, place)) ?? text ?? "";
}

function piecesOf(text) {
  if (!text || !SUSPECT.test(text) || text.length > 20_000) return null;
  if (!known.has(text)) want(text);
  return known.get(text) ?? null;
}

/** What the shown formulas depend on: a view that uses `prose` and is memoised names it among its deps. */
export function formulasKnown() {
  return arrivals;
}

function shown({ text, mathml: markup }, place) {
  if (!markup) return text;
  const made = leaf(`${place}:${markup}`, () => element(markup, text));
  return markup.includes('display="block"') ? h("span", { class: "display", tabindex: 0 }, made) : made;
}

function want(text) {
  if (!waiting.size) queueMicrotask(() => setTimeout(ask, 0));
  waiting.add(text);
}

async function ask() {
  const texts = [];
  let chars = 0;
  for (const text of waiting) {
    if (texts.length >= MOST_TEXTS || chars + text.length > MOST_CHARS) break;
    texts.push(text);
    chars += text.length;
  }
  for (const text of texts) known.set(text, null);
  waiting = new Set([...waiting].filter((text) => !known.has(text)));
  if (waiting.size) setTimeout(ask, 0);
  try {
    const answered = await mathml(texts);
    texts.forEach((text, n) => known.set(text, answered.texts[n]));
    arrivals += 1;
    onArrival();
  } catch {
    // The text stands as it was written.
  }
}

function element(markup, source) {
  const parsed = new DOMParser().parseFromString(policy ? policy.createHTML(markup) : markup, "application/xml");
  try {
    return rebuilt(parsed.documentElement, 0);
  } catch {
    return document.createTextNode(source);
  }
}

function rebuilt(from, depth) {
  if (from.namespaceURI !== MATHML || !ELEMENTS.has(from.localName) || depth > 80) throw new Error("no formula");
  const made = document.createElementNS(MATHML, from.localName);
  for (const { name, value } of from.attributes) if (ATTRIBUTES.has(name)) made.setAttribute(name, value);
  for (const child of from.childNodes) {
    if (child.nodeType === Node.TEXT_NODE) made.append(child.data);
    else if (child.nodeType === Node.ELEMENT_NODE) made.append(rebuilt(child, depth + 1));
  }
  return ROOTS.has(from.localName) && !drawsRoots() ? spelledOut(made) : made;
}

const ROOTS = new Set(["msqrt", "mroot"]);
let rootsAreDrawn;

/** Without a font for mathematics a browser leaves the sign of a root out: 14 + √5 would read 14 + 5. */
function drawsRoots() {
  if (rootsAreDrawn === undefined) {
    const probe = mathElement("math", mathElement("msqrt", mathElement("mspace")));
    probe.setAttribute("class", "probe");
    document.body.append(probe);
    rootsAreDrawn = probe.firstChild.getBoundingClientRect().width > 0;
    probe.remove();
  }
  return rootsAreDrawn;
}

/** √(…), with the root's degree before it. */
function spelledOut(root) {
  const [radicand, degree] = root.localName === "mroot" ? root.children : [mathElement("mrow", ...root.childNodes)];
  const before = degree ? [mathElement("msup", mathElement("mrow"), degree)] : [];
  return mathElement("mrow", ...before, mathElement("mo", "√"), mathElement("mo", "("), radicand, mathElement("mo", ")"));
}

function mathElement(name, ...kids) {
  const made = document.createElementNS(MATHML, name);
  made.append(...kids);
  return made;
}

/** A calculator statement: its parts are told apart by colour, and it breaks where an operator stands. */
export function formula(text) {
  return h("code", { class: "formula" }, text);
}
