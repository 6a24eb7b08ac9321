# Two commands: `make demo` shows a whole deployment, `make test` checks
# everything. Both install what they need: distribution packages (they say
# which, and need root or sudo for it) and, below .venv and .tox, Python's.

SHELL := /bin/sh
PYTHON ?= python3
TOX := .venv/bin/tox

# Disks are partitioned and mounted: that takes root. What root makes, it
# keeps to itself, so that it is in nobody's way.
ifeq ($(shell id -u),0)
TOX_AS_ROOT := $(TOX) run -qq
else
SUDO := sudo -E
TOX_AS_ROOT := $(SUDO) $(TOX) run -qq --workdir .tox/root
endif

# Without history (an exported tree) pbr has to be told a version.
ifeq ($(shell git rev-parse HEAD 2>/dev/null),)
export PBR_VERSION ?= 0.0.1.dev0
endif

.PHONY: help demo test lint docs test-all test-unit test-functional test-vm
.PHONY: test-conductor test-tempest test-boot-all ramdisk gate gate-all gate-clean
.PHONY: packages gate-packages clean demo-clean

help:
	@echo 'make demo             deploy two systems with a real agent, boot both'
	@echo 'make test             lint, docs and tests, but the long ones of test-vm'
	@echo 'make lint, docs       one of these'
	@echo 'make test-unit, test-conductor, test-functional, test-vm, test-boot-all'
	@echo 'make ramdisk          build a deploy ramdisk: .cache/ramdisk'
	@echo 'make gate, gate-all   a real Ironic deploys a virtual node'
	@echo 'make gate-clean       remove what the gate keeps'
	@echo 'make demo-clean       remove what demo and tests keep (.cache)'
	@echo 'make clean            remove everything that was made'

demo: packages $(TOX)
	@echo 'The first time, this makes a Python environment: half a minute.'
	@$(TOX_AS_ROOT) -e demo

# The tests come last, so that their summary is what one sees.
test: packages lint docs test-conductor test-tempest
	@$(MAKE) --no-print-directory test-all

# Of tests/vm what tests/vm/quick.py lists: all of it is an hour of emulation
# where nothing is quicker.
TESTS := tests/unit tests/functional tests/vm -m 'not long'

test-all: packages $(TOX)
	$(TOX_AS_ROOT) -e py3 -- --durations=20 $(TESTS)

test-unit: $(TOX)
	$(TOX) run -qq -e unit

test-conductor test-tempest: test-%: $(TOX)
	$(TOX) run -qq -e $*

# Every kind of root under every firmware, and every way to fall back.
test-boot-all: packages $(TOX)
	$(TOX_AS_ROOT) -e py3 -- tests/vm/test_boot_*.py tests/vm/test_fallback.py \
		tests/vm/test_later_kernels.py tests/vm/test_own_menu.py \
		tests/vm/test_uefi_entries.py tests/vm/test_foreign.py

test-functional test-vm: test-%: packages $(TOX)
	$(TOX_AS_ROOT) -e py3 -- tests/$*

lint docs: packages $(TOX)
	$(TOX) run -q -e $@

$(TOX): | packages
	@mkdir -p .tox
	@$(PYTHON) -m venv .venv
	@.venv/bin/pip install -qq 'tox>=4.11'

packages:
	@tools/install-packages

gate-packages:
	@tools/install-packages gate

RAMDISK ?= .cache/ramdisk

ramdisk: gate-packages
	@$(SUDO) tools/make-ramdisk $(RAMDISK)

# A real Ironic deploys a virtual node. Half an hour to an hour for all stories;
# (a) and (e) are what takes the shortest.
GATE := tests/gate

gate: gate-packages $(TOX)
	$(TOX_AS_ROOT) -e gate -- -k 'test_a_two_systems or test_e_' $(GATE)

gate-all: gate-packages $(TOX)
	$(TOX_AS_ROOT) -e gate -- $(GATE)

gate-clean:
	$(SUDO) rm -rf .cache/gate .cache/ramdisk-* .cache/esp-*

demo-clean:
	$(SUDO) rm -rf .cache

clean: demo-clean
	$(SUDO) rm -rf .venv .tox .eggs *.egg-info build dist doc/build
	$(SUDO) rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis
	$(SUDO) find . -name __pycache__ -prune -exec rm -rf {} +
