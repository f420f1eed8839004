"""Bundles: our wheel, what the image lacks and nothing else, each file hashed; and what an image cannot run."""

import json
import shutil
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from pipeline.commands import bundle as bundling
from pipeline.competitions import load
from pipeline.errors import RequestError, WorkFailed
from pipeline.freshness import digest
from pipeline.kaggle.image import fatal, read_image, refuse_known_bad
from pipeline.kaggle.manifest import flat_name, read_manifest, refuse_damage
from pipeline.kaggle.notebook import codes_of, notebook
from pipeline.kaggle.wheels import add_lacking, build_wheel, lacking, requirements_of
from pipeline.workspace import Workspace
from tests.command import pipeline
from tests.kaggle_tiny import run, write_index, write_on_kaggle, write_wheel

# The image


def versions(**held: str) -> dict[str, Version]:
    return {name.replace("_", "-"): Version(version) for name, version in held.items()}


@pytest.mark.parametrize(
    ("held", "stops", "words"),
    [
        ({"fastai": "2.8.7", "fastcore": "1.14.5", "plum_dispatch": "2.9.0"}, False, None),
        ({"fastai": "2.8.12", "fastcore": "2.2"}, False, None),
        ({"fastai": "2.8.7", "fastcore": "1.14.5", "plum_dispatch": "2.10.1"}, False, "export fails"),
        ({"fastai": "2.8.7", "fastcore": "2.2"}, True, "TypeError"),
        ({"fastai": "2.8.8", "fastcore": "2.2"}, True, "RecursionError"),
        ({"fastai": "2.8.12", "fastcore": "1.14.5"}, True, "cannot be imported"),
        ({"torch": "2.10"}, False, None),
    ],
)
def test_which_versions_go_together(held, stops, words):
    said = refuse_known_bad(versions(**held))
    assert bool(fatal(said)) is stops
    assert (words is None and not said) or words in said[0]


def test_the_shipped_image_runs_us():
    image = read_image()
    assert not refuse_known_bad(image)
    assert image["torch"] == Version("2.10.0")


def test_an_image_of_ones_own_is_read_as_pip_freezes_it(tmp_path):
    path = tmp_path / "freeze.txt"
    path.write_text("torch==2.11.0+cpu\nTomli_W==1.2.0\nlocal @ file:///x\n-e git+https://x\nodd==not-a-version\n")
    assert read_image(path) == {"torch": Version("2.11.0+cpu"), "tomli-w": Version("1.2.0")}
    path.write_text("numpy==2\n")
    with pytest.raises(RequestError, match="names no torch"):
        read_image(path)
    with pytest.raises(RequestError, match="cannot read"):
        read_image(tmp_path / "absent.txt")


# The wheels


def test_what_is_lacking_is_what_does_not_fit():
    image = versions(torch="2.10.0", rich="13.9.4", tomli_w="1.0")
    needed = [Requirement(text) for text in ("torch>=2.10", "rich>=14", "tomli-w>=1.1", "typer>=0.15")]
    assert [str(one) for one in lacking(needed, image)] == [
        "rich>=14 (the image has 13.9.4)",
        "tomli-w>=1.1 (the image has 1.0)",
        "typer>=0.15 (the image has none)",
    ]


