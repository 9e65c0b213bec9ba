"""Two people, PostgreSQL and an S3 store: docs/team.md, typed line by line."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from support import object_store, postgres, processes, serving, tracking_server
from support.cleaning import photograph, write
from support.lifecycle_store import environment, free_port
from support.object_store import ObjectStore
from support.pipeline import ALL, NOT_PEOPLE, Workspace
from support.postgres import Postgres
from support.repository import REPOSITORY

pytestmark = pytest.mark.slow(minutes=5)

GUIDE = (REPOSITORY / "docs/team.md").read_text(encoding="utf-8")
ADMIN = {"MLFLOW_TRACKING_USERNAME": "admin", "MLFLOW_TRACKING_PASSWORD": "password of the admin"}


def blocks(heading: str, kind: str = "sh") -> list[str]:
    """What stands to be typed under a heading of the guide."""
    section = GUIDE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    code_blocks = re.findall(rf"^```{kind}\n(.*?)^```", section, re.M | re.S)
    assert code_blocks, heading
    return code_blocks


@dataclass(frozen=True)
class Servers:
    """The team's servers, and the folder that all of it lies in."""

    folder: Path
    port: int
    database: Postgres
    store: ObjectStore

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def here(self, text: str) -> str:
        """What the guide says, with the places of this test."""
        for there, place in {
            "http://tracking.example:5000": self.address,
            "tracking.example:5000": f"127.0.0.1:{self.port}",
            "--host 0.0.0.0 --port 5000": f"--workers 1 --port {self.port}",
            "mlflow@db.example": f"postgres@127.0.0.1:{self.database.port}",
            "https://s3.example": self.store.address,
            "https://git.example/": f"{self.folder}/",
        }.items():
            text = text.replace(there, place)
        return text

    @property
    def surroundings(self) -> dict[str, str]:
        path = os.pathsep.join([str(self.database.programs), environment()["PATH"]])
        reach = {"PGHOST": "127.0.0.1", "PGPORT": str(self.database.port), "PGUSER": "postgres"}
        keys = {**self.store.surroundings, "AWS_ENDPOINT_URL": self.store.address}
        return environment(**keys, **reach) | {"PATH": path}


