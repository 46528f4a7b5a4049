"""Object stores on loopback, each started once for a run and ended by its process id: Ceph's gateway, `rclone serve s3`, and one that
verifies by Alibaba's own library what is sent to OSS."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import boto3
import botocore.config
import oss2
import pytest

from programs import BINARIES, ROOT, Program, eventually, free_port

RGW_SECONDS = 90
_roots = itertools.count(1)


@dataclasses.dataclass(frozen=True)
class Bucket:
    """A bucket and who may use it."""

    endpoint: str
    access_key: str
    secret_key: str
    name: str = "recordings"
    region: str = "us-east-1"
    folder: pathlib.Path | None = None  # where the objects are files

    def client(self, service: str = "s3", session: dict | None = None):
        """boto3's client: the other opinion on what is in the bucket. `session`: temporary credentials, as STS gave them."""
        config = botocore.config.Config(
            s3={"addressing_style": "path"}, retries={"max_attempts": 3}, request_checksum_calculation="when_required",
            response_checksum_validation="when_required", proxies={},
            # A session of seconds is for this store to refuse, not for boto3.
            parameter_validation=service != "sts")
        keys = session or {"AccessKeyId": self.access_key, "SecretAccessKey": self.secret_key}
        return boto3.client(
            service, endpoint_url=self.endpoint, aws_access_key_id=keys["AccessKeyId"], aws_secret_access_key=keys["SecretAccessKey"],
            aws_session_token=keys.get("SessionToken"), region_name=self.region, config=config)

    def read(self, key: str) -> bytes:
        return self.client().get_object(Bucket=self.name, Key=key)["Body"].read()

    def write(self, key: str, body: bytes) -> None:
        self.client().put_object(Bucket=self.name, Key=key, Body=body)

    def look(self, key: str) -> tuple[str, int]:
        """Media type and length."""
        found = self.client().head_object(Bucket=self.name, Key=key)
        return found["ContentType"], found["ContentLength"]

    def settings(self, **more) -> dict:
        """For a probe: `[recorder.storage]` by other names. A root of its own unless one is given."""
        return {"type": "s3", "bucket": self.name, "endpoint": self.endpoint, "accessKey": self.access_key, "secret": self.secret_key,
                "region": self.region, "root": f"root-{next(_roots)}"} | more

    def environment(self, prefix: str, root: str) -> dict[str, str]:
        """For a program: the same as environment variables; `prefix` is EDGE or COORDINATOR."""
        keys = {"TYPE": "s3", "BUCKET": self.name, "ENDPOINT": self.endpoint, "ACCESS_KEY_ID": self.access_key,
                "SECRET_ACCESS_KEY": self.secret_key, "REGION": self.region, "ROOT": root}
        return {f"{prefix}_RECORDER_STORAGE_{key}": value for key, value in keys.items()}


@dataclasses.dataclass(frozen=True)
class OSSBucket:
    """A bucket that speaks OSS's protocol, and the file that says how it behaves."""

    endpoint: str
    file: pathlib.Path
    name: str = "recordings"
    folder: pathlib.Path | None = None

    def client(self) -> oss2.Bucket:
        """Alibaba's client. Its CRC is Python and takes seconds."""
        return oss2.Bucket(oss2.AuthV4("AKTEST", "SKTEST"), self.endpoint, self.name, region="cn-hangzhou", enable_crc=False)

    def read(self, key: str) -> bytes:
        return self.client().get_object(key).read()

    def write(self, key: str, body: bytes) -> None:
        self.client().put_object(key, body)

    def look(self, key: str) -> tuple[str, int]:
        found = self.client().head_object(key)
        return found.content_type, found.content_length

    def keys(self, prefix: str) -> set[str]:
        return {each.key.removeprefix(prefix) for each in oss2.ObjectIteratorV2(self.client(), prefix=prefix)}

    def behave(self, **settings) -> None:
        """From now on; what is not named is as it was at the start."""
        fresh = self.file.with_suffix(".new")
        fresh.write_text(json.dumps(settings))
        fresh.replace(self.file)

    def at(self, host: str) -> str:
        """The endpoint by another name."""
        return self.endpoint.replace("127.0.0.1", host)

    def settings(self, **more) -> dict:
        return {"type": "oss", "bucket": self.name, "endpoint": self.endpoint, "accessKey": "AKTEST", "secret": "SKTEST",
                "region": "oss-cn-hangzhou", "root": f"root-{next(_roots)}"} | more

    def environment(self, prefix: str, root: str) -> dict[str, str]:
        keys = {"TYPE": "oss", "BUCKET": self.name, "ENDPOINT": self.endpoint, "ACCESS_KEY_ID": "AKTEST",
                "ACCESS_KEY_SECRET": "SKTEST", "REGION": "oss-cn-hangzhou", "ROOT": root}
        return {f"{prefix}_RECORDER_STORAGE_{key}": value for key, value in keys.items()}


class OSSServer(Program):
    """oss_server.py."""

    def __init__(self, folder: pathlib.Path):
        self.port = free_port()
        objects, self.file = folder / "objects", folder / "oss.json"
        objects.mkdir()
        self.file.write_text("{}")
        super().__init__("oss", [
            sys.executable, str(ROOT / "Tests/Interop/oss_server.py"), str(self.port), str(objects), str(self.file)], folder)

    def start(self) -> None:
        super().start()
        eventually("the store listens", self._is_listening)

    def _is_listening(self) -> bool:
        assert self.is_running, f"the store ended while starting:\n{self.tail()}"
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    @property
    def bucket(self) -> OSSBucket:
        return OSSBucket(f"http://127.0.0.1:{self.port}", self.file)


