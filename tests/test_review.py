"""What a person decided beats every check."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.cleaning import Clean, fixture_clean, noisy, photograph, write  # noqa: F401

from whoswho.dataset import review
from whoswho.dataset.review import Change, ReviewDecision
from whoswho.errors import UserError
from whoswho.paths import sha256 as file_hash

HEADER = "sha256,label,decision,other_label,why,when\n"
SOME = "a" * 64


def rows(tmp_path: Path, *lines: str, header: str = HEADER) -> Path:
    path = tmp_path / "review.csv"
    path.write_text(header + "".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def record(
    path: Path, picture: tuple[str, str], decision: ReviewDecision | None,
    *, seen: ReviewDecision | None, changed: bool = False,
) -> ReviewDecision | None:  # fmt: skip
    """Write a decision about one picture; what holds now."""
    outcome = review.record(path, {picture: Change(decision, seen)})[picture]
    assert outcome.changed == changed
    return outcome.decision


# --- Reading -------------------------------------------------------------------------------------


def test_a_row_is_read(tmp_path: Path) -> None:
    path = rows(tmp_path, f'{SOME.upper()},장원영,keep,안유진,"it is her, surely",2026-11-25')
    (row,) = review.read(path)
    assert (row.sha256, row.label, row.decision) == (SOME, "장원영", "keep")
    assert (row.other_label, row.why, row.when, row.line) == (
        "안유진", "it is her, surely", "2026-11-25", 2,
    )  # fmt: skip


def test_absent_and_header_alone_are_no_rows(tmp_path: Path) -> None:
    assert review.read(tmp_path / "review.csv") == []
    assert review.read(rows(tmp_path)) == []


def test_a_byte_order_mark_does_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "review.csv"
    path.write_text(HEADER + f"{SOME},a,drop,,,\n", encoding="utf-8-sig")
    assert len(review.read(path)) == 1


@pytest.mark.parametrize(
    ("header", "line", "message"),
    [
        ("sha256,name,decision,other_label,why,when\n", "", "column 'label'"),
        (HEADER.replace("\n", ",more\n"), f"{SOME},a,keep,,,,", "unknown column 'more'"),
        (HEADER, f"{SOME},a,kepe,,,", "line 2: decision 'kepe' is not keep or drop"),
        (HEADER, f"{SOME},a,,,,", "line 2: decision '' is not keep or drop"),
        (HEADER, "abc,a,keep,,,", "line 2: sha256 'abc' is not 64 hexadecimal digits"),
        (HEADER, f"{SOME},,keep,,,", "line 2: label is empty"),
        (HEADER, f"{SOME},a,drop,b,,", "line 2: drop and other_label 'b' contradict"),
        (HEADER, f"{SOME},a,keep", "line 2"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(
    tmp_path: Path, header: str, line: str, message: str
) -> None:
    path = rows(tmp_path, *([line] if line else []), header=header)
    with pytest.raises(UserError) as caught:
        review.read(path)
    assert message in str(caught.value)
    assert "review.csv" in str(caught.value)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (f"{'b' * 64},a,keep,,,", "no picture in data/ has the sha256 bbbbbbbbbbbb"),
        (f"{SOME},b,keep,,,", "does not lie under 'b' but under 'a'"),
        (f"{SOME},a,keep,secnd,,", "no label 'secnd' in data/; did you mean 'second'?"),
        (f"{SOME},a,keep,한가상,,", "make its folder in data/ first"),
    ],
)
def test_a_row_must_speak_of_the_set(tmp_path: Path, line: str, message: str) -> None:
    path = rows(tmp_path, f"{'c' * 64},second,keep,,,", line)
    with pytest.raises(UserError) as caught:
        review.match(review.read(path), [(SOME, "a"), ("c" * 64, "second")], path)
    assert "review.csv, line 3: " in str(caught.value)
    assert message in str(caught.value)


def test_rows_that_match_no_file_are_counted_and_never_to_be_deleted(tmp_path: Path) -> None:
    lost = [f"{letter * 64},old,keep,,," for letter in "bcd"]
    path = rows(tmp_path, f"{SOME},a,keep,,,", *lost)

    def refusal(*pictures: tuple[str, str]) -> str:
        with pytest.raises(UserError) as caught:
            review.match(review.read(path), [(SOME, "a"), *pictures], path)
        assert "delete" not in str(caught.value)
        return str(caught.value)

    pulled = refusal()
    assert "3 rows match no file here" in pulled
    assert "`dvc pull`" in pulled
    renamed = refusal(*((letter * 64, "new") for letter in "bc"))
    assert "3 rows match no file here; its folder was renamed" in renamed
    assert "does not lie under 'old' but under 'new'" in renamed
    assert "correct the label in 2 rows of 'old'" in renamed
    assert "it was moved" in refusal(("b" * 64, "new"), ("e" * 64, "old"))


def test_of_two_rows_that_agree_the_later_holds(tmp_path: Path) -> None:
    same = f"{SOME},a,drop,,,"
    agreeing = (f"{SOME.upper()},a,drop,,one,", same, same, f"{SOME},a,drop,,two,")
    path = rows(tmp_path, *agreeing, f"{SOME},b,keep,b,,", f"{SOME},b,keep,,,")
    held = review.match(review.read(path), [(SOME, "a"), (SOME, "b")], path)
    assert held[SOME, "a"].why == "two"


@pytest.mark.parametrize(
    ("first", "second", "sides"),
    [
        ("keep,,,", "drop,,,2026", "(keep, drop)"),
        ("keep,b,,", "keep,,,", "(keep as b, keep)"),
        ("keep,b,,", "keep,c,,", "(keep as b, keep as c)"),
    ],
)
def test_two_rows_that_disagree_are_named_and_none_wins(
    tmp_path: Path, first: str, second: str, sides: str
) -> None:
    """As a merge of two people's decisions leaves them (field report H2)."""
    path = rows(tmp_path, f"{SOME},a,{first}", f"{'b' * 64},a,keep,,,", f"{SOME},a,{second}")
    before = path.read_bytes()
    with pytest.raises(UserError) as caught:
        review.read(path)
    message = str(caught.value)
    assert "review.csv, lines 2 and 4: disagree about the picture aaaaaaaaaaaa… of 'a'" in message
    assert sides in message
    assert "other picture" not in message
    with pytest.raises(UserError, match="lines 2 and 4"):
        record(path, ("c" * 64, "a"), ReviewDecision("keep"), seen=None)
    assert path.read_bytes() == before
    path.write_bytes(before + f"{'b' * 64},a,drop,,,\n".encode())
    with pytest.raises(UserError, match=r"lines 2 and 4.*and so do rows of 1 other picture"):
        review.read(path)


