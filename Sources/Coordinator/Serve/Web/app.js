// Starts the page: navigation, the state line, the views.

import { session, signals } from "./api.js";
import { cluster } from "./cluster.js";
import { h, icon, notice } from "./dom.js";
import { history } from "./history.js";
import { journal } from "./journal.js";
import { Router } from "./router.js";
import { clusterView } from "./views/clusterview.js";
import { loginView } from "./views/login.js";
import { overviewView } from "./views/overview.js";
import { publishView } from "./views/publish.js";
import { recordingsView, recordedStreamsView } from "./views/recordings.js";
import { watchView } from "./views/watch.js";

const SECTIONS = [
  ["overview", "#/", "grid", "Overview"],
  ["cluster", "#/cluster", "chart", "Cluster"],
  ["publish", "#/publish", "camera", "Publish"],
  ["recordings", "#/recordings", "film", "Recordings"],
];
const CLUSTER_STATES = {
  connecting: ["", "Connecting"],
  live: ["good", "Live"],
  polling: ["warn", "Polling"],
  offline: ["bad", "Coordinator unreachable"],
  unauthorized: ["warn", "Signed out"],
};

const navigation = document.getElementById("nav");
const status = document.getElementById("status");
const router = new Router(document.getElementById("main"));

for (const [name, href, glyph, text] of SECTIONS) {
  navigation.append(h("a", { href, data: { section: name } }, icon(glyph), text));
}

router.onShow = (view) => {
  for (const each of navigation.children) {
    if (each.dataset.section === view) each.setAttribute("aria-current", "page");
    else each.removeAttribute("aria-current");
  }
};

let shownState = null;
function showState() {
  const key = `${cluster.state}/${Boolean(session.token)}`;
  if (key === shownState) return;
  shownState = key;
  const [tone, text] = CLUSTER_STATES[cluster.state];
  const leave = session.token
    ? h("button", { class: "button small", type: "button", on: { click: signOut } }, "Sign out")
    : null;
  status.replaceChildren(...[h("span", { class: "dot", data: { tone } }, text), leave].filter(Boolean));
}

function signOut() {
  session.token = "";
  cluster.start();
  router.show();
}

router.fallback = () => {
  document.title = "Not found · Tributary";
  return h("div", {}, notice("error", "This page does not exist.", "Choose one from the menu above."));
};

router
  .add("/", "overview", overviewView)
  .add("/cluster", "cluster", clusterView)
  .add("/publish", "publish", publishView)
  .add("/publish/:stream", "publish", publishView)
  .add("/watch/:stream", "watch", watchView)
  .add("/recordings", "recordings", recordedStreamsView)
  .add("/recordings/:stream", "recordings", recordingsView)
  .add("/login", "login", (params) => loginView(params, () => cluster.start()));

signals.addEventListener("unauthorized", () => {
  if (location.hash.startsWith("#/login")) return;
  location.hash = `#/login?then=${encodeURIComponent(location.hash || "#/")}`;
});
cluster.addEventListener("change", showState);
showState();
// Both remember while other views are open.
history.follow(cluster);
journal.follow(cluster);
cluster.start();
router.start();
