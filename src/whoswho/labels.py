"""Labels are data: how a name becomes a folder, and tells itself from its litter."""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Collection, Iterable
from pathlib import Path

from whoswho.errors import UserError

# File systems take 255 bytes a name; the rest is for what is put around it while it is written.
FOLDER_BYTES = 240
_SYSTEM = {
    "thumbs.db", "desktop.ini", "ehthumbs.db", "__macosx", "@eadir", "#recycle", "$recycle.bin",
    "system volume information", "lost+found", "icon\r", "__pycache__",
    # The markers AutoCrawler leaves in a finished folder.
    "google_done", "naver_done",
}  # fmt: skip
# Device names of Windows, with any ending.
_DEVICES = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])\s*(\.|$)")
# Endings that .dvcignore passes over, as those of files that are being written.
_PASSED_OVER = ("~", ".part", ".partial")
# Refused by Windows, and by what unpacks a ZIP there.
_REFUSED = '<>:"|?*'
UNKNOWN = "unknown"  # the answer for a person the model does not know
# What people call the parts of a set that is split in folders, and what they are called here.
SPLIT_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev", "eval"), "validation"),
    **dict.fromkeys(("test", "testing", "tests"), "test"),
}
# Folders of our own tables, directly in data/ beside the labels.
TABLES = ("manifest", "forgotten")
_TAKEN = {*SPLIT_NAMES, *TABLES, *(f"{name}.csv" for name in TABLES)}


def from_folder(name: str) -> str:
    """The label a folder stands for: its name in Unicode form NFC (macOS stores NFD)."""
    return unicodedata.normalize("NFC", name)


def folder_of(parent: Path, label: str) -> Path:
    """The folder of `label` in `parent`: the one that is there, in whatever Unicode form."""
    composed = from_folder(label)
    if parent.is_dir() and not (parent / composed).is_dir():
        for entry in parent.iterdir():
            if from_folder(entry.name) == composed and entry.is_dir():
                return entry
    return parent / composed


def is_litter(name: str) -> bool:
    """Whether a file or folder name is hidden or left by a system or a crawler.

    One dot hides; two dots do not, because somebody may be called `..a`.
    """
    if name.casefold() in _SYSTEM:
        return True
    return (name.startswith(".") and not name.startswith("..")) or name.startswith("~$")


def folder_problem(label: str) -> str:
    """Why no folder of data/ can be called `label`, on any system; empty where one can.

    What comes from a list of names or a table is checked with this before it becomes a path.
    """
    if all(unicodedata.category(letter) == "Cf" for letter in label):
        return "is empty"  # or looks so
    if any(unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") for letter in label):
        return "has control characters"
    if "/" in label or "\\" in label:
        return "has a slash, which would lead into another folder"
    if re.match(r"[A-Za-z]:", label):
        return "starts like a drive"
    if label != label.strip() or label.endswith("."):
        return "starts or ends with a space or ends with a dot, which Windows cuts off"
    if _DEVICES.match(label.casefold()):
        return "is the name of a device on Windows"
    if set(label) & set(_REFUSED):
        return f"has one of {' '.join(_REFUSED)}, which Windows refuses, also out of a ZIP"
    if is_litter(label) or label.casefold().endswith(_PASSED_OVER):
        return "looks like a hidden or temporary file, which the pipeline passes over"
    if label.casefold() == UNKNOWN:
        return (
            "is the answer for people the model does not know, and needs no pictures; take a "
            "folder of strangers out, or call it 'strangers' to have them told apart as one person"
        )
    if label.casefold() in _TAKEN:
        return "means something else in data/"
    if (size := len(from_folder(label).encode())) > FOLDER_BYTES:
        return f"has {size} bytes in UTF-8, more than {FOLDER_BYTES} (a Hangul letter has 3)"
    return ""


def check_locale(names: Iterable[str]) -> None:
    """Raise UserError where a folder's name cannot be told because the locale is not UTF-8."""
    encoding = sys.getfilesystemencoding()
    if encoding == "utf-8":
        return
    for name in names:
        if not name.isascii():
            raise UserError(
                f"this terminal's locale is not UTF-8 but {encoding}, so the folder {name!a} "
                "cannot be named; set PYTHONUTF8=1 (or LC_ALL=C.UTF-8), then run it again"
            )


def other_label(label: str, taken: Collection[str]) -> str:
    """A label like `label` that can be a folder and is none of `taken`, whatever its case."""
    tame = " ".join(re.sub(rf"[/\\{_REFUSED}]|[^\S ]", " ", label).split()).strip("~. ")
    tame = "label" if folder_problem(tame) else tame
    keys = {from_folder(name).casefold() for name in taken}
    number, other = 1, tame
    while from_folder(other).casefold() in keys:
        number += 1
        other = f"{tame} ({number})"
    return other


def check_distinct(names: Iterable[str]) -> None:
    """Raise UserError where two names differ only in Unicode form or in case."""
    seen: dict[str, str] = {}
    for name in names:
        key = unicodedata.normalize("NFC", name).casefold()
        if key in seen and seen[key] != name:
            raise UserError(
                f"data: the labels {seen[key]!r} and {name!r} differ only in case or Unicode "
                f"form ({seen[key]!a}, {name!a}); put their pictures in one folder"
            )
        seen[key] = name
