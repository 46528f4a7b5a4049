"""What only OSS has: two signatures, three places for a bucket's name, keys from Alibaba's places. Then a recording that ends up in it."""

from __future__ import annotations

import concurrent.futures
import json
import random
import time

import oss2
import pytest

import inspection
from programs import Edge, Server, eventually
from stores import StoreFault
from wire import call

JSON = {"Content-Type": "application/json"}
NOWHERE = {"ALIBABA_CLOUD_ECS_METADATA_DISABLED": "true"}


def works(store, tmp_path) -> None:
    """One of each operation, told from all others by its root."""
    store("put", key="a b+c", text="0123456789")
    assert store("get", key="a b+c", **{"from": 3, "to": 7})["text"] == "3456"
    assert store("head", key="a b+c")["object"]["size"] == 10
    source = tmp_path / "long"
    source.write_bytes(random.Random(1).randbytes(33 << 20))
    assert store("putFile", key="long", file=str(source))["object"]["size"] == 33 << 20
    assert {each["key"] for each in store("list")["objects"]} == {"a b+c", "long"}
    answer = call("GET", store("presign", key="a b+c")["text"])
    assert (answer.status, answer.body) == (200, b"0123456789")
    store("deleteAll", keys=["a b+c", "long", "never/was"])
    assert store("list").get("objects", []) == []


@pytest.mark.parametrize("versions", [[1], [4]])
def test_either_signature(oss, probes, tmp_path, versions):
    oss.behave(versions=versions)
    works(probes(oss.settings()), tmp_path)
    # An address is good also where it is the first that is asked for.
    probes(oss.settings(root=""))("put", key="seen", text="x")
    address = probes(oss.settings(root=""))("presign", key="seen")["text"]
    assert call("GET", address).body == b"x"
    assert ("x-oss-signature-version=OSS4" in address) == (versions == [4])


def test_a_region_that_is_wrong_does_no_harm_where_version_1_is_taken(oss, probes):
    store = probes(oss.settings(region="oss-cn-shanghai"))
    store("put", key="a", text="x")
    oss.behave(versions=[4])
    with pytest.raises(StoreFault) as refused:
        probes(oss.settings(region="oss-cn-shanghai"))("ping")
    assert refused.value.case == "denied" and "InvalidArgument" in refused.value.text


def test_the_bucket_before_the_hosts_name_and_a_domain_of_its_own(oss, probes):
    probes(oss.settings(root="hosts"))("put", key="a b+c", text="by address")
    for endpoint, start in [(oss.at("oss.localhost"), "http://recordings.oss.localhost:"), (oss.at("media.localhost"), "http://media.localhost:"),
                            (oss.at("recordings.oss.localhost"), "http://recordings.oss.localhost:")]:
        assert probes(oss.settings(root="hosts", endpoint=endpoint))("presign", key="a b+c")["text"].startswith(start)
        store = probes(oss.settings(root="hosts", endpoint=endpoint))
        assert store("get", key="a b+c")["text"] == "by address"
        assert [each["key"] for each in store("list")["objects"]] == ["a b+c"]
    for _ in range(2):
        with pytest.raises(StoreFault) as refused:
            probes(oss.settings(endpoint=oss.at("media.localhost"), secret="wrong"))("ping")
        assert refused.value.case == "denied"


def test_only_one_may_write_what_is_not_there(oss, probes):
    settings = oss.settings()
    stores = [probes(settings) for _ in range(4)]

    def claim(pair) -> bool:
        number, store = pair
        try:
            store("put", key="claim", text=str(number), ifAbsent=True)
        except StoreFault as fault:
            assert fault.case == "exists"
            return False
        return True

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        won = list(pool.map(claim, enumerate(stores)))
    assert won.count(True) == 1
    assert stores[0]("get", key="claim")["text"] == str(won.index(True))
    # It is the only condition that OSS judges; the other one is looked at before.
    assert stores[0]("conditions")["flag"] is False
    with pytest.raises(StoreFault) as changed:
        stores[0]("put", key="claim", text="lost", tag='"other"')
    assert changed.value.case == "preconditionFailed"
    assert [each["key"] for each in stores[0]("list")["objects"]] == ["claim"], "the probe is cleared away"
    oss.behave(has_versions=True)
    with pytest.raises(StoreFault) as taken:
        probes(settings)("put", key="claim", text="lost", ifAbsent=True)
    assert taken.value.case == "exists"


