"""facenet-pytorch's network: fetched from a server of its weights, or read from a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from support.fine_tuning import changed_by_a_step
from support.weights_site import Site
from torch import nn

from whoswho import paths
from whoswho.arches import INCEPTION
from whoswho.artifacts.model.backbone import BackboneSource
from whoswho.artifacts.model.description import HeadShape
from whoswho.backbone import network, weights
from whoswho.backbone.compute import forward
from whoswho.backbone.loading.process_group import CpuSyncBatchNorm
from whoswho.backbone.network import Network, inception
from whoswho.backbone.weights import downloads
from whoswho.errors import UserError
from whoswho.pictures import tensors

SHIPPED = ["IMAGENET1K_V2", "random"]  # backbone.weights as params.yaml has it
NAME = "20180402-114759-vggface2.pt"


@pytest.fixture(scope="module")
def whole() -> network.State:
    """As published, with the layer that names 8,631 people, but drawn at random."""
    from facenet_pytorch import InceptionResnetV1

    torch.manual_seed(3)
    net = InceptionResnetV1(classify=True, num_classes=8631)
    for norm in net.modules():
        if isinstance(norm, (nn.BatchNorm1d, nn.BatchNorm2d)):
            norm.running_var.uniform_(0.5, 2)
    return dict(net.state_dict())


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory, whole: network.State) -> bytes:
    path = tmp_path_factory.mktemp("published") / NAME
    torch.save(whole, path)
    return path.read_bytes()


@pytest.fixture
def site(content: bytes, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    site = Site(content, NAME)
    monkeypatch.setitem(inception.URLS, "vggface2", site.url)
    monkeypatch.setattr(downloads, "ANSWER_TIMEOUT", 2.0)
    yield site
    site.server.shutdown()
    site.server.server_close()


def fetch(
    folder: Path, choices: list[str] = SHIPPED, arch: str = INCEPTION
) -> tuple[network.State, BackboneSource]:
    return weights.fetch(choices, arch, 0, [folder], cache=folder / "cache")


def test_its_weights_are_fetched_once_and_their_hash_is_kept(
    site: Site, whole: network.State, tmp_path: Path
) -> None:
    state, source = fetch(tmp_path)
    assert (source.entry, source.origin, source.untrained) == ("vggface2", site.url, False)
    assert set(state) == {name for name in whole if not name.startswith("logits.")}
    assert all(torch.equal(value, whole[name]) for name, value in state.items())
    cached = tmp_path / "cache" / NAME
    assert (cached.parent / f"{NAME}.sha256").read_text().strip() == paths.sha256(cached)
    fetch(tmp_path, ["vggface2"])
    assert site.request_count == 1
    cached.write_bytes(cached.read_bytes()[:-9])
    fetch(tmp_path)
    assert site.request_count == 2
    assert paths.sha256(cached) == (cached.parent / f"{NAME}.sha256").read_text().strip()


@pytest.mark.parametrize("manner", ["half", "403", "silent", "page"])
def test_what_does_not_come_whole_is_passed_over_aloud(
    manner: str, site: Site, tmp_path: Path
) -> None:
    site.manner = manner
    _, source = fetch(tmp_path)
    assert source.untrained
    assert [passed.entry for passed in source.passed_over] == ["vggface2"]
    assert f"curl -LO {site.url}" in source.sentence()
    assert not (tmp_path / "cache" / NAME).exists()
    with pytest.raises(UserError, match="vggface2"):
        fetch(tmp_path, ["vggface2"])


def test_a_path_to_a_state_dict_goes_before(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "mine.pt").write_bytes(content)
    _, source = fetch(tmp_path, ["mine.pt", "random"])
    assert (source.entry, source.untrained) == ("mine.pt", False)
    with pytest.raises(UserError, match=r"'vggface' is not weights of .*vggface2, casia-webface"):
        fetch(tmp_path, ["vggface"])


def test_it_computes_what_facenet_pytorch_computes(whole: network.State) -> None:
    from facenet_pytorch import InceptionResnetV1, fixed_image_standardization

    theirs = InceptionResnetV1()
    state = {name: value for name, value in whole.items() if not name.startswith("logits.")}
    theirs.load_state_dict(state)
    backbone, width = network.backbone_from(INCEPTION, state)
    pixels = torch.randint(0, 256, (2, 160, 160, 3), dtype=torch.uint8)
    ours = tensors.standardized(pixels, inception.PIXELS)
    picture = fixed_image_standardization(pixels.permute(0, 3, 1, 2).float())
    assert torch.allclose(ours, picture, atol=1e-6)
    with torch.inference_mode():
        expected = theirs.eval()(picture)
        assert torch.equal(backbone.eval()(picture), expected)
        assert torch.allclose(forward.fold(backbone)(ours), expected, atol=1e-4)
    assert expected.shape == (2, width)


@pytest.mark.parametrize(("unfreeze", "block"), [(4, "last_linear"), (2, "repeat_3")])
def test_it_is_fine_tuned_from_any_block_up(
    unfreeze: network.Unfreeze, block: str, whole: network.State
) -> None:
    state = {name: v.clone() for name, v in whole.items() if not name.startswith("logits.")}
    backbone, width = network.backbone_from(INCEPTION, state)
    net = Network(INCEPTION, backbone, network.build_head(width, 2, HeadShape((), 0.0, False)))
    net.freeze(unfreeze)
    changed = changed_by_a_step(net, torch.rand(3, 3, 96, 96))
    assert any(name.startswith(f"backbone.{block}") for name in changed)
    assert "backbone.last_bn.running_mean" in changed


def test_its_last_norm_is_shared_by_processes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda values: None)  # a group of one
    plain, shared = nn.BatchNorm1d(5), nn.BatchNorm1d(5)
    shared.__class__ = CpuSyncBatchNorm
    features = torch.randn(7, 5)
    assert torch.allclose(shared(features), plain(features), atol=1e-5)
    assert torch.allclose(shared.running_var, plain.running_var)
    assert torch.allclose(shared.eval()(features), plain.eval()(features), atol=1e-5)
