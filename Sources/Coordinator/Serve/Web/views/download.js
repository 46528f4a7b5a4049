// A link that saves a file of the API. What the browser fetches by itself carries no header, and a token in an address would stay in
// histories and logs: an address with a signature, good for a minute and for nothing else, is asked for when the link is used.

import { linkTo, session } from "../api.js";
import { h, icon } from "../dom.js";

/** `onFailure(error)` is told why there is no file, and null when there is one after all. */
export function downloadLink({ onFailure, ...props }, text) {
  let isAsking = false;
  async function save(event) {
    // The right button is the browser's menu.
    if (!session.token || event.button > 1) return;
    event.preventDefault();
    if (isAsking) return;
    isAsking = true;
    try {
      const href = await linkTo(element.getAttribute("href"));
      onFailure(null);
      h("a", { href, download: "" }).click();
    } catch (error) {
      onFailure(error);
    } finally {
      isAsking = false;
    }
  }
  const element = h("a", { download: "", ...props, on: { click: save, auxclick: save } }, icon("film"), text);
  return element;
}
