from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from distmerge.errors import ConfigError
from distmerge.report import Report, write_drawings


def test_every_figure_becomes_a_picture_fit_for_print(full_report: Report, tmp_path: Path) -> None:
    files = write_drawings(full_report, tmp_path / "figures")
    assert len(files) == len(full_report.figures)
    assert {file.name for file in files} >= {"quick-start-tasks.png", "quick-start-corruption.png"}
    with Image.open(files[0]) as picture:
        assert picture.width == 1950  # 6.5 inches
        assert len(picture.convert("RGB").getcolors(1 << 24) or ()) > 2


def test_names_that_look_like_formulas_are_drawn_as_they_are(
    full_report: Report, tmp_path: Path
) -> None:
    figure = full_report.figures[1]
    frame = figure.frame.assign(label=figure.frame["label"] + " $\\frac{")
    section = full_report.sections[1]
    changed = replace(section, parts=(replace(figure, frame=frame),))
    write_drawings(replace(full_report, sections=(changed,)), tmp_path)


def test_a_folder_that_cannot_be_made_is_an_error(full_report: Report, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot write figures"):
        write_drawings(full_report, tmp_path / "file" / "folder")