class Rgw(Program):
    """Ceph's object gateway with a monitor and an OSD in memory; see rgw.sh."""

    def __init__(self, folder: pathlib.Path):
        self.port = free_port()
        monitor = free_port()
        super().__init__("rgw", [str(ROOT / "Tests/Interop/rgw.sh"), str(folder / "rgw"), str(self.port), str(monitor)], folder)

    def start(self) -> None:
        with self.log.open("ab") as log:
            # Its stdin is what it lives by, so that it ends with us whatever ends us.
            self.process = subprocess.Popen(
                self.arguments, cwd=self.folder, env=self.environment, stdin=subprocess.PIPE, stdout=log, stderr=log)
        eventually("the gateway ready", self._is_ready, RGW_SECONDS, every=0.2)

    def end(self) -> None:
        if self.process and self.process.stdin:
            self.process.stdin.close()
        if self.process:
            self.process.wait(20)

    def _is_ready(self) -> bool:
        assert self.is_running, f"the gateway ended while starting:\n{self.tail()}"
        return "ready" in self.tail(50).splitlines()

    @property
    def bucket(self) -> Bucket:
        return Bucket(f"http://127.0.0.1:{self.port}", "AKTEST", "SKTEST")


class Rclone(Program):
    """`rclone serve s3`: buckets are folders, objects are files."""

    def __init__(self, folder: pathlib.Path):
        self.port = free_port()
        self.folder_served = folder / "rclone"
        (self.folder_served / "recordings").mkdir(parents=True)
        binary = pathlib.Path(sys.executable).parent / "rclone"
        super().__init__("rclone", [
            str(binary), "serve", "s3", "--addr", f"127.0.0.1:{self.port}", "--auth-key", "AKTEST,SKTEST", "--config", "/dev/null",
            "--vfs-cache-mode", "off", str(self.folder_served)], folder)

    def start(self) -> None:
        super().start()
        eventually("rclone listens", self._is_listening)

    def _is_listening(self) -> bool:
        assert self.is_running, f"rclone ended while starting:\n{self.tail()}"
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    @property
    def bucket(self) -> Bucket:
        return Bucket(f"http://127.0.0.1:{self.port}", "AKTEST", "SKTEST", folder=self.folder_served / "recordings")


@pytest.fixture(scope="session")
def rgw(tmp_path_factory) -> Bucket:
    """A bucket in Ceph: judges signatures, conditions, expiry and digests."""
    server = begun_rgw(tmp_path_factory)
    try:
        server.bucket.client().create_bucket(Bucket="recordings")
        yield server.bucket
    finally:
        server.end()


def begun_rgw(folders, tries: int = 3) -> Rgw:
    """Its ports may be taken between being found free and being used, by whatever else runs."""
    server = Rgw(folders.mktemp("rgw"))
    try:
        server.start()
        return server
    except AssertionError:
        server.end()
        if tries == 1:
            raise
    return begun_rgw(folders, tries - 1)


@pytest.fixture(scope="session")
def rclone_s3(tmp_path_factory) -> Bucket:
    """A bucket whose objects are files; it has no conditions and answers ranges with 200."""
    server = Rclone(tmp_path_factory.mktemp("rclone"))
    try:
        server.start()
        yield server.bucket
    finally:
        server.stop()


@pytest.fixture(scope="session")
def oss_server(tmp_path_factory) -> OSSBucket:
    server = OSSServer(tmp_path_factory.mktemp("oss"))
    try:
        server.start()
        yield server.bucket
    finally:
        server.stop()


@pytest.fixture
def oss(oss_server) -> OSSBucket:
    """A bucket of OSS that behaves, whatever a test before has told it."""
    oss_server.behave()
    yield oss_server
    oss_server.behave()


class StoreFault(Exception):
    """What a store of ours threw: the case's name, and all of it as a log would have it."""

    def __init__(self, case: str, text: str):
        super().__init__(f"{case}: {text}")
        self.case, self.text = case, text


class Probe:
    """A store of ours in a process of its own, told what to do line by line."""

    def __init__(self, settings: dict, environment: dict[str, str] | None = None):
        own = ("AWS_", "OSS_", "ALIBABA_")
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(own) and key != "HOME"}
        self.process = subprocess.Popen(
            [str(BINARIES / "StoreProbe")], env=inherited | (environment or {}), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self("open", **settings)

    def __call__(self, op: str, **arguments) -> dict:
        self.process.stdin.write(json.dumps({"op": op} | arguments) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, f"the probe ended during {op}: {self.process.wait()}"
        answer = json.loads(line)
        if "error" in answer:
            raise StoreFault(answer["error"], answer.get("text", ""))
        return answer

    @property
    def peak_bytes(self) -> int:
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith("VmHWM"))

    def close(self) -> None:
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            raise


@pytest.fixture
def probes():
    """Opens stores; all are closed at the end of the test."""
    opened: list[Probe] = []

    def make(settings: dict, environment: dict[str, str] | None = None) -> Probe:
        opened.append(Probe(settings, environment))
        return opened[-1]

    yield make
    for each in opened:
        each.close()


def text_of(document: bytes, name: str) -> str | None:
    """The first element of this local name."""
    return next((each.text for each in ElementTree.fromstring(document).iter() if each.tag.rsplit("}", 1)[-1] == name), None)
