"""Output files and folders compared, on disk and on S3."""

from __future__ import annotations

import random
from itertools import islice
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from personalize_spark.errors import DataError, EnvironmentProblem, InvalidInputException, ObjectNotFound
from personalize_spark.quality import compare as module
from personalize_spark.quality.compare import compare
from personalize_spark.storage.location import open_store
from tests.quality.test_differences import line, text


@pytest.fixture
def batches(tmp_path: Path) -> tuple[Path, Path]:
    """A thousand users; every second one gets new items behind the third place. The new batch has another order, and two files."""
    old = [line(f"u{n}", [f"i{(n + place) % 50}" for place in range(10)]) for n in range(1000)]
    new = [each if n % 2 else line(f"u{n}", [f"i{n % 50}", "x", "y"]) for n, each in enumerate(old)]
    random.Random(1).shuffle(new)
    (tmp_path / "new" / "b").mkdir(parents=True)
    (tmp_path / "old.out").write_bytes(b"".join(text(old)))
    (tmp_path / "new" / "a.json.out").write_bytes(b"".join(text(new[:300])))
    (tmp_path / "new" / "b" / "b.json.out").write_bytes(b"".join(text(new[300:])).removesuffix(b"\n"))
    (tmp_path / "new" / "_CHECK").write_text("not an output")
    (tmp_path / "new2.out").write_text("another one")
    return tmp_path / "old.out", tmp_path / "new"


@pytest.mark.slow
def test_a_file_is_compared_with_a_folder(batches: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BLOCK", 1000)
    comparison = compare(*batches, at=3)
    assert vars(comparison.both) == {"lines": 1000, "errors": 0, "answered": 1000, "items": 50}
    assert comparison.overlap == pytest.approx({1: 1, 3: 2 / 3, 5: 0.6, 10: 0.55})
    assert (comparison.at, comparison.histogram) == (3, [0, 500, 0, 500])
    assert (comparison.identical, comparison.difference) == (0.5, None)


def test_the_plot_has_a_bar_for_every_overlap(batches: tuple[Path, Path], tmp_path: Path) -> None:
    compare(*batches, plot=tmp_path / "plots" / "a.svg")
    root = ET.fromstring((tmp_path / "plots" / "a.svg").read_text())  # noqa: S314  # our own
    bars = [each for each in root if len(each)]
    assert [bar[0].text for bar in islice(bars, 2)] == ["0 of 10: 0", "1 of 10: 500"]
    assert len(bars) == 11
    assert bars[1].get("height") == bars[10].get("height") != "0.00"
    assert "overlap@10, share of 1,000 answers" in "".join(root.itertext())


def test_the_page_says_the_verdict_first_and_needs_nothing_else(batches: tuple[Path, Path], tmp_path: Path) -> None:
    comparison = compare(*batches, at=10, page=tmp_path / "a.html")
    page = (tmp_path / "a.html").read_text()
    verdict = "The first 10 items of old and new overlap by 55.0% in the mean of 1,000 lists; 50.0% of the lists are identical."
    assert comparison.verdict() == [verdict, "The new output recommends 52 distinct items, the old one 50."]
    assert page.index(verdict) < page.index("<main>") < page.index("<svg")
    assert all(f"<h2>{title}</h2>" in page for title in ("Overlap", "Distinct items", "All numbers"))
    assert not any(each in page for each in ("<script", "<link", " src=", "href="))
    assert page.count("<section") == page.count("</section>")


def test_paths_on_the_page_are_no_markup(tmp_path: Path) -> None:
    odd = tmp_path / "<b>.out"
    odd.write_bytes(b"".join(text([line("u", ["a"])])))
    compare(odd, odd, page=tmp_path / "a.html")
    page = (tmp_path / "a.html").read_text()
    assert "<b>" not in page
    assert "All 1 lists" not in page
    assert "The one list that both outputs have is identical." in page


def test_a_bad_line_is_named_by_its_place_in_the_file(
    batches: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_BLOCK", 1000)
    lines = batches[0].read_bytes().splitlines(keepends=True)
    batches[0].write_bytes(b"".join([*lines[:700], b"bad\n", *lines[700:]]))
    with pytest.raises(DataError, match=r"old\.out, line 701 is not an output line"):
        compare(*batches)


@pytest.mark.s3
def test_outputs_and_plots_lie_on_s3(s3: str, batches: tuple[Path, Path]) -> None:
    store = open_store(s3)
    store.write("out/users.json.out", batches[0].read_bytes())
    store.write("outside/users.json.out", b"not this one")
    assert compare(f"{s3}/out", f"{s3}/out/users.json.out", plot=f"{s3}/overlap.svg").identical == 1
    assert store.read("overlap.svg").startswith(b"<svg ")


def test_files_without_lines_can_be_compared_and_plotted(tmp_path: Path) -> None:
    (tmp_path / "empty.out").touch()
    comparison = compare(
        tmp_path / "empty.out", tmp_path / "empty.out", plot=tmp_path / "a.svg", page=tmp_path / "a.html"
    )
    assert "nothing to compare" in (tmp_path / "a.html").read_text()
    assert (comparison.both.lines, comparison.identical) == (0, None)


def test_what_cannot_be_compared_is_told(
    batches: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ObjectNotFound, match=r"file:///\S+ is neither a file nor a folder with .out files"):
        compare(batches[0], tmp_path / "nothing")
    with pytest.raises(InvalidInputException, match="needs a K of 1 or more"):
        compare(*batches, at=0)
    with pytest.raises(DataError, match=r"new2\.out, line 1 is not an output line"):
        compare(batches[0], tmp_path / "new2.out")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(EnvironmentProblem, match="TMPDIR"):
        compare(*batches)
