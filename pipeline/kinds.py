"""The two kinds of competition travel one road; what differs is told here, and nowhere else in the stages.

Each kind is a module with the same functions: `build`, `with_ids`, `own_sample`, `check_models`, `side_inputs`,
`train_fold`, `predict_fold`, and the constants named below. They import what is heavy when they are called.
"""

from types import ModuleType

from pipeline.config import Competition


def kind_of(comp: Competition) -> ModuleType:
    """The module that trains and predicts folds of this competition.

    `PASSES` are the ways in which a fold is predicted: (name in metrics.json, folder within the fold's).
    `FREE` are the settings of a model that its training does not depend on, `ROWS` the word for its rows,
    `LIBRARIES` those whose versions are kept beside predictions.
    """
    if comp.kind == "ratings":
        from pipeline.collab import kind
    else:
        from pipeline.vision import kind
    return kind
