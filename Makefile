# SPDX-License-Identifier: Apache-2.0
# Works from a fresh clone: the first target that needs it makes .venv and installs everything into it.

PYTHON ?= python3
TORCH ?= torch==2.13.0
VENV := .venv
RUN := $(VENV)/bin/python
PIP := $(RUN) -m pip install -qq --disable-pip-version-check
STAMP := $(VENV)/.installed
CHECKED := geodistill_core training/geodistill_training ros2_ws/src/geodistill_ros/geodistill_ros

.PHONY: help demo test mutants soak lint train docs install clean
.DEFAULT_GOAL := help

help:  ## Show this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(STAMP)  ## See it work: a simulated drive through the real ROS 2 node
	@$(VENV)/bin/geodistill demo

test: $(STAMP)  ## Run the tests
	@$(RUN) -m pytest -q

mutants: $(STAMP)  ## Break one line at a time; the tests must notice
	@$(RUN) tests/mutants/run_mutants.py

soak: $(STAMP)  ## An hour of driving at 10 Hz through the node: memory, threads, lag
	@$(RUN) tests/soak/drive_an_hour.py

lint: $(STAMP)  ## Check style and types
	@echo "ruff" && $(RUN) -m ruff check --quiet . && $(RUN) -m ruff format --quiet --check .
	@echo "mypy" && $(RUN) -m mypy --no-error-summary $(CHECKED)

train: $(STAMP)  ## Train the shipped network anew, without position labels (resumable)
	@$(VENV)/bin/geodistill train weak --config tiny

docs: $(STAMP)  ## Build the documentation into build/site, links checked
	@$(VENV)/bin/mkdocs build --quiet --strict

install: $(STAMP)  ## Make .venv with everything that the other targets need
	@:

$(STAMP): pyproject.toml ros2_ws/src/geodistill_ros/setup.py
	@test -x $(RUN) || { echo "making $(VENV)"; $(PYTHON) -m venv $(VENV); }
	@echo "installing $(TORCH) (the largest download)"
	@$(PIP) "$(TORCH)"
	@echo "installing GeoDistill, ROS 2 and the tools"
	@$(PIP) --editable ".[ros,dev]"
	@$(PIP) --no-deps tensorrt-stubs  # types only: TensorRT itself takes gigabytes and a GPU
	@$(PIP) --no-deps --editable ros2_ws/src/geodistill_ros
	@touch $@

clean:  ## Remove .venv and caches; drives, runs and reports stay
	@rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache build ./*.egg-info
