# The menu of the project: `make` prints it. Bodies longer than a line live in bin/ or in the haechi command.
.DEFAULT_GOAL := help
PYTHON := .venv/bin/python
HAECHI := .venv/bin/haechi
STATUTES ?= ../shared/data/statutes
# Documents ingested besides the samples, with who may see them; statutes are public.
DOCUMENTS ?= $(addsuffix =staff$(comma)customer,$(wildcard $(STATUTES)/current))
comma := ,
WORKERS ?= 2

.PHONY: help
help: ## print this menu
	@awk 'BEGIN {FS = ":.*## "} /^## / {print "\n" substr($$0, 4)} /^[a-z][a-z-]*:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

## Run
.PHONY: setup run stop demo-loop
setup: ## make both virtual environments (Python 3.11 and, for Rasa, 3.10)
	@bin/setup
run: setup ## set up and start the platform, ask one question; ONCE=1 stops there
	@$(HAECHI) up $(addprefix --documents ,$(DOCUMENTS)) $(if $(ONCE),--once)
demo-loop: setup ## the learning loop, seen: wrong answer, correction, QLoRA, promotion, rollback
	@$(HAECHI) demo-loop

## Check
.PHONY: test check format lock
test: setup ## set up and run every test, two files at a time; WORKERS=0 runs them in one process
	@$(PYTHON) -m pytest --numprocesses $(WORKERS) --dist loadscope --no-loadscope-reorder
check: setup ## lint, types, import contracts, spelling
	@bin/check
format: setup ## format and sort what can be done by machine
	@.venv/bin/ruff format . && .venv/bin/ruff check --fix .
lock: ## pin every dependency again, with hashes (needs uv)
	@bin/lock

## Measure
.PHONY: bench-answer bench-console bench-hold-back bench-route bench-serving bench-vault eval-retrieval eval-answers eval-attacks eval-pii
bench-answer: setup ## p50 and p95 of every stage at 1, 8 and 32 conversations, against a running platform
	@$(PYTHON) -m benchmarks.answer_load
bench-console: setup ## p95 of the console's pages and decisions on 1,000,000 turns in PostgreSQL
	@$(PYTHON) -m benchmarks.console_load
bench-channels: setup ## Slack, Teams, the widget: acknowledgements, duplicates, reconnections, streams
	@$(PYTHON) -m benchmarks.channels
bench-hold-back: setup ## how much later a sentence is shown because it is checked first
	@$(PYTHON) -m benchmarks.hold_back
bench-route: setup ## intents: macro-F1, cross-validation, speed, memory
	@$(PYTHON) -m benchmarks.route
bench-serving: setup ## 200 answers streaming at once: what gateway and llm_service add, memory, CPU a turn
	@$(PYTHON) -m benchmarks.serving
bench-vault: setup ## round trips through the vault: exactness, milliseconds, values left in files
	@$(PYTHON) -m benchmarks.vault
eval-retrieval: setup ## hit@1, hit@5, MRR and speed of retrieval beside its baselines
	@$(PYTHON) -m benchmarks.eval_retrieval --statutes $(STATUTES)
eval-answers: setup ## what the answers carry, what is refused, what the verifier catches
	@$(PYTHON) -m benchmarks.eval_answers --statutes $(STATUTES)
eval-attacks: setup ## what attacks on the answers achieve, by family; fails on a leak of rights or personal data
	@$(PYTHON) -m benchmarks.attacks
eval-pii: setup ## leak and false-positive rate of masking by type
	@$(PYTHON) -m benchmarks.pii_eval
