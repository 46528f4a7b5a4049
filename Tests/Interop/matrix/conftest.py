"""The matrix's node, its clients, and the table that a run leaves."""

from __future__ import annotations

import pathlib
import re

import pytest

from clients import AiortcClient, ChromiumClient, Client, FFmpegClient, FirefoxClient, GStreamerClient, rows
from programs import ROOT, Edge
from table import Table, video_of


def pytest_addoption(parser):
    parser.addoption("--update", action="store_true", help="write what was decoded into docs/interop.md")
    parser.addoption("--offers", type=pathlib.Path, help="write the clients' offers into this folder, for Tests/SDP/Offers")


@pytest.fixture(scope="session")
def edge(tmp_path_factory):
    with Edge("edge-m", tmp_path_factory.mktemp("edge"), {}).running() as running:
        yield running


@pytest.fixture(scope="session")
def clients(edge, tmp_path_factory):
    """All clients by name; a browser starts when it is first needed."""
    made: list[Client] = [
        ChromiumClient(edge.url), FirefoxClient(edge.url, tmp_path_factory.mktemp("firefox")), AiortcClient(), FFmpegClient(), GStreamerClient()]
    yield {client.name: client for client in made}
    for client in made:
        client.close()


@pytest.fixture(scope="session")
def table(pytestconfig, clients):
    filled = Table(ROOT / "docs/interop.md", [client.name for client in clients.values() if client.receives])
    yield filled
    if pytestconfig.getoption("--update"):
        filled.write([(client.name, video_of(video, layers), sound) for client in clients.values() for video, sound, layers in rows(client)])


@pytest.fixture(scope="session")
def keep_offer(pytestconfig):
    """Writes what a client offered to the folder of `--offers`, with addresses from the documentation's ranges in place of this machine's."""
    folder = pytestconfig.getoption("--offers")

    def keep(client: str, what: str, offer: str) -> None:
        if folder and offer:
            folder.mkdir(parents=True, exist_ok=True)
            plain = re.sub(r"(a=candidate:\S+ \d \S+ \d+ |c=IN IP\d )(?!0\.0\.0\.0)(\S+)",
                           lambda found: found[1] + ("2001:db8::20" if ":" in found[2] else "192.0.2.20"), offer)
            (folder / f"{client.split()[0].lower()}-{what}.sdp").write_text(plain, newline="")
    return keep
