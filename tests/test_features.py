"""Features: views that depend on the picture alone, a fast pass that agrees with the plain one."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import re
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageChops, ImageOps
from support.drawn_sets import draw_set, workspace
from support.gpu import PLACE, needs_gpu
from support.pictures import blocks
from torch import nn

from whoswho import paths
from whoswho.artifacts.features import load_features, write_empty_index
from whoswho.artifacts.split import Dataset
from whoswho.backbone import extraction, network
from whoswho.backbone.compute import device, forward, fused
from whoswho.backbone.loading import loader, views
from whoswho.errors import UserError
from whoswho.params import Augment
from whoswho.pictures import tensors

ARCH = "resnet18"
WIDTH = 512
SHA = "0" * 64
AUGMENT = Augment(views=3, shear=10.0, scale=[0.8, 1.2], flip=0.5, seed=0)
COUNTS = {
    "train": {"A": 5, "B": 6},
    "validation": {"A": 2, "B": 1},
    "test": {"A": 1, "B": 2},
}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return draw_set(tmp_path_factory.mktemp("set"), COUNTS)


@pytest.fixture(scope="module")
def backbone() -> nn.Module:
    return network.backbone_from(ARCH, network.random_backbone(ARCH, 0))[0]


def extract(dataset: Dataset, backbone: nn.Module, out: Path, augment: Augment = AUGMENT) -> None:
    place = torch.device("cpu")
    with device.using(place), paths.fresh_folder(out) as folder:
        extraction.extract(dataset, backbone, WIDTH, SHA, augment, folder, place)


@pytest.fixture
def stored(dataset: Dataset, backbone: nn.Module, tmp_path: Path) -> Path:
    extract(dataset, backbone, tmp_path / "features")
    return tmp_path / "features"


def before_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let pictures be opened as they are for a GPU: in other processes, for one stream."""
    prepared = forward.prepare

    def one_stream(backbone: nn.Module, place: torch.device) -> forward.Pass:
        return dataclasses.replace(prepared(backbone, place), streams=1)

    monkeypatch.setattr(forward, "prepare", one_stream)
    monkeypatch.setattr(loader, "num_workers", lambda device: 2)
    monkeypatch.setattr(loader, "MIN_PICTURES", 1)


def same_bytes(folder: Path, other: Path) -> None:
    for file in sorted(other.iterdir()):
        assert (folder / file.name).read_bytes() == file.read_bytes(), file


def nearness(first: np.ndarray, second: np.ndarray) -> float:
    """The smallest cosine of two arrays' rows."""
    first, second = (torch.from_numpy(np.array(a, np.float32)) for a in (first, second))
    return float(torch.cosine_similarity(first, second, dim=-1).min())


# Views


def test_a_view_depends_on_picture_number_and_seed_alone() -> None:
    drawn = [views.draw(AUGMENT, digest, number) for digest in "ab" for number in range(3)]
    assert drawn[4] == views.draw(AUGMENT, "b", 1)
    assert drawn[0] == drawn[3] == views.PLAIN
    assert len(set(drawn)) == 5
    other = AUGMENT.model_copy(update={"seed": 1})
    assert views.draw(other, "b", 1) != drawn[4]


def test_views_are_drawn_over_the_whole_range_and_within_it() -> None:
    drawn = [views.draw(AUGMENT, str(number), 1) for number in range(400)]
    assert -10 <= min(v.shear for v in drawn) < -9
    assert 9 < max(v.shear for v in drawn) <= 10
    assert 0.8 <= min(v.scale for v in drawn) < 0.82
    assert 1.18 < max(v.scale for v in drawn) <= 1.2
    assert 0.4 < np.mean([v.flip for v in drawn]) < 0.6


