"""reopen: a trained fold as a fastai Learner, to look into."""

from typing import TYPE_CHECKING

from pipeline.config import Competition
from pipeline.errors import RequestError
from pipeline.jobs import jobs_of
from pipeline.log import Log
from pipeline.rows import load_rows
from pipeline.stages.train import fold_of
from pipeline.vision.config import ImageCompetition
from pipeline.workspace import Workspace

if TYPE_CHECKING:
    from fastai.learner import Learner


def reopen(comp: Competition, workspace: Workspace, name: str, fold: int, log: Log | None = None) -> "Learner":
    """A trained fold as a fastai Learner: show_results, predict, ClassificationInterpretation.

    Raises RequestError for a model that the file does not name, WorkFailed for weights that are not there.
    """
    from pipeline.vision.cache import open_cache
    from pipeline.vision.fold import heads_of, samples_of
    from pipeline.vision.gather import PixelSource
    from pipeline.vision.learner import build_learner
    from pipeline.vision.model import load_weights

    if not isinstance(comp, ImageCompetition):
        raise RequestError(f"only image models open as a Learner, and {comp.slug} is of kind {comp.kind!r}")
    (job,) = jobs_of(comp, name, fold)
    opened = fold_of(comp, workspace, job, load_rows(comp, workspace))
    resize = opened.model.presize
    learn = build_learner(
        opened.model,
        heads_of(comp.targets, opened.specs, opened.train),
        samples_of(opened.train, opened.specs, workspace.raw),
        samples_of(opened.held_out, opened.specs, workspace.raw),
        weights="none",
        pixels=PixelSource(resize, open_cache(opened.presized, workspace.raw, log or Log()), exact=True),
    )
    load_weights(opened.folder / "weights.safetensors", learn.model)
    return learn
