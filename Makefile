# make eval    set up .venv and run the main job      make test    set up and run the tests
# make lint    ruff and mypy                          make bench   measure speed; bench-check, bench-peers
# make fuzz    100,000 hostile inputs; FUZZ='--inputs 1000 --target runs' for others
# make reports the report on SciFact that the README links    make retrained the study of training under each pool
# make readme  the READMEs' figures from committed tables     make expanded  its part with [MASK]
# make golden  what the terminal prints of every command, as tests/data/golden has it
# make validation the pages that show that the instrument measures what it says
# make test CONSTRAINTS=constraints-oldest.txt tests the oldest supported set, in an environment of its own
PYTHON ?= python3
ACCELERATOR ?= cpu
CONSTRAINTS ?= constraints.txt
ifeq ($(CONSTRAINTS),constraints.txt)
ENVIRONMENT := .venv
EXTRAS := $(ACCELERATOR),embedded,ray,vision,dev
else  # page images need a newer transformers than the oldest
ENVIRONMENT := build/$(patsubst constraints-%.txt,%,$(notdir $(CONSTRAINTS)))
EXTRAS := $(ACCELERATOR),embedded,ray,dev
endif
BIN := $(ENVIRONMENT)/bin
READY := $(ENVIRONMENT)/.ready

.PHONY: setup eval test golden lint fuzz bench bench-check bench-peers validation reports readme retrained expanded clean

setup: $(READY)

$(READY): pyproject.toml $(CONSTRAINTS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "harness needs Python 3.11 or newer; try make PYTHON=python3.12")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(ENVIRONMENT)
	@# the distribution was called harness once; both would own the same command
	@if $(BIN)/python -m pip show --quiet harness 2>/dev/null; then $(BIN)/python -m pip uninstall --quiet --yes harness; fi
	$(BIN)/python -m pip install --quiet -c $(CONSTRAINTS) -e '.[$(EXTRAS)]'
	@touch $@

eval: $(READY)
	$(BIN)/harness eval --dataset stdlib --pool maxsim,topk:4,softmax:0.1 --lengths 32,64,128,256 --dtype auto

test: $(READY)
	$(BIN)/python -m pytest -n auto

golden: $(READY)
	RENEW_GOLDEN=1 $(BIN)/python -m pytest tests/reports/test_terminal.py

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

FUZZ := --inputs 100000 --seed 0 --page
fuzz: $(READY)
	$(BIN)/python -m fuzzing $(FUZZ)

bench: $(READY)
	$(BIN)/python -m pip install --quiet -c $(CONSTRAINTS) -e '.[bench]'
	$(BIN)/python -m benchmarks

# Ratios now against those committed; fails where one is beyond 1.25 times what it was
bench-check: $(READY)
	$(BIN)/python -m benchmarks scoring growth encoding --rounds 5 --check

# Scorers that need an environment of their own; PyLate asks for a torch with CUDA that its scorer does not need
PEERS := build/peers
$(PEERS)/.ready:
	test -x $(PEERS)/bin/python || $(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet torch==2.13.0 'sentence-transformers>=6,<7' datasets
	$(PEERS)/bin/python -m pip install --quiet --no-deps pylate==1.6.0
	@touch $@

bench-peers: $(READY) $(PEERS)/.ready
	$(PEERS)/bin/python -m benchmarks.peers benchmarks/results.json
	$(BIN)/python -m benchmarks.charts

# Reads what `make reports` made, and makes what is not there
validation: $(READY) $(PEERS)/.ready
	$(BIN)/python -m pip install --quiet -c $(CONSTRAINTS) -e '.[bench]'
	$(BIN)/python -m validation

# Options of the synthetic study can be given: make reports SYNTH='--seeds 2 --epochs 10'
GRID := maxsim,topk:2,topk:4,topk:8,softmax:1.0,softmax:0.1,logsumexp:0.1
PLANNED := --documents 8.8e6 --patches 70 --queries 6980 --depth 1000 --dims 128 --index disk
reports: $(READY)
	$(BIN)/harness eval --dataset scifact --pool maxsim,topk:4,softmax:0.1 --candidates exact --output runs/report --resume
	$(BIN)/harness stress --dataset scifact --pool maxsim,topk:4,topk:16,softmax:1.0 --inject hard,spike,gaussian \
	  --output runs/report --resume
	$(BIN)/harness gradients --dataset scifact --pool maxsim,topk:5,softmax:1.0 --output runs/report --resume
	$(BIN)/harness synth $(SYNTH) --output runs/report --resume
	$(BIN)/harness synth --pool $(GRID) --seeds 3 --epochs 30 --output runs/grid --resume
	rm -f reports/scifact/*.* reports/grid/*.csv
	$(BIN)/harness report runs/report/eval-* runs/report/stress-* runs/report/gradients-* runs/report/synth-* \
	  --format html,md,latex,csv,svg --output reports/scifact --no-texts
	$(BIN)/harness report runs/grid/synth-* --format csv --output reports/grid
	COLUMNS=80 $(BIN)/harness plan $(PLANNED) | sed -e 's/ *$$//' -e '1{/^$$/d}' > reports/plan.txt

# README.md, benchmarks/README.md and reports/retrained/README.md: templates filled from committed tables
readme: $(READY)
	$(BIN)/python -m validation.readmes
	$(BIN)/python -m validation.stub

# The study of retraining that reports/retrained holds: one projection for each pool and seed, every one swept and
# attacked; `expanded` is its part with queries grown as ColBERT grows them.
POOLS := maxsim,topk:4,softmax:0.1,softmax:1.0
retrained: TRAINED := runs/retrained
retrained: UNDER := $(POOLS)
expanded: TRAINED := runs/expanded
expanded: UNDER := maxsim
expanded: TRAIN := --expansion mask
expanded: PREFIX := expanded-
retrained expanded: $(READY)
	$(BIN)/harness train --dataset scifact --pool $(UNDER) --seeds 3 --output $(TRAINED)/checkpoints $(TRAIN)
	$(BIN)/harness train --dataset scifact --epochs 0 --start truncated --output $(TRAINED)/checkpoints/truncated $(TRAIN)
	$(BIN)/python reports/retrained/plain.py $(TRAINED)/minilm-128
	for one in $(TRAINED)/checkpoints/* embeddings:$(TRAINED)/minilm-128; do \
	  ask="--dataset scifact --checkpoint $$one --pool $(UNDER) --output $(TRAINED) --resume"; \
	  $(BIN)/harness eval $$ask --candidates exact && $(BIN)/harness stress $$ask --inject hard \
	    && $(BIN)/harness gradients $$ask || exit 1; done
	rm -rf $(TRAINED)/compare-*
	$(BIN)/harness compare $(TRAINED)/eval-* --baseline embeddings:$(TRAINED)/minilm-128 --average-seeds --output $(TRAINED)
	$(BIN)/harness compare $(TRAINED)/stress-* --baseline embeddings:$(TRAINED)/minilm-128 --average-seeds \
	  --output $(TRAINED)
	$(BIN)/python -m validation.readmes.collect reports/retrained "$(PREFIX)" $(TRAINED)/compare-* $(TRAINED)/gradients-*
	$(BIN)/harness report $(TRAINED)/compare-* --format html,md,csv --output $(TRAINED)/report

clean:
	rm -rf .venv build dist
