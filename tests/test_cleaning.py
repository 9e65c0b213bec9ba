"""Which pictures stay, and that every file says why it does not."""

from __future__ import annotations

import csv
import io
import os
import pickle
import re
import shutil
import socket
import unicodedata
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.cleaning import DEFAULTS, Clean, fixture_clean, noisy, photograph, write  # noqa: F401
from support.repository import REPOSITORY

from whoswho import paths
from whoswho.artifacts import decisions
from whoswho.artifacts.split import load_dataset
from whoswho.cleaning import checks, evidence, fingerprints, reasons
from whoswho.cleaning.seconds import FINGERPRINTS, OPENING, RELATING, Seconds
from whoswho.dataset import listing
from whoswho.errors import UserError
from whoswho.stages import clean as clean_stage
from whoswho.stages import preprocess as preprocess_stage
from whoswho.workers import pool

# --- One picture at a time -----------------------------------------------------------------------


def test_good_pictures_stay(clean: Clean) -> None:
    clean.fill("a", "b")
    table = clean.run()
    assert Counter(row["decision"] for row in table.values()) == {"kept": 10}
    row = table["a/0.png"]
    assert (row["label"], row["width"], row["height"], row["format"]) == ("a", "160", "120", "PNG")
    assert row["group"] == row["sha256"] == paths.sha256(clean.data / "a" / "0.png")


def test_every_check_of_a_single_picture(clean: Clean) -> None:
    clean.fill("a", "b")
    folder = clean.data / "a"
    write(folder / "small.png", photograph(1, (79, 200)))
    write(folder / "large_enough.png", photograph(2, (80, 200)))
    write(folder / "long.png", photograph(3, (400, 100)))
    write(folder / "long_enough.png", photograph(4, (350, 100)))
    for name, shade in (("dark.png", 0), ("bright.png", 255)):
        nearly_all = Image.new("RGB", (320, 240), (shade,) * 3)
        nearly_all.paste(photograph(5, (60, 60)), (20, 30))
        write(folder / name, nearly_all)
    write(folder / "blank.png", Image.new("RGB", (200, 200), (120, 130, 140)))
    write(folder / "cut.jpg", photograph(7))
    (folder / "cut.jpg").write_bytes((folder / "cut.jpg").read_bytes()[:-2])
    (folder / "page.jpg").write_bytes(b"<!doctype html><html></html>")
    write(folder / "film.gif", photograph(8), save_all=True, append_images=[photograph(9)])
    (folder / "empty.jpg").touch()
    (folder / "drawing.svg").write_text("<svg/>")
    table = clean.run()
    reasons_of = {Path(file).name: row["reasons"] for file, row in table.items() if row["reasons"]}
    assert reasons_of == {
        "small.png": "too_small", "long.png": "extreme_shape", "dark.png": "too_dark",
        "bright.png": "too_bright", "blank.png": "blank", "cut.jpg": "truncated",
        "page.jpg": "not_a_picture", "film.gif": "animated", "empty.jpg": "unreadable",
        "drawing.svg": "not_a_picture",
    }  # fmt: skip
    assert len(table) == 10 + 12
    assert table["a/small.png"]["score/too_small"] == "79"
    assert "a web page" in table["a/page.jpg"]["detail"]


def test_a_picture_gets_every_reason(clean: Clean) -> None:
    clean.fill("a", "b")
    write(clean.data / "a" / "x.png", Image.new("RGB", (300, 20), (0, 0, 0)))
    assert clean.run()["a/x.png"]["reasons"] == "too_small;extreme_shape;too_dark;blank"


def test_blurry_is_off_until_asked(clean: Clean) -> None:
    clean.fill("a", "b")
    soft = Image.fromarray(np.random.default_rng(1).integers(0, 255, (3, 4, 3), np.uint8))
    write(clean.data / "a" / "soft.png", soft.resize((300, 220), Image.Resampling.BICUBIC))
    assert clean.run()["a/soft.png"]["reasons"] == ""
    table = clean.run(min_sharpness=5.0)
    assert [file for file, row in table.items() if row["reasons"]] == ["a/soft.png"]
    assert table["a/soft.png"]["reasons"] == "blurry"


def test_sixteen_bits_are_not_too_bright(clean: Clean) -> None:
    clean.fill("a", "b")
    ramp = np.linspace(0, 65535, 200 * 150).reshape(150, 200).astype(np.uint16)
    write(clean.data / "a" / "ramp.png", Image.fromarray(ramp))
    write(clean.data / "b" / "ramp.tif", Image.fromarray(ramp[::-1].astype(np.float32)))
    table = clean.run()
    assert table["a/ramp.png"]["decision"] == table["b/ramp.tif"]["decision"] == "kept"


def test_every_ending_is_looked_at(clean: Clean) -> None:
    clean.fill("a", "b")
    for number, name in enumerate(("x.JPG", "x.jfif", "x", "x.webp.png", "x.txt", "x.a b'c")):
        buffer = io.BytesIO()
        photograph(number).save(buffer, ("JPEG", "WEBP", "AVIF")[number % 3])
        (clean.data / "a" / name).write_bytes(buffer.getvalue())
    table = clean.run()
    assert all(row["decision"] == "kept" for row in table.values())
    assert table["a/x.jfif"]["format"] == "WEBP"
    assert (clean.out / "pictures" / "a" / "x.jfif").is_file()


