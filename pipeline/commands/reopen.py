"""reopen: trained folds of a competition, as models to predict with or as fastai Learners to look into."""

from pathlib import Path
from typing import TYPE_CHECKING, cast

from pipeline.config import Competition
from pipeline.errors import RequestError
from pipeline.jobs import Job, jobs_of
from pipeline.kinds import kind_of
from pipeline.log import Log
from pipeline.rows import load_rows
from pipeline.stages.train import fold_of
from pipeline.vision.config import ImageCompetition
from pipeline.vision.table_config import TableModel
from pipeline.workspace import WEIGHTS, Workspace

if TYPE_CHECKING:
    from fastai.learner import Learner
    from torch import nn

    from pipeline.collab.model import Trained
    from pipeline.vision.metadata import Metadata
    from pipeline.vision.table import TrainedTable
    from pipeline.vision.trained import TrainedModel


def open_job(comp: Competition, workspace: Workspace, name: str, fold: int) -> "TrainedModel | TrainedTable | Trained":
    """A trained fold of any kind of competition. Raises RequestError for a model or fold that there is not."""
    (job,) = jobs_of(comp, name, fold)
    return kind_of(comp).open_trained(fold_of(comp, workspace, job, load_rows(comp, workspace)))


def open_fold(
    comp: Competition, workspace: Workspace, job: Job, weights: Path | None = None
) -> "TrainedModel | TrainedTable":
    """A trained fold of an image competition. `weights` may lie elsewhere than in the workspace.

    Raises RequestError for another kind, WorkFailed for weights that are not there.
    """
    from pipeline.vision.table import TrainedTable
    from pipeline.vision.trained import TrainedModel

    path = weights or job.folder(workspace) / WEIGHTS
    if isinstance(job.model, TableModel):
        return TrainedTable.open(path)
    return TrainedModel.open(path, metadata_of(comp, workspace, job, path))


def metadata_of(comp: Competition, workspace: Workspace, job: Job, weights: Path) -> "Metadata":
    """What a fold's weights say of themselves; for those of an earlier version, which say nothing, what the
    competition file, the manifest and the folds say of them.
    """
    from pipeline.vision.fold import heads_of
    from pipeline.vision.metadata import Metadata, read_metadata

    comp = need_images(comp)
    known = read_metadata(weights)
    if known is not None:
        return known
    fold = fold_of(comp, workspace, job, load_rows(comp, workspace))
    return Metadata.of(fold.model, heads_of(comp.targets, fold.specs, fold.train), fold.seed)


def reopen(comp: Competition, workspace: Workspace, name: str, fold: int, log: Log | None = None) -> "Learner":
    """A trained fold as a fastai Learner: show_results, predict, ClassificationInterpretation.

    To look into: `data.weight` is not told to it, so that labels are labels alone and rows count alike.
    Raises RequestError for a model that the file does not name, WorkFailed for weights that are not there.
    """
    from pipeline.vision.cache import open_cache
    from pipeline.vision.fold import samples_of
    from pipeline.vision.learner import build_learner, pixels_of
    from pipeline.vision.model import load_weights

    comp = need_images(comp)
    (job,) = jobs_of(comp, name, fold)
    if isinstance(job.model, TableModel):
        raise RequestError(f"{name!r} is a table model, no network to look into; Project.trained opens it")
    opened = fold_of(comp, workspace, job, load_rows(comp, workspace))
    weights = opened.folder / WEIGHTS
    about = metadata_of(comp, workspace, job, weights)
    learn = build_learner(
        opened.model,
        [head.head() for head in about.heads],
        samples_of(opened.train, opened.specs, workspace.raw, about.features),
        samples_of(opened.held_out, opened.specs, workspace.raw, about.features),
        weights="none",
        features=about.features,
        pixels=pixels_of(opened.model, open_cache(opened.presized, workspace.raw, log or Log()), exact=True),
    )
    load_weights(weights, cast("nn.Module", learn.model))
    return learn


def need_images(comp: Competition) -> ImageCompetition:
    """The competition, where it is one of images. Raises RequestError for another kind."""
    if not isinstance(comp, ImageCompetition):
        raise RequestError(f"only image models are opened so, and {comp.slug} is of kind {comp.kind!r}")
    return comp
