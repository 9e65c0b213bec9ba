"""What DVC has of a picture: outputs computed from it, and objects in its cache and remotes.

DVC stores a file under the MD5 of its bytes (files/md5/ab/cdef…), as often as there are places
and as long as nobody collects it, whatever becomes of the name in data/.
"""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Mapping, Set
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from dvc.repo import Repo

from whoswho import paths
from whoswho.dataset import listing, versions
from whoswho.errors import one_line
from whoswho.takedown.history import Read
from whoswho.timeouts import call_within

REMOTE_S = 20.0  # a remote that takes longer is said not to answer


@dataclass(frozen=True)
class ObjectStore:
    """One store of objects.

    Attributes:
        name: of the remote, empty for the cache.
        objects: MD5 of each object that is there -> its address.
        collect: the command that collects what no file of the workspace uses.
        problem: why there may be more, empty where there is not.
    """

    name: str
    objects: Mapping[str, str]
    collect: str
    problem: str = ""


def derived(repo: Repo, *, spare: Path | None = None) -> list[Path]:
    """Outputs of the stages that read data/, directly or not, the last stage's first.

    `spare` is an output that is known not to be reached; nor is what is computed from it alone.
    """
    root = Path(repo.root_dir)
    reached = {root / paths.DATA}
    outputs: list[Path] = []
    stages = [stage for stage in repo.index.stages if stage.deps]
    while more := [
        stage
        for stage in stages
        if any(_within(Path(dep.fs_path), reached) for dep in stage.deps)
        and not any(spare and Path(out.fs_path) == root / spare for out in stage.outs)
    ]:
        for stage in more:
            stages.remove(stage)
            outs = [Path(out.fs_path) for out in stage.outs]
            reached.update(outs)
            outputs += outs
    return outputs[::-1]


def reader(repo: Repo) -> Read:
    """What reads objects by their names: from the cache, else from the remotes."""
    away = set()

    def read(names: Set[str]) -> dict[str, bytes]:
        contents = {
            name: file.read_bytes()
            for name in names
            if (file := versions.object_path(repo, name)).is_file()
        }
        for remote in sorted(repo.config["remote"]):
            missing = names - contents.keys()
            if missing and remote not in away:
                try:
                    contents |= call_within(REMOTE_S, partial(_fetched, repo, remote, missing))
                except Exception:  # noqa: BLE001 - as below, where it is said
                    away.add(remote)
        return contents

    return read


def by_content(repo: Repo, pictures: Set[str]) -> dict[str, str]:
    """The objects in the cache and in remotes on this disk that are pictures of these sha256: name
    -> sha256. Every one is read, because none says its sha256.
    """
    folders = [Path(repo.cache.local.path)] if pictures else []
    for remote in sorted(repo.config["remote"]) if pictures else ():
        try:
            store = repo.cloud.get_remote_odb(name=remote, command="gc")
        except Exception:  # noqa: BLE001 - as below, where it is said
            continue
        if store.fs.protocol == "local":
            folders.append(Path(store.path))
    return {
        name: sha256 for folder in folders for name, sha256 in _pictures(folder, pictures).items()
    }


def stores(repo: Repo, names: Set[str], *, complete: bool) -> list[ObjectStore]:
    """The cache and the remotes, each with those of the objects called `names` that it has.

    `complete` is whether these are all. The cache and a remote on this disk have no others.
    """
    cached = {
        name: str(file)
        for name in sorted(names)
        if (file := versions.object_path(repo, name)).exists()
    }
    remotes = [_remote(repo, name, names, complete) for name in sorted(repo.config["remote"])]
    return [ObjectStore("", cached, "dvc gc --workspace"), *remotes]


def md5(file: Path) -> str:
    """The name DVC gives to a file's bytes."""
    with file.open("rb") as opened_file:
        return hashlib.file_digest(opened_file, "md5").hexdigest()


def _within(path: Path, reached: Set[Path]) -> bool:
    return path in reached or any(parent in reached for parent in path.parents)


def _fetched(repo: Repo, remote: str, names: Set[str]) -> dict[str, bytes]:
    """What those of the objects hold that a remote has."""
    store = repo.cloud.get_remote_odb(name=remote, command="gc")
    return {
        name: store.fs.cat_file(store.oid_to_path(name))
        for name in store.oids_exist(sorted(names))
    }


def _pictures(folder: Path, pictures: Set[str]) -> dict[str, str]:
    """The objects in a folder of them that are pictures of these sha256: name -> sha256."""
    return {
        file.parent.name + file.name: sha256
        for file in sorted(folder.glob("*/*"))
        if listing.DVC_OBJECT.search(file.as_posix())
        and (sha256 := paths.sha256(file)) in pictures
    }


def _remote(repo: Repo, name: str, names: Set[str], complete: bool) -> ObjectStore:
    def look() -> tuple[dict[str, str], bool]:
        store = repo.cloud.get_remote_odb(name=name, command="gc")
        there = sorted(store.oids_exist(names)) if names else []
        # Clients of servers take every failure for "not there".
        sure = store.fs.protocol == "local" and Path(store.path).parents[1].is_dir()
        return {oid: str(store.oid_to_path(oid)) for oid in there}, sure

    collect = f"dvc gc --workspace --cloud -r {shlex.quote(name)}"
    try:
        there, sure = call_within(REMOTE_S, look)
    except Exception as error:  # noqa: BLE001 - a remote may be of any kind and fail in any way
        return ObjectStore(name, {}, collect, one_line(error))
    problem = ""
    if not complete and not sure:
        problem = "no file tells any more under what name a picture is there"
    elif names and not there and not sure:
        problem = "nothing is seen there, nor would it be where the remote is away"
    return ObjectStore(name, there, collect, problem)
