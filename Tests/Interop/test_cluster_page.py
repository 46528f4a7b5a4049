"""The cluster page in Chromium: nodes over the last minutes, how a stream spreads over nodes, a node taken out of service, and what happened."""

import json
import os

from selenium.webdriver.common.by import By

from programs import ROOT, eventually
from wire import call

TREE = "document.querySelector('[data-part=trees] [data-stream=\"{}\"]')"


def test_cluster_page(own_cluster, browsers, peers):
    page = browsers(own_cluster.url)
    page.open("/cluster")
    page.until("both nodes", "document.querySelectorAll('.node[data-status=running]').length === 2")
    peers.publish(f"{own_cluster.url}/whip/rec-demo")
    source = own_cluster.node_of("rec-demo")
    copy = next(edge for edge in own_cluster.edges if edge != source)
    answer = call("POST", f"{copy.url}/api/cascade/rec-demo", json.dumps({"sourceUrl": f"{source.url}/whep/rec-demo"}),
                  {"Content-Type": "application/json"})
    assert answer.status == 200, answer.text
    peers.play(f"{copy.url}/whep/rec-demo")

    tree = TREE.format("rec-demo")
    page.until("the copy under its source", f"{tree}?.querySelector('[data-place={source.alias}] [data-place={copy.alias}][data-state=copy]') != null")
    assert page.script(f"return {tree}.querySelector('[data-place={source.alias}]').dataset.state") == "source"
    page.until("the viewer where it is", f"{tree}.querySelector('[data-place={copy.alias}] .num').textContent === '1 viewer'")
    page.until("curves", f"Number(document.querySelector('[data-alias={copy.alias}] [data-curve=viewers] svg').dataset.points) >= 3")
    events = "document.querySelector('[data-part=events]').textContent"
    page.until("the publisher among the events", f"{events}.includes('rec-demo is live on {source.alias}')")

    def press(label: str) -> None:
        page.driver.find_element(By.CSS_SELECTOR, f"[aria-label='{label} {copy.alias}']").click()

    press("Drain")
    eventually("drained", lambda: own_cluster.status(copy.alias) == "draining")
    page.until("shown as such", f"document.querySelector('[data-alias={copy.alias}]').dataset.status === 'draining'")
    page.until("among the events", f"{events}.includes('{copy.alias} is being drained')")
    page.until("empty", f"document.querySelector('[data-alias={copy.alias}] .badge').textContent === 'drained'")
    if os.environ.get("UPDATE_SCREENSHOTS"):
        page.screenshot(ROOT / "docs/cluster.png")
    press("Undrain")
    eventually("back in service", lambda: own_cluster.status(copy.alias) == "running")
    copy.kill()
    page.until("its loss is shown", f"document.querySelector('[data-alias={copy.alias}]').dataset.status === 'lost'")
    page.until("since when", f"document.querySelector('[data-alias={copy.alias}] [data-value=place]').textContent.includes('last heard ')")
    page.until("without a button", f"document.querySelector('[data-alias={copy.alias}] [data-action=drain]').hidden")
    widths = page.script("return [document.documentElement.scrollWidth, innerWidth]")
    assert widths[0] <= widths[1]
    assert [line for line in page.driver.get_log("browser") if line["level"] == "SEVERE"] == []
