# Every target has one line of help: `make` shows them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
# Each target that has a line of help.
.PHONY: $(shell sed -n 's/^\([a-z-]*\):.*\#\# .*/\1/p' $(firstword $(MAKEFILE_LIST)))

BIN := .venv/bin
REASONFLUX := $(BIN)/reasonflux
# Taken as it was given and passed in the environment, so that quotes and LaTeX's dollar signs arrive as they are.
override PROBLEM := $(value PROBLEM)
export PROBLEM
EVAL_ARGS ?= ladder --split heldout --limit 500 --depth 1,2
TEST_ARGS ?=
BENCH_ARGS ?=

help:  ## show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install:  ## set everything up in .venv (a second run takes no time)
	@scripts/install.sh

demo: install  ## start the stack, solve problems with a live trace, stop it again; PROBLEM="…" solves that one
	@if [ -n "$${PROBLEM:-}" ]; then $(REASONFLUX) demo -- "$$PROBLEM" || [ $$? -eq 3 ]; else $(REASONFLUX) demo; fi

up: install  ## start the stack and leave it running
	@$(REASONFLUX) up

down:  ## stop exactly what `make up` started
	@if [ -x $(REASONFLUX) ]; then $(REASONFLUX) down; else echo "nothing to stop: nothing is installed"; fi

status: install  ## show what runs and where
	@$(REASONFLUX) status

test: install  ## run every test; TEST_ARGS="tests/unit -k name" runs some
	@$(BIN)/pytest $(TEST_ARGS)

test-clients: install  ## install OpenAI-compatible clients and run them unmodified against the embedded stack
	@scripts/install-clients.sh
	@$(BIN)/pytest tests/clients $(TEST_ARGS)

test-compose: install  ## build the images, bring docker compose up (profile cpu), solve, crash each part, take it down
	@REASONFLUX_TEST_COMPOSE=1 $(BIN)/pytest tests/compose $(TEST_ARGS)

test-browser: install  ## the trace page in the Chromium that is found on PATH (or in CHROMIUM)
	@$(BIN)/pytest tests/browser $(TEST_ARGS)

check: install  ## ruff, mypy --strict, import-linter, and every template worked through
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(REASONFLUX) templates validate

format: install  ## let ruff put the sources in order
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

train-tiny: install  ## train the shipped weights from scratch (about 130 CPU-minutes)
	@$(REASONFLUX) train run --config training/configs/tiny-cpu.yaml --log training/LOG.md

eval: install  ## score the running stack on held-out problems; EVAL_ARGS="…" chooses others
	@$(REASONFLUX) eval $(EVAL_ARGS)

results: install  ## draw docs/results from the stored reports of studies and of the training
	@$(REASONFLUX) eval results
	@$(REASONFLUX) train results

bench-calculator: install  ## time ordinary expressions through the jailed calculator
	@$(BIN)/python packages/calculator/benchmarks/expression_latency.py

bench-retrieval: install  ## how often the right template is found, and how fast (writes docs/results/retrieval.md)
	@OMP_NUM_THREADS=1 $(BIN)/python services/template-store/benchmarks/retrieval.py $(BENCH_ARGS)

bench-index: install  ## the dense index at 10k, 100k and 1M templates (writes docs/results/index-scale.md)
	@OMP_NUM_THREADS=1 $(BIN)/python services/template-store/benchmarks/index_scale.py $(BENCH_ARGS)

bench-overhead: install  ## what everything but the LLM costs, beside other frameworks (writes docs/results/overhead.md)
	@OMP_NUM_THREADS=1 $(BIN)/python services/navigator/benchmarks/overhead $(BENCH_ARGS)

bench-loop: install  ## what the loop costs beside its engines, and what doing things at once saves (writes docs/results/loop.md)
	@OMP_NUM_THREADS=1 $(BIN)/python services/navigator/benchmarks/loop $(BENCH_ARGS)

bench-trace: install  ## the trace page on long sessions, by the browser's own clock (writes docs/results/trace-page.md)
	@PYTHONPATH=tests $(BIN)/python -m browser.bench $(BENCH_ARGS)

screenshots: install  ## take the pictures in docs/images again
	@PYTHONPATH=tests $(BIN)/python -m browser.screenshots

constraints: install  ## write constraints.txt anew from .venv
	@{ grep '^#' constraints.txt; { $(BIN)/pip freeze --all --exclude-editable --exclude pip; \
	   grep -E '^torch(audio|codec|vision)==' constraints.txt; } | sed 's/^\(torch==[0-9.]*\)+.*/\1/' | sort -fu; } > constraints.partial
	@mv constraints.partial constraints.txt

clean: down  ## stop the stack and delete .venv and .reasonflux
	@rm -rf .venv .venv-clients tests/clients/node_modules .reasonflux