# --- Recording -----------------------------------------------------------------------------------

OTHER = "b" * 64


def test_a_decision_is_written_with_its_time(tmp_path: Path) -> None:
    path = tmp_path / "review.csv"
    now = record(path, (SOME, "장원영"), ReviewDecision("keep", "", "it is her"), seen=None)
    assert now is not None
    (row,) = review.read(path)
    assert (row.sha256, row.label, row.bare) == (SOME, "장원영", now)
    assert (now.decision, now.why) == ("keep", "it is her")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", now.when)
    assert path.read_text(encoding="utf-8").startswith(HEADER)
    assert [file.name for file in tmp_path.iterdir() if file.is_file()] == ["review.csv"]


def test_the_rest_of_the_file_stays_as_it_is(tmp_path: Path) -> None:
    """Another order of columns, CR LF, quotes, a cell of two lines, an empty line, no last end."""
    path = tmp_path / "review.csv"
    before = (
        "\ufeffwhen,label,sha256,decision,why,other_label\r\n"
        f'"","a",{"c" * 64},keep,"two\r\nlines, and ""quotes""",\r\n'
        "\r\n"
        f",장원영,{SOME.upper()},keep,mine,\r\n"
        f",a,{OTHER}, drop ,,"
    ).encode()
    path.write_bytes(before)
    seen = ReviewDecision("keep", "", "mine", "")
    now = record(path, (SOME, "장원영"), ReviewDecision("drop", when="2026"), seen=seen)
    after = before.replace(f"\n,장원영,{SOME.upper()},keep,mine,".encode(),
                           f"\n2026,장원영,{SOME},drop,,".encode())  # fmt: skip
    assert path.read_bytes() == after + b"\r\n"
    record(path, ("d" * 64, "a"), ReviewDecision("keep", when="2027"), seen=None)
    assert path.read_bytes() == after + f"\r\n2027,a,{'d' * 64},keep,,\r\n".encode()
    record(path, ("d" * 64, "a"), None, seen=ReviewDecision("keep", when="2027"))
    assert record(path, (SOME, "장원영"), seen, seen=now) == seen
    assert path.read_bytes() == before.replace(SOME.upper().encode(), SOME.encode()) + b"\r\n"


def test_taking_it_back_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = rows(tmp_path, f"{OTHER},a,keep,,,2026")
    before = path.read_bytes()
    now = record(path, (SOME, "a"), ReviewDecision("drop"), seen=None)
    assert record(path, (SOME, "a"), None, seen=now) is None
    assert path.read_bytes() == before


def test_equal_files_under_two_labels_have_a_row_each(tmp_path: Path) -> None:
    path = rows(tmp_path, f"{SOME},a,keep,,,2026")
    record(path, (SOME, "b"), ReviewDecision("drop"), seen=None)
    assert [(row.label, row.decision) for row in review.read(path)] == [
        ("a", "keep"),
        ("b", "drop"),
    ]