def test_a_long_file_is_not_written_over(oss, probes, tmp_path):
    store = probes(oss.settings())
    source = tmp_path / "long"
    source.write_bytes(bytes(33 << 20))
    store("putFile", key="long", file=str(source), ifAbsent=True)
    with pytest.raises(StoreFault) as taken:
        store("putFile", key="long", file=str(source), ifAbsent=True)
    assert taken.value.case == "exists"


def test_other_bytes_than_were_sent_are_found_out(oss, probes):
    store = probes(oss.settings())
    store("put", key="a", text="x")
    oss.behave(other_crc=True)
    with pytest.raises(StoreFault) as damaged:
        store("put", key="b", text="x")
    assert damaged.value.case == "unavailable" and "other bytes" in damaged.value.text


def test_leftover_uploads_are_given_up(oss, probes):
    settings = oss.settings()
    store, client = probes(settings), oss.client()
    mine = client.init_multipart_upload(f"{settings['root']}/left over+").upload_id
    client.upload_part(f"{settings['root']}/left over+", mine, 1, b"x" * 100)
    foreign = client.init_multipart_upload("elsewhere/left over").upload_id
    assert store("sweep")["count"] == 1
    assert [each.key for each in oss2.MultipartUploadIterator(client)] == ["elsewhere/left over"]
    client.abort_multipart_upload("elsewhere/left over", foreign)


def test_temporary_keys(oss, probes):
    token = "CAIS+/token=="
    keys = {"STS.A": {"secret": "SA", "token": token}, "STS.B": {"secret": "SB", "token": token, "ends": time.time() - 1}}
    for versions in ([4], [1]):
        oss.behave(versions=versions, keys=keys)
        good = {"accessKey": "STS.A", "secret": "SA", "token": token}
        store = probes(oss.settings(**good))
        store("put", key="with token", text="x")
        assert call("GET", store("presign", key="with token")["text"]).body == b"x"
        for wrong in (good | {"token": ""}, good | {"token": "not" + token}, good | {"accessKey": "STS.B", "secret": "SB"}):
            with pytest.raises(StoreFault) as refused:
                probes(oss.settings(**wrong))("ping")
            assert refused.value.case == "denied" and token not in refused.value.text


def test_keys_from_the_environment(oss, probes):
    nothing = oss.settings(accessKey="", secret="", root="found")
    probes(nothing, NOWHERE | {"OSS_ACCESS_KEY_ID": "AKTEST", "OSS_ACCESS_KEY_SECRET": "SKTEST"})("ping")
    probes(nothing, NOWHERE | {"ALIBABA_CLOUD_ACCESS_KEY_ID": "AKTEST", "ALIBABA_CLOUD_ACCESS_KEY_SECRET": "SKTEST"})("ping")
    with pytest.raises(StoreFault) as refused:
        probes(nothing, NOWHERE | {"AWS_ACCESS_KEY_ID": "AKTEST", "AWS_SECRET_ACCESS_KEY": "SKTEST"})("ping")
    assert refused.value.case == "denied" and "no credentials" in refused.value.text


def test_a_machines_role_whose_keys_end_before_their_time(oss, probes):
    store = probes(oss.settings(accessKey="", secret=""), {"ALIBABA_CLOUD_ECS_METADATA_SERVICE_ENDPOINT": oss.endpoint})
    store("put", key="a", text="x")
    oss.behave(expired=1_000)
    with pytest.raises(StoreFault) as ended:
        store("head", key="a")
    assert ended.value.case == "denied"
    # From here on keys are good that are given now; those of before are not.
    oss.behave(expired=int(call("GET", f"{oss.endpoint}/latest/given").text))
    assert store("get", key="a")["text"] == "x"
    assert call("GET", store("presign", key="a")["text"]).body == b"x"


