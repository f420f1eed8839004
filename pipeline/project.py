"""A competition below a root, as one object: what a notebook, the command line and a session on Kaggle call."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pipeline import predictions
from pipeline.config import Competition
from pipeline.errors import RequestError
from pipeline.log import Log
from pipeline.machine import prepare_process, refuse_windows
from pipeline.plugins import load_plug_ins
from pipeline.predictions import Predictions
from pipeline.workspace import Workspace, locked

if TYPE_CHECKING:
    import pandas as pd
    from fastai.learner import Learner

    from pipeline.collab.model import Trained
    from pipeline.vision.table import TrainedTable
    from pipeline.vision.trained import TrainedModel


class Project:
    """A competition (a shipped name or a path to a TOML file) whose data/, runs/ and submissions/ lie below `root`.

    `sets` are overrides such as "models.0.epochs=3"; `plugins` are Python files that add losses, metrics and the like.
    Make it before torch is imported, where you can: it sets what torch reads when it loads. Methods that write take
    the competition's lock; all raise RequestError or WorkFailed, whose messages are for people. Nothing is computed
    before a method is called.
    """

    def __init__(
        self,
        comp: str | Path = "demo",
        root: str | Path = ".",
        sets: Sequence[str] = (),
        plugins: Sequence[str | Path] = (),
        log: Log | None = None,
    ) -> None:
        refuse_windows()
        prepare_process()
        from pipeline.competitions import load

        self.called, self.plugins = str(comp), load_plug_ins(plugins)
        self.competition: Competition = load(self.called, list(sets))
        self.workspace = Workspace(Path(root).resolve(), self.competition.slug)
        self.log = log or Log()

    def __repr__(self) -> str:
        return f"Project({self.called!r}, root={str(self.workspace.root)!r})"

    @contextmanager
    def working(self) -> Iterator[tuple[Competition, Workspace, Log]]:
        """Hold the competition's lock. Raises WorkFailed where another process has it."""
        with locked(self.workspace):
            yield self.competition, self.workspace, self.log

    def run(self, force: bool = False) -> dict[str, Any]:
        """Every stage to the submission, skipping what is up to date; see `commands.run.run` for what it returns."""
        from pipeline.commands.run import run

        with self.working() as place:
            return run(*place, force)

    def status(self) -> dict[str, Any]:
        """How far each stage and model is, and why what is stale is stale. Needs no lock."""
        from pipeline.commands.status import status

        return status(self.competition, self.workspace)

    def stage(self, name: str, **options: Any) -> bool:
        """Do one stage with its options; returns whether there was anything to do.

        Raises RequestError for a stage whose needs are not met, or that this competition does not have.
        """
        from pipeline.road import STAGES, refuse_unready

        with self.working() as place:
            refuse_unready(self.competition, self.workspace, name, self.called)
            did = STAGES[name].run(*place, **options)
            if not did:
                self.log.say(f"{name}: up to date")
        return did

    def train(
        self,
        model: str | None = None,
        folds: int | Collection[int] | None = None,
        minutes: float | None = None,
        force: bool = False,
    ) -> bool:
        """Train every model on every fold, or those named, going on where it was stopped; see `stages.train`."""
        return self.stage("train", only_model=model, only_fold=folds, minutes=minutes, force=force)

    def predict(self, model: str | None = None, force: bool = False) -> bool:
        """Out-of-fold and test predictions of each model, with TTA."""
        return self.stage("predict", only_model=model, force=force)

    def submit(self, member: str = "ensemble", force: bool = False) -> bool:
        """Write the submission of the ensemble, or of one model, checked against the sample."""
        return self.stage("submit", member=member, force=force)

    def score(self, solution: Path | None = None, submission: Path | None = None) -> dict[str, Any]:
        """Grade the newest submission, or a file, against known answers; see `commands.score.score`."""
        from pipeline.commands.score import score

        with self.working():
            self._need(self.workspace.manifest, "score needs data first; run `pipeline run {}`")
            return score(self.competition, self.workspace, solution, submission)

    def send(self, message: str = "", late: bool = False, kernel: tuple[str, str, int] | None = None) -> dict[str, Any]:
        """Hand the newest submission, or a kernel's version, in to Kaggle and wait for its score."""
        from pipeline.commands.send import send

        with self.working() as place:
            return send(*place, message or "pipeline", late, kernel)

    def recommend(
        self, user: str | None = None, new: str | None = None, model: str | None = None, top: int = 10
    ) -> dict[str, Any]:
        """Rating competitions: the items that a user, or somebody new, would rate highest."""
        from pipeline.commands.recommend import recommend

        with self.working():
            self._need(self.workspace.facts, "recommend needs a trained model; run `pipeline run {}` first")
            return recommend(self.competition, self.workspace, user, new, model, top)

    def explain(self, model: str | None = None, item: str | None = None) -> dict[str, Any]:
        """Rating competitions: what biases and factors learned, whom the model serves worst; with pictures."""
        from pipeline.commands.explain import explain

        with self.working() as place:
            self._need(self.workspace.facts, "explain needs a trained model; run `pipeline run {}` first")
            return explain(*place, model, item)

    @property
    def manifest(self) -> "pd.DataFrame":
        """A row an example: id, split, labels, and for images their files."""
        import pandas as pd

        self._need(self.workspace.manifest, "there is no manifest yet; run `pipeline data {}`")
        return pd.read_parquet(self.workspace.manifest)

    @property
    def folds(self) -> "pd.Series":
        """Fold numbers from 0 by id."""
        from pipeline.rows import read_folds

        self._need(self.workspace.folds, "there are no folds yet; run `pipeline run {}`")
        return read_folds(self.workspace)

    def predictions(self, member: str = "ensemble", split: Literal["oof", "test"] = "oof") -> Predictions:
        """Predictions of a model, or of the ensemble: out of fold, or of the test set."""
        path = self.workspace.model(member) / f"{split}.parquet"
        self._need(path, f"no {split} predictions of {member!r} yet; run `pipeline run {{}}`")
        return predictions.load(path)

    def learner(self, model: str, fold: int) -> "Learner":
        """A trained fold as a fastai Learner, to look into: show_results, predict, ClassificationInterpretation."""
        from pipeline.commands.reopen import reopen

        return reopen(self.competition, self.workspace, model, fold, self.log)

    def trained(self, model: str, fold: int) -> "TrainedModel | TrainedTable | Trained":
        """A trained fold, to predict images or pairs of users and items with; its weights say what it is."""
        from pipeline.commands.reopen import open_job

        return open_job(self.competition, self.workspace, model, fold)

    def _need(self, path: Path, otherwise: str) -> None:
        """Raise RequestError where a file is missing; {} in the message is what the user calls the competition."""
        if not path.is_file():
            raise RequestError(otherwise.format(self.called))
