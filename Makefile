# The whole recipe. `make` lists the targets; COMP=name or COMP=path/to/file.toml chooses the competition.
COMP   ?= demo
PYTHON ?= python3
ARGS   ?=
VENV    = .venv
BIN     = $(VENV)/bin
STAGES  = run data check folds presize train predict ensemble submit score status recommend explain

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-shapes test-real lint lock bench-road bench-input bench-collab bench-levers kernel new $(STAGES)

help:  ## list the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))
	@echo
	@echo "  COMP=$(COMP) (a shipped name or a TOML file), ARGS='--set models.0.epochs=3' for more options"

setup: $(VENV)/.done  ## make .venv from the pinned, hashed lock

demo: setup  ## draw a small competition and take it to a scored submission
	$(BIN)/pipeline run demo $(ARGS)

test: setup  ## the tests: offline, on generated data
	$(BIN)/python -m pytest -m "not realdata and not shapes" $(ARGS)

test-shapes: setup  ## every shipped competition, drawn small, down the whole road (a few minutes)
	$(BIN)/python -m pytest -m shapes tests/test_shapes.py $(ARGS)

test-real: setup  ## the tests that need ../shared/data
	$(BIN)/python -m pytest -m realdata -rs $(ARGS)

lint: setup  ## ruff and the type checker
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright

run: setup  ## every stage to the submission, skipping what is up to date
	$(BIN)/pipeline run $(COMP) $(ARGS)

data: setup  ## fetch the raw files and read them into the manifest
	$(BIN)/pipeline data $(COMP) $(ARGS)

check: setup  ## audit every image
	$(BIN)/pipeline check $(COMP) $(ARGS)

folds: setup  ## split train for cross-validation
	$(BIN)/pipeline folds $(COMP) $(ARGS)

presize: setup  ## decode and resize every image once, for all models and epochs
	$(BIN)/pipeline presize $(COMP) $(ARGS)

train: setup  ## train every model on every fold
	$(BIN)/pipeline train $(COMP) $(ARGS)

predict: setup  ## out-of-fold and test predictions, with TTA
	$(BIN)/pipeline predict $(COMP) $(ARGS)

ensemble: setup  ## blend the models
	$(BIN)/pipeline ensemble $(COMP) $(ARGS)

submit: setup  ## write the checked submission file
	$(BIN)/pipeline submit $(COMP) $(ARGS)

score: setup  ## grade the submission; ARGS='--solution FILE' where the answers lie elsewhere
	$(BIN)/pipeline score $(COMP) $(ARGS)

status: setup  ## how far each stage and model is
	$(BIN)/pipeline status $(COMP) $(ARGS)

kernel: setup  ## train on Kaggle: make kernel VERB=bundle (push, wait, pull, rehearse)
	$(BIN)/pipeline kernel $(VERB) $(COMP) $(ARGS)

recommend: setup  ## rating competitions: make recommend COMP=movielens ARGS='--user 42'
	$(BIN)/pipeline recommend $(COMP) $(ARGS)

explain: setup  ## rating competitions: what biases and factors learned, with pictures
	$(BIN)/pipeline explain $(COMP) $(ARGS)

new: setup  ## write a commented competition file: make new SLUG=my-competition
	$(BIN)/pipeline new $(SLUG)

bench-road: setup  ## wall time and scores beside a plain fastai script (about an hour on two cores)
	$(BIN)/python benchmarks/road.py $(ARGS)

bench-collab: setup  ## rating models beside Surprise, myFM, fastai and LensKit (about ten minutes on two cores)
	$(BIN)/python benchmarks/collab.py $(ARGS)

bench-input: setup  ## images/s of the input path beside stock fastai and its peers (about half an hour)
	$(BIN)/python benchmarks/input.py $(ARGS)

bench-levers: setup  ## levers of transfer learning on Pets and clothes (about an hour on two cores)
	$(BIN)/python benchmarks/levers.py $(ARGS)

lock: setup  ## resolve the pins anew
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
		--group dev pyproject.toml -o .ci/requirements.txt

# The stamp is written last: a set-up that was interrupted is done again.
$(VENV)/.done: .ci/requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
		{ echo "error: $(PYTHON) is not Python 3.11, 3.12 or 3.13; name one: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 2; }
	$(PYTHON) -m venv --clear $(VENV)
	grep -A99 '^uv==' .ci/requirements.txt | awk 'NR > 1 && !/^    --hash/ {exit} {print}' > $(VENV)/uv.txt
	$(BIN)/python -m pip install -q --require-hashes -r $(VENV)/uv.txt
	$(BIN)/uv pip sync -q --python $(BIN)/python --require-hashes .ci/requirements.txt
	$(BIN)/uv pip install -q --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@
