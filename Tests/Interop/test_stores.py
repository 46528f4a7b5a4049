"""Our stores against servers, with Amazon's and Alibaba's libraries as the other opinion on what is there."""

from __future__ import annotations

import hashlib
import random
import time

import pytest
from stores import Bucket, OSSBucket, StoreFault
from wire import call

AWKWARD = [
    "demo/2026/11/21/seg_0001.m4s", "plus+equals=and&", "a b/c d", "per%cent/%2F", "tilde~", "ö/日本/🎥", "quote'\"(x)*!", "semi;colon:at@",
    "hash#question?", "e\u0301/comma,", "<tag>&amp;",
]


@pytest.fixture(params=["rgw", "rclone_s3", "oss"])
def bucket(request) -> Bucket | OSSBucket:
    return request.getfixturevalue(request.param)


def fetched(url: str, method: str = "GET", body: bytes | None = None) -> tuple[int, bytes]:
    answer = call(method, url, body)
    return answer.status, answer.body


def test_objects_go_both_ways_whatever_their_names(bucket, probes):
    settings = bucket.settings()
    store, root = probes(settings), settings["root"]
    for key in AWKWARD:
        body = f"bytes of {key}"
        put = store("put", key=key, text=body)["object"]
        assert bucket.read(f"{root}/{key}").decode() == body
        found = store("get", key=key)
        assert (found["text"], found["object"]["etag"]) == (body, put["etag"])
        head = store("head", key=key)["object"]
        assert (head["size"], head["etag"]) == (len(body.encode()), put["etag"])
        assert abs(head["modifiedUs"] / 1e6 - time.time()) < 60
    listed = [each["key"] for each in store("list")["objects"]]
    assert listed == sorted(AWKWARD, key=lambda key: key.encode())
    bucket.write(f"{root}/theirs+ours", b"theirs")
    assert store("get", key="theirs+ours")["text"] == "theirs"
    for key in AWKWARD[:3]:
        store("delete", key=key)
        store("delete", key=key)
        with pytest.raises(StoreFault) as gone:
            store("head", key=key)
        assert gone.value.case == "notFound"


def test_ranges(bucket, probes):
    store = probes(bucket.settings())
    store("put", key="ten", text="0123456789")
    for first, last, expected in [(0, 1, "0"), (3, 7, "3456"), (9, 100, "9"), (0, None, "0123456789"), (4, 4, "")]:
        assert store("get", key="ten", **{"from": first} | ({"to": last} if last is not None else {}))["text"] == expected
    with pytest.raises(StoreFault) as outside:
        store("get", key="ten", **{"from": 10, "to": 11})
    assert outside.value.text == "rangeNotSatisfiable(size: 10)"
    store("put", key="empty", text="")
    assert store("get", key="empty")["text"] == ""
    with pytest.raises(StoreFault) as missing:
        store("get", key="none")
    assert missing.value.case == "notFound"


def test_media_types_are_kept(bucket, probes):
    settings = bucket.settings()
    store = probes(settings)
    for key, kind in [("audio_seg_0001.m4s", "audio/mp4"), ("seg_0001.m4s", "video/mp4"), ("manifest.mpd", "application/dash+xml")]:
        store("put", key=key, text="x")
        found, _ = bucket.look(f"{settings['root']}/{key}")
        assert found == kind or bucket.folder, "rclone derives the type from the file"


