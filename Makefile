# The verbs of this project; `make` alone shows them.
.DEFAULT_GOAL := help
.PHONY: help setup check test run worker docs release

help: ## show this
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## make .venv and install everything that running and testing needs
	scripts/test --setup

check: ## lint, format, types and import rules
	scripts/test --check

test: ## checks, then all tests
	scripts/test

run: ## start everything with demo history
	scripts/demo

worker: ## run one worker alone
	.venv/bin/helmsight worker

docs: ## write the reference pages from the code
	.venv/bin/python docs/generate.py

release: ## build the wheel and the source archive into dist/
	.venv/bin/python -m hatchling build