# --- Copies --------------------------------------------------------------------------------------


def test_of_the_same_pixels_the_first_by_name_stays(clean: Clean) -> None:
    clean.fill("a", "b")
    write(clean.data / "a" / "y.png", photograph(1))
    write(clean.data / "a" / "x.bmp", photograph(1))
    write(clean.data / "a" / "z" / "deep.tif", photograph(1))
    table = clean.run()
    assert table["a/x.bmp"]["decision"] == "kept"
    for file in ("a/y.png", "a/z/deep.tif"):
        assert (table[file]["reasons"], table[file]["duplicate_of"]) == ("duplicate", "a/x.bmp")
    assert len({table[f]["group"] for f in ("a/x.bmp", "a/y.png", "a/z/deep.tif")}) == 1


def changed(name: str, image: Image.Image) -> Image.Image:
    width, height = image.size
    buffer = io.BytesIO()
    if name == "encoded":
        image.save(buffer, "JPEG", quality=30)
    elif name == "smaller":
        image.resize((width * 7 // 10, height * 7 // 10)).save(buffer, "JPEG", quality=60)
    elif name == "mirrored":
        image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(buffer, "JPEG", quality=80)
    elif name == "squashed":
        image.resize((height, height)).save(buffer, "PNG")
    elif name == "brighter":
        image.point(lambda v: min(255, v * 11 // 10 + 8)).save(buffer, "JPEG", quality=85)
    elif name == "grey":
        image.convert("L").save(buffer, "PNG")
    elif name == "trimmed":
        image.crop((2, 2, width - 1, height - 2)).save(buffer, "JPEG", quality=85)
    return Image.open(buffer).copy()


@pytest.mark.parametrize(
    "name", ["encoded", "smaller", "mirrored", "squashed", "brighter", "grey", "trimmed"]
)
def test_near_copies_go_and_the_largest_stays(clean: Clean, name: str) -> None:
    clean.fill("a", "b")
    for seed in range(8):
        write(clean.data / "a" / f"z{seed}.png", photograph(seed))
        write(clean.data / "a" / f"c{seed}.png", changed(name, photograph(seed)))
    table = clean.run()
    for seed in range(8):
        pair = {table[f"a/c{seed}.png"]["decision"], table[f"a/z{seed}.png"]["decision"]}
        assert pair == {"kept", "dropped"}
        same_size = name in {"encoded", "mirrored", "brighter", "grey"}
        gone = f"a/z{seed}.png" if same_size else f"a/c{seed}.png"
        assert table[gone]["reasons"] == "near_duplicate"
        score = float(table[gone]["score/near_duplicate"])
        assert score >= DEFAULTS.near_duplicate_min_correlation
        if name == "mirrored":
            assert table[gone]["mirrored"] == "1"
    assert sum(row["decision"] == "kept" for row in table.values()) == 10 + 8


def test_of_many_sizes_one_stays_and_all_point_to_it(clean: Clean) -> None:
    clean.fill("a", "b")
    for size in (100, 200, 300, 400):
        write(clean.data / "a" / f"{size}.jpg", photograph(1, (400, 300)).resize((size, size)))
    table = clean.run()
    assert table["a/400.jpg"]["decision"] == "kept"
    assert {table[f"a/{size}.jpg"]["duplicate_of"] for size in (100, 200, 300)} == {"a/400.jpg"}


def test_a_bad_copy_takes_nobodys_place(clean: Clean) -> None:
    """The thumbnail comes first by name, but is too small for itself."""
    clean.fill("a", "b")
    write(clean.data / "a" / "a_thumbnail.png", photograph(1).resize((60, 45)))
    write(clean.data / "a" / "b_full.png", photograph(1))
    table = clean.run()
    assert table["a/b_full.png"]["decision"] == "kept"
    assert table["a/a_thumbnail.png"]["reasons"] == "too_small;near_duplicate"


def test_a_larger_copy_that_is_bad_for_itself_does_not_outrank(clean: Clean) -> None:
    clean.fill("a", "b")
    write(clean.data / "a" / "sharp.png", photograph(1))
    soft = photograph(1).resize((60, 45)).resize((640, 480), Image.Resampling.BICUBIC)
    write(clean.data / "a" / "blown_up.png", soft)
    table = clean.run(min_sharpness=5.0)
    assert table["a/sharp.png"]["decision"] == "kept"
    assert table["a/blown_up.png"]["reasons"] == "blurry;near_duplicate"
    assert table["a/blown_up.png"]["duplicate_of"] == "a/sharp.png"


def test_different_photographs_are_no_copies(clean: Clean) -> None:
    clean.fill("a", "b", count=40)
    assert all(row["decision"] == "kept" for row in clean.run().values())


def test_chains_keep_what_is_near_nothing_kept(clean: Clean) -> None:
    clean.fill("a", "b")
    for number, share in enumerate(np.linspace(0, 1, 25)):
        blend = Image.blend(photograph(1), photograph(2), float(share))
        write(clean.data / "a" / f"x{number:02}.png", blend)
    table = clean.run()
    kept = [file for file, row in table.items() if "/x" in file and row["decision"] == "kept"]
    assert "a/x00.png" in kept
    assert len(kept) >= 2
    for row in table.values():
        if row["reasons"]:
            assert row["duplicate_of"] in kept
    assert len({table[file]["group"] for file in kept}) == 1


def test_names_do_not_decide_how_many_stay(clean: Clean) -> None:
    """Field report G3: of morph frames a shuffle kept another number."""
    frames = [
        Image.blend(photograph(1), photograph(2), float(part)) for part in np.linspace(0, 1, 24)
    ]
    outcomes = []
    for seed in range(3):
        clean.fill("a", "b")
        for place, number in enumerate(np.random.default_rng(seed).permutation(len(frames))):
            write(clean.data / "a" / f"x{place:02}.png", frames[number])
        rows = [row for row in clean.outcome().decisions if "/x" in row.file]
        outcomes.append((sum(row.kept for row in rows), {(row.sha256, row.group) for row in rows}))
        shutil.rmtree(clean.data)
    assert outcomes[0] == outcomes[1] == outcomes[2]


def test_memory_does_not_grow_by_pixels(clean: Clean, tmp_path: Path) -> None:
    """Of a picture, however large, less than two kilobytes stay; its grey copies lie on disk."""
    clean.fill("a", "b")
    write(clean.data / "a" / "large.png", photograph(1, (1500, 1500)))
    with (tmp_path / "store").open("w+b") as store:
        pictures = evidence.examine_all(listing.scan(clean.data).files, store, Seconds())
    assert (tmp_path / "store").stat().st_size == len(pictures) * fingerprints.RECORD.itemsize
    assert max(len(pickle.dumps(picture)) for picture in pictures) < 2300


def test_half_a_label_saved_again_is_found(clean: Clean) -> None:
    """Field report B6: 0.7 of the size, JPEG quality 60."""
    clean.fill("a", "b", count=20)
    for number in range(0, 20, 2):
        image = Image.open(clean.data / "a" / f"{number}.png")
        again = image.resize((image.width * 7 // 10, image.height * 7 // 10))
        write(clean.data / "a" / f"again_{number}.jpg", again, quality=60)
    table = clean.run()
    gone = {file: row["duplicate_of"] for file, row in table.items() if row["reasons"]}
    assert gone == {f"a/again_{number}.jpg": f"a/{number}.png" for number in range(0, 20, 2)}


# --- Two labels ----------------------------------------------------------------------------------


def test_one_picture_under_two_labels_goes_from_both(clean: Clean) -> None:
    clean.fill("a", "b", "c")
    write(clean.data / "a" / "x.png", photograph(1))
    write(clean.data / "b" / "y.jpg", photograph(1).resize((200, 150)), quality=70)
    table = clean.run()
    assert table["a/x.png"]["reasons"] == table["b/y.jpg"]["reasons"] == "cross_label"
    pair = [table[file]["duplicate_of"] for file in ("a/x.png", "b/y.jpg")]
    assert pair == ["b/y.jpg", "a/x.png"]
    assert (table["a/x.png"]["other_label"], table["b/y.jpg"]["other_label"]) == ("b", "a")
    assert sum(row["decision"] == "kept" for row in table.values()) == 15


def test_one_picture_under_three_labels_is_a_placeholder(clean: Clean) -> None:
    clean.fill("a", "b", "c")
    for label in "abc":
        write(clean.data / label / "none.png", photograph(1))
    table = clean.run()
    assert [table[f"{label}/none.png"]["reasons"] for label in "abc"] == ["placeholder"] * 3


def test_too_much_of_a_label_under_another_stops_and_names_both(clean: Clean) -> None:
    clean.fill("a", "b", "c", count=20)
    for number in range(11):
        write(clean.data / "c" / f"x{number}.png", Image.open(clean.data / "a" / f"{number}.png"))
    message = clean.stops()
    assert "11 of 20 pictures of 'a' lie under 'c' too" in message
    assert "a/0.png and c/x0.png" in message
    assert "clean.cross_label_max_fraction" in message
    table = clean.run(cross_label_max_fraction=0.6)
    assert sum(bool(row["reasons"]) for row in table.values()) == 22


def test_people_photographed_together_stop_nothing_and_it_is_said(clean: Clean) -> None:
    """Field report G1: nine of 46 pictures under another label too."""
    clean.fill("a", count=46)
    clean.fill("b", count=40, first=5000)
    for number in range(9):
        write(clean.data / "b" / f"x{number}.png", Image.open(clean.data / "a" / f"{number}.png"))
    outcome = clean.outcome()
    assert Counter(tuple(row.reasons) for row in outcome.decisions) == {
        (): 77, ("cross_label",): 18,
    }  # fmt: skip
    assert "9 of 46 pictures of 'a' lie under 'b' too" in outcome.notes
    (message,) = [note for note in outcome.notes if "whoswho review" in note]
    assert message.startswith("18 files")


def test_most_of_the_smaller_of_two_labels_under_the_other_stops(clean: Clean) -> None:
    """Field report G1: 32 of 40, though it is less than half of the larger label."""
    clean.fill("a", count=70)
    clean.fill("b", count=8, first=9000)
    for number in range(32):
        write(clean.data / "b" / f"x{number}.png", Image.open(clean.data / "a" / f"{number}.png"))
    assert "32 of 40 pictures of 'b' lie under 'a' too" in clean.stops()


def test_placeholders_are_counted_once_and_blame_nobody(clean: Clean) -> None:
    """Field report G2: three of them, each in several sizes, among five labels of twelve."""
    clean.fill(*"abcde", count=12)
    for number in range(3):
        for place, label in enumerate("abcde"):
            side = 300 - 40 * place
            picture = photograph(number, (300, 300)).resize((side, side))
            write(clean.data / label / f"none{number}.jpg", picture, quality=90 - 5 * place)
    outcome = clean.outcome()
    assert Counter(tuple(row.reasons) for row in outcome.decisions) == {
        (): 60, ("placeholder",): 15,
    }  # fmt: skip
    assert [note for note in outcome.notes if "placeholder" in note or "lie under" in note] == [
        "3 placeholder pictures in 15 files"
    ]


def test_a_copy_of_equal_bytes_is_called_identical(clean: Clean) -> None:
    clean.fill("a", "b")
    shutil.copy(clean.data / "a" / "0.png", clean.data / "a" / "again.png")
    write(clean.data / "a" / "saved.bmp", Image.open(clean.data / "a" / "1.png"))
    shutil.copy(clean.data / "a" / "2.png", clean.data / "b" / "too.png")
    rows = {row.file: row for row in clean.outcome().decisions}
    assert reasons.explain(rows["a/again.png"], "duplicate") == "identical file"
    assert reasons.explain(rows["a/saved.bmp"], "duplicate") == ""
    assert reasons.explain(rows["b/too.png"], "cross_label") == "identical file under 'a'"


def test_a_label_that_is_one_group_is_said(clean: Clean) -> None:
    clean.fill("b")
    shot = np.asarray(photograph(1), int)
    for number in range(5):
        frame = shot.copy()
        logo = np.asarray(photograph(50 + number))[:50, :70]
        frame[40 * number : 40 * number + 50, 40 * number : 40 * number + 70] = logo
        write(clean.data / "a" / f"{number}.png", Image.fromarray(frame.astype(np.uint8)))
    outcome = clean.outcome()
    assert len({row.group for row in outcome.decisions if row.kept and row.label == "a"}) == 1
    (message,) = [note for note in outcome.notes if "one look-alike group" in note]
    assert message.startswith("all kept pictures of 'a' are one look-alike group")
    assert "cut away the frame or background" in message


# --- Brightness ----------------------------------------------------------------------------------


@pytest.mark.parametrize("around", [0, 255])
def test_the_opaque_pixels_say_how_bright_it_is(clean: Clean, around: int) -> None:
    """Field report G6: transparency laid over white is not bright."""
    clean.fill("a", "b")
    picture = Image.new("RGBA", (320, 240), (around,) * 3 + (0,))
    picture.paste(photograph(5, (60, 60)), (20, 30))
    write(clean.data / "a" / "cut_out.png", picture)
    palette = photograph(6, (60, 60)).quantize(200)
    wide = Image.new("P", (320, 240), 255)
    wide.putpalette([*(palette.getpalette() or []), *[0] * 768][:768])
    wide.paste(palette, (20, 30))
    write(clean.data / "a" / "palette.png", wide, transparency=255)
    table = clean.run()
    assert table["a/cut_out.png"]["reasons"] == table["a/palette.png"]["reasons"] == ""
    assert 60 < float(table["a/cut_out.png"]["score/too_bright"]) < 200


def test_several_sizes_of_one_picture_are_one_accident(clean: Clean) -> None:
    clean.fill("a", "b", count=9)
    for label in "ab":
        for size in (300, 200, 150, 120):
            write(clean.data / label / f"{size}.png", photograph(1).resize((size, size)))
    table = clean.run()
    assert sum("cross_label" in row["reasons"] for row in table.values()) == 8


def test_blank_pictures_do_not_make_two_labels_one_person(clean: Clean) -> None:
    clean.fill("a", "b", count=6)
    for label in "ab":
        for number in range(4):
            grey = Image.new("RGB", (200, 200), (100 + number,) * 3)
            write(clean.data / label / f"blank{number}.png", grey)
    assert Counter(row["reasons"] for row in clean.run().values()) == {"": 12, "blank": 8}


# --- What is passed over -------------------------------------------------------------------------


def test_hidden_and_system_files_are_neither_labels_nor_pictures(clean: Clean) -> None:
    """Field report B1."""
    clean.fill("label_a", "label_b")
    picture = photograph(1)
    for file in (
        ".ipynb_checkpoints/x.png", "label_a/.ipynb_checkpoints/x.png", "@eaDir/x.png",
        "label_b/deep/@eaDir/x.png", "__MACOSX/label_a/._a.png", "label_a/._a.png",
        ".hidden.png", "label_a/.hidden.png",
    ):  # fmt: skip
        write(clean.data / file, picture)
    for name in ("Thumbs.db", "desktop.ini", ".DS_Store", "google_done", "naver_done"):
        (clean.data / "label_a" / name).write_bytes(b"x")
    table = clean.run()
    assert len(table) == 10
    assert {row["label"] for row in table.values()} == {"label_a", "label_b"}
    assert clean.outcome().listing.litter == 13


def test_files_of_ours_are_no_pictures_and_loose_ones_have_their_row(clean: Clean) -> None:
    clean.fill("a", "b")
    for name, header in (("manifest", "file\n"), ("forgotten", "sha256\n")):
        (clean.data / name).mkdir()
        (clean.data / name / "0001.csv").write_text(header)
    write(clean.data / "loose.png", photograph(1))
    table = clean.run()
    assert len(table) == 11
    assert (table["loose.png"]["label"], table["loose.png"]["reasons"]) == ("", "no_label")
    (note,) = clean.outcome().listing.notes
    assert "1 file directly in data/" in note
    write(clean.data / "a" / "manifest.csv", photograph(2), format="PNG")
    assert clean.run()["a/manifest.csv"]["decision"] == "kept"


def test_links_out_of_data_are_not_followed(clean: Clean, tmp_path: Path) -> None:
    clean.fill("a", "b")
    write(tmp_path / "secret" / "x.png", photograph(1))
    (clean.data / "a" / "out.png").symlink_to(tmp_path / "secret" / "x.png")
    (clean.data / "a" / "folder").symlink_to(tmp_path / "secret")
    (clean.data / "a" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (clean.data / "a" / "circle.png").symlink_to("circle.png")
    write(clean.data / "b" / "inside.png", photograph(2))
    (clean.data / "b" / "link.png").symlink_to("inside.png")
    table = clean.run()
    for name in ("out.png", "folder", "gone.png", "circle.png"):
        assert table[f"a/{name}"]["reasons"] == "unreadable"
        assert "link" in table[f"a/{name}"]["detail"]
        assert table[f"a/{name}"]["sha256"] == ""
    assert table["b/link.png"]["duplicate_of"] == "b/inside.png"


def test_links_into_the_cache_of_dvc_are_the_files(clean: Clean, tmp_path: Path) -> None:
    """`dvc config cache.type symlink`, with the cache on another disk."""
    clean.fill("a", "b")
    cached = tmp_path / "disk" / "files" / "md5" / "0a" / ("b" * 30)
    write(cached, photograph(1), format="PNG")
    (clean.data / "a" / "x.png").symlink_to(cached)
    assert clean.run()["a/x.png"]["decision"] == "kept"


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="needs pipes in the file system")
def test_pipes_do_not_hang(clean: Clean) -> None:
    clean.fill("a", "b")
    os.mkfifo(clean.data / "a" / "pipe.jpg")
    assert clean.run()["a/pipe.jpg"]["reasons"] == "unreadable"


def test_names_that_are_no_utf8(clean: Clean) -> None:
    clean.fill("a", "b")
    try:
        (clean.data / "a" / "0.png").rename(clean.data / "a" / os.fsdecode(b"\xff.png"))
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    clean.outcome()
    rows = decisions.read_decisions(clean.out)
    assert len(rows) == 10
    for row in rows:
        assert (clean.out / "pictures" / row.picture).is_file()


def test_a_label_that_is_no_utf8_is_refused(clean: Clean) -> None:
    clean.fill("a", "b")
    try:
        (clean.data / "b").rename(clean.data / os.fsdecode(b"b\xff"))
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    assert r"the folder 'b\udcff' is no UTF-8; rename it" in clean.stops()


def test_labels_are_nfc_and_hostile_names_survive(clean: Clean) -> None:
    names = ["None", "007", "C++", 'say "hi"', "a, b", "..a", "👩‍🚀", "가" * 80]
    clean.fill(*names, count=3)
    decomposed = unicodedata.normalize("NFD", "나무")
    write(clean.data / decomposed / "x.png", photograph(5))
    table = clean.run()
    assert {row["label"] for row in table.values()} == {*names, "나무"}
    assert table[f"{decomposed}/x.png"]["picture"] == "나무/x.png"
    assert len(table) == 25


# --- Sets that cannot be used --------------------------------------------------------------------


def test_absent_file_empty(clean: Clean) -> None:
    assert "no label" not in clean.stops()
    assert "data: empty" in clean.stops()[-200:]
    (clean.data / ".DS_Store").touch()
    (clean.data / "manifest").mkdir()
    (clean.data / "manifest" / "0001.csv").touch()
    assert "empty; put pictures into data/<label>/" in clean.stops()
    shutil.rmtree(clean.data)
    assert "not there; `dvc pull data.dvc`" in clean.stops()
    clean.data.write_text("x")
    assert "is a file" in clean.stops()


def test_files_without_a_label_folder(clean: Clean) -> None:
    write(clean.data / "x.png", photograph(1))
    assert "holds 1 file but no label folder" in clean.stops()


def test_empty_label_folders(clean: Clean) -> None:
    (clean.data / "a" / "deep").mkdir(parents=True)
    (clean.data / "b").mkdir()
    assert "no picture in any label folder" in clean.stops()
    clean.fill("c", "d")
    assert {row["label"] for row in clean.run().values()} == {"c", "d"}
    assert clean.outcome().listing.notes == ["no file in a, b"]


def test_one_label(clean: Clean) -> None:
    clean.fill("a")
    assert "one label only, 'a'; add a folder for a second person" in clean.stops()
    shutil.rmtree(clean.data / "a")
    clean.fill("set/a", "set/b")
    assert "move them from data/set/ into data/" in clean.stops()


@pytest.mark.parametrize(
    ("label", "other"),
    [("Kim", "kim"), ("가나", unicodedata.normalize("NFD", "가나")), ("É", "é")],
)
def test_labels_that_differ_in_form_or_case_only(clean: Clean, label: str, other: str) -> None:
    clean.fill(label, other, "third")
    message = clean.stops()
    assert repr(label) in message
    assert repr(other) in message


def test_a_label_that_cleaning_empties(clean: Clean) -> None:
    clean.fill("a", "b")
    for number in range(3):
        write(clean.data / "장원영" / f"{number}.png", photograph(number, (50, 50)))
    (clean.data / "장원영" / "page.jpg").write_text("<html>")
    message = clean.stops()
    assert "'장원영' has no picture left of 4 (3 too_small, 1 not_a_picture)" in message


# --- Sets that are split already -----------------------------------------------------------------


def ready(clean: Clean, *splits: str) -> None:
    for place, split in enumerate(splits):
        clean.fill(f"{split}/a", f"{split}/b", count=4, first=1000 + 1000 * place)


@pytest.mark.parametrize("splits", [("train", "validation"), ("train", "validation", "test")])
def test_a_set_already_split_keeps_its_split(clean: Clean, splits: tuple[str, ...]) -> None:
    ready(clean, *splits)
    table = clean.run()
    assert Counter(row["split"] for row in table.values()) == dict.fromkeys(splits, 8)
    assert {row["label"] for row in table.values()} == {"a", "b"}
    for file, row in table.items():
        assert row["picture"] == file
    assert clean.outcome().listing.ready_split


def test_look_alikes_over_its_borders_are_kept_and_listed(clean: Clean) -> None:
    ready(clean, "train", "validation", "test")
    again = []
    for number in range(4):
        image = Image.open(clean.data / "train" / "a" / f"{number}.png")
        small = image.resize((image.width * 7 // 10, image.height * 7 // 10))
        write(clean.data / "test" / "a" / f"again{number}.jpg", small, quality=60)
        again.append({
            "file_a": f"test/a/again{number}.jpg", "split_a": "test",
            "file_b": f"train/a/{number}.png", "split_b": "train",
        })  # fmt: skip
    write(clean.data / "train" / "a" / "again.jpg", Image.open(clean.data / "train/a/0.png"))
    outcome = clean.outcome()
    assert [vars(overlap) for overlap in outcome.overlaps] == again
    with (clean.out / "overlaps.csv").open(encoding="utf-8", newline="") as file:
        assert list(csv.DictReader(file)) == again
    gone = [row.file for row in outcome.decisions if not row.kept]
    assert gone == ["train/a/again.jpg"]


def test_a_picture_under_two_labels_goes_whatever_its_splits(clean: Clean) -> None:
    ready(clean, "train", "validation")
    write(clean.data / "train" / "a" / "x.png", photograph(1))
    write(clean.data / "validation" / "b" / "x.png", photograph(1))
    table = clean.run()
    assert [f for f, row in table.items() if row["reasons"] == "cross_label"] == [
        "train/a/x.png", "validation/b/x.png",
    ]  # fmt: skip


def test_loose_files_in_test_are_for_predict(clean: Clean) -> None:
    """As the Kaggle source of the notebook holds them."""
    ready(clean, "train", "validation")
    for number in range(3):
        write(clean.data / "test" / f"{number}.jpg", photograph(number))
    table = clean.run()
    assert [table[f"test/{n}.jpg"]["reasons"] for n in range(3)] == ["no_label"] * 3
    (note,) = clean.outcome().listing.notes
    assert note.startswith("3 files directly in test/")
    assert "whoswho predict data/test/*" in note


@pytest.mark.parametrize("absent", ["missing", "empty"])
def test_a_label_absent_from_test_is_said(clean: Clean, absent: str) -> None:
    """Field report B2."""
    for place, split in enumerate(("train", "validation", "test")):
        labels = [f"{split}/{name}" for name in "abcd" if (split, name) != ("test", "b")]
        clean.fill(*labels, count=2, first=1000 * (place + 1))
    if absent == "empty":
        (clean.data / "test" / "b").mkdir()
    assert len(clean.run()) == 22
    assert "label 'b' has no picture in test" in clean.outcome().listing.notes


@pytest.mark.parametrize("home", [["test"], ["validation"], ["validation", "test"]])
def test_a_label_that_train_has_not_is_an_error(clean: Clean, home: list[str]) -> None:
    ready(clean, "train", "validation", "test")
    clean.fill(*(f"{split}/장원영" for split in home), first=9000)
    (clean.data / "train" / "장원영").mkdir()
    message = clean.stops()
    assert f"label '장원영' is in {' and '.join(home)} but not in train" in message


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (["train/a", "train/b", "val/a", "val/b"], "rename val to validation"),
        (["train/a", "train/b", "valid/a", "test/a"], "rename valid to validation"),
        (["train/a", "train/b", "dev/a"], "rename dev to validation"),
        (["Train/a", "Train/b", "validation/a"], "rename Train to train"),
        (["train/a", "train/b", "validation/a", "testing/a"], "rename testing to test"),
        (["train/a", "train/b", "validation/a", "장원영"], "'장원영' lies beside"),
        (["train/a", "train/b", "test/a"], "train/ without validation/"),
        (["train/a", "train/b"], "train/ without validation/"),
        (["train", "validation"], "data/train: holds no label folder"),
        *(
            (["a", "b", name], f"{name}/ lies beside labels")
            for name in ("test", "val", "valid", "validation", "Train", "train", "dev", "Testing")
        ),
        (["a", "b", "test/a", "test/b"], "{train,validation,test}/<label>/; if it is a label"),
        (["a", "b", "Val/a"], "rename it, such as Val_label"),
        (["val/a", "test/a"], "test/ lies beside labels"),
    ],
)
def test_what_only_looks_split(clean: Clean, folders: list[str], message: str) -> None:
    clean.fill(*folders)
    assert message in clean.stops()


def test_somebody_may_be_called_train(clean: Clean) -> None:
    clean.fill("Train_label", "Val Kilmer")
    assert {row["label"] for row in clean.run().values()} == {"Train_label", "Val Kilmer"}


def test_a_set_split_in_folders_may_mix_unicode_forms(clean: Clean) -> None:
    decomposed = unicodedata.normalize("NFD", "나무")
    clean.fill("train/나무", f"validation/{decomposed}", "train/b", "validation/b")
    assert {row["label"] for row in clean.run().values()} == {"나무", "b"}


def test_a_set_of_things_names_the_param_and_the_backbone_to_take(clean: Clean) -> None:
    clean.fill("ants", "bees", count=2)
    message = clean.stops(faces="one")
    assert "'ants' has no picture left of 2 (2 no_face)" in message
    assert "if the set is not of people, set clean.faces: any" in message
    assert "backbone.arch: efficientnet_lite0" in message


def test_a_name_that_another_system_refuses_is_warned_of(clean: Clean) -> None:
    clean.fill("AC:DC", "b", "Jr.")
    assert {row["label"] for row in clean.run().values()} == {"AC:DC", "b", "Jr."}
    first, second = clean.outcome().listing.notes
    assert first.startswith("warning: the folder 'AC:DC' has one of <")
    assert first.endswith("; rename it")
    assert "'Jr.'" in second


def test_a_split_label_without_a_picture_left_in_train(clean: Clean) -> None:
    ready(clean, "train", "validation")
    clean.fill("validation/c", first=5000)
    write(clean.data / "train" / "c" / "small.png", photograph(1, (40, 40)))
    assert "'c' has no picture left in train of 1 (1 too_small)" in clean.stops()


# --- The tables ----------------------------------------------------------------------------------


def test_the_same_files_give_the_same_bytes(clean: Clean) -> None:
    clean.fill("a", "b")
    clean.run()
    first = {p.name: p.read_bytes() for p in clean.out.iterdir() if p.is_file()}
    clean.run()
    assert first == {p.name: p.read_bytes() for p in clean.out.iterdir() if p.is_file()}


def test_processes_change_nothing(clean: Clean, monkeypatch: pytest.MonkeyPatch) -> None:
    clean.fill("a", "b", count=12)
    clean.run()
    first = (clean.out / "decisions.csv").read_bytes()
    shutil.rmtree(clean.out)
    limits = DEFAULTS.model_copy(update={"faces": "any"})
    monkeypatch.setattr(pool, "cores", lambda: 2)
    monkeypatch.setattr(pool, "FEW", 2)
    outcome = checks.run(clean.data, limits, [], clean.out)
    assert (clean.out / "decisions.csv").read_bytes() == first
    assert min(outcome.spent[work] for work in (OPENING, FINGERPRINTS, RELATING)) > 0


def test_the_survey_opens_nothing(clean: Clean) -> None:
    for label in ("a", "b"):
        (clean.data / label).mkdir()
        (clean.data / label / "x.png").write_bytes(b"no picture")
    assert checks.survey(clean.data) == (
        "2 files of 2 labels in data/; few pictures of a (1), b (1): better 20 each"
    )
    assert listing.scan(clean.data).counts == {"a": 1, "b": 1}


# --- Real pictures -------------------------------------------------------------------------------


def test_the_awkward_ones_over_two_labels(clean: Clean, cases: Path) -> None:
    for number, file in enumerate(sorted((cases / "awkward").iterdir())):
        target = clean.data / ("left", "right")[number % 2] / file.name
        target.parent.mkdir(exist_ok=True)
        shutil.copy(file, target)
    table = clean.run()
    assert len(table) == 30
    counts = Counter(reason for row in table.values() for reason in row["reasons"].split(";"))
    assert counts["animated"] == 2
    assert counts["truncated"] == 2
    assert counts["unreadable"] == 2
    assert counts["not_a_picture"] == 1
    bench = [row for file, row in table.items() if "ukbench00120" in file]
    assert len({row["group"] for row in bench}) == 1
    assert all("cross_label" in row["reasons"] for row in bench)


@pytest.fixture
def sports(clean: Clean, cases: Path) -> Clean:
    shutil.copytree(cases / "people" / "sports_celebrities", clean.data, dirs_exist_ok=True)
    return clean


def test_the_pairs_of_a_real_set_and_no_others(sports: Clean, cases: Path) -> None:
    with (cases / "people" / "sports_celebrities_pairs.csv").open(encoding="utf-8") as file:
        pairs = {frozenset((row["file_a"], row["file_b"])) for row in csv.DictReader(file)}
    limits = DEFAULTS.model_copy(update={"faces": "any"})
    outcome = checks.run(sports.data, limits, [], sports.out)
    assert len(outcome.decisions) == 196
    copies = [row for row in outcome.decisions if {"duplicate", "near_duplicate"} & {*row.reasons}]
    assert {frozenset((row.file, row.duplicate_of)) for row in copies} == pairs
    assert Counter(row.reasons for row in copies) == {("near_duplicate",): 21, ("duplicate",): 3}
    group = {row.file: row.group for row in outcome.decisions}
    assert len(set(group.values())) == 196 - 24


def stage_set(clean: Clean, root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (root / "dvc.yaml").touch()
    text = (REPOSITORY / "params.yaml").read_text(encoding="utf-8")
    (root / "params.yaml").write_text(text.replace("faces: one", "faces: any"), encoding="utf-8")
    monkeypatch.chdir(root)
    return root / "artifacts"


def test_a_description_of_another_version_is_one_line(tmp_path: Path) -> None:
    for content in ({}, [], {"labels": ["a"], "picture": {"crop": "face"}}):
        paths.write_json(tmp_path / "dataset.json", content)
        with pytest.raises(UserError, match=r"dataset\.json: not as this version writes it"):
            load_dataset(tmp_path)
    picture = {"crop": "face", "margin": 0.3, "size": 9, "face_probability": 1, "min_face_size": 0}
    content = {"labels": ["a", "a"], "splits": [], "ready_split": False, "picture": picture}
    paths.write_json(tmp_path / "dataset.json", content)
    with pytest.raises(UserError, match=r"dataset\.json: names a label twice"):
        load_dataset(tmp_path)


def test_the_stages_on_a_set_of_no_people(
    clean: Clean,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    clean.fill("a", "b", count=20)
    (clean.data / "a" / ".DS_Store").touch()
    artifacts = stage_set(clean, tmp_path, monkeypatch)
    clean_stage.main()
    preprocess_stage.main()
    output = re.sub(r"\d+\.\d", "N", capsys.readouterr().out)
    assert output.splitlines() == [
        "clean: 40 files of 2 labels: 40 kept, 0 dropped; "
        "1 entry of a system or crawler passed over; "
        "seconds of processor: opening N, fingerprints N, relating N",
        "preprocess: 40 pictures: 28 train, 6 validation, 6 test; 40 whole",
    ]
    described = paths.read_json(artifacts / "dataset" / "dataset.json")
    assert described["picture"]["crop"] == "whole"
    first = (artifacts / "dataset" / "split.csv").read_bytes()
    clean_stage.main()
    preprocess_stage.main()
    assert (artifacts / "dataset" / "split.csv").read_bytes() == first


def test_the_stages_on_a_set_split_already(
    clean: Clean, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready(clean, "train", "validation")
    artifacts = stage_set(clean, tmp_path, monkeypatch)
    clean_stage.main()
    preprocess_stage.main()
    with (artifacts / "dataset" / "split.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 16
    assert all(row["file"].startswith(f"{row['split']}/") for row in rows)
    described = paths.read_json(artifacts / "dataset" / "dataset.json")
    assert (described["splits"], described["ready_split"]) == (["train", "validation"], True)


def test_what_lies_across_the_splits_is_said_with_what_to_do(
    clean: Clean,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    ready(clean, "train", "validation")
    for number in range(2):
        shutil.copy(
            clean.data / "train" / "a" / f"{number}.png",
            clean.data / "validation" / "a" / f"same{number}.png",
        )
    image = Image.open(clean.data / "train" / "b" / "0.png")
    small = image.resize((image.width * 7 // 10, image.height * 7 // 10))
    write(clean.data / "validation" / "b" / "again.jpg", small, quality=60)
    stage_set(clean, tmp_path, monkeypatch)
    clean_stage.main()
    sentence = "2 pairs of identical files and 1 pair of look-alikes lie across splits"
    assert f"{sentence} (overlaps.csv)" in capsys.readouterr().out
    preprocess_stage.main()
    out = capsys.readouterr().out
    assert f"{sentence}, which flatters the scores" in out
    assert "review.csv" in out


def test_a_label_with_one_picture_stops_preprocess(
    clean: Clean, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clean.fill("a", "b")
    write(clean.data / "c" / "x.png", photograph(1))
    artifacts = stage_set(clean, tmp_path, monkeypatch)
    clean_stage.main()
    with pytest.raises(UserError, match="label 'c': 1 picture, too few"):
        preprocess_stage.main()
    assert not (artifacts / "dataset").exists()


def test_the_sentence_counts_kept_dropped_and_every_reason(clean: Clean) -> None:
    clean.fill("a", "b", count=3)
    write(clean.data / "a" / "x.png", Image.new("RGB", (50, 50), (90, 90, 90)))
    assert checks.sentence(clean.outcome().decisions) == (
        "7 files of 2 labels: 6 kept, 1 dropped (1 blank, 1 too_small)"
    )


@pytest.mark.parametrize("name", ["unknown", "Unknown"])
def test_a_folder_of_strangers_is_refused_with_what_to_do(clean: Clean, name: str) -> None:
    """Its name would be taken for the answer that somebody is none of these people."""
    for label in ("a", name):
        (clean.data / label).mkdir()
        (clean.data / label / "1.png").write_bytes(b"no picture")
    with pytest.raises(UserError, match=rf"{name}: the name is the answer.*take a folder of str"):
        checks.survey(clean.data)
