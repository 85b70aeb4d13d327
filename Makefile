# `make help` lists the targets. Every target prepares what it needs.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
AUDIT := $(VENV)/audit
LOWEST := .venv-lowest
BIN := $(VENV)/bin
HR := $(BIN)/hybrid-retrieval
STAMP := $(VENV)/.installed
DEMO := outputs/demo

# A machine with an NVIDIA driver gets the GPU build of torch and of FAISS, any other the CPU builds.
# Without a GPU, TORCH_ARGS="--extra-index-url https://download.pytorch.org/whl/cpu" avoids downloading CUDA.
GPU := $(shell command -v nvidia-smi 2>/dev/null)
TORCH := $(if $(GPU),torch>=2.6,torch==2.13.0)
EXTRA := $(if $(GPU),gpu,cpu)
TORCH_ARGS ?=

.PHONY: help setup demo demo-twice test test-slow fuzz test-slurm test-lowest soak notebooks lint types audit format bench bench-train bench-large reproduce-quick clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  \1|\2/' | awk -F'|' '{printf "  %-12s %s\n", $$1, $$2}'

setup: $(STAMP) ## make .venv with the package and its development tools

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "Python 3.11 or later is needed: make setup PYTHON=python3.11"'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install $(TORCH_ARGS) -c constraints.txt "$(TORCH)"
	$(BIN)/pip install $(TORCH_ARGS) -c constraints.txt -e ".[$(EXTRA),dev]"
	touch $(STAMP)

demo: $(STAMP) ## train three strategies, evaluate them and the untrained backbone, write report.html
	$(HR) prepare
	$(HR) evaluate model=e5_small_q4 benchmark=world_facts_sample hydra.run.dir=$(DEMO)/untrained
	$(HR) train -m experiment=demo sampler=x_x_mono,x_y,hybrid hydra.sweep.dir=$(DEMO)
	$(HR) compare $(DEMO)

demo-twice: $(STAMP) ## two whole demos: are all numbers and weights the same bits? (twice the minutes)
	rm -rf outputs/one outputs/two
	$(MAKE) demo DEMO=outputs/one
	$(MAKE) demo DEMO=outputs/two
	diff -r -I '"train_seconds":' -I '"encode":' -I '"rank":' -x .hydra -x .run.lock -x wandb -x run.json -x '*.log' \
	  -x '*.md' -x '*.html' -x 'comparison*' -x multirun.yaml -x train_metrics.csv outputs/one outputs/two

test: $(STAMP) ## run the tests (minutes)
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2

test-slow: $(STAMP) ## the tests that take minutes each or fetch from the package index
	$(BIN)/pytest -m "slow or network"

fuzz: $(STAMP) ## more than 10,000 damaged inputs and every bomb through every reader (minutes; FUZZ_SEED=n for others)
	OMP_NUM_THREADS=1 $(BIN)/pytest -s -m slow tests/fuzz tests/properties

test-slurm: $(STAMP) ## sweeps on a SLURM cluster of two virtual nodes (minutes, root)
	tests/slurm/local_cluster.sh install
	OMP_NUM_THREADS=1 $(BIN)/pytest -v -m slurm tests/slurm

test-lowest: $(LOWEST)/.installed ## the quick tests with the lowest allowed versions (UV_TORCH_BACKEND=cpu: without CUDA)
	OMP_NUM_THREADS=1 $(LOWEST)/bin/pytest -n 2 -p no:cacheprovider

$(LOWEST)/.installed: pyproject.toml
	$(PYTHON) -m venv --clear $(LOWEST)
	$(LOWEST)/bin/pip install "uv>=0.8,<1"
	VIRTUAL_ENV=$(LOWEST) $(LOWEST)/bin/uv pip compile --resolution lowest-direct --extra cpu --extra dev pyproject.toml -o $(LOWEST)/lowest.txt
	VIRTUAL_ENV=$(LOWEST) $(LOWEST)/bin/uv pip install -r $(LOWEST)/lowest.txt
	VIRTUAL_ENV=$(LOWEST) $(LOWEST)/bin/uv pip install --no-deps -e .
	touch $@

soak: $(STAMP) ## an hour of training in one process: do memory and open files stay flat?
	OMP_NUM_THREADS=1 WANDB_MODE=offline $(BIN)/python -m benchmarks.soak --minutes 60 --out outputs/soak

notebooks: $(STAMP) ## execute the notebooks (a minute)
	OMP_NUM_THREADS=1 $(BIN)/pytest --nbmake --nbmake-timeout=600 notebooks

lint: $(STAMP) ## ruff: rules and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP) ## mypy, strict
	$(BIN)/mypy

audit: $(STAMP) ## look up known vulnerabilities of the pinned versions (network; status 3: not reached)
	test -x $(AUDIT)/bin/pip-audit || { $(PYTHON) -m venv $(AUDIT) && $(AUDIT)/bin/pip install "pip-audit>=2.9,<3"; }
	$(BIN)/python -c 'from importlib.metadata import version; print("torch==" + version("torch").split("+")[0])' > $(AUDIT)/torch.txt
	$(BIN)/python .ci/audit.py $(AUDIT)/bin/pip-audit constraints.txt $(AUDIT)/torch.txt

format: $(STAMP) ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(STAMP) ## the benchmarks (ratios, from one run)
	$(BIN)/python -m benchmarks.plan
	$(BIN)/python -m benchmarks.ranking
	$(HR) prepare
	$(BIN)/python -m benchmarks.encode --texts 250

bench-train: $(STAMP) ## training throughput and memory against sentence-transformers (minutes)
	$(HR) prepare
	$(BIN)/python -m benchmarks.train --memory=64
	$(BIN)/python -m benchmarks.loader --rows 600 --steps 2

bench-large: $(STAMP) ## exact search in 5 million embeddings, and FAISS against it (minutes, 5 GB of disk)
	$(BIN)/python -m benchmarks.large_corpus
	$(BIN)/python -m benchmarks.faiss_recall

reproduce-quick: $(STAMP) ## a reduced hybrid study and a check of its claims (22 minutes on a core; DATA=<folder with its data sets>)
	@test -n "$(DATA)" && test -d "$(DATA)/parallel-qa" && test -d "$(DATA)/xquad-r" || { \
	  echo "error: DATA=$(DATA) has no parallel-qa/ and xquad-r/: make reproduce-quick DATA=<folder>; experiments/hybrid_study/README.md says what lies there" >&2; exit 2; }
	HYBRID_RETRIEVAL=$(HR) experiments/hybrid_study/quick.sh "$(DATA)" outputs/reproduce-quick

clean: ## remove .venv and outputs
	rm -rf $(VENV) $(LOWEST) outputs
