// From which node a stream comes to which.

/**
 * The nodes that have a stream as a tree: [{alias, viewers, state, children}], the publisher's first. A pulled copy names its source in
 * its publishing session, a pushing node its target in a watching one; the other side of either only says that it is a cascade.
 */
export function tree(stream, nodes) {
  const aliasOf = (url) => nodes.find((node) => node.url && (url === node.url || url.startsWith(`${node.url}/`)))?.alias ?? null;
  const places = new Map((stream.nodes ?? []).map((alias) => [alias, { alias, viewers: 0, state: "waiting", parent: null, children: [] }]));
  for (const session of open(stream.publish?.sessions)) {
    const place = places.get(owner(session));
    if (!place) continue;
    place.state = session.cascade ? "copy" : "source";
    if (session.cascade?.sourceUrl) place.parent = aliasOf(session.cascade.sourceUrl);
  }
  for (const session of open(stream.subscribe?.sessions)) {
    const place = places.get(owner(session));
    if (!place) continue;
    if (!session.cascade) place.viewers += 1;
    const target = session.cascade?.targetUrl && places.get(aliasOf(session.cascade.targetUrl));
    if (target) target.parent = place.alias;
  }
  return rooted([...places.values()]);
}

/** Hangs each place under its parent; who has none that is known, or would hang under itself, stands at the top. */
function rooted(places) {
  const byAlias = new Map(places.map((place) => [place.alias, place]));
  const roots = [];
  for (const place of places) {
    const parent = byAlias.get(place.parent);
    if (parent && !isBelow(parent, place, byAlias)) parent.children.push(place);
    else roots.push(place);
  }
  return roots;
}

function isBelow(place, other, byAlias) {
  const passed = new Set();
  for (let each = place; each && !passed.has(each); each = byAlias.get(each.parent)) {
    if (each === other) return true;
    passed.add(each);
  }
  return false;
}

const owner = (session) => session.id.split("~")[0];
const open = (sessions) => (sessions ?? []).filter((each) => !each.leaveAt && !["closed", "failed"].includes(each.state));
