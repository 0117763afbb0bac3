# What a person does with CryptoMonitor; `make` alone lists it. Plain sh, no GNU tools beyond make itself.
# ARGS go on to the command: make test ARGS="-k alerts", make run ARGS=--no-api.

.DEFAULT_GOAL := help
.PHONY: help setup exchanges tools run demo test faults faults-selftest check bench psql

PY := .venv/bin/python
RUNTIME := requirements.txt requirements-embedded.txt
TOOLS := requirements-dev.txt requirements-exchanges.txt

# Asks a Python what it is good for: "good", "bare" (Debian's without python3-venv), or its version if that is wrong.
ASK := import sys; v = sys.version_info[:2]; \
	print("%d.%d" % v if not (3, 11) <= v <= (3, 13) else \
	"good" if __import__("importlib.util").util.find_spec("ensurepip") else "bare")

# $(call install,FILES,STAMP): pip is silent when all goes well; the stamp says what was installed. The files name all
# there is to install, so nothing is to be resolved.
install = $(PY) -m pip install -q --no-input --disable-pip-version-check --only-binary :all: --no-deps \
	$(addprefix -r ,$(1)) >.venv/pip.log 2>&1 || { tail -n 3 .venv/pip.log >&2; \
	echo "make: pip could not install the packages; all it said is in .venv/pip.log" >&2; exit 69; }; \
	cat $(1) | cksum >$(2)

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-15s %s\n", $$1, $$2 }' Makefile

setup: ## .venv with the pinned dependencies, nothing else (PYTHON=... chooses another Python)
	@if [ "$$(cat .venv/installed 2>/dev/null)" = "$$(cat $(RUNTIME) | cksum)" ]; then \
		same='import sys; print(sys.version_info[:2])'; \
		have=$$($(PY) -c "$$same" 2>/dev/null) && want=$$("$${PYTHON:-$(PY)}" -c "$$same" 2>/dev/null) \
			&& [ "$$have" = "$$want" ] && exit 0; \
	fi; \
	if [ -n "$$PYTHON" ]; then set -- "$$PYTHON"; else set -- python3.13 python3.12 python3.11 python3 python; fi; \
	good= bare= wrong=; \
	for p do \
		answer=$$("$$p" -c '$(ASK)' 2>/dev/null) || answer=; \
		case $$answer in \
			good) good=$$p; break ;; \
			bare) bare=$${bare:-$$p} ;; \
			?*) wrong="$$wrong; $$p is $$answer" ;; \
		esac; \
	done; \
	if [ -z "$$good" ] && [ -n "$$bare" ]; then \
		echo "make: $$bare cannot make a .venv: install its venv module (Debian, Ubuntu: apt install python3-venv)," \
			"or name another Python: make PYTHON=/path/to/python" >&2; exit 69; \
	elif [ -z "$$good" ]; then \
		echo "make: CryptoMonitor needs Python 3.11, 3.12 or 3.13$${wrong:-; there is no $$*}." \
			"Name one with make PYTHON=/path/to/python" >&2; exit 69; \
	elif [ ! -w . ] || { [ -e .venv ] && [ ! -w .venv ]; }; then \
		echo "make: $$(id -un) may not write $$PWD/.venv: change its owner, or clone to a folder of your own" >&2; exit 73; \
	fi; \
	echo "setting up .venv (once, about a minute)"; \
	"$$good" -m venv --clear .venv || exit 73; \
	$(call install,$(RUNTIME),.venv/installed)

exchanges: setup ## what asking exchanges needs (WATCH=BTC@kraken), into .venv
	@[ "$$(cat .venv/installed-exchanges 2>/dev/null)" = "$$(cat requirements-exchanges.txt | cksum)" ] && exit 0; \
	$(call install,requirements-exchanges.txt,.venv/installed-exchanges)

# What test, check and bench need beside it.
tools: setup
	@[ "$$(cat .venv/installed-tools 2>/dev/null)" = "$$(cat $(TOOLS) | cksum)" ] && exit 0; \
	echo "adding the tools for tests and checks to .venv (once)"; \
	$(call install,$(TOOLS),.venv/installed-tools)

run: setup ## everything: PostgreSQL, daemon, API; makes .env if there is none
	@[ -e .env ] || (umask 077 && cp .env.example .env)
	@# The Docker demo's stand-in for the real file.
	@[ ! -L alerts/alerts.txt ] || rm alerts/alerts.txt
	@exec $(PY) -m app run --quiet $(ARGS)

demo: setup ## the same without a network, on a synthetic market (DATA=file.csv.gz: on a recorded one)
	@exec $(PY) -m app demo $${DATA:+--data "$$DATA"} $(ARGS)

psql: setup ## a psql on the running database
	@exec $(PY) -m app psql $(ARGS)

test: tools ## every test, against real PostgreSQL
	@exec $(PY) -m pytest -n logical --maxprocesses=4 $(ARGS)

faults: tools ## kill, freeze and fill up everything, and check that nothing is lost or doubled (FAULTS=long: more often)
	@exec $(PY) -m tests.faults $(ARGS)

faults-selftest: tools ## seeded bugs, each of which that has to find
	@exec $(PY) -m tests.faults.selftest $(ARGS)

check: tools ## lint, types, import rules, dependencies
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	.venv/bin/lint-imports
	$(PY) -m pytest -q tests/unit/test_dependencies.py
	$(PY) .ci/audit.py

bench: tools ## benchmarks
	@exec $(PY) -m bench $(ARGS)