def test_a_view_is_the_blogs_affine_map_and_mirror() -> None:
    picture = Image.new("RGB", (64, 64), "white")
    picture.paste("red", (0, 0, 32, 64))
    plain = views.PLAIN
    assert views.apply(picture, plain) is picture
    mirrored = views.apply(picture, dataclasses.replace(plain, flip=True))
    assert ImageChops.difference(ImageOps.mirror(mirrored), picture).getbbox() is None
    smaller = views.apply(picture, dataclasses.replace(plain, scale=0.5))
    assert smaller.getpixel((2, 2)) == (0, 0, 0)
    assert smaller.getpixel((40, 32)) == (255, 255, 255)
    sheared = views.apply(picture, dataclasses.replace(plain, shear=10))
    border = [next(x for x in range(64) if sheared.getpixel((x, y))[1] > 127) for y in (8, 56)]
    assert abs(border[1] - border[0]) == pytest.approx(48 * np.tan(np.radians(10)), abs=2)


def test_it_is_torchvisions_map_pixel_for_pixel() -> None:
    from torchvision.transforms import functional
    from torchvision.transforms.functional import InterpolationMode

    picture = blocks(0, (224, 224))
    for number in range(1, 30):
        view = views.draw(AUGMENT, "a", number)
        theirs = functional.affine(
            picture, 0.0, [0, 0], view.scale, [view.shear, 0.0], InterpolationMode.BILINEAR
        )
        theirs = functional.hflip(theirs) if view.flip else theirs
        assert views.apply(picture, view).tobytes() == theirs.tobytes()


# The stored features


def test_features_have_a_view_an_epoch_for_training_and_one_elsewhere(
    stored: Path, dataset: Dataset
) -> None:
    loaded = load_features(stored, dataset, SHA)
    assert {split: features.values.shape for split, features in loaded.items()} == {
        "train": (3, 11, WIDTH),
        "validation": (1, 3, WIDTH),
        "test": (1, 3, WIDTH),
    }
    for split, features in loaded.items():
        assert isinstance(features.values, np.memmap)
        assert features.values.dtype == np.float32
        assert features.targets.tolist() == [e.label for e in dataset.examples[split]]


def test_every_row_is_its_picture_seen_through_its_view(
    stored: Path, dataset: Dataset, backbone: nn.Module
) -> None:
    values = load_features(stored, dataset, SHA)
    backbone.eval()
    for split, number, view in (
        ("train", 7, 0),
        ("train", 7, 2),
        ("train", 0, 1),
        ("test", 2, None),
    ):
        example = dataset.examples[split][number]
        image = Image.open(example.path)
        if view is not None:
            image = views.apply(image, views.draw(AUGMENT, example.sha256, view))
        with torch.inference_mode():
            expected = backbone(tensors.to_tensor([image])).numpy()[0]
        row = values[split].values[view or 0, number]
        assert nearness(row, expected) > 0.9995
        others = np.delete(values[split].values[view or 0], number, axis=0)
        distance = np.abs(row - expected).mean()
        assert all(distance < np.abs(other - expected).mean() / 2 for other in others)


def test_views_of_a_picture_differ(stored: Path, dataset: Dataset) -> None:
    values = load_features(stored, dataset, SHA)["train"].values
    for first, second in ((0, 1), (1, 2), (0, 2)):
        assert (np.abs(values[first] - values[second]).mean(axis=1) > 0).all()


def test_a_second_run_gives_the_same_bytes_with_any_number_of_streams(
    stored: Path, dataset: Dataset, backbone: nn.Module, tmp_path: Path
) -> None:
    threads = torch.get_num_threads()
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            extract(dataset, backbone, tmp_path / "again")
            same_bytes(tmp_path / "again", stored)
            assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(threads)


