"""Where a backbone comes from: files of others, broken caches, bad servers, and nothing at all."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import socket
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from support.weights_site import Site
from torchvision import models
from torchvision.models import ResNet18_Weights

from whoswho import paths
from whoswho.artifacts.model.backbone import BackboneSource, load_backbone, save_backbone
from whoswho.backbone import network, weights
from whoswho.backbone.weights import downloads
from whoswho.errors import UserError

ARCH = "resnet18"


@cache
def whole_network() -> models.ResNet:
    torch.manual_seed(5)
    return models.resnet18(weights=None)


@pytest.fixture(scope="module")
def state() -> network.State:
    return dict(whole_network().state_dict())


def fetch(
    choices: list[str], folder: Path, arch: str = ARCH
) -> tuple[network.State, BackboneSource]:
    return weights.fetch(choices, arch, 0, [folder], cache=folder / "cache")


def assert_same_backbone(loaded: network.State, state: network.State) -> None:
    assert set(loaded) == {name for name in state if not name.startswith("fc.")}
    assert all(torch.equal(value, state[name]) for name, value in loaded.items())


# C2: files from elsewhere


def prefixed(state: network.State, prefix: str) -> network.State:
    return {prefix + name: value for name, value in state.items()}


WAYS: dict[str, Callable[[network.State], object]] = {
    "plain": lambda state: state,
    "nested as state_dict": lambda state: {"epoch": 3, "state_dict": state},
    "nested as model": lambda state: {"model": state, "optimizer": {}},
    "wrapped for several processors": lambda state: prefixed(state, "module."),
    "compiled": lambda state: prefixed(state, "_orig_mod."),
    "nested, compiled, wrapped": lambda s: {"state_dict": prefixed(s, "module._orig_mod.")},
    "without its classifier": lambda s: {k: v for k, v in s.items() if not k.startswith("fc.")},
    "with another classifier": lambda s: {**s, "fc.weight": torch.zeros(3, 512)},
    "in half precision": lambda s: {
        k: v.half() if v.is_floating_point() else v for k, v in s.items()
    },
    "without counters": lambda s: {k: v for k, v in s.items() if "num_batches" not in k},
}


@pytest.mark.parametrize("way", WAYS)
def test_weights_load_however_they_were_saved(
    way: str, tmp_path: Path, state: network.State
) -> None:
    torch.save(WAYS[way](state), tmp_path / "mine.pth")
    loaded, source = fetch(["mine.pth"], tmp_path)
    if way == "in half precision":
        state = {k: v.half().float() if v.is_floating_point() else v for k, v in state.items()}
    assert_same_backbone(loaded, state)
    assert all(value.dtype in (torch.float32, torch.int64) for value in loaded.values())
    assert (source.entry, source.origin, source.untrained) == ("mine.pth", "mine.pth", False)


def test_safetensors_and_a_model_of_ours_load(tmp_path: Path, state: network.State) -> None:
    save_file(state, tmp_path / "plain.safetensors")
    assert_same_backbone(fetch(["plain.safetensors"], tmp_path)[0], state)
    ours = {f"backbone.{k}": v for k, v in state.items() if not k.startswith("fc.")}
    save_file({**ours, "head.labels.weight": torch.ones(2, 2)}, tmp_path / "ours.safetensors")
    assert_same_backbone(
        fetch([str(tmp_path / "ours.safetensors")], tmp_path / "elsewhere")[0], state
    )


class Marker:
    """Unpickling this makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("how", ["torch", "torch, old format", "pickle"])
def test_a_pickled_object_is_refused_and_not_run(how: str, nested: bool, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    content = {"state_dict": Marker(marker)} if nested else Marker(marker)
    path = tmp_path / "evil.pth"
    if how == "pickle":
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=how == "torch")
    with pytest.raises(
        UserError, match=r"evil\.pth.*pickled object.*torch\.save\(model\.state_dict"
    ):
        fetch(["evil.pth", "random"], tmp_path)
    assert not marker.exists()


def test_a_whole_pickled_network_is_refused(tmp_path: Path) -> None:
    torch.save(whole_network(), tmp_path / "whole.pth")
    with pytest.raises(UserError, match=r"ResNet.*torch\.save\(model\.state_dict\(\)"):
        fetch(["whole.pth"], tmp_path)


@pytest.mark.parametrize(
    ("arch", "layer"),
    [
        ("resnet50", r"layer1\.0\.conv1 "),
        ("resnet34", r"layer1\.2\.conv1 "),
        ("resnext50_32x4d", "layer1"),
    ],
)
def test_another_architecture_is_named_by_its_first_differing_layer(
    arch: str, layer: str, tmp_path: Path, state: network.State
) -> None:
    torch.save(state, tmp_path / "small.pth")
    with pytest.raises(
        UserError, match=rf"small\.pth: not weights of a {arch}.*differs is {layer}"
    ):
        fetch(["small.pth", "random"], tmp_path, arch)