def test_a_token_of_an_identity_provider(oss, probes, tmp_path):
    token = tmp_path / "token"
    token.write_text("first.jwt\n")
    environment = NOWHERE | {
        "ALIBABA_CLOUD_OIDC_TOKEN_FILE": str(token), "ALIBABA_CLOUD_ROLE_ARN": "acs:ram::1:role/recorder",
        "ALIBABA_CLOUD_OIDC_PROVIDER_ARN": "acs:ram::1:oidc-provider/test", "ALIBABA_CLOUD_STS_ENDPOINT": oss.endpoint}
    probes(oss.settings(accessKey="", secret=""), environment)("ping")
    oss.behave(oidc_token="second.jwt")
    with pytest.raises(StoreFault) as refused:
        probes(oss.settings(accessKey="", secret=""), environment)("ping")
    assert refused.value.case == "denied" and "first.jwt" not in refused.value.text
    token.write_text("second.jwt")
    probes(oss.settings(accessKey="", secret=""), environment)("ping")


def test_a_recording_plays_from_the_bucket_when_its_node_is_gone(oss, peers, tmp_path):
    edges = oss.environment("EDGE", "cluster") | {
        "EDGE_RECORDER_SEGMENT_SECONDS": "2", "EDGE_RECORDER_AUTO_STREAMS": '["*"]', "EDGE_RECORDER_SPOOL_DIR": "spool"}
    edge = Edge("edge-a", tmp_path, edges)
    coordinator = Server("coordinator", "coordinator", tmp_path, oss.environment("COORDINATOR", "cluster") | {
        "COORDINATOR_DATABASE_URL": "sqlite:coordinator.db",
        "COORDINATOR_NODES": json.dumps([{"alias": edge.alias, "url": edge.url}])})
    try:
        edge.start()
        coordinator.start()
        publisher = peers.publish(f"{edge.url}/whip/stored")
        eventually("two segments", lambda: call("GET", f"{edge.url}/api/record/stored").json.get("segments", 0) >= 4, 40)
        publisher.vanish()
        assert call("DELETE", f"{edge.url}/api/record/stored").status == 200
        rows = eventually("a finished row", lambda: finished(coordinator), 20)
        eventually("an empty spool", lambda: not list(tmp_path.glob("spool/**/*.m4s")), 20)
        assert edge.stop() == 0
        folder = rows[0]["record_dir"]
        names = ("manifest.mpd", "init.m4s", "audio_init.m4s", "seg_0001.m4s", "audio_seg_0001.m4s")
        assert {f"{folder}/{name}" for name in names} <= oss.keys("cluster/")
        url = f"{coordinator.url}/api/playback/stored/manifest.mpd"
        assert len(inspection.packets(url, "v")) > 50 and inspection.decode_errors(url) == ""
        path = f"{folder}/seg_0001.m4s"
        whole = call("GET", f"{coordinator.url}/api/record/object/{path}")
        assert whole.status == 200 and whole.body == oss.read(f"cluster/{path}")
        part = call("GET", f"{coordinator.url}/api/record/object/{path}", None, {"Range": f"bytes=10-{len(whole.body) + 5}"})
        assert part.status == 206 and part.body == whole.body[10:]
        assert call("GET", f"{coordinator.url}/api/record/object/{path}", None, {"Range": f"bytes={len(whole.body)}-"}).status == 416
        signed = call("POST", f"{coordinator.url}/api/storage/presign", json.dumps({"method": "GET", "path": path, "ttl_seconds": 60}), JSON)
        assert signed.status == 200, signed.text
        assert call("GET", signed.json["url"]).body == whole.body
        assert call("GET", signed.json["url"].replace("seg_0001", "seg_0002")).status == 403
        assert call("GET", f"{coordinator.url}/api/storage/ping").text == "ok"
        assert "SKTEST" not in edge.log.read_text() + coordinator.log.read_text()
    finally:
        edge.stop()
        assert coordinator.stop() == 0


def finished(coordinator: Server) -> list[dict]:
    answer = call("GET", f"{coordinator.url}/api/playback/stored")
    return [row for row in answer.json if row["status"] == "completed"] if answer.status == 200 else []