def test_listing_in_pages(rgw, rclone_s3, oss, probes):
    for bucket, count in ((rgw, 1_100), (rclone_s3, 30), (oss, 1_100)):
        settings = bucket.settings()
        store = probes(settings)
        client = bucket.client()
        names = [f"day/seg_{number:04}.m4s" for number in range(count)]
        for name in names:
            key = f"{settings['root']}/{name}"
            client.put_object(key, b"x") if bucket is oss else client.put_object(Bucket=bucket.name, Key=key, Body=b"x")
        store("put", key="other", text="x")
        assert [each["key"] for each in store("list", prefix="day/", limit=5_000)["objects"]] == names
        paged, after = [], None
        while True:
            page = store("list", prefix="day/", limit=-(-count // 3) - 7, **({"after": after} if after else {}))
            paged += [each["key"] for each in page["objects"]]
            after = page.get("continuation")
            if not after:
                break
        assert paged == names
        assert store("list", prefix="day/seg_0001")["objects"][0]["size"] == 1
        store("deleteAll", keys=[*names, "never/was"])
        assert [each["key"] for each in store("list")["objects"]] == ["other"]


def test_conditions_are_judged_by_ceph(rgw, probes):
    store, other = (probes(rgw.settings(root="conditions")) for _ in range(2))
    assert store("conditions")["flag"] is True
    first = store("put", key="claim", text="mine", ifAbsent=True)["object"]
    with pytest.raises(StoreFault) as taken:
        other("put", key="claim", text="yours", ifAbsent=True)
    assert taken.value.case == "exists"
    second = other("put", key="claim", text="newer", tag=first["etag"])["object"]
    with pytest.raises(StoreFault) as changed:
        store("put", key="claim", text="lost", tag=first["etag"])
    assert changed.value.case == "preconditionFailed"
    assert store("get", key="claim")["object"]["etag"] == second["etag"]
    assert [each["key"] for each in store("list")["objects"]] == ["claim"], "the probe is cleared away"


def test_conditions_without_support_are_looked_at_before(rclone_s3, probes):
    store = probes(rclone_s3.settings())
    assert store("conditions")["flag"] is False
    first = store("put", key="claim", text="mine", ifAbsent=True)["object"]
    with pytest.raises(StoreFault) as taken:
        store("put", key="claim", text="yours", ifAbsent=True)
    assert taken.value.case == "exists"
    store("put", key="claim", text="newer", tag=first["etag"])
    with pytest.raises(StoreFault) as changed:
        store("put", key="claim", text="lost", tag=first["etag"])
    assert changed.value.case == "preconditionFailed"
    assert store("get", key="claim")["text"] == "newer"


def test_files_go_in_one_piece_or_in_parts(bucket, probes, tmp_path):
    settings = bucket.settings()
    store = probes(settings)
    for name, size in (("segment", 1_250_000), ("long", 40 << 20)):
        source, back = tmp_path / name, tmp_path / f"{name}.back"
        source.write_bytes(random.Random(size).randbytes(size))
        put = store("putFile", key=name, file=str(source), contentType="video/mp4")["object"]
        assert put["size"] == size and ("-3" in put["etag"]) == (name == "long" and not bucket.folder)
        assert bucket.look(f"{settings['root']}/{name}")[1] == size
        part = store("get", key=name, **{"from": size - 1_000})
        assert part["count"] == 1_000
        store("get", key=name, file=str(back))
        assert hashlib.sha256(back.read_bytes()).digest() == hashlib.sha256(source.read_bytes()).digest()


def test_a_long_file_takes_little_memory(rgw, probes, tmp_path):
    source = tmp_path / "long"
    source.write_bytes(bytes(64 << 20))
    store = probes(rgw.settings())
    before = store.peak_bytes
    store("putFile", key="long", file=str(source))
    assert store.peak_bytes - before < 12 << 20


def test_leftover_uploads_are_given_up(rgw, probes):
    settings = rgw.settings()
    store, boto = probes(settings), rgw.client()
    mine = boto.create_multipart_upload(Bucket=rgw.name, Key=f"{settings['root']}/left over+")
    boto.upload_part(Bucket=rgw.name, Key=mine["Key"], UploadId=mine["UploadId"], PartNumber=1, Body=b"x" * 100)
    foreign = boto.create_multipart_upload(Bucket=rgw.name, Key="elsewhere/left over")
    assert store("sweep")["count"] == 1
    left = [each["Key"] for each in boto.list_multipart_uploads(Bucket=rgw.name).get("Uploads", [])]
    assert left == ["elsewhere/left over"]
    boto.abort_multipart_upload(Bucket=rgw.name, Key=foreign["Key"], UploadId=foreign["UploadId"])


def test_presigned_addresses(bucket, probes):
    store = probes(bucket.settings())
    for key in AWKWARD:
        store("put", key=key, text="presigned")
        assert fetched(store("presign", key=key)["text"]) == (200, b"presigned"), key
    assert fetched(store("presign", key="new one+", method="PUT")["text"], "PUT", b"by put")[0] == 200
    assert store("get", key="new one+")["text"] == "by put"
    address = store("presign", key=AWKWARD[0])["text"]
    assert fetched(address.replace("seg_0001", "seg_0002"))[0] == 403, "an address is good for its object only"
    old = fetched(store("presign", key=AWKWARD[0], seconds=60, agoSeconds=120)["text"])[0]
    assert old == (400 if bucket.folder else 403)


def test_wrong_keys_are_refused_at_once(bucket, probes):
    for wrong in ({"secret": "wrong"}, {"accessKey": "NOBODY"}):
        store = probes(bucket.settings(**wrong))
        begun = time.monotonic()
        for op in ({"op": "ping"}, {"op": "put", "key": "a", "text": "b"}, {"op": "get", "key": "a"}):
            with pytest.raises(StoreFault) as refused:
                store(**op)
            assert refused.value.case == "denied"
            assert "wrong" not in refused.value.text and "SKTEST" not in refused.value.text
        assert time.monotonic() - begun < 3, "no use in trying again"


def test_a_bucket_that_is_not_there(rgw, probes):
    store = probes(rgw.settings(bucket="nowhere-to-be-found"))
    with pytest.raises(StoreFault) as refused:
        store("ping")
    assert refused.value.case == "denied" and "no such bucket" in refused.value.text


def test_virtual_host_style(rgw, probes):
    endpoint = rgw.endpoint.replace("127.0.0.1", "s3.localhost")
    store = probes(rgw.settings(root="hosts", endpoint=endpoint, virtualHost=True))
    store("put", key="a b+c", text="by host")
    assert probes(rgw.settings(root="hosts"))("get", key="a b+c")["text"] == "by host"
    assert f"//{rgw.name}.s3.localhost:" in store("presign", key="a b+c")["text"]
    assert [each["key"] for each in store("list")["objects"]] == ["a b+c"]


def test_temporary_credentials(rgw, probes):
    given = rgw.client("sts").assume_role(
        RoleArn="arn:aws:iam:::role/rec", RoleSessionName="test", DurationSeconds=900)["Credentials"]
    keys = {"accessKey": given["AccessKeyId"], "secret": given["SecretAccessKey"]}
    store = probes(rgw.settings(token=given["SessionToken"], **keys))
    store("put", key="with token", text="x")
    assert fetched(store("presign", key="with token")["text"]) == (200, b"x")
    for token in ("", "not" + given["SessionToken"]):
        with pytest.raises(StoreFault) as refused:
            probes(rgw.settings(token=token, **keys))("ping")
        assert refused.value.case == "denied" and given["SessionToken"] not in refused.value.text


def test_credentials_from_the_environment_and_from_files(rgw, probes, tmp_path):
    nothing = rgw.settings(accessKey="", secret="", root="found")
    environment = {"AWS_ACCESS_KEY_ID": "AKTEST", "AWS_SECRET_ACCESS_KEY": "SKTEST", "AWS_EC2_METADATA_DISABLED": "true"}
    probes(nothing, environment)("ping")
    (tmp_path / "credentials").write_text("[other]\naws_access_key_id = AKTEST\naws_secret_access_key = SKTEST\n")
    files = {"AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"), "AWS_EC2_METADATA_DISABLED": "true"}
    probes(nothing, files | {"AWS_PROFILE": "other"})("ping")
    for hopeless in (probes(nothing, files), probes(nothing | {"disableConfigLoad": True}, environment)):
        with pytest.raises(StoreFault) as refused:
            hopeless("ping")
        assert refused.value.case == "denied" and "no credentials" in refused.value.text


def test_a_server_that_is_not_there(probes, rgw):
    store = probes(rgw.settings(endpoint="http://127.0.0.1:1"))
    with pytest.raises(StoreFault) as away:
        store("head", key="a")
    assert away.value.case == "unavailable"
