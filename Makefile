# Every command of the README.
CARGO ?= cargo
TARGET := target/x86_64-unknown-linux-gnu

.PHONY: run test test-ui test-vm tools model engine plugin-runtime ui parts api check deny bench dist

## Build everything and serve a demo site over HTTPS on https://127.0.0.1:8443: agents at work, a plugin, somebody to sign in as.
run: model parts
	$(CARGO) build --release
	$(TARGET)/release/resoftai --data-dir "$(CURDIR)/target/site" demo \
		--model "$${XDG_CACHE_HOME:-$$HOME/.cache}/resoftai/models/smollm2-135m-instruct.gguf" \
		--plugin plugin-sdk/examples/security-scanner

## All tests: the server on SQLite, the same ones on a throw-away PostgreSQL, the model engine with a real model, plugins in
## the real sandbox, the plugin SDK under plain Python, the pages in a browser. What they need is installed or built.
test: tools model parts
	$(CARGO) test
	sh tests/dist.sh $(TARGET)/debug/resoftai
	sh tests/bundle.sh $(TARGET)/debug/resoftai
	sh tests/packages.sh $(TARGET)/debug/resoftai
	sh tests/postgres.sh $(CARGO) test --lib --test it
	$(CARGO) test -p resoftai-engine --profile engine
	$(CARGO) test -p resoftai-sandbox
	python3 -m unittest discover -s plugin-sdk/python/tests
	$(MAKE) test-ui

## The pages in a real browser, on the real binary with a real model.
test-ui: model parts
	$(CARGO) build
	sh tests/ui/run.sh

## An operator's story on booted Debian machines with systemd, from the stick to the end. Needs root.
test-vm: parts
	$(CARGO) build
	sh tests/vm/run.sh $(TARGET)/debug/resoftai bookworm

## Servers and verifiers of others that tests run against; before them, for a test does not wait for an installation.
tools:
	[ "$$(id -u)" != 0 ] || sh tests/install.sh python3-aiosmtpd unzip minisign prometheus rpm lintian skopeo umoci rsyslog rsyslog-gnutls golang-go golang-golang-x-mod-dev
	sh tests/sso/install.sh
	sh tests/mirror/install.sh
	sh tests/packaging/install.sh

model:
	sh src/llm/engine/fetch-model.sh

## What the server carries: the model engine, the plugin runtime, the web pages.
parts: engine plugin-runtime ui

engine:
	sh src/llm/engine/build.sh target/parts

plugin-runtime:
	sh plugin-sdk/python-runtime/build.sh target/parts

ui:
	sh embedded-ui/build.sh

## Bring the API's description and the pages' types up to date after a change of the API.
api: ui
	UPDATE=1 $(CARGO) test --test it openapi::
	cd embedded-ui && npm run --silent types

## What a maintainer looks for before reading.
check: ui
	$(CARGO) fmt --all --check
	$(CARGO) clippy --all-targets -- -D warnings
	$(CARGO) clippy -p resoftai-sandbox --all-targets -- -D warnings
	$(CARGO) clippy -p resoftai-bench -- -D warnings
	$(CARGO) clippy -p resoftai-engine --profile engine --all-targets -- -D warnings
	cd embedded-ui && npm run --silent check
	cd embedded-ui && npm run --silent types -- --check

## Whether what is built in may be: licences, banned crates, where they come from (deny.toml). Installs cargo-deny when missing.
deny:
	command -v cargo-deny >/dev/null || $(CARGO) install --locked cargo-deny
	$(CARGO) deny check licenses bans sources

## The budgets of speed on the release binary; fails when one is missed. docs/benchmarks.md says how and tells figures.
## Keeps audit trails of up to 10,000,000 entries in target/bench (12 GB) for the next run.
bench: parts
	$(CARGO) build --release -p resoftai -p resoftai-bench
	$(TARGET)/release/resoftai-bench $(TARGET)/release/resoftai target/bench

## A release in dist/: one file, proven in an empty chroot; the bundle that a site installs from; packages, image, chart. The same
## bytes each time. RELEASE_KEY=FILE signs it (docs/operator/packages.md). Needs dpkg-deb, rpmbuild and python3.
dist: parts
	$(CARGO) build --release
	install -D -m 0755 $(TARGET)/release/resoftai dist/resoftai
	! readelf -S dist/resoftai | grep -q '\.symtab'
	sh tests/dist.sh dist/resoftai
	version=$$(dist/resoftai --version | cut -d ' ' -f 2) && bundle=dist/resoftai-$$version-linux-x86_64.tar.gz && \
		RELEASE_KEY=$(RELEASE_KEY) sh packaging/bundle.sh dist/resoftai $$version $$bundle && \
		RELEASE_KEY=$(RELEASE_KEY) sh packaging/packages.sh $$bundle dist
