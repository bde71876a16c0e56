// A small virtual tree: views are pure functions that return descriptions, `patch` makes the page say the same.
// Text only ever becomes text nodes: nothing that comes as data is read as markup.

const SVG = "http://www.w3.org/2000/svg";
const PROPERTIES = new Set(["value", "checked", "selected", "disabled", "open", "indeterminate"]);
const EMPTY = Object.freeze({});

/** An element's description. Children: descriptions, text, numbers, nested lists; null and false are left out. */
export function h(tag, props, ...kids) {
  return { tag, props: props ?? EMPTY, kids, key: props?.key };
}

/** What `view(...deps)` describes, looked at again only when one of the deps is another one than before. */
export function memo(key, view, ...deps) {
  return { view, deps, key };
}

/** A leaf that `make()` builds; it is built anew only when `key` changes. */
export function leaf(key, make) {
  return { make, key };
}

/** Make the parent's children what is described. */
export function patch(parent, described) {
  const before = parent.__kids ?? [];
  const after = [];
  flatten(described, after);
  const keyed = new Map();
  const loose = [];
  for (const kid of before) (kid.vnode.key === undefined ? loose.push(kid) : keyed.set(kid.vnode.key, kid));
  let next = 0;
  const kept = after.map((vnode) => {
    const old = vnode.key === undefined ? takeLoose(vnode) : takeKeyed(vnode);
    return old ? updated(old, vnode) : created(vnode, parent);
  });
  for (const kid of loose.slice(next)) kid.node.remove();
  for (const kid of keyed.values()) kid.node.remove();
  let place = parent.firstChild;
  for (const { node } of kept) {
    if (node === place) place = place.nextSibling;
    else parent.insertBefore(node, place);
  }
  parent.__kids = kept;

  function takeLoose(vnode) {
    while (next < loose.length) {
      const old = loose[next++];
      if (alike(old.vnode, vnode)) return old;
      old.node.remove();
    }
    return undefined;
  }
  function takeKeyed(vnode) {
    const old = keyed.get(vnode.key);
    if (old === undefined || !alike(old.vnode, vnode)) return undefined;
    keyed.delete(vnode.key);
    return old;
  }
}

function flatten(described, into) {
  if (described === null || described === undefined || described === false || described === true) return;
  if (Array.isArray(described)) for (const one of described) flatten(one, into);
  else if (typeof described === "object") into.push(described);
  else into.push({ text: String(described) });
}

function alike(a, b) {
  if (a.view) return a.view === b.view;
  if (a.make) return b.make !== undefined;
  return a.tag === b.tag && (a.text === undefined) === (b.text === undefined);
}

function created(vnode, parent) {
  if (vnode.text !== undefined) return { vnode, node: document.createTextNode(vnode.text) };
  if (vnode.make) return { vnode, node: vnode.make() };
  if (vnode.view) {
    const seen = vnode.view(...vnode.deps);
    return { vnode, seen, node: created(seen, parent).node };
  }
  const inSvg = vnode.tag === "svg" || (parent.namespaceURI === SVG && parent.tagName !== "foreignObject");
  const node = inSvg ? document.createElementNS(SVG, vnode.tag) : document.createElement(vnode.tag);
  dress(node, EMPTY, vnode.props);
  patch(node, vnode.kids);
  vnode.props.created?.(node);
  return { vnode, node };
}

function updated(old, vnode) {
  const { node } = old;
  if (vnode.text !== undefined) {
    if (old.vnode.text !== vnode.text) node.data = vnode.text;
    return { vnode, node };
  }
  if (vnode.make) return { vnode, node };
  if (vnode.view) {
    if (vnode.deps.every((dep, n) => dep === old.vnode.deps[n])) return { vnode, seen: old.seen, node };
    const seen = vnode.view(...vnode.deps);
    refresh(node, old.seen, seen);
    return { vnode, seen, node };
  }
  refresh(node, old.vnode, vnode);
  return { vnode, node };
}

function refresh(node, before, after) {
  dress(node, before.props, after.props);
  patch(node, after.kids);
}

function dress(node, before, after) {
  for (const name in before) if (!(name in after)) undress(node, name);
  for (const name in after) {
    const value = after[name];
    if (value === before[name] && name !== "value") continue;
    if (name === "key" || name === "created") continue;
    if (name.startsWith("on")) listen(node, name.slice(2), value);
    else if (name === "style") style(node, before.style ?? EMPTY, value ?? EMPTY);
    else if (PROPERTIES.has(name)) { if (node[name] !== value) node[name] = value; }
    else if (value === null || value === undefined || value === false) node.removeAttribute(name);
    else node.setAttribute(name, value === true ? "" : value);
  }
}

function undress(node, name) {
  if (name.startsWith("on")) listen(node, name.slice(2), undefined);
  else if (PROPERTIES.has(name)) node[name] = name === "value" ? "" : false;
  else node.removeAttribute(name);
}

function listen(node, event, handler) {
  const listeners = (node.__on ??= {});
  if (!(event in listeners)) node.addEventListener(event, (happened) => node.__on[event]?.(happened));
  listeners[event] = handler;
}

// Set as properties, which the content security policy allows; as an attribute it would be refused.
function style(node, before, after) {
  for (const name in before) if (!(name in after)) node.style.removeProperty(name);
  for (const name in after) if (after[name] !== before[name]) node.style.setProperty(name, after[name]);
}
