# Every command of the README.
CARGO ?= cargo
TARGET := target/x86_64-unknown-linux-gnu

.PHONY: run test check dist

## Build and serve on a data directory of its own, over HTTPS on https://127.0.0.1:8443.
run:
	$(CARGO) build --release
	$(TARGET)/release/resoftai --data-dir "$(CURDIR)/target/site" serve

## All tests: SQLite first, then the same ones on a throw-away PostgreSQL.
test:
	$(CARGO) test
	sh tests/postgres.sh $(CARGO) test --lib --test it

## What a maintainer looks for before reading.
check:
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets -- -D warnings

## One file, dist/resoftai, that needs nothing else; proven in an empty chroot.
dist:
	$(CARGO) build --release
	install -D -m 0755 $(TARGET)/release/resoftai dist/resoftai
	sh tests/dist.sh dist/resoftai
