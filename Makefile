# Every target makes the virtual environment it needs; a fresh clone, Python 3.11 and make are enough.
PYTHON ?= python3.11
BIN := .venv/bin

.PHONY: demo test lint test-extras bench protos wheel clean

demo: .venv/demo
	$(BIN)/python -m jobs.demo

# A process a core; each computes with one thread, and what is trained is trained once for all.
TEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --no-loadscope-reorder

test: .venv/dev
	$(TEST)

lint: .venv/dev
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy textvae jobs
	$(BIN)/buf lint

# All optional packages; a test that skips for want of one fails.
test-extras: .venv/extras
	$(TEST) -p tests.no_skips

# All of them, though one misses its target.
bench: .venv/dev
	missed=0; for name in train encode decode slots cancels bulk fairness overload; do \
		$(BIN)/python -m jobs.bench $$name || missed=1; done; exit $$missed

# Generated code is committed; a test compares it with what this makes.
protos: .venv/dev
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m grpc_tools.protoc -I protos --python_out=. \
		--grpc_python_out=. --mypy_out=quiet:. --mypy_grpc_out=quiet:. protos/textvae/v1/*.proto

# The sources, and from them two wheels of one version: one with the parts in C, for this platform
# and Python, and one for all. Where the first fits, pip takes it.
wheel: .venv/dev
	rm -rf build
	$(BIN)/python -m build
	TEXTVAE_PURE=1 $(BIN)/python -m build

clean:
	rm -rf .venv build dist demo *.egg-info

.venv/demo: EXTRAS := demo
.venv/dev: EXTRAS := dev
.venv/extras: EXTRAS := dev,bulk,mlflow

.venv/%: constraints.txt pyproject.toml setup.py $(wildcard textvae/*/*.[ch])
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[$(EXTRAS)]"
	touch $@