def test_processes_that_open_pictures_change_no_byte(
    stored: Path,
    dataset: Dataset,
    backbone: nn.Module,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before_a_gpu(monkeypatch)
    extract(dataset, backbone, tmp_path / "again")
    same_bytes(tmp_path / "again", stored)


def test_a_pictures_features_do_not_depend_on_its_company(
    stored: Path, dataset: Dataset, backbone: nn.Module, tmp_path: Path
) -> None:
    chosen = dataset.examples["train"][9:2:-1]
    fewer = dataclasses.replace(dataset, examples={**dataset.examples, "train": chosen})
    extract(fewer, backbone, tmp_path / "fewer")
    expected = load_features(stored, dataset, SHA)["train"].values[:, 9:2:-1]
    assert (
        nearness(load_features(tmp_path / "fewer", fewer, SHA)["train"].values, expected) > 0.99999
    )


def test_other_seeds_draw_other_views(
    stored: Path, dataset: Dataset, backbone: nn.Module, tmp_path: Path
) -> None:
    extract(dataset, backbone, tmp_path / "other", AUGMENT.model_copy(update={"seed": 1}))
    first, other = (load_features(f, dataset, SHA) for f in (stored, tmp_path / "other"))
    assert not np.array_equal(first["train"].values, other["train"].values)
    assert np.array_equal(first["test"].values, other["test"].values)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_the_fast_pass_agrees_with_the_plain_one(
    dtype: torch.dtype, dataset: Dataset, backbone: nn.Module
) -> None:
    images = [Image.open(e.path) for e in dataset.examples["train"]]
    batch = tensors.to_tensor(images)
    ways = [forward._eager(forward.fold(backbone), torch.device("cpu"), dtype)]
    # Of bf16 oneDNN needs instructions that not every processor has.
    if dtype == torch.float32 or torch.ops.mkldnn._is_mkldnn_bf16_supported():
        ways.append(fused.FusedResNet(forward.fold(backbone), dtype))
    with torch.inference_mode():
        expected = backbone.eval()(batch).numpy()
    for way in ways:
        vectors = way(batch)
        assert vectors.dtype == torch.float32
        assert nearness(vectors.numpy(), expected) >= (
            0.999 if dtype == torch.bfloat16 else 0.999999
        )


def test_the_fast_pass_agrees_on_real_pictures(cases: Path) -> None:
    files = sorted((cases / "people").rglob("*.jpg"))[::30][:6]
    images = [Image.open(file).convert("RGB").resize((224, 224)) for file in files]
    batch = tensors.to_tensor(images)
    backbone, _ = network.backbone_from("resnet50", network.random_backbone("resnet50", 0))
    with torch.inference_mode():
        expected = backbone.eval()(batch).numpy()
    ready = forward.prepare(backbone, torch.device("cpu"))
    assert len(files) == 6
    assert nearness(ready.run(batch).numpy(), expected) >= 0.999


@needs_gpu
def test_a_gpu_gives_the_processors_features_and_the_same_twice(
    backbone: nn.Module, tmp_path: Path
) -> None:
    many = draw_set(tmp_path / "set", {**COUNTS, "train": {"A": 70, "B": 80}})
    arrays = []
    for name, place in (("cpu", torch.device("cpu")), ("one", PLACE), ("two", PLACE)):
        with paths.fresh_folder(tmp_path / name) as folder:
            extraction.extract(many, backbone, WIDTH, SHA, AUGMENT, folder, place)
        arrays.append(np.load(tmp_path / name / "train.npy"))
    assert nearness(arrays[1], arrays[0]) >= 0.999
    assert np.array_equal(arrays[1], arrays[2])


# What can be wrong with them


def spoil_end(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def spoil_middle(path: Path) -> None:
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 1
    path.write_bytes(whole)


@pytest.mark.parametrize("spoil", [spoil_end, spoil_middle, Path.unlink])
def test_a_damaged_file_is_named(spoil, stored: Path, dataset: Dataset) -> None:
    spoil(stored / "train.npy")
    with pytest.raises(UserError, match=r"train\.npy: absent or damaged; run `dvc checkout`"):
        load_features(stored, dataset, SHA)


def test_features_of_other_pictures_or_another_backbone_are_refused(
    stored: Path, dataset: Dataset
) -> None:
    with pytest.raises(UserError, match="another backbone"):
        load_features(stored, dataset, "1" * 64)
    shorter = {**dataset.examples, "train": dataset.examples["train"][1:]}
    with pytest.raises(UserError, match="other pictures"):
        load_features(stored, dataclasses.replace(dataset, examples=shorter), SHA)


def test_an_index_of_another_version_is_told(stored: Path, dataset: Dataset) -> None:
    (stored / "index.json").write_text('{"frozen": true, "trunk": "0"}')
    with pytest.raises(UserError, match=r"index\.json: not as this version writes it \(.*; run"):
        load_features(stored, dataset, SHA)


def test_a_damaged_picture_is_named_whoever_meets_it(
    backbone: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = draw_set(tmp_path / "set", {"train": {"A": 9, "B": 9}, "validation": {"A": 1}})
    broken = dataset.examples["train"][16].path
    broken.write_bytes(broken.read_bytes()[:200])
    for elsewhere in (False, True):
        if elsewhere:
            before_a_gpu(monkeypatch)
        with pytest.raises(UserError) as caught:
            extract(dataset, backbone, tmp_path / "features")
        assert re.fullmatch(rf".*{broken.name}: cannot be read .*; run `dvc .*", str(caught.value))
        assert not (tmp_path / "features").exists()


def test_too_little_memory_is_told_in_one_line(
    dataset: Dataset, backbone: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready = forward.prepare(backbone, torch.device("cpu"))
    full = dataclasses.replace(ready, run=lambda x: torch.empty(2**60))
    monkeypatch.setattr(forward, "prepare", lambda backbone, place: full)
    with pytest.raises(UserError, match="cpu: its memory does not suffice; end what else uses it"):
        extract(dataset, backbone, tmp_path / "features")


def end(_self: object, _wanted: object) -> None:
    os._exit(1)


def find_no_room(_tensor: torch.Tensor) -> None:
    raise RuntimeError("unable to allocate shared memory(shm) for file </torch_1>: No space left")


def kill_an_opener(x: torch.Tensor) -> torch.Tensor:
    """Stands for a pass during which the system ends what needs too much memory."""
    multiprocessing.active_children()[0].kill()
    time.sleep(5)  # cut short by what the loader raises when it hears of it
    return torch.zeros(len(x), WIDTH)


@pytest.mark.parametrize("way", ["ended", "no room", "killed meanwhile"])
def test_a_process_that_is_lost_is_told_in_one_line(
    way: str,
    dataset: Dataset,
    backbone: nn.Module,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before_a_gpu(monkeypatch)
    if way == "ended":
        monkeypatch.setattr(loader.Pictures, "pixels", end)
    elif way == "no room":
        monkeypatch.setattr(torch.Tensor, "share_memory_", find_no_room)
    else:
        ready = dataclasses.replace(
            forward.prepare(backbone, torch.device("cpu")), run=kill_an_opener, batch=2
        )
        monkeypatch.setattr(forward, "prepare", lambda backbone, place: ready)
    with pytest.raises(UserError, match=r"artifacts/dataset: a process .* --shm-size"):
        extract(dataset, backbone, tmp_path / "features")
    assert not (tmp_path / "features").exists()


def test_a_fine_tuned_backbone_keeps_no_features(tmp_path: Path, dataset: Dataset) -> None:
    write_empty_index(tmp_path, AUGMENT.model_dump())
    assert [path.name for path in tmp_path.iterdir()] == ["index.json"]
    # Train reads the augmentation from params then; the index changes with it, so train runs.
    before = (tmp_path / "index.json").read_bytes()
    write_empty_index(tmp_path, AUGMENT.model_copy(update={"shear": 5.0}).model_dump())
    assert (tmp_path / "index.json").read_bytes() != before
    with pytest.raises(UserError, match="fine-tuned"):
        load_features(tmp_path, dataset, SHA)


def test_an_iterator_is_drawn_batch_by_batch_and_all_of_it() -> None:
    drawn, done = [], []

    def batches():
        for number in range(50):
            drawn.append(number)
            yield number

    def work(number: int) -> None:
        assert len(drawn) - len(done) <= 4
        done.append(number)

    forward.each(batches(), work, 3)
    assert sorted(done) == list(range(50))


def test_a_stage_run_writes_the_folder(
    dataset: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from whoswho.artifacts.model.backbone import save_backbone
    from whoswho.backbone import weights
    from whoswho.stages import features as stage

    root = workspace(tmp_path, dataset, monkeypatch)
    state, source = weights.fetch(["random"], ARCH, 0, [root])
    (root / paths.BACKBONE).mkdir(parents=True)
    save_backbone(root / paths.BACKBONE, state, source)
    stage.main()
    loaded = load_features(root / paths.FEATURES, dataset, source.sha256)
    assert len(loaded["train"].targets) == 11
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert "train 11 x 3, validation 3 x 1, test 3 x 1" in out