def test_of_two_rows_the_one_that_holds_is_changed(tmp_path: Path) -> None:
    path = rows(tmp_path, f"{SOME},a,drop,,,1", f"{OTHER},a,drop,,,", f"{SOME},a,drop,,,2")
    record(path, (SOME, "a"), None, seen=ReviewDecision("drop", when="1"), changed=True)
    last = ReviewDecision("drop", when="2")
    record(path, (SOME, "a"), ReviewDecision("keep", when="3"), seen=last)
    assert [row.when for row in review.read(path)] == ["", "3"], "the other would disagree"
    record(path, (OTHER, "a"), None, seen=ReviewDecision("drop", when=""))
    assert record(path, (SOME, "a"), None, seen=ReviewDecision("keep", when="3")) is None
    assert review.read(path) == []


def test_what_was_changed_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    path = rows(tmp_path, f"{SOME},a,keep,,by an editor,2026")
    before = path.read_bytes()
    for seen in (None, ReviewDecision("drop", "", "", "2026")):
        now = record(path, (SOME, "a"), ReviewDecision("drop"), seen=seen, changed=True)
        assert now == ReviewDecision("keep", "", "by an editor", "2026")
    assert path.read_bytes() == before


def test_the_same_decision_again_writes_nothing(tmp_path: Path) -> None:
    path = rows(tmp_path, f"{SOME},a,keep,,,2026")
    before = path.stat().st_mtime_ns
    seen = ReviewDecision("keep", when="2026")
    assert record(path, (SOME, "a"), ReviewDecision("keep"), seen=seen) == seen
    assert path.stat().st_mtime_ns == before


def test_a_file_that_is_not_sound_is_left_alone(tmp_path: Path) -> None:
    path = rows(tmp_path, f"{OTHER},a,kepe,,,")
    before = path.read_bytes()
    with pytest.raises(UserError, match="line 2: decision 'kepe'"):
        record(path, (SOME, "a"), ReviewDecision("drop"), seen=None)
    assert path.read_bytes() == before


def test_a_lock_that_is_never_let_go_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = rows(tmp_path)
    monkeypatch.setattr(review, "LOCK_SECONDS", 0.1)
    with review.locked(path), pytest.raises(UserError, match="another process"):
        record(path, (SOME, "a"), ReviewDecision("drop"), seen=None)


def test_processes_and_threads_lose_nothing_of_each_other(tmp_path: Path) -> None:
    path = tmp_path / "review.csv"
    code = (
        "import sys\nfrom pathlib import Path\nfrom whoswho.dataset import review\n"
        "for number in range(25):\n"
        "    sha256 = f'{int(sys.argv[2]) * 100 + number:064x}'\n"
        "    drop = review.ReviewDecision('drop')\n"
        "    review.record(Path(sys.argv[1]), {(sha256, 'a'): review.Change(drop, None)})\n"
    )
    program = [sys.executable, "-c", code, path]
    others = [subprocess.Popen([*program, str(number)]) for number in (1, 2)]
    with ThreadPoolExecutor(4) as pool:
        list(
            pool.map(
                lambda number: record(
                    path, (f"{number:064x}", "a"), ReviewDecision("keep"), seen=None
                ),
                range(25),
            )
        )
    assert [other.wait() for other in others] == [0, 0]
    assert len({row.sha256 for row in review.read(path)}) == 75


# --- Obeying -------------------------------------------------------------------------------------

Reviewed = Callable[..., dict[str, dict[str, str]]]


@pytest.fixture
def reviewed(clean: Clean, tmp_path: Path) -> Reviewed:
    """Clean with rows (file, decision, other label)."""

    def run(*decisions: tuple[str, str, str]) -> dict[str, dict[str, str]]:
        lines = []
        for file, decision, other in decisions:
            label = file.split("/")[-2]
            lines.append(f"{file_hash(clean.data / file)},{label},{decision},{other},because,")
        return clean.run(reviews=review.read(rows(tmp_path, *lines)))

    return run


def test_keep_beats_a_check_and_drop_beats_a_good_picture(
    clean: Clean, reviewed: Reviewed
) -> None:
    clean.fill("a", "b")
    write(clean.data / "a" / "small.png", noisy(9, (30, 30)))
    assert clean.run()["a/small.png"]["reasons"] == "too_small"
    table = reviewed(("a/small.png", "keep", ""), ("b/0.png", "drop", ""))
    small, other = table["a/small.png"], table["b/0.png"]
    assert (small["decision"], small["reviewed"], small["reasons"]) == ("kept", "keep", "")
    assert (other["decision"], other["reviewed"], other["reasons"]) == (
        "dropped",
        "drop",
        "review",
    )
    assert other["review_why"] == "because"
    assert (clean.out / "pictures" / "a" / "small.png").is_file()
    assert not (clean.out / "pictures" / "b" / "0.png").exists()


