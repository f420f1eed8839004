"""Registries: built-in entries that load when asked for, those of plug-in files, names that are taken or unknown."""

import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.errors import RequestError
from pipeline.losses import LOSSES, Loss
from pipeline.metrics import METRICS
from pipeline.registry import ROOMS, adding_from, all_registries
from pipeline.targets import KINDS
from tests.plugged import plugged

PACKAGE = Path(__file__).parents[1] / "pipeline"
ZERO = Loss({"regression": lambda preds, labels, options: 0 * preds[:, 0]})


@pytest.mark.parametrize("registry", all_registries(), ids=lambda registry: registry.what)
def test_every_entry_is_a_file_of_its_name_and_loads(registry):
    assert len(registry) == len(set(registry)) > 0
    assert None not in [entry for _, entry in registry.items()]
    assert all(registry.code_of(name) is None for name in registry)
    folder = PACKAGE.parent / registry.package.replace(".", "/")
    assert all((folder / f"{name}.py").is_file() for name in registry)


@pytest.mark.parametrize("registry", all_registries(), ids=lambda registry: registry.what)
def test_no_entry_lies_beside_its_kin_unnamed(registry):
    folder = PACKAGE.parent / registry.package.replace(".", "/")
    entries = {path.stem for path in folder.glob("*.py") if "\nENTRY = " in path.read_text()}
    assert entries == set(registry.built_in)


def test_all_registries_are_found():
    assert [registry.package for registry in all_registries()].count("pipeline.losses") == 1
    assert set(ROOMS) <= {registry.package for registry in all_registries()}


def test_names_are_known_before_anything_is_loaded():
    code = "import sys\nfrom pipeline.vision.poolings import POOLINGS\n"
    code += "assert 'gem' in POOLINGS and 'gam' not in POOLINGS\n"
    code += "assert not {'torch', 'pipeline.vision.poolings.gem'} & set(sys.modules), 'loaded'"
    subprocess.run([sys.executable, "-c", code], cwd=PACKAGE.parent, check=True)


def test_an_unknown_name_is_refused_with_the_known_ones_and_the_nearest():
    with pytest.raises(RequestError) as caught:
        METRICS.get("acuracy")
    assert str(caught.value) == (
        f"metric 'acuracy' is not a known metric; known are {', '.join(METRICS)}; did you mean 'accuracy'?"
    )
    assert 3 not in METRICS
    assert [] not in KINDS


def test_a_plug_ins_entry_is_found_and_remembers_its_code():
    with plugged(sha256="abc"):
        assert LOSSES.add("zero", ZERO) is ZERO
        assert LOSSES["zero"] is LOSSES.get("zero") is ZERO
        assert LOSSES.names()[-1] == "zero"
        assert LOSSES.code_of("zero") == "abc"
    assert "zero" not in LOSSES


def test_add_decorates():
    with plugged():
        assert LOSSES.add("zero")(ZERO) is LOSSES["zero"] is ZERO


def test_a_name_that_is_taken_is_refused_but_the_same_file_may_come_again(tmp_path):
    file, other = str(tmp_path / "own.py"), str(tmp_path / "other.py")
    with plugged(file, "1"):
        with pytest.raises(RequestError, match=r"own\.py: the loss 'mse' is there already"):
            LOSSES.add("mse", ZERO)
        LOSSES.add("zero", ZERO)
        with adding_from(other, "2"), pytest.raises(RequestError, match=r"other\.py: .*'zero' is taken by .*own\.py"):
            LOSSES.add("zero", ZERO)
        again = Loss(ZERO.terms)
        with adding_from(file, "3"):
            assert "zero" not in LOSSES  # it may no longer be in the file
            LOSSES.add("zero", again)
        assert LOSSES["zero"] is again
        assert LOSSES.code_of("zero") == "3"


def test_a_plug_in_that_breaks_leaves_nothing_behind():
    with pytest.raises(RequestError), adding_from("/own.py", "1"):
        assert [LOSSES.add("zero", ZERO), LOSSES.add("mse", ZERO)] == []
    assert "zero" not in LOSSES


def test_code_that_nobody_would_see_change_is_refused():
    with pytest.raises(RequestError, match="loss 'zero' can only be added by a plug-in file"):
        LOSSES.add("zero", ZERO)
