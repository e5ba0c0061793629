# `make demo` and `make test` need nothing but Python (3.11 or newer) and make. CI runs these targets.
PYTHON ?= python3

BIN = .venv/bin
READY = .venv/ready

.PHONY: help install demo test test-all lint bench readme reproduce clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(READY) ## .venv with everything that development needs

demo: $(READY) ## train a small network on handwritten digits, export it, evaluate it on every runtime that is installed
	rm -rf runs/demo
	$(BIN)/nin-onnx train digits --out runs/demo
	$(BIN)/nin-onnx export runs/demo
	$(BIN)/nin-onnx eval runs/demo/model/model.onnx --dataset digits --max-error 2

test: $(READY) ## the tests, but for the slow ones
	$(BIN)/python -m pytest -m "not slow"

test-all: $(READY) ## all tests
	$(BIN)/python -m pytest

lint: $(READY) ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(READY) ## our training loop beside others', the exported forms beside each other, what eval adds to a runtime, the time to a first answer; some minutes, on a machine that does nothing else
	$(BIN)/python benchmarks/training.py
	$(BIN)/python benchmarks/inference.py
	$(BIN)/python benchmarks/eval_overhead.py
	$(BIN)/python benchmarks/first_answer.py

readme: $(READY) ## write the figures in README.md and results/README.md anew, each by its command; MNIST must be at hand (nin-onnx data mnist)
	$(BIN)/python -m cogapp -r README.md results/README.md

reproduce: ## run what is missing in results/, with the .venv if it is there, else with a PYTHON that has torch; goes on where it was
	$(if $(wildcard $(READY)),$(BIN)/python,$(PYTHON)) -m nin_onnx reproduce

clean: ## remove .venv, the demo's run and what the tools left behind; other runs stay
	rm -rf .venv runs/demo build dist nin_onnx.egg-info .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "$(PYTHON) is Python %d.%d, nin-onnx needs 3.11 or newer: make PYTHON=python3.12" % sys.version_info[:2])'
	@echo "installing nin-onnx and what it needs into .venv: once, some minutes"
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[cpu,train,demo,plot,runtimes,test]"
	@touch $@
