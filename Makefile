# Start with `make demo` and `make test`. PIP_FLAGS is passed to pip.
PYTHON ?= python3
PIP_FLAGS ?=
BIN := .venv/bin

demo: .venv/.installed
	$(BIN)/python -m skeleton_adv attack=admm model=hcn batch_size=16 runtime.limit=32

test: .venv/.installed
	$(BIN)/python -m pytest -n 2 --dist worksteal

test-slow: .venv/.installed
	$(BIN)/python -m pytest -m slow

page: .venv/.installed
	$(BIN)/python -m skeleton_adv -m attack=admm,pgd model=hcn batch_size=10 runtime.limit=10 runtime.save_clips=true runtime.output_dir=outputs/page
	$(BIN)/python -m skeleton_adv.page outputs/reference outputs/page --out page

test-slurm: .venv/.installed  # as root on Debian
	scripts/slurm_node.sh install
	trap 'scripts/slurm_node.sh stop' EXIT; scripts/slurm_node.sh start && \
		SLURM_CONF=$${SLURM_TEST_DIR:-/tmp/slurm-test}/slurm.conf $(BIN)/python -m pytest -m slurm -n 0 tests/launch

lint: .venv/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

.venv/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: $$($(PYTHON) --version) is too old: run make PYTHON=python3.11, or a newer version"; exit 2; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || \
		{ echo "error: this Python lacks venv: run apt-get install python3-venv"; exit 2; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet $(PIP_FLAGS) -c constraints.txt -e '.[dev]'
	@touch $@

.PHONY: demo test test-slow test-slurm page lint