def test_what_cannot_be_decoded_cannot_be_kept(clean: Clean, reviewed: Reviewed) -> None:
    clean.fill("a", "b")
    write(clean.data / "a" / "cut.jpg", photograph(3))
    whole = (clean.data / "a" / "cut.jpg").read_bytes()
    (clean.data / "a" / "cut.jpg").write_bytes(whole[:-2])
    row = reviewed(("a/cut.jpg", "keep", ""))["a/cut.jpg"]
    assert (row["decision"], row["reviewed"], row["reasons"]) == ("dropped", "keep", "truncated")


def test_the_smaller_copy_stays_where_a_person_says_so(clean: Clean, reviewed: Reviewed) -> None:
    clean.fill("a", "b")
    write(clean.data / "a" / "large.png", photograph(50))
    write(clean.data / "a" / "little.png", photograph(50).resize((200, 150)))
    assert clean.run()["a/little.png"]["duplicate_of"] == "a/large.png"
    table = reviewed(("a/little.png", "keep", ""))
    assert table["a/little.png"]["decision"] == "kept"
    assert table["a/large.png"]["reasons"] == "near_duplicate"
    assert table["a/large.png"]["duplicate_of"] == "a/little.png"


def test_dropping_the_best_copy_lets_the_next_one_stay(clean: Clean, reviewed: Reviewed) -> None:
    clean.fill("a", "b")
    write(clean.data / "a" / "large.png", photograph(50))
    write(clean.data / "a" / "little.png", photograph(50).resize((200, 150)))
    table = reviewed(("a/large.png", "drop", ""))
    assert table["a/large.png"]["decision"] == "dropped"
    assert table["a/little.png"]["decision"] == "kept"


def test_of_equal_files_in_one_label_a_keep_keeps_one(clean: Clean, reviewed: Reviewed) -> None:
    clean.fill("a", "b")
    for name in ("x.png", "y.png"):
        write(clean.data / "a" / name, noisy(7, (30, 30)))
    table = reviewed(("a/x.png", "keep", ""))
    assert [table[f"a/{name}.png"]["decision"] for name in "xy"] == ["kept", "dropped"]
    assert "duplicate" in table["a/y.png"]["reasons"]


@pytest.mark.parametrize(
    ("decision", "stays"),
    [(("a/same.png", "keep"), "a"), (("b/same.png", "keep"), "b"), (("a/same.png", "drop"), "b")],
)
def test_of_equal_files_under_two_labels_the_row_says_whose_it_is(
    clean: Clean, reviewed: Reviewed, decision: tuple[str, str], stays: str
) -> None:
    clean.fill("a", "b")
    for label in "ab":
        write(clean.data / label / "same.png", photograph(60))
    table = clean.run()
    assert [table[f"{label}/same.png"]["reasons"] for label in "ab"] == ["cross_label"] * 2
    table = reviewed((*decision, ""))
    for label in "ab":
        assert (table[f"{label}/same.png"]["decision"] == "kept") == (label == stays)


def test_a_moved_file_counts_under_the_other_label(clean: Clean, reviewed: Reviewed) -> None:
    clean.fill("a", "b")
    write(clean.data / "a" / "google_1.png", photograph(70))
    write(clean.data / "b" / "google_1.png", photograph(71))
    row = reviewed(("a/google_1.png", "keep", "b"))["a/google_1.png"]
    assert (row["label"], row["decision"]) == ("b", "kept")
    assert row["picture"] == f"b/google_1_{row['sha256'][:8]}.png"
    moved = clean.out / "pictures" / row["picture"]
    assert moved.read_bytes() == (clean.data / "a" / "google_1.png").read_bytes()
    assert (clean.out / "pictures" / "b" / "google_1.png").is_file()
    assert not (clean.out / "pictures" / "a" / "google_1.png").exists()


def test_a_moved_copy_is_a_copy_there(clean: Clean, reviewed: Reviewed) -> None:
    clean.fill("a", "b")
    for label in "ab":
        write(clean.data / label / "same.png", photograph(60))
    table = reviewed(("a/same.png", "keep", "b"))
    assert table["a/same.png"]["decision"] == "kept"
    assert table["b/same.png"]["reasons"] == "duplicate"


def test_several_rows_of_one_run(clean: Clean, reviewed: Reviewed) -> None:
    clean.fill("a", "b")
    table = reviewed(("a/0.png", "drop", ""), ("a/1.png", "keep", "b"), ("b/2.png", "keep", ""))
    assert [table[file]["reviewed"] for file in ("a/0.png", "a/1.png", "b/2.png", "b/3.png")] == [
        "drop", "keep", "keep", "",
    ]  # fmt: skip