def test_a_deeper_network_is_named_by_its_first_surplus_layer(tmp_path: Path) -> None:
    torch.save(models.resnet34(weights=None).state_dict(), tmp_path / "deeper.pth")
    with pytest.raises(
        UserError,
        match=r"layer1\.2\.conv1 \(weight is 64x64x3x3 in the file, absent in a resnet18\)",
    ):
        fetch(["deeper.pth"], tmp_path)


@pytest.mark.parametrize("name", ["half.pth", "half.safetensors", "text.pth", "empty.pth"])
def test_a_damaged_file_is_named(name: str, tmp_path: Path, state: network.State) -> None:
    path = tmp_path / name
    if name.endswith(".safetensors"):
        save_file(state, path)
    else:
        torch.save(state, path)
    whole = path.read_bytes()
    path.write_bytes(
        {"half": whole[: len(whole) // 2], "text": b"<html>", "empty": b""}[path.stem]
    )
    with pytest.raises(UserError, match=f"{name}.*(damaged|no weights)"):
        fetch([name, "random"], tmp_path)


def test_numbers_that_are_not_finite_are_refused(tmp_path: Path, state: network.State) -> None:
    bad = {**state, "layer2.0.conv1.weight": torch.full((128, 64, 3, 3), torch.nan)}
    torch.save(bad, tmp_path / "nan.pth")
    with pytest.raises(UserError, match=r"layer2\.0\.conv1\.weight.*not finite"):
        fetch(["nan.pth"], tmp_path)


# The list


def test_random_is_the_same_bytes_for_the_same_seed_and_moves_no_other_generator(
    tmp_path: Path,
) -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    _, first = weights.fetch(["random"], ARCH, 4, [tmp_path])
    assert torch.equal(torch.rand(3), expected)
    _, again = weights.fetch(["random"], ARCH, 4, [tmp_path])
    _, other = weights.fetch(["random"], ARCH, 5, [tmp_path])
    assert first.sha256 == again.sha256 != other.sha256
    assert first.untrained
    assert "untrained (random weights)" in first.sentence()


def test_a_path_that_is_not_there_is_passed_over_aloud(tmp_path: Path) -> None:
    _, source = fetch(["absent.pth", "random"], tmp_path)
    assert source.entry == "random"
    assert [(p.entry, p.why) for p in source.passed_over] == [("absent.pth", "not there")]
    assert f"absent.pth passed over: {tmp_path / 'absent.pth'} is not there" in source.sentence()
    assert source.model_dump(mode="json")["passed_over"] == [
        {"entry": "absent.pth", "why": "not there"}
    ]


def test_a_path_is_found_in_the_first_folder_that_has_it(
    tmp_path: Path, state: network.State
) -> None:
    (tmp_path / "copy").mkdir()
    torch.save(state, tmp_path / "mine.pth")
    loaded, _ = weights.fetch(["mine.pth"], ARCH, 0, [tmp_path / "copy", tmp_path])
    assert_same_backbone(loaded, state)


def test_a_misspelt_name_stops_also_where_a_later_entry_could_be_had(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"'IMAGENET1K_V2' is not.*resnet18 \(IMAGENET1K_V1, DEFAULT"
    ):
        fetch(["random", "IMAGENET1K_V2"], tmp_path)


def test_nothing_on_the_list_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"absent\.pth is not there.*add random to the list"):
        fetch(["absent.pth"], tmp_path)


def test_an_unknown_architecture_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"'resnet5' is not a classifier.*resnet50"):
        fetch(["random"], tmp_path, "resnet5")


def test_stored_weights_come_back_and_damage_is_noticed(tmp_path: Path) -> None:
    state, source = fetch(["absent.pth", "random"], tmp_path)
    with paths.fresh_folder(tmp_path / "backbone") as out:
        save_backbone(out, state, source)
    loaded, stored = load_backbone(tmp_path / "backbone")
    assert all(torch.equal(loaded[name], value) for name, value in state.items())
    assert (
        stored.model_dump(mode="json")
        == source.model_dump(mode="json")
        == json.loads((tmp_path / "backbone" / "source.json").read_text())
    )
    assert "fc.weight" not in load_file(tmp_path / "backbone" / "weights.safetensors")
    file = tmp_path / "backbone" / "weights.safetensors"
    file.write_bytes(file.read_bytes()[:-4] + b"\1\2\3\4")
    with pytest.raises(UserError, match=r"weights\.safetensors: absent or not the file"):
        load_backbone(tmp_path / "backbone")


def test_a_source_of_another_version_is_told(tmp_path: Path) -> None:
    (tmp_path / "source.json").write_text('{"arch": "resnet18", "random": true}')
    with pytest.raises(UserError, match=r"source\.json: not as this version writes it \(.*; run"):
        load_backbone(tmp_path)


# C3: the cache and the network


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory, state: network.State) -> bytes:
    path = tmp_path_factory.mktemp("published") / "file.pth"
    torch.save(state, path)
    return path.read_bytes()


