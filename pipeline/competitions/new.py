"""`pipeline new`: a commented competition file to start from."""

import re
from pathlib import Path

from pipeline.errors import RequestError
from pipeline.targets import KINDS
from pipeline.workspace import write_text

TEMPLATE = """\
# {slug}: one file is the whole competition. Every key that is left out has a sensible default;
# `--set models.0.epochs=3` overrides one value for one command.
slug   = "{slug}"
kind   = "image"
metric = "accuracy"                      # what the leaderboard scores
seed   = 42

[source]                                 # exactly one of: kaggle, url, path, demo
path = "{slug}.zip"                      # an archive, or a folder

[data]
table  = "train.csv"                     # leave it out when labels are read from names or folders
id     = "image_id"                      # the table's and the sample submission's id column
images = "train_images/{{image_id}}"       # filled from each row, ".*" for any ending; or a folder with those names
test   = "test_images"                   # a folder; or a pattern such as "test_images/{{image_id}}.jpg"
# features = ["age", "margin*"]          # columns that models with features = true read beside the image
# holdout = 0.2                          # in place of test: a share of train, held back with its answers
# weight = "weight"                      # a column: how much a row counts in the loss
# box  = ["x", "y", "w", "h"]            # columns: what is cut out of each image
# case = "study_id"                      # a column: its images have one answer, which the sample asks for
# combine = "mean"                       # how their predictions become one: mean | max | noisy-or

[[targets]]                              # any number of them; each gets a head of its own
name   = "label"
column = "label"                         # or regex = '^(.+)_\\d+\\.jpg$' on the file name, or folder = true
# column = ["healthy", "rust"]           # or a column of 0 and 1 for each class
# kind = "category"                      # {kinds}
# separator = "|"                        # between the tags of a multilabel cell, in place of blanks
# loss = "cross_entropy"                 # the kind's default; or with options: {{ name = "focal", gamma = 2.0 }}
# order = ["none", "mild", "severe"]     # of the classes; grades where kind = "regression"
# transform = "log1p"                    # of a regression: learned so, predicted in the label's unit
# clip = true                            # a regression kept within the labels' range, or [lowest, highest]
# weight = 1.0                           # of its term in the summed loss

[folds]
n = 5
# group = "near-duplicates"              # or a column of the table, or "none"

[[models]]                               # one entry is one member of the ensemble
name       = "resnet26d"
arch       = "resnet26d"                 # any architecture of timm
weights    = "pretrained"                # pretrained | none | a .safetensors, .pth or .pt file, a trained fold's too
resize     = {{ size = 256, method = "squish" }}   # once, on the CPU: crop | pad | squish
size       = 224                         # augmented down to this by batch; a number or [height, width]
batch_size = 64
# accumulate = 2                         # one optimizer step every 2 batches of 32
epochs     = 5
frozen_bn  = true                        # keeps the weights' batch norm statistics: worth points on small sets
lr         = 0.01                        # a number, [lowest, highest] with one_cycle, or "auto"
tta        = 4

[ensemble]
method = "hillclimb"                     # mean | weighted | rank | hillclimb

[submission]
sample  = "sample_submission.csv"
columns = {{ label = "label" }}            # the sample's column = a target, target/class, or target:form
"""


def write_new(slug: str, folder: Path) -> Path:
    """Write `<slug>.toml` into `folder`. Raises RequestError if it exists or the slug is not one."""
    path = place_of(slug, folder)
    write_text(path, TEMPLATE.format(slug=slug, kinds=" | ".join(KINDS)))
    return path


def place_of(slug: str, folder: Path) -> Path:
    """Where a new file goes. Raises RequestError if it is there already, or the slug is not one."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", slug):
        raise RequestError(f"{slug!r} is not a slug: small letters, digits, '-' and '_', as in the address on Kaggle")
    path = folder / f"{slug}.toml"
    if path.exists():
        raise RequestError(f"{path} exists already; edit it, or take another folder with --root")
    return path
