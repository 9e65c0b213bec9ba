"""keywords.txt, labels that become folders, lists of addresses and of proxies."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from whoswho import labels
from whoswho.crawl import collection, keywords, listed, proxies
from whoswho.crawl.site import Search
from whoswho.errors import UserError


def read(folder: Path, content: bytes | str) -> list[Search]:
    path = folder / "keywords.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    searches = keywords.read(path)
    assert path.read_bytes() == (content if isinstance(content, bytes) else content.encode())
    return searches


def why(folder: Path, content: bytes | str) -> str:
    with pytest.raises(UserError) as caught:
        read(folder, content)
    assert "\n" not in str(caught.value)
    return str(caught.value)


TEXT = "장원영\r\nAnn Lee\r\n# a comment\r\n\r\n  장원영 아이브 = 장원영  \r\n장원영\r\n"
KEYWORDS = [
    Search("장원영", "장원영"),
    Search("Ann Lee", "Ann Lee"),
    Search("장원영 아이브", "장원영"),
]


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le-bom", "utf-16-be-bom"]
)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_the_format_of_autocrawler_and_more(tmp_path: Path, encoding: str, end: str) -> None:
    text = TEXT.replace("\r\n", end)
    if encoding.endswith("-bom"):
        content = f"\ufeff{text}".encode(encoding.removesuffix("-bom"))
    else:
        content = text.encode(encoding)
    assert read(tmp_path, content) == KEYWORDS


def test_files_put_together_keep_no_mark_in_a_name(tmp_path: Path) -> None:
    both = "Ann\n".encode("utf-8-sig") + "밥\n".encode("utf-8-sig")
    assert read(tmp_path, both) == [Search("Ann", "Ann"), Search("밥", "밥")]


def test_a_last_line_needs_no_end_and_labels_are_nfc(tmp_path: Path) -> None:
    assert read(tmp_path, unicodedata.normalize("NFD", "가나")) == [Search("가나", "가나")]


def test_an_equals_sign_may_stand_in_a_search_or_in_a_label(tmp_path: Path) -> None:
    assert read(tmp_path, "a = b = c\n") == [Search("a = b", "c")]
    assert read(tmp_path, "x=y = x=y\n") == [Search("x=y", "x=y")]
    assert read(tmp_path, "a\t=\tb\n") == [Search("a", "b")]
    assert "`x=y = label`" in why(tmp_path, "x=y\n")


def test_cp949_is_refused_with_file_line_and_cure(tmp_path: Path) -> None:
    text = why(tmp_path, "가나다\n라마바 = label_b\n".encode("cp949"))
    assert text.startswith(f"{tmp_path / 'keywords.txt'}, line 1: not UTF-8")
    assert "save the file as UTF-8" in text
    assert "line 3" in why(tmp_path, b"a\r\nb\r\n" + "가".encode("cp949"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("가\n".encode("utf-16-le"), "UTF-8"),
        (b"\xff\xfea", "save the file as UTF-8"),
        ("a\nJos\ufffd\n", "line 2: has broken letters"),
        ("", "names nobody"),
        ("# only\n\n", "names nobody"),
        ("a =\n", "lacks the label"),
        ("= a\n", "lacks the search"),
        ("a/b\n", "`a/b = a b`"),
        ("Robert Downey Jr.\n", "`Robert Downey Jr. = Robert Downey Jr`"),
        ("Jr\nJr.\n", "`Jr. = Jr (2)`"),
        ("Jr.\nx = JR\ny = jr (2)\n", "`Jr. = Jr (3)`"),
        ("AC:DC\n", "`AC:DC = AC DC`"),
        ('Who? "x"\n', '`Who? "x" = Who x`'),
        ("a = b\nc = B\n", "differ only in case"),
    ],
)
def test_what_cannot_be_read_is_one_line_with_the_cure(
    tmp_path: Path, content: bytes | str, message: str
) -> None:
    assert message in why(tmp_path, content)


def test_no_file_or_a_folder_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not there"):
        keywords.read(tmp_path / "none.txt")
    with pytest.raises(UserError, match="is a folder"):
        keywords.read(tmp_path)


BAD = [
    "", ".", "..", "../x", "/etc", "a/b", "a\\b", "..\\x", "C:", "C:x", "c:\\x", "a\tb", "a\x00b",
    "a\x7fb", "a\u2028b", "a.", "a..", " a", "a ", "a .", "CON", "con.txt", "nul", "Com1",
    "LPT9.x", "com²", "CONIN$", "aux .jpg", "가" * 81, "e" * 241, ".hidden", "__pycache__",
    "Thumbs.db", "google_done", "~$x", "x~", "x.part", "x.partial", "train", "Validation", "test",
    "manifest.csv", "FORGOTTEN.CSV", "manifest", "Forgotten",
    "\udc80", "\u200b\u202e", "Val", "valid", "Training",
    "unknown", "Unknown", "AC:DC", 'Who? "x"', "a<b", "a>b", "a|b", "a*b", 'say "hi"', "ab:c",
]  # fmt: skip
GOOD = [
    "장원영", "a b", "O'Neil", "None", "NA", "007", "C++", "A (actor)", "A, B", "..a",
    "👩‍🚀", "가" * 80, "50%", "x=y;z", "e" * 240, "#1", "true", "1e5", "-", "Con Air",
    "console", "com10", "trainer", "J.R. Smith", "nullo",
]  # fmt: skip


@pytest.mark.parametrize("label", BAD)
def test_a_label_that_could_leave_data_or_break_a_system_is_refused(label: str) -> None:
    assert labels.folder_problem(label)


@pytest.mark.parametrize("label", GOOD)
def test_a_harmless_label_is_taken_and_can_be_a_folder(tmp_path: Path, label: str) -> None:
    assert labels.folder_problem(label) == ""
    (tmp_path / f".{label}.partial").mkdir()
    (tmp_path / label).mkdir()


@pytest.mark.parametrize("label", [label for label in BAD if label.strip() and "\0" not in label])
def test_no_bad_label_comes_through_a_file_of_keywords(tmp_path: Path, label: str) -> None:
    try:
        content = f"q = {label}\n".encode()
    except UnicodeEncodeError:
        content = b"q = \x80\n"
    try:
        searches = read(tmp_path, content)
    except UserError:
        return
    assert all(labels.folder_problem(search.label) == "" for search in searches)
    assert labels.folder_problem(label.strip()) == "" or label not in {s.label for s in searches}


def test_a_proposed_label_is_no_folder_of_the_set(tmp_path: Path) -> None:
    (tmp_path / "data" / "jr").mkdir(parents=True)
    (tmp_path / "keywords.txt").write_text("Jr.\n")
    with pytest.raises(UserError, match=r"`Jr. = Jr \(2\)`"):
        keywords.read(tmp_path / "keywords.txt", tmp_path / "data")


def test_a_label_like_a_folder_of_data_but_for_case_is_an_error(tmp_path: Path) -> None:
    decomposed = unicodedata.normalize("NFD", "가")
    (tmp_path / decomposed).mkdir()
    (tmp_path / "Ann").mkdir()
    collection.check_labels(tmp_path, {"가"})  # that folder is its own
    assert labels.folder_of(tmp_path, "가") == tmp_path / decomposed
    (tmp_path / "가").mkdir()
    with pytest.raises(UserError, match="Unicode form"):
        collection.check_labels(tmp_path, {"가"})
    (tmp_path / "가").rmdir()
    with pytest.raises(UserError, match="'ANN' and 'Ann'"):
        collection.check_labels(tmp_path, {"ANN"})
    collection.check_labels(tmp_path, {"Ann", "Bob"})


# --- Lists of addresses --------------------------------------------------------------------------


def test_a_list_of_addresses_is_read_by_label(tmp_path: Path) -> None:
    table = tmp_path / "list.csv"
    table.write_text(
        "\ufeffurl,label,page\r\nhttp://h/1,가,http://h/a\r\nhttp://h/2,b,\r\nhttp://h/1,가,\r\n",
        encoding="utf-8",
    )
    site = listed.from_table(table)
    assert list(site.pictures) == [Search("list.csv", "가"), Search("list.csv", "b")]
    (hit,) = site.hits(Search("list.csv", "가"), 0)
    assert (hit.rank, hit.image, hit.page) == (1, "http://h/1", "http://h/a")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"url,name\nhttp://h,x\n", "column 'label' is missing"),
        (b"url,label\n,x\n", "row 2: has no url"),
        (b"url,label\nhttp://h,../x\n", "row 2: the label '../x' has a slash"),
        (b"url,label\n", "has no rows"),
        ("url,label\nhttp://h,가\n".encode("cp949"), "save the file as UTF-8"),
        (b"url,label\nhttp://h,a\nhttp://h,A\n", "differ only in case"),
    ],
)
def test_a_bad_list_of_addresses_is_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    table = tmp_path / "list.csv"
    table.write_bytes(content)
    with pytest.raises(UserError, match=message):
        listed.from_table(table)
    with pytest.raises(UserError, match="not there"):
        listed.from_table(tmp_path / "other.csv")


# --- Lists of proxies ----------------------------------------------------------------------------


def test_proxies_come_from_a_file_or_from_a_list_as_autocrawler_takes_it(tmp_path: Path) -> None:
    file = tmp_path / "proxies.txt"
    file.write_text("# mine\nhttp://h:1\n\nh2:2\r\nsocks://[::1]:3\n", encoding="utf-8")
    assert proxies.read(str(file)) == ["http://h:1", "http://h2:2", "socks5://[::1]:3"]
    listed = "socks://127.0.0.1:1080,http://127.0.0.1:1081"
    assert proxies.read(listed) == ["socks5://127.0.0.1:1080", "http://127.0.0.1:1081"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("http://name:secret@h:1", "line 1: a user name"),
        ("http://h", "line 1: not a proxy"),
        ("http://", "line 1: not a proxy"),
        ("ftp://h:1", "ftp is no kind of proxy"),
        ("http://[x:1", "not a proxy"),
        ("", "names no proxy"),
    ],
)
def test_a_bad_proxy_is_one_line_without_its_password(
    tmp_path: Path, content: str, message: str
) -> None:
    file = tmp_path / "proxies.txt"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=message) as caught:
        proxies.read(str(file))
    assert "secret" not in str(caught.value)