@pytest.fixture
def site(content: bytes, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    site = Site(content, f"resnet18-{hashlib.sha256(content).hexdigest()[:8]}.pth")
    monkeypatch.setattr(ResNet18_Weights.IMAGENET1K_V1.value, "url", site.url)
    monkeypatch.setattr(downloads, "ANSWER_TIMEOUT", 2.0)
    yield site
    site.server.shutdown()
    site.server.server_close()


NAME = "IMAGENET1K_V1"


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*")) if folder.exists() else []


@pytest.mark.parametrize("name", [NAME, "DEFAULT"])
def test_published_weights_are_fetched_once_then_taken_from_the_cache(
    name: str, site: Site, tmp_path: Path, state: network.State, capfd: pytest.CaptureFixture[str]
) -> None:
    loaded, source = fetch([name, "random"], tmp_path)
    assert_same_backbone(loaded, state)
    assert source.entry == name
    assert source.origin == site.url
    assert source.passed_over == ()
    assert files(tmp_path / "cache") == [site.name]
    before = site.request_count
    again, _ = fetch([name, "random"], tmp_path)
    assert_same_backbone(again, state)
    assert site.request_count == before
    assert capfd.readouterr() == ("", "")


BAD = {
    "403": "answered 403",
    "page": "web page instead",
    "half": "not whole",
    "other bytes": "not whole",
    "silent": "no answer",
    "stalls": "fell silent",
}


@pytest.mark.parametrize("manner", BAD)
def test_a_bad_answer_leaves_nothing_and_the_next_entry_is_taken_aloud(
    manner: str, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.manner = manner
    monkeypatch.setattr(downloads, "READ_TIMEOUT", 0.5)
    _, source = fetch([NAME, "random"], tmp_path)
    assert source.entry == "random"
    assert [(p.entry, p.why) for p in source.passed_over] == [(NAME, "could not be fetched")]
    sentence = source.sentence()
    assert BAD[manner] in sentence
    assert f"curl -LO {site.url}" in sentence
    assert str(tmp_path / "cache" / site.name) in sentence
    assert files(tmp_path / "cache") == []
    with pytest.raises(UserError, match="curl -LO"):
        fetch([NAME], tmp_path)


@pytest.mark.parametrize("manner", ["half", "other bytes"])
def test_a_cut_download_names_expected_and_found_hash(
    manner: str, site: Site, tmp_path: Path
) -> None:
    site.manner = manner
    sent = site.content[: len(site.content) // 2] if manner == "half" else bytes(len(site.content))
    with pytest.raises(UserError) as error:
        fetch([NAME], tmp_path)
    assert f"begin {hashlib.sha256(site.content).hexdigest()[:8]}" in str(error.value)
    assert hashlib.sha256(sent).hexdigest() in str(error.value)


@pytest.mark.parametrize("damage", ["zeros", "half", "empty"])
def test_a_damaged_cached_file_is_never_used(
    damage: str, site: Site, tmp_path: Path, state: network.State
) -> None:
    cached = tmp_path / "cache" / site.name
    cached.parent.mkdir()
    size = len(site.content)
    broken = {"zeros": bytes(size), "half": site.content[: size // 2], "empty": b""}[damage]
    cached.write_bytes(broken)
    site.manner = "403"
    with pytest.raises(UserError) as error:
        fetch([NAME], tmp_path)
    message = str(error.value)
    assert f"{cached} is damaged" in message
    assert f"begin {site.name[9:17]} and is {hashlib.sha256(broken).hexdigest()}" in message
    assert f"curl -LO {site.url}" in message
    _, source = fetch([NAME, "random"], tmp_path)
    assert source.untrained
    assert source.passed_over[0].why == "damaged in the cache"
    assert "is damaged" in source.sentence()
    # With the network back the file is replaced.
    site.manner = "whole"
    loaded, source = fetch([NAME, "random"], tmp_path)
    assert_same_backbone(loaded, state)
    assert cached.read_bytes() == site.content
    assert files(tmp_path / "cache") == [site.name]


def test_a_slow_download_goes_on_while_bytes_arrive(
    site: Site, tmp_path: Path, state: network.State, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.manner = "slow"  # in all longer than the silence that would end it
    monkeypatch.setattr(downloads, "READ_TIMEOUT", 1.0)
    assert_same_backbone(fetch([NAME], tmp_path)[0], state)
    assert socket.getdefaulttimeout() is None


def test_a_network_that_never_answers_is_waited_for_once(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert downloads.Timeout().left <= 10
    site.manner = "silent"
    monkeypatch.setattr(downloads, "ANSWER_TIMEOUT", 1.0)
    _, source = fetch([NAME, "DEFAULT", "random"], tmp_path)
    assert site.request_count == 1
    assert [p.entry for p in source.passed_over] == [NAME, "DEFAULT"]


def test_a_closed_port_is_told_at_once(site: Site, tmp_path: Path) -> None:
    site.server.shutdown()
    site.server.server_close()
    with pytest.raises(UserError, match="cannot be reached"):
        fetch([NAME], tmp_path)


def test_where_nothing_can_be_had_nothing_need_be_written(site: Site, tmp_path: Path) -> None:
    """As in a container whose cache belongs to somebody else."""
    site.server.shutdown()
    site.server.server_close()
    (tmp_path / "cache").write_bytes(b"no folder")
    _, source = fetch([NAME, "random"], tmp_path)
    assert source.untrained