@contextmanager
def running(servers: Servers) -> Iterator[None]:
    """MLflow's server, started as the guide says."""
    (settings,) = blocks("The servers", "ini")
    (servers.folder / "auth.ini").write_text(servers.here(settings))
    secrets = {
        "MLFLOW_AUTH_CONFIG_PATH": str(servers.folder / "auth.ini"),
        "MLFLOW_AUTH_ADMIN_PASSWORD": ADMIN["MLFLOW_TRACKING_PASSWORD"],
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "a key of this test",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    (lines,) = blocks("The servers")
    with (servers.folder / "server.log").open("w") as log:
        server = processes.start(
            ["bash", "-ec", servers.here(lines)],
            cwd=servers.folder,
            env={**servers.surroundings, **secrets},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    folder = tmp_path_factory.mktemp("team")
    with ExitStack() as stack:
        database = stack.enter_context(postgres.serving())
        buckets = ("models", "pictures", "models-restored")
        store = stack.enter_context(object_store.serving(folder / "weed", *buckets))
        team = Servers(folder, free_port(), database, store)
        stack.enter_context(running(team))
        yield team


class Person(Workspace):
    """A person's clone, and what they have typed into their shell."""

    @classmethod
    def at(cls, path: Path, servers: Servers) -> Person:
        person = cls.__new__(cls)
        person.path, person.servers, person.outputs = path, servers, {}
        person.surroundings = dict(servers.store.surroundings)
        return person

    def type(self, lines: str) -> None:
        """Type lines of the guide; what each said is kept by its line."""
        for line in self.servers.here(lines).splitlines():
            if line.startswith("export "):
                words = re.findall(r'(\w+)=(?:"([^"]*)"|(\S+))', line)
                self.surroundings |= {name: quoted or plain for name, quoted, plain in words}
            else:
                done = self.run("bash", "-ec", line, **self.surroundings)
                self.outputs[line] = done.stdout + done.stderr

    def whoswho(self, *words: str, code: int = 0) -> str:
        done = self.run("whoswho", *words, code=code, **self.surroundings)
        assert "Traceback" not in done.stderr
        return done.stdout + done.stderr


def make_repro() -> str:
    """The lines of `make repro`, but its installing, which is this test's environment."""
    rule = (REPOSITORY / "Makefile").read_text().partition("\nrepro:")[2].partition("\n\n")[0]
    return re.sub(r" \$\(\w+\)", "", "\n".join(re.findall(r"^\t@(.*)", rule, re.M)))


@pytest.fixture(scope="module")
def ann(servers: Servers) -> Person:
    """Ann, after all that stands under her heading."""
    space = Workspace(servers.folder / "ann", **NOT_PEOPLE, project={"name": "faces"})
    for number in range(24):
        label = "Ann" if number % 2 else "Bob"
        write(space.path / "people" / label / f"{number}.png", photograph(number))
    with (space.path / ".gitignore").open("a") as ignored:
        ignored.write("/people/\n")
    hub = servers.folder / "faces.git"
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", hub], check=True)
    space.run("git", "init", "-q", "-b", "main")
    identify(space)
    space.run("git", "remote", "add", "origin", hub)
    space.run("git", "config", "push.autoSetupRemote", "true")
    person = Person.at(space.path, servers)
    (accounts,) = blocks("Who may do what", "python")
    tracking_server.wait(f"{servers.address}/health")
    done = subprocess.run(
        [sys.executable, "-c", servers.here(accounts)],
        env=environment(MLFLOW_TRACKING_URI=servers.address, **ADMIN),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    tracking_server.answer(
        servers.address, ADMIN["MLFLOW_TRACKING_USERNAME"], ADMIN["MLFLOW_TRACKING_PASSWORD"]
    )
    (lines,) = blocks("Ann sets out")
    person.type(lines)
    return person


def identify(space: Workspace) -> None:
    for name, value in (("user.name", space.path.name), ("user.email", "t@t.invalid")):
        space.run("git", "config", name, value)


@pytest.fixture(scope="module")
def bob(ann: Person, servers: Servers) -> Person:
    """Bob, after all that stands under his heading."""
    (lines,) = blocks("Bob joins")[:1]
    clone, rest = lines.split("\n", 1)
    there = servers.folder / "of bob"
    there.mkdir()
    subprocess.run(["bash", "-ec", servers.here(clone)], cwd=there, check=True)
    person = Person.at(there / "faces", servers)
    identify(person)
    assert "make repro" in rest
    person.type(rest.replace("make repro", make_repro()))
    return person


def test_a_colleagues_first_command_computes_nothing(ann: Person, bob: Person) -> None:
    assert ann.ran(ann.outputs["dvc repro"])
    assert (
        f"check: runs go to {ann.servers.address}, experiment faces"
        in ann.outputs["whoswho check"]
    )
    first = bob.outputs["dvc repro"]
    assert bob.ran(first) == ["register"], first
    for stage in set(ALL) - {"register"}:
        assert f"Stage '{stage}' didn't change, skipping" in first, first
    assert "version 1 of faces, registered again" in first


def test_both_see_both_runs_and_models(ann: Person, bob: Person) -> None:
    code = (
        "from whoswho import cli\nfrom whoswho.lifecycle.tracking.store import open_store\n"
        "cli.main(['models'])\nprint('---')\n"
        "for run in open_store().runs():\n"
        "    print(run.info.status, run.info.run_name, run.data.tags['mlflow.user'])"
    )
    outputs = [person.python(code, **person.surroundings).split("---\n") for person in (ann, bob)]
    tables, runs = zip(*outputs, strict=True)
    assert tables[0] == tables[1]
    assert [line.split()[0] for line in tables[0].splitlines()[1:3]] == ["2", "1"]
    assert list(runs) == ["FINISHED epochs=3 (longer) faces\nFINISHED first ann\n"] * 2


def test_one_promotes_and_the_other_predicts_and_serves(ann: Person, bob: Person) -> None:
    assert (
        "version 2 is the champion" in bob.outputs['whoswho promote --force --why "the first one"']
    )
    predict, serve = blocks("Bob joins")[1].splitlines()
    ann.type(predict)
    assert (
        len(re.findall(r"^people/\w+/\d+\.png +(?:Ann|Bob|unknown)", ann.outputs[predict], re.M))
        == 24
    )
    port = free_port()
    command = [*serve.split(), "--port", str(port)]
    picture = (ann.path / "people/Ann/1.png").read_bytes()
    with serving.serving(command, port, ann.path, **ann.surroundings) as address:
        sent = Request(f"{address}/predict", picture, {"Content-Type": "image/png"})
        with urlopen(sent, timeout=60) as answer:
            prediction = json.load(answer)
    assert set(prediction["probabilities"]) == {"Ann", "Bob"}


def test_who_may_read_may_not_promote(bob: Person, servers: Servers) -> None:
    eve = Person.at(bob.path, servers)
    eve.surroundings = bob.surroundings | {
        "MLFLOW_TRACKING_USERNAME": "eve",
        "MLFLOW_TRACKING_PASSWORD": "first password of eve",
    }
    output = eve.whoswho("promote", "1", "--force", "--why", "mine", code=2)
    assert output.splitlines()[-1] == (
        f"whoswho: tracking store {servers.address}: it does not let you do this (403); whoever "
        "runs it gives the right (docs/team.md)"
    )
    champion = next(line for line in eve.whoswho("models").splitlines() if "champion" in line)
    assert champion.split()[0] == "2"
    eve.surroundings["MLFLOW_TRACKING_PASSWORD"] = "first password of bob"
    assert "refuses these credentials (401)" in eve.whoswho("check", code=2)


def test_a_typing_error_in_the_servers_name_stops_the_check(bob: Person) -> None:
    wrong = bob.surroundings | {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{free_port()}"}
    err = bob.run("whoswho", "check", code=2, **wrong).stderr
    assert err.count("\n") == 1
    assert "to train all the same, untracked: dvc repro" in err


def test_a_backup_brings_back_every_run_and_every_file(bob: Person, servers: Servers) -> None:
    from mlflow import MlflowClient

    folder = servers.folder / "backup of all"
    folder.mkdir()
    for lines in blocks("Backups"):
        subprocess.run(
            ["bash", "-ec", servers.here(lines)],
            cwd=folder, env=servers.surroundings, check=True,
        )  # fmt: skip
    stored = []
    for name in ("mlflow", "mlflow_restored"):
        client = MlflowClient(servers.database.uri(name))
        experiment = client.get_experiment_by_name("faces")
        stored.append(
            (
                sorted(run.info.run_id for run in client.search_runs([experiment.experiment_id])),
                sorted(version.source for version in client.search_model_versions()),
                client.get_registered_model("faces").aliases,
            )
        )
    assert stored[0] == stored[1]
    assert [len(part) for part in stored[0]] == [2, 2, 2]
    kept = []
    for bucket in ("models", "models-restored"):
        listed = object_store.client(servers.store).list_objects_v2(Bucket=bucket)["Contents"]
        kept.append([(each["Key"], each["Size"]) for each in listed])
    assert kept[0] == kept[1]
    assert any(name.endswith("weights.safetensors") for name, _ in kept[0])
