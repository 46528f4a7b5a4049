// Signing in: with an account of the coordinator, or with a token someone was given.

import { APIError, isAuthorized, login, session } from "../api.js";
import { h, icon, notice } from "../dom.js";

export function loginView({ query }, onSignedIn) {
  document.title = "Sign in · Tributary";
  const message = h("div", {});
  const user = h("input", { id: "user", name: "username", autocomplete: "username", required: true });
  const password = h("input", { id: "password", name: "password", type: "password", autocomplete: "current-password", required: true });
  const token = h("input", { id: "token", name: "token", autocomplete: "off", spellcheck: "false", required: true });
  const page = h("div", { class: "card pad narrow form", data: { state: "idle" } });

  async function attempt(event, obtain) {
    event.preventDefault();
    page.dataset.state = "checking";
    message.replaceChildren();
    const before = session.token;
    try {
      session.token = await obtain();
      if (!(await isAuthorized())) throw new APIError(401);
      page.dataset.state = "signed-in";
      onSignedIn();
      const then = query.get("then") ?? "";
      location.hash = then.startsWith("#/") && !then.startsWith("#/login") ? then : "#/";
    } catch (error) {
      session.token = before;
      page.dataset.state = "error";
      message.replaceChildren(error.status === 401
        ? notice("error", "These credentials are not valid.", "Check them and try again.")
        : notice("error", error.message, error.detail ?? ""));
    }
  }

  page.append(
    h("div", { class: "head" }, icon("key"), h("h1", {}, "Sign in")),
    message,
    h("form", { class: "form", on: { submit: (event) => attempt(event, () => login(user.value, password.value)) } },
      h("div", { class: "field" }, h("label", { for: "user" }, "User name"), user),
      h("div", { class: "field" }, h("label", { for: "password" }, "Password"), password),
      h("button", { class: "button primary", type: "submit" }, "Sign in")),
    h("div", { class: "divider" }, "or"),
    h("form", { class: "form", on: { submit: (event) => attempt(event, async () => token.value.trim()) } },
      h("div", { class: "field" }, h("label", { for: "token" }, "Access token"), token,
        h("small", {}, "Kept in this tab only, until you close it or sign out.")),
      h("button", { class: "button", type: "submit" }, "Use token")));
  return page;
}
