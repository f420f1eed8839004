"""The notebooks run from top to bottom, on a tiny competition in place of the demo."""

import json
from pathlib import Path

import matplotlib as mpl
import pytest

from tests.command import pipeline
from tests.drawn import write_competition
from tests.rated import write_rated

FOLDER = Path(__file__).parents[1] / "notebooks"
RATINGS = FOLDER / "collab_step_by_step.ipynb"
NOTEBOOKS = sorted(set(FOLDER.glob("*.ipynb")) - {RATINGS})


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_runs_from_top_to_bottom(notebook, tmp_path):
    mpl.use("Agg")
    comp = write_competition(tmp_path)
    assert pipeline("run", comp, "--root", tmp_path).code == 0
    cells = json.loads(notebook.read_text())["cells"]
    codes = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert codes[0].startswith("COMP, ROOT, MODEL, FOLD = ")
    names: dict = {}
    for code in [f"COMP, ROOT, MODEL, FOLD = {str(comp)!r}, {str(tmp_path)!r}, 'resnet', 1", *codes[1:]]:
        exec(compile(code, str(notebook), "exec"), names)
    assert names["interpretation"].confusion_matrix().sum() == 2 * len(names["learn"].dls.valid.items)
    mpl.pyplot.close("all")


def test_the_lesson_on_ratings_runs_from_top_to_bottom(tmp_path):
    mpl.use("Agg")
    made = write_rated(tmp_path)
    for stage in ("data", "check", "folds"):
        assert pipeline(stage, made.file, "--root", tmp_path).code == 0
    cells = json.loads(RATINGS.read_text())["cells"]
    codes = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert codes[0].startswith("COMP, ROOT, FOLD = ")
    names: dict = {}
    for code in [f"COMP, ROOT, FOLD = {str(made.file)!r}, {str(tmp_path)!r}, 1", *codes[1:]]:
        exec(compile(code.replace("SWEEPS = 120", "SWEEPS = 25"), str(RATINGS), "exec"), names)
    assert list(names["results"])[:4] == ["dot product", "+ range", "+ bias", "+ weight decay"]
    assert names["results"]["+ bias"] < names["results"]["dot product"]
    assert len(names["guess"]) == len(names["others"])
    mpl.pyplot.close("all")
