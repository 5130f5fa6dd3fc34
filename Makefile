# Every way to build, run, test and install Stagedoor. On Debian 12 with Rust and make, each target
# gets what it needs by itself; see the head of tools/*.sh for how.

CARGO     ?= cargo
TESTS     ?= t/*.t
# end-to-end tests at once: they mostly wait for pictures in real time
TEST_JOBS ?= 4
# not with sanitizers: nginx-rtmp alone is made to die, memory is measured or read, or a worker is to be fast
ASAN_LEAVES_OUT = t/flood.t t/guard.t t/guard_relay.t t/guard_stock.t t/push_stock.t t/secrets_memory.t \
	t/transfer_counter.t
# how much of the fault programme: long or short
FAULTS    ?= long
# the nginx that "make test-versions" and "make asan" build from source: 1.22 is Debian's
VERSIONS      ?= 1.28
ASAN_VERSIONS ?= 1.22 1.28

FUZZ_SESSIONS ?= 1000000
FUZZ_STEP     ?= 1

prefix  ?= /usr/local
bindir  ?= $(prefix)/bin
datadir ?= $(prefix)/share
zshdir  ?= $(datadir)/zsh/site-functions
# where the installed nginx looks for "load_module modules/…", unless given
modules ?= $(or $(shell nginx -V 2>&1 | sed -n 's/.*--modules-path=\([^ ]*\).*/\1/p'),/usr/lib/nginx/modules)

export PATH := $(PATH):$(HOME)/.cargo/bin:/usr/sbin:/sbin

# To build against another nginx or nginx-rtmp than Debian's. In one spelling, whatever the operator
# wrote: a changed spelling compiles everything again. The defaults stand in .cargo/config.toml.
define absolute
ifdef $(1)
override $(1) := $$(abspath $$($(1)))
export $(1)
endif
endef
$(foreach v,NGINX_SOURCE_DIR NGINX_BUILD_DIR NGINX_RTMP_SOURCE_DIR,$(eval $(call absolute,$(v))))

VERSION    = $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)
TARGET_DIR = $(or $(CARGO_TARGET_DIR),target)

.PHONY: help build extras tree demo run test test-tools test-browser test-deb test-versions asan \
	compare bench faults faults-build fuzz fuzz-net fuzz-keep fuzz-record check check-module deny msrv \
	env install deb clean

help: ## Show the targets
	@grep -hE '^[a-z-]+:.*## ' $(firstword $(MAKEFILE_LIST)) | \
		awk -F ':.*## ' '{ printf "  make %-13s %s\n", $$1, $$2 }'
	@echo
	@echo 'To build against an nginx of your own, set NGINX_SOURCE_DIR, NGINX_BUILD_DIR and'
	@echo 'NGINX_RTMP_SOURCE_DIR: then nothing is fetched.'

build: tree ## Build the module, the stagedoor command and its manual pages into objs/
	$(CARGO) build --release -p stagedoor -p stagedoor-cli
	@install -m 644 $(TARGET_DIR)/release/libngx_stagedoor_module.so objs/ngx_stagedoor_module.so
	@install -m 755 $(TARGET_DIR)/release/stagedoor objs/stagedoor
	@ls -l objs/ngx_stagedoor_module.so objs/stagedoor | awk '{ printf "%s: %.1f MB\n", $$NF, $$5 / 1e6 }'

	@$(MAKE) --no-print-directory extras

extras: objs/stagedoor objs/man/stagedoor.5 ## Write the manual pages and shell completions into objs/ ("make build" does)
	@mkdir -p objs/man objs/completions
	@objs/stagedoor man > objs/man/stagedoor.1
	@objs/stagedoor completions bash > objs/completions/stagedoor.bash
	@objs/stagedoor completions zsh > objs/completions/_stagedoor
	@objs/stagedoor completions fish > objs/completions/stagedoor.fish

objs/man/stagedoor.5: docs/directives.md tools/directives-man.pl Cargo.toml
	@mkdir -p $(@D)
	@tools/directives-man.pl $(VERSION) <$< >$@.new && mv $@.new $@

objs/stagedoor:
	@$(MAKE) --no-print-directory build

tree: # what the module is compiled against
	@tools/packages.sh build
	@tools/nginx-tree.sh
	@tools/nginx-rtmp-source.sh

demo: build ## Publish and play a test picture through nginx with Stagedoor, step by step
	@tools/packages.sh demo
	@tools/demo.sh

run: build ## The same set-up left running, with the URLs for OBS and a player (Ctrl-C ends it)
	@tools/packages.sh demo
	@tools/demo.sh run

test-tools: # what the end-to-end tests use
	@tools/packages.sh test
	@tools/promtool.sh
	@tools/django.sh

test: build test-tools ## Run all tests; TESTS='t/publish.t' picks end-to-end tests
	@if $(CARGO) nextest --version >/dev/null 2>&1; then runner='nextest run'; else runner=test; fi; \
		set -x; $(CARGO) $$runner --workspace --exclude stagedoor
	prove -I t/lib -j $(TEST_JOBS) $(TESTS)

