"""The notebook that runs on Kaggle: checks the bundle, installs from it without a network, starts the session.

Its cells are plain Python over the standard library, so that a rehearsal runs the very same ones.
"""

import json
from typing import Any

ABOUT = """# {slug}: {stage}
Made by `pipeline kernel`. The inputs are the competition and the private dataset of wheels and settings; the \
network is off. What it trains lands in `runs/` of the output: `pipeline kernel pull` takes it home."""

SETTINGS = """# What to do; `pipeline kernel push` writes this cell anew.
import json
SETTINGS = json.loads('''{settings}''')"""

FIND = """# The bundle, in any of Kaggle's layouts, each file checked by its hash.
import hashlib, json, os, subprocess, sys
from pathlib import Path

INPUT = Path(os.environ.get("PIPELINE_KAGGLE_INPUT", "/kaggle/input"))
found = [path.parent for depth in ("*", "*/*", "*/*/*") for path in sorted(INPUT.glob(depth + "/bundle.json"))]
mine = [folder for folder in found if json.loads((folder / "bundle.json").read_text())["slug"] == SETTINGS["slug"]]
if not mine:
    raise SystemExit(f"no bundle of {SETTINGS['slug']} below {INPUT}: add the dataset to the notebook's inputs")
BUNDLE = mine[0]
if SETTINGS.get("bundle", "") not in ("", hashlib.sha256((BUNDLE / "bundle.json").read_bytes()).hexdigest()):
    raise SystemExit(f"{BUNDLE} is another version than the one that was pushed: update the dataset, run again")
about = json.loads((BUNDLE / "bundle.json").read_text())
for file in about["files"]:
    path = BUNDLE / file["name"]
    if not path.is_file():
        raise SystemExit(f"{file['name']} is missing from the dataset {BUNDLE}: bundle and push again")
    with open(path, "rb") as opened:
        if hashlib.file_digest(opened, "sha256").hexdigest() != file["sha256"]:
            raise SystemExit(f"{file['name']} in {BUNDLE} is not the file that was bundled: bundle and push again")
print("bundle", BUNDLE, "of", about["made"], "with", len(about["files"]), "files, all as they were")"""

INSTALL = """# Only from the bundle; what the image has stays as it is, unless the bundle holds another version.
wheel = next(file["name"] for file in about["files"] if file["name"].startswith("pipeline-"))
options = ["--no-index", "--find-links", str(BUNDLE), "--quiet", "--disable-pip-version-check"]
done = subprocess.run(
    [sys.executable, "-m", "pip", "install", *options, str(BUNDLE / wheel)], capture_output=True, text=True
)
if done.returncode:
    print(done.stdout + done.stderr)
    raise SystemExit("the image does not hold what the wheel needs: bundle with --image and its `pip freeze`")"""

START = """# Each line of the session as it is said; a session that failed fails the notebook.
command = [sys.executable, "-u", "-m", "pipeline.commands.session", str(BUNDLE), json.dumps(SETTINGS)]
session = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
for line in session.stdout:
    print(line, end="", flush=True)
if session.wait():
    raise SystemExit(f"the session failed ({session.returncode}): the lines above say why")"""


def notebook(settings: dict[str, Any]) -> str:
    """The notebook as JSON text; `settings` has slug, stage, and what the session takes."""
    told = json.dumps(settings, ensure_ascii=True)
    codes = [SETTINGS.format(settings=told.replace("\\", "\\\\")), FIND, INSTALL, START]
    cells = [{"cell_type": "markdown", "metadata": {}, "source": ABOUT.format(**settings)}]
    cells += [
        {"cell_type": "code", "metadata": {}, "source": code, "outputs": [], "execution_count": None} for code in codes
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    about = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return json.dumps({"cells": cells, "metadata": about, "nbformat": 4, "nbformat_minor": 4}, indent=1)


def codes_of(text: str) -> list[str]:
    """The code cells of a notebook, in their order."""
    cells = json.loads(text)["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