@pytest.fixture
def index(tmp_path, monkeypatch) -> Path:
    """A folder in place of a registry."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def test_what_is_added_brings_what_it_needs_but_never_torch(tmp_path, index, log):
    made = tmp_path / "made"
    made.mkdir()
    ours = write_wheel(tmp_path, "ours", "1", ("first-thing>=2", "numpy", 'odd; python_version < "3.12"'))
    write_wheel(index, "first-thing", "2.5", ("second-thing", "numpy>=2"))
    write_wheel(index, "second-thing", "1.0")
    image = versions(numpy="2.4", torch="2.10")
    added = add_lacking(ours, image, made, log)
    assert [one.requirement.name for one in added] == ["first-thing", "second-thing"]
    assert sorted(path.name for path in made.iterdir()) == [
        "first_thing-2.5-py3-none-any.whl",
        "second_thing-1.0-py3-none-any.whl",
    ]
    heavy = write_wheel(tmp_path, "heavy", "1", ("torch>=3",))
    with pytest.raises(WorkFailed, match=r"preflight: the wheel needs torch>=3 \(the image has 2.10\)"):
        add_lacking(heavy, image, made, log)
    nowhere = write_wheel(tmp_path, "nowhere", "1", ("no-such-thing",))
    with pytest.raises(WorkFailed, match="pip download failed: ERROR: No matching distribution found"):
        add_lacking(nowhere, image, made, log)


def test_our_wheel_is_the_same_bytes_every_time_and_holds_the_package(our_wheel, tmp_path):
    built = [our_wheel, build_wheel(tmp_path)]
    assert built[0].read_bytes() == built[1].read_bytes()
    with zipfile.ZipFile(built[0]) as zipped:
        names = zipped.namelist()
    for name in ("pipeline/cli.py", "pipeline/commands/session.py", "pipeline/kaggle/image.txt"):
        assert name in names
    assert "pipeline/competitions/paddy.toml" in names
    assert not [name for name in names if name.startswith(("tests/", "build/")) or name.endswith(".pyc")]
    assert "fastai" in {one.name for one in requirements_of(built[0])}


# The folder


@pytest.fixture(scope="module")
def prepared(tmp_path_factory, built_once) -> Path:
    """A competition with its folds made, nothing trained, and an index to bundle from."""
    folder = tmp_path_factory.mktemp("bundled")
    run(write_on_kaggle(folder), folder / "root", "data", "check", "folds")
    write_index(folder / "index")
    return folder


@pytest.fixture
def comp(prepared, tmp_path, monkeypatch) -> Path:
    shutil.copytree(prepared, tmp_path / "c", symlinks=True)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "c" / "index"))
    return tmp_path / "c" / "tiny.toml"


def bundle(comp: Path, *args: object):
    return pipeline("kernel", "bundle", comp, "--root", comp.parent / "root", *args)


def test_a_bundle_is_flat_and_says_what_it_is(comp):
    result = bundle(comp, "--json")
    assert result.code == 0, result.err
    folder = Path(result.json["bundle"])
    names = {path.name for path in folder.iterdir() if path.is_file()}
    assert len(names) == len(list(folder.iterdir())), "a dataset has no folders"
    assert {name for name in names if name.endswith(".whl")} == {
        "pipeline-0.1.0-py3-none-any.whl",
        *(path.name for path in (comp.parent / "index").iterdir()),
    }
    entries, said = read_manifest(folder)
    assert {entry.name for entry in entries} == names - {"bundle.json"}
    assert {entry.place for entry in entries if entry.place} == {
        f"data/tiny/.pipeline/{name}"
        for name in (
            "manifest.parquet",
            "facts.parquet",
            "audit.json",
            "folds.csv",
            "data.json",
            "check.json",
            "folds.json",
        )
    }
    assert said["slug"] == "tiny"
    assert len(refuse_damage(folder)) == len(entries)
    assert load(str(folder / "competition.toml")) == load(str(comp))
    assert all(compile(code, "cell", "exec") for code in codes_of((folder / "notebook.ipynb").read_text()))


def test_a_bundle_without_folds_says_what_comes_next(tmp_path):
    comp = write_on_kaggle(tmp_path)
    result = bundle(comp)
    assert result.code == 2
    assert "a bundle needs data, check and folds; `pipeline data` comes next" in result.err


def test_other_kinds_are_trained_here(comp, log):
    ratings = load(str(comp)).model_copy(update={"kind": "ratings"})
    with pytest.raises(RequestError, match=r"kernels are for image competitions; tiny is of kind 'ratings'"):
        bundling.bundle(ratings, Workspace(comp.parent / "root", "tiny"), log)


def test_a_competition_elsewhere_needs_no_bundle(comp):
    result = bundle(comp, "--set", "source.path=x")
    assert result.code == 2
    assert "is not on Kaggle: its source is 'path'" in result.err


def test_an_image_that_cannot_run_us_is_refused_before_anything_is_made(comp):
    path = comp.parent / "freeze.txt"
    path.write_text("torch==2.10.0\nfastai==2.8.12\nfastcore==1.14.5\n")
    result = bundle(comp, "--image", path)
    assert result.code == 1
    assert "preflight: fastai 2.8.12 with fastcore 1.14.5: cannot be imported" in result.err
    assert not (comp.parent / "root/runs/tiny/kernel/bundle").exists()


def test_pretrained_weights_go_along_and_are_used_without_a_network(comp, monkeypatch):
    import timm
    import torch

    from pipeline.vision.model import build_network

    torch.manual_seed(3)
    model = timm.create_model("test_resnet", pretrained=False)
    create = timm.create_model

    def no_network(arch, pretrained=False, pretrained_cfg_overlay=None, **options):
        if pretrained and pretrained_cfg_overlay is None:
            if not reachable:
                raise OSError("no network")
            return model
        return create(arch, pretrained=pretrained, pretrained_cfg_overlay=pretrained_cfg_overlay, **options)

    monkeypatch.setattr(timm, "create_model", no_network)
    reachable = False
    wanted = ("--set", "models.0.weights=pretrained", "--set", "models.0.lr=0.01")
    result = bundle(comp, *wanted)
    assert result.code == 1
    assert "the pretrained weights of test_resnet cannot be had" in result.err
    reachable = True
    result = bundle(comp, *wanted, "--json")
    assert result.code == 0, result.err
    reachable = False
    monkeypatch.setenv("PIPELINE_WEIGHTS", result.json["bundle"])
    network = build_network("test_resnet", "pretrained", [], (32, 32)).model
    mine, theirs = network[0].model.state_dict(), model.state_dict()
    assert all(torch.equal(value, theirs[key]) for key, value in mine.items())
    monkeypatch.delenv("PIPELINE_WEIGHTS")
    with pytest.raises(WorkFailed, match="connect to a network"):
        build_network("test_resnet", "pretrained", [], (32, 32))


def test_two_files_of_one_name_stay_two_and_the_session_finds_each(comp, tmp_path, monkeypatch):
    import torch
    from safetensors.torch import save_file

    from pipeline.vision.config import ImageModel
    from pipeline.vision.model import build_network, check_start

    folders, states = [tmp_path / "a", tmp_path / "b"], []
    for seed, folder in enumerate(folders):
        folder.mkdir()
        torch.manual_seed(seed)
        states.append(build_network("test_resnet", "none", [], (32, 32)).model[0].model.state_dict())
        save_file({name: tensor.contiguous() for name, tensor in states[-1].items()}, folder / "body.safetensors")
    shutil.copy(folders[0] / "body.safetensors", tmp_path / "again.safetensors")
    paths = [str(folder / "body.safetensors") for folder in folders] + [str(tmp_path / "again.safetensors")]
    text = "\n".join(
        f'[[models]]\nname = "m{n}"\narch = "test_resnet"\nweights = "{path}"' for n, path in enumerate(paths)
    )
    start = comp.read_text()
    sized = "\nsize = 32\nbatch_size = 16\nepochs = 1\n"
    comp.write_text(
        start[: start.index("[[models]]")]
        + text.replace("\n[[models]]", sized + "[[models]]")
        + sized
        + start[start.index("[submission]") :]
    )
    result = bundle(comp, "--json")
    assert result.code == 0, result.err
    folder = Path(result.json["bundle"])
    held = sorted(path.name for path in folder.glob("*.safetensors"))
    assert len(held) == 3, "files have their own name and content; the same content under two names is twice there"
    assert all(path.name != "body.safetensors" for path in folder.iterdir())
    refuse_damage(folder)
    assert [model.weights for model in load(str(folder / "competition.toml")).models] == paths
    here = [model.settings()["weights_file"] for model in load(str(comp)).models]
    for path in paths:
        Path(path).rename(f"{path}.away")  # as on Kaggle
    monkeypatch.setenv("PIPELINE_WEIGHTS", str(folder))
    for path, state in zip(paths, [*states, states[0]], strict=True):
        check_start(ImageModel(name="m", arch="test_resnet", weights=path, size=(32, 32)))
        mine = build_network("test_resnet", path, [], (32, 32)).model[0].model.state_dict()
        assert all(torch.equal(value, state[key]) for key, value in mine.items())
    assert [model.settings()["weights_file"] for model in load(str(comp)).models] == here, (
        "a fold counts as trained here"
    )


def test_a_bundle_is_older_than_a_file_of_weights_that_changed(comp, tmp_path):
    import timm
    from safetensors.torch import save_file

    path, states = tmp_path / "body.safetensors", []
    for _ in range(2):
        states.append({k: v.contiguous() for k, v in timm.create_model("test_resnet").state_dict().items()})
    save_file(states[0], path)
    wanted = ["--set", f"models.0.weights={path}"]
    folder = Path(bundle(comp, *wanted, "--json").json["bundle"])
    (name,) = (path.name for path in folder.glob("*.safetensors"))
    assert name == f"body-{(digest(path) or '')[:12]}.safetensors"
    loaded, workspace = load(str(comp), wanted[1:]), Workspace(comp.parent / "root", "tiny")
    bundling.refuse_stale(loaded, workspace)
    save_file(states[1], path)
    with pytest.raises(RequestError, match="older than the weights that models start from"):
        bundling.refuse_stale(loaded, workspace)


def test_a_bundle_of_an_earlier_version_names_weights_as_the_file_does(tmp_path, monkeypatch):
    from pipeline.vision.start import start_file

    (tmp_path / "body.safetensors").touch()
    monkeypatch.setenv("PIPELINE_WEIGHTS", str(tmp_path))
    assert start_file("test_resnet", "/far/away/body.safetensors") == tmp_path / "body.safetensors"
    assert start_file("test_resnet", "/far/away/other.pth") == Path("/far/away/other.pth")
    assert start_file("test_resnet", "none") is None


def test_names_are_flat_and_readable():
    assert flat_name("data/tiny/.pipeline/folds.csv") == "data--tiny--pipeline--folds.csv"
    assert flat_name("runs/tiny/m/fold-0/history.csv") == "runs--tiny--m--fold-0--history.csv"


@pytest.mark.parametrize("damage", ["missing", "changed", "outside", "torn"])
def test_a_damaged_bundle_is_never_used(comp, damage):
    folder = Path(bundle(comp, "--json").json["bundle"])
    path = folder / "data--tiny--pipeline--folds.csv"
    said = json.loads((folder / "bundle.json").read_text())
    if damage == "missing":
        path.unlink()
    elif damage == "changed":
        path.write_text(path.read_text() + "x,0\n")
    elif damage == "outside":
        said["files"][0]["place"] = "runs/../../etc/passwd"
        (folder / "bundle.json").write_text(json.dumps(said))
    else:
        (folder / "bundle.json").write_text("{")
    words = {
        "missing": "is missing from",
        "changed": "is damaged in",
        "outside": "outside of the root",
        "torn": "torn one",
    }
    with pytest.raises(WorkFailed, match=words[damage]):
        refuse_damage(folder)


# The notebook's own checks: they run before anything of ours is installed


def execute(code: str, settings: dict, **names: object) -> dict:
    held: dict = {"SETTINGS": settings, **names}
    exec(compile(code, "cell", "exec"), held)
    return held


@pytest.mark.parametrize("layout", ["datasets/you/pipeline-tiny", "pipeline-tiny"])
def test_the_notebook_finds_and_checks_the_bundle_in_every_layout(comp, tmp_path, monkeypatch, layout, capsys):
    folder = Path(bundle(comp, "--json").json["bundle"])
    settings = {"slug": "tiny", "stage": "train", "minutes": 1}
    first, find, *_ = codes_of(notebook(settings))
    assert execute(first, {})["SETTINGS"] == settings
    monkeypatch.setenv("PIPELINE_KAGGLE_INPUT", str(tmp_path / "input"))
    with pytest.raises(SystemExit, match="no bundle of tiny below"):
        execute(find, settings)
    mounted = shutil.copytree(folder, tmp_path / "input" / layout)
    assert execute(find, settings)["BUNDLE"] == mounted
    assert "all as they were" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="is another version than the one that was pushed"):
        execute(find, settings | {"bundle": "0" * 64})
    assert execute(find, settings | {"bundle": digest(mounted / "bundle.json")})["BUNDLE"] == mounted
    (mounted / "competition.toml").write_text("slug = 'other'")
    with pytest.raises(SystemExit, match=r"competition.toml in .* is not the file that was bundled"):
        execute(find, settings)
    (mounted / "competition.toml").unlink()
    with pytest.raises(SystemExit, match=r"competition.toml is missing from the dataset"):
        execute(find, settings)


def test_odd_settings_survive_the_notebook():
    settings = {"slug": "a", "stage": "train", "model": 'it\'s \\n "quoted" é'}
    assert execute(codes_of(notebook(settings))[0], {})["SETTINGS"] == settings