test-browser: build ## Play a stream with hls.js in Chromium, across origins
	@tools/packages.sh test browser
	@tools/hls-js.sh
	prove -I t/lib t/browser/*.t

test-deb: deb ## Install, upgrade and purge the package on a Debian with systemd (as root)
	@tools/packages.sh machine
	@tools/debian-root.sh
	@tools/deb.sh +2
	prove -I t/lib -j $(TEST_JOBS) t/package/*.t

compare: build test-tools ## Show what on_publish callbacks and Stagedoor do in the same cases
	@tools/compare.sh

faults: faults-build ## Run faults of disk, memory, clock and of the module itself; FAULTS=short in two minutes
	@tools/packages.sh test
	@tools/faults.sh $(FAULTS)

# the module with hooks for tests, apart from the one that is installed
faults-build: build
	$(CARGO) build --release -p stagedoor --features test-hooks
	@install -D -m 644 $(TARGET_DIR)/release/libngx_stagedoor_module.so objs/faults/ngx_stagedoor_module.so
	@install -m 755 objs/stagedoor objs/faults/stagedoor
	$(CARGO) build --release -p stagedoor-faults
	@install -m 755 $(TARGET_DIR)/release/stagedoor-faults objs/faults/stagedoor-faults
	$(CC) -O2 -Wall -Wextra -shared -fPIC -o objs/faults/preload.so t/faults/preload.c

test-versions: build test-tools ## Run the end-to-end tests on a newer nginx, built from source
	@tools/packages.sh source
	@set -e; for version in $(VERSIONS); do \
		tools/nginx-from-source.sh $$version changed; \
		TEST_JOBS=$(TEST_JOBS) tools/test-nginx.sh $$version plain t/versions/*.t $(TESTS); \
	done

asan: build test-tools ## Run them with AddressSanitizer and UBSan in nginx, nginx-rtmp and the module
	@tools/packages.sh source
	@set -e; for version in $(ASAN_VERSIONS); do \
		TEST_JOBS=$(TEST_JOBS) tools/test-nginx.sh $$version asan t/sanitizers/*.t \
			$(filter-out $(ASAN_LEAVES_OUT),$(wildcard $(TESTS))); \
	done

fuzz: fuzz-net ## Feed what reads strangers' input with everything, FUZZ_SECONDS (3600), and the server, too
	@tools/packages.sh fuzz
	@tools/fuzz.sh run

fuzz-net: build ## Throw FUZZ_SESSIONS (1000000) mutated sessions and all malformed ones at a server
	@tools/packages.sh test
	$(CARGO) build --release -p stagedoor-fuzz-net
	FUZZ_SESSIONS=$(FUZZ_SESSIONS) FUZZ_STEP=$(FUZZ_STEP) prove -I t/lib t/fuzz/stock.t t/fuzz/sessions.t

fuzz-keep: # take what "make fuzz" has found into fuzz/corpus
	@tools/packages.sh fuzz
	@tools/fuzz.sh keep

fuzz-record: build # record the sessions of fuzz/sessions anew, and the messages of fuzz/corpus
	@tools/packages.sh test
	prove -I t/lib t/fuzz/record.t
	$(CARGO) run --release -p stagedoor-fuzz-net -- seeds=fuzz/corpus sessions=fuzz/sessions

bench: build test-tools ## Measure side by side, into docs/benchmarks.md; WORK='hls' picks parts, BENCH_QUICK=1 only tries all
	@tools/packages.sh bench
	$(CARGO) build --release -p stagedoor-bench
	$(TARGET_DIR)/release/bench $(if $(BENCH_QUICK),--quick) $(WORK)

check: build check-module deny msrv ## Check format, lints, licences, shell and Perl, and what the module exports
	@tools/packages.sh check
	$(CARGO) fmt --all --check
	$(CARGO) fmt --manifest-path fuzz/Cargo.toml --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	shellcheck tools/*.sh .ci/run debian/*.config debian/*.postinst debian/*.prerm debian/*.postrm
	@for file in t/*.t t/*/*.t $$(find t/lib -name '*.pm'); do \
		perl -I t/lib -wc $$file 2>&1 | grep -v ' syntax OK$$' && exit 1; done; echo 'perl -c: ok'

check-module: build # size, symbols
	@tools/packages.sh check
	@tools/check-module.sh objs/ngx_stagedoor_module.so

msrv: # that what is declared holds for the dependencies
	@tools/packages.sh check
	@tools/msrv.sh

deny: # licences, sources and advisories of the dependencies
	@tools/deny.sh

env: ## Print the variables that cargo builds with, as shell exports
	@for v in NGINX_SOURCE_DIR=$(or $(NGINX_SOURCE_DIR),$(CURDIR)/objs/nginx-src) \
		NGINX_BUILD_DIR=$(or $(NGINX_BUILD_DIR),$(CURDIR)/objs/nginx-build) \
		NGINX_RTMP_SOURCE_DIR=$(or $(NGINX_RTMP_SOURCE_DIR),$(CURDIR)/objs/nginx-rtmp); \
		do echo "export $$v"; done

install: ## Install what "make build" left (DESTDIR, prefix, modules)
	@test -f objs/ngx_stagedoor_module.so || { echo 'run "make build" first' >&2; exit 1; }
	install -D -m 644 objs/ngx_stagedoor_module.so "$(DESTDIR)$(modules)/ngx_stagedoor_module.so"
	install -D -m 755 objs/stagedoor "$(DESTDIR)$(bindir)/stagedoor"
	install -D -m 644 objs/man/stagedoor.1 "$(DESTDIR)$(datadir)/man/man1/stagedoor.1"
	install -D -m 644 objs/man/stagedoor.5 "$(DESTDIR)$(datadir)/man/man5/stagedoor.5"
	install -D -m 644 objs/completions/stagedoor.bash \
		"$(DESTDIR)$(datadir)/bash-completion/completions/stagedoor"
	install -D -m 644 objs/completions/_stagedoor "$(DESTDIR)$(zshdir)/_stagedoor"
	install -D -m 644 objs/completions/stagedoor.fish \
		"$(DESTDIR)$(datadir)/fish/vendor_completions.d/stagedoor.fish"

deb: build ## Build the Debian package into objs/deb/, and check it with lintian
	@tools/packages.sh deb
	@tools/deb.sh

clean: ## Remove everything that was built or fetched
	rm -rf objs run fuzz/target fuzz/artifacts
	$(CARGO) clean
