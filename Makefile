# Commands of the suite. `make demo` and `make test` work from a clean checkout on a fresh Debian 12, as root.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help prepare build demo test nightly chaos bench audit release install fmt lint

CARGO ?= cargo
# One optimised profile for tests and binaries: everything is built once.
PROFILE := lab
TARGET := $(or $(CARGO_TARGET_DIR),target)
BIN := $(TARGET)/$(PROFILE)
SHIPPED := keepalived config-worker vrrpd checkd ipvsd keepalivectl genhash

PREFIX ?= /usr
DESTDIR ?=
SYSCONFDIR ?= /etc
UNITDIR ?= $(PREFIX)/lib/systemd/system
SYSUSERSDIR ?= $(PREFIX)/lib/sysusers.d
SYSCTLDIR ?= $(PREFIX)/lib/sysctl.d
LIBEXEC := $(PREFIX)/libexec/keepalived
MANDIR := $(PREFIX)/share/man

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-9s %s\n", $$1, $$2}' Makefile

prepare: ## install what the laboratory misses (packages, user-mode kernel, cargo-nextest)
	tests/lab/prepare.sh

build: ## all programs, optimised as the laboratory runs them
	$(CARGO) build --locked --profile $(PROFILE) --workspace --bins

demo: prepare build ## two directors, two web servers, a client: a timeline with figures
	timeout --kill-after=10 600 $(BIN)/lab-demo

test: prepare build ## every suite
	tests/lab/prepare.sh qemu
	CARGO="$(CARGO)" tests/lab/test.sh

nightly: prepare build ## what needs more than a Debian 12: the kernel of the backports
	tests/lab/prepare.sh qemu-newer
	CARGO="$(CARGO)" tests/lab/test.sh --run-ignored only -p tests --test kernel

ROUNDS ?= 1000
SEED ?= 1
chaos: prepare build ## more of the suite's chaos (ROUNDS=1000 SEED=1)
	CHAOS_ROUNDS=$(ROUNDS) CHAOS_SEED=$(SEED) $(CARGO) nextest run --locked --cargo-profile $(PROFILE) \
	  --config-file tests/nextest.toml --profile endless -p tests --test netns -E 'test(nobody_notices_chaos)'

# What is installed is measured: the release profile, by the laboratory's own programs.
bench: prepare build release ## figures beside those of Debian's keepalived; writes docs/benchmarks.md
	install -d $(TARGET)/bench
	find $(BIN) -maxdepth 1 -type f -executable -exec cp -f -t $(TARGET)/bench {} +
	cp -f $(addprefix $(TARGET)/release/,$(SHIPPED)) $(TARGET)/bench/
	timeout --kill-after=10 1500 $(TARGET)/bench/lab-bench docs/benchmarks.md

audit: ## advisories, licences, sources of the dependencies
	@$(CARGO) deny --version >/dev/null 2>&1 || $(CARGO) install --quiet --locked cargo-deny
	$(CARGO) deny --workspace check

fmt: ## format all sources
	$(CARGO) fmt --all

lint: ## formatting, clippy, manual pages
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --profile $(PROFILE) --workspace --all-targets -- -D warnings
	mandoc -Tlint -W warning man/*.[1-8]

release: ## the programs that are installed, each optimised as a whole
	$(CARGO) build --locked --release $(addprefix --bin ,$(SHIPPED))

# `make install` builds the release profile and copies; it touches nothing outside DESTDIR.
install: release ## programs, units, users, kernel settings, manual pages (DESTDIR= PREFIX=)
	install -d $(DESTDIR)$(PREFIX)/sbin $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(LIBEXEC) \
	  $(DESTDIR)$(UNITDIR) $(DESTDIR)$(SYSUSERSDIR) $(DESTDIR)$(SYSCTLDIR) \
	  $(DESTDIR)$(MANDIR)/man1 $(DESTDIR)$(MANDIR)/man5 $(DESTDIR)$(MANDIR)/man8 \
	  $(DESTDIR)$(SYSCONFDIR)/keepalived
	install -m 755 $(TARGET)/release/keepalived $(DESTDIR)$(PREFIX)/sbin/keepalived
	install -m 755 $(addprefix $(TARGET)/release/,config-worker vrrpd checkd ipvsd) $(DESTDIR)$(LIBEXEC)/
	install -m 755 $(TARGET)/release/keepalivectl $(DESTDIR)$(PREFIX)/bin/keepalivectl
	install -m 755 $(TARGET)/release/genhash $(DESTDIR)$(PREFIX)/bin/genhash
	for unit in keepalived keepalived-hardened; do \
	  sed 's|@SBINDIR@|$(PREFIX)/sbin|; s|@SYSCONFDIR@|$(SYSCONFDIR)|' packaging/systemd/$$unit.service.in \
	    >$(DESTDIR)$(UNITDIR)/$$unit.service && chmod 644 $(DESTDIR)$(UNITDIR)/$$unit.service || exit 1; \
	done
	install -m 644 packaging/sysusers.d/keepalived.conf $(DESTDIR)$(SYSUSERSDIR)/keepalived.conf
	install -m 644 packaging/sysctl.d/30-keepalived.conf $(DESTDIR)$(SYSCTLDIR)/30-keepalived.conf
	install -m 644 man/*.1 $(DESTDIR)$(MANDIR)/man1/
	install -m 644 man/*.5 $(DESTDIR)$(MANDIR)/man5/
	install -m 644 man/*.8 $(DESTDIR)$(MANDIR)/man8/
