"""Publishers that come back without a credential: an encoder that lost its connection asks once, and has to be let in."""

import time

import pytest

import sources
from programs import BINARIES, Program, eventually
from wire import call, post_offer


@pytest.fixture
def encoder(tmp_path):
    """Makes an encoder that knows nothing of keyframe requests and can be killed without a word to anybody."""
    film = tmp_path / "film.mkv"
    sources.film(film, 4)
    started = []

    def make(url: str) -> Program:
        program = Program(f"encoder-{len(started)}", [str(BINARIES / "edge-bench"), "publish", "--url", url, "--input", str(film), "--loop"], tmp_path)
        program.start()
        started.append(program)
        return program

    yield make
    for program in started:
        program.kill()


@pytest.fixture(params=["coordinator", "edge"])
def base(request, cluster):
    return cluster.url if request.param == "coordinator" else cluster.edges[1].url


def test_silent_publisher_is_replaced_and_its_viewers_stay(cluster, base, encoder, peers, name):
    """One try, two and a half seconds after the connection was cut: OBS waits two and does not ask again after a refusal."""
    stream = name("back")
    first = encoder(f"{base}/whip/{stream}")
    eventually("known", lambda: cluster.stream(stream))
    viewer = peers.play(f"{base}/whep/{stream}")
    eventually("pictures", lambda: viewer.frames > 20, 20)
    # As long as the first one is heard, others are kept out.
    assert post_offer(f"{base}/whip/{stream}", peers.offer()).status == 409
    first.kill()
    time.sleep(2.5)
    seen = viewer.frames
    second = encoder(f"{base}/whip/{stream}")
    eventually("the same viewer goes on", lambda: viewer.frames > seen + 60, 20)
    assert second.is_running, second.tail()
    assert viewer.state == "connected"


def test_joiners_of_an_encoder_that_ignores_requests(cluster, base, encoder, peers, name):
    """The group of pictures that is kept gives a late viewer its first picture, and the encoder is not asked without end."""
    stream = name("deaf")
    encoder(f"{base}/whip/{stream}")
    eventually("known", lambda: cluster.stream(stream))
    edge = cluster.node_of(stream)

    def requests() -> float:
        lines = call("GET", f"{edge.url}/metrics").text.splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if "publisher_keyframe_requests{" in line and f'"{stream}"' in line)

    time.sleep(2)
    for _ in range(4):
        viewer = peers.play(f"{base}/whep/{stream}")
        eventually("first picture", lambda viewer=viewer: viewer.frames > 0, 5)
        assert viewer.longest_pause < 2
    assert requests() <= 12
