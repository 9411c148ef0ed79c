# nginx-autocert: make help

BUILD        = $(CURDIR)/build
PYTHON       = /usr/bin/python3
FUZZ_SECONDS = 15

WARN   = -Wall -Wextra -Wshadow -Wmissing-prototypes -Werror
OBJS   = $(BUILD)/nginx/objs
SHARED = $(BUILD)/ngx_autocert_module.so $(BUILD)/ngx_http_autocert_module.so

export NGINX_SRC NGINX_CONF STATE

MAKEFLAGS += --no-builtin-rules --no-print-directory

.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: all asan asan-nginx ucontext deps deps-test unit ctgrind fuzz \
        fuzz-coverage simulate e2e e2e-asan lint analyse check check-deep \
        check-matrix check-suite check-builds bench demo help clean FORCE

all: $(SHARED) $(BUILD)/nginx-autocert	## both modules and the command, in build/

deps:
	@scripts/install-deps build

deps-test:
	@scripts/install-deps build test


# the modules, by NGINX's own build in a tree that scripts/nginx-tree keeps

$(BUILD)/nginx.inputs: FORCE
	@scripts/nginx-tree $(BUILD)

$(BUILD)/ngx_%_module.so: $(BUILD)/nginx.inputs FORCE
	@$(MAKE) -s -C $(BUILD)/nginx -f objs/Makefile \
	    CC="$(CC) -Wextra -Wshadow -Wmissing-prototypes" objs/$(@F)
	@cmp -s $(OBJS)/$(@F) $@ || { cp $(OBJS)/$(@F) $@.new; mv $@.new $@; \
	    echo '  module  '$(@F); }

# the command: our parser of JSON, and nothing of NGINX but its headers

COMMAND_SRCS = $(wildcard cmd/*.c) src/base/ngx_autocert_json.c
COMMAND_DEPS = $(COMMAND_SRCS) cmd/command.h src/ngx_autocert.h \
               src/base/ngx_autocert_json.h $(BUILD)/nginx.inputs
COMMAND_CC   = -g -O2 $(WARN) -D_FORTIFY_SOURCE=2 \
               -fstack-protector-strong -fPIE -pie -ffunction-sections \
               -Wl,--gc-sections,-z,relro,-z,now $(NGX_INCS) $(COMMAND_SRCS)

$(BUILD)/nginx-autocert: $(COMMAND_DEPS)
	@$(CC) -o $@ $(COMMAND_CC)
	@echo '  command  '$(@F)

# under ASan, which knows of the fibers, and UBSan, in build/asan
# (E2E_ASAN=1 make e2e runs it with libasan before all other libraries)

ASAN_FLAGS = -g -O1 -fno-omit-frame-pointer -fsanitize=address,undefined \
             -fno-sanitize-recover=undefined -DNGX_AUTOCERT_ASAN=1 -Wall \
             -Wno-unused-parameter

asan:			## both modules with ASan and UBSan, in build/asan/
	@scripts/nginx-tree $(BUILD)/asan
	@$(MAKE) -s -C $(BUILD)/asan/nginx -f objs/Makefile CC=gcc \
	    CFLAGS="$(ASAN_FLAGS)" $(SHARED:$(BUILD)/%=objs/%)
	@install -t $(BUILD)/asan $(SHARED:$(BUILD)/%=$(BUILD)/asan/nginx/objs/%)
	@gcc $(WARN) -shared -fPIC -o $(BUILD)/asan/keep.so tests/hostile/keep.c

# NGINX itself, and modules for it, of the version that is installed and with
# its configuration, but without the patches of Debian's; each of its
# allocations is one of malloc's.  What UBSan says of it is judged by
# tests/e2e/ubsan.supp, so it goes on

NGINX_ASAN       = $(BUILD)/asan-nginx/sbin/nginx
NGINX_ASAN_FLAGS = -g -O1 -fno-omit-frame-pointer -DNGX_DEBUG_PALLOC=1 -w \
                   -fsanitize=address,undefined

asan-nginx: asan $(BUILD)/nginx-src/.version	## NGINX under both as well
	@flags=$$(bash -c '. /usr/share/nginx/src/conf_flags; \
	        echo "$${NGX_CONF_FLAGS[@]}"'); \
	    ASAN_OPTIONS=detect_leaks=0 NGINX_SRC=$(BUILD)/nginx-src CC=gcc \
	    NGINX_CONF="$$flags --with-http_gunzip_module \
	        --with-http_sub_module --with-http_addition_module \
	        --with-cc-opt='$(NGINX_ASAN_FLAGS)' \
	        --with-ld-opt=-fsanitize=address,undefined" \
	    scripts/nginx-tree $(BUILD)/asan-nginx
	@$(MAKE) -s -C $(BUILD)/asan-nginx/nginx -f objs/Makefile objs/nginx
	@$(MAKE) -s -C $(BUILD)/asan-nginx/nginx -f objs/Makefile CC=gcc \
	    CFLAGS="$(ASAN_FLAGS)" $(SHARED:$(BUILD)/%=objs/%)
	@mkdir -p $(dir $(NGINX_ASAN))
	@install $(BUILD)/asan-nginx/nginx/objs/nginx $(NGINX_ASAN)
	@install -t $(BUILD)/asan-nginx \
	    $(SHARED:$(BUILD)/%=$(BUILD)/asan-nginx/nginx/objs/%)

# with libc's switch between stacks, as on processors that have none of ours
# (E2E_MODULES=build/ucontext make e2e runs it)

ucontext:		## both modules with ucontext, in build/ucontext/
	@scripts/nginx-tree $(BUILD)/ucontext
	@$(MAKE) -s -C $(BUILD)/ucontext/nginx -f objs/Makefile \
	    CC="$(CC) -DNGX_AUTOCERT_UCONTEXT=1" $(SHARED:$(BUILD)/%=objs/%)
	@cp $(SHARED:$(BUILD)/%=$(BUILD)/ucontext/nginx/objs/%) \
	    $(BUILD)/ucontext/
	@nm -u $(BUILD)/ucontext/ngx_autocert_module.so | grep -q swapcontext

# one after the other: they share that tree
$(BUILD)/ngx_http_autocert_module.so: $(BUILD)/ngx_autocert_module.so


# unit tests, fuzz targets and the simulation: the layers without a server,
# and as much of NGINX as they use, in an archive for each compiler

NGX      = $(or $(NGINX_SRC),$(BUILD)/nginx-src)
NGX_INCS = $(addprefix -isystem $(BUILD)/nginx/,objs src/core src/event \
             src/event/modules src/event/quic src/os/unix src/http \
             src/http/modules src/http/v2 src/http/v3)
NGX_SRCS = $(addprefix src/core/ngx_,array.c buf.c crc32.c hash.c inet.c \
             list.c md5.c palloc.c parse.c parse_time.c queue.c rbtree.c \
             sha1.c string.c)

# a layer that does not compile yet can be left out: make unit LAYERS=base
LAYERS     = base acme store keys
ARCHIVES   = $(LAYERS:%=lib%.a) libngx.a
base_SRCS  = $(wildcard src/base/*.c)
acme_SRCS  = $(wildcard src/acme/*.c)
store_SRCS = $(wildcard src/store/*.c)
keys_SRCS  = $(wildcard src/keys/*.c)
ngx_SRCS   = tests/unit/ngx_stub.c $(NGX_SRCS:%=ngx/%)

SWITCHES   = $(addprefix $(BUILD)/unit/test_switch_,asan plain ucontext \
               aarch64)
UNIT_BINS  = $(patsubst tests/unit/%.c,$(BUILD)/unit/%,\
               $(filter-out %/test_switch.c,$(wildcard tests/unit/test_*.c))) \
             $(BUILD)/unit/test_signer_openssl $(SWITCHES)
FUZZ_BINS  = $(patsubst tests/fuzz/%.c,$(BUILD)/fuzz/%,\
               $(wildcard tests/fuzz/fuzz_*.c))
COV_BINS   = $(FUZZ_BINS:$(BUILD)/fuzz/%=$(BUILD)/cov/%)

LAYER_FLAGS = -g -O1 -fno-omit-frame-pointer -DNGX_DEBUG_PALLOC=1 -MMD -MP \
              -fno-sanitize-recover=all $(NGX_INCS)
UNIT_CC     = gcc -fsanitize=address,undefined $(LAYER_FLAGS)
FUZZ_CC     = clang -fsanitize=fuzzer-no-link,address,undefined $(LAYER_FLAGS)
COV         = -fprofile-instr-generate -fcoverage-mapping
COV_CC      = clang -fsanitize=fuzzer-no-link $(COV) $(LAYER_FLAGS)
SIM_CC      = gcc -g -O2 -MMD -MP $(NGX_INCS)
GROUP       = -Wl,--start-group $^ -Wl,--end-group $(FOUND) -lssl -lcrypto \
              -lpthread

# what configure has found is known when something is linked
has         = $(shell grep -s 'define NGX_AUTOCERT_$(1)' \
                $(OBJS)/ngx_auto_config.h)
FOUND       = $(if $(call has,NETTLE),-lhogweed -lnettle -lgmp) \
              $(if $(call has,SECCOMP),-lseccomp)

# every object waits for the trees, whose rules do nothing if they are there
TREES = $(BUILD)/nginx.inputs $(BUILD)/nginx-src/.version

$(BUILD)/nginx-src/.version:
	$(if $(NGINX_SRC),mkdir -p $(@D) && touch $@,scripts/nginx-source $(@D))

define layer
$(BUILD)/$(1)/ngx/%.o: $(TREES)
	@mkdir -p $$(@D)
	@$(2) -w -c -o $$@ $$(NGX)/$$*.c

$(BUILD)/$(1)/%.o: %.c $(TREES)
	@mkdir -p $$(@D)
	@echo '  $(1)  '$$<
	@$(2) $(WARN) -c -o $$@ $$<

$$(foreach l,base acme store keys ngx,$$(eval \
    $(BUILD)/$(1)/lib$$l.a: $$($$l_SRCS:%.c=$(BUILD)/$(1)/%.o)))

$(BUILD)/$(1)/lib%.a:
	@rm -f $$@ && ar rcs $$@ $$^
endef

# cmocka 2 deprecates what 1 has nothing else for
$(eval $(call layer,unit,$(UNIT_CC) -Wmaybe-uninitialized \
    -Wno-deprecated-declarations))
# as NGINX's configure has it for clang
$(eval $(call layer,fuzz,$(FUZZ_CC) -Wconditional-uninitialized))
$(eval $(call layer,cov,$(COV_CC)))
$(eval $(call layer,sim,$(SIM_CC)))

$(BUILD)/unit/test_%: $(BUILD)/unit/tests/unit/test_%.o \
                      $(ARCHIVES:%=$(BUILD)/unit/%)
	@gcc -fsanitize=address,undefined -o $@ $(GROUP) -lcmocka

# thousands of processes, each killed: without the sanitizers

$(BUILD)/unit/test_crash: $(BUILD)/sim/tests/unit/test_crash.o \
                          $(addprefix $(BUILD)/sim/,libbase.a libstore.a \
                            libngx.a)
	@gcc -o $@ $(GROUP) -lcmocka

# the signer as it is where there is no Nettle

$(BUILD)/unit/test_signer_openssl: tests/unit/test_signer.c \
        src/keys/ngx_autocert_signer.c src/keys/ngx_autocert_signer.h \
        $(BUILD)/unit/libbase.a $(BUILD)/unit/libngx.a
	@$(filter-out -M%,$(UNIT_CC)) $(WARN) -DNGX_AUTOCERT_NETTLE=0 -o $@ \
	    $(filter-out %.h,$^) $(FOUND) -lcmocka -lcrypto -lpthread

$(BUILD)/fuzz/fuzz_%: $(BUILD)/fuzz/tests/fuzz/fuzz_%.o \
                      $(ARCHIVES:%=$(BUILD)/fuzz/%)
	@clang -fsanitize=fuzzer,address,undefined -o $@ $(GROUP)

$(BUILD)/cov/fuzz_%: $(BUILD)/cov/tests/fuzz/fuzz_%.o \
                     $(ARCHIVES:%=$(BUILD)/cov/%)
	@clang -fsanitize=fuzzer $(COV) -o $@ $(GROUP)

# the simulation, and the same with the sanitizers

SIM_SRCS = tests/sim/simulate.c tests/sim/ca.c
SIM_LIBS = libbase.a libacme.a libstore.a libngx.a

$(BUILD)/sim/simulate: $(SIM_SRCS:%.c=$(BUILD)/sim/%.o) \
                       $(SIM_LIBS:%=$(BUILD)/sim/%)
	@gcc -o $@ $(GROUP)

$(BUILD)/unit/simulate: $(SIM_SRCS:%.c=$(BUILD)/unit/%.o) \
                        $(SIM_LIBS:%=$(BUILD)/unit/%)
	@gcc -fsanitize=address,undefined -o $@ $(GROUP)

# the switch between stacks needs no NGINX: each way that it is made

SWITCH_SRCS = tests/unit/test_switch.c src/core/ngx_autocert_switch.c
SWITCH_DEPS = $(SWITCH_SRCS) src/core/ngx_autocert_switch.h
SWITCH_CC   = gcc -g -O2 $(WARN) -o $@ $(SWITCH_SRCS) -lm

$(BUILD)/unit/test_switch_asan: $(SWITCH_DEPS)
	@mkdir -p $(@D)
	@$(SWITCH_CC) -lcmocka -O1 -fsanitize=address,undefined \
	    -fno-sanitize-recover=all -DNGX_AUTOCERT_ASAN=1

$(BUILD)/unit/test_switch_plain: $(SWITCH_DEPS)
	@mkdir -p $(@D)
	@$(SWITCH_CC) -lcmocka

$(BUILD)/unit/test_switch_ucontext: $(SWITCH_DEPS)
	@mkdir -p $(@D)
	@$(SWITCH_CC) -lcmocka -DNGX_AUTOCERT_UCONTEXT=1

# static, so that qemu looks for no libraries of that processor
$(BUILD)/unit/test_switch_aarch64: $(SWITCH_DEPS) tests/unit/plain/cmocka.h
	@mkdir -p $(@D)
	@aarch64-linux-gnu-$(subst -o $@,-o $@.bin,$(SWITCH_CC)) -static \
	    -I tests/unit/plain
	@printf '#!/bin/sh\nexec qemu-aarch64 %s.bin\n' $@ > $@
	@chmod +x $@


build/%: $(BUILD)/% ;

-include $(shell find $(addprefix $(BUILD)/,unit fuzz cov sim) -name '*.d' \
           2>/dev/null)


unit: $(UNIT_BINS)	## unit tests, under ASan and UBSan
	@scripts/run-unit $^

$(BUILD)/unit/ctgrind_signer: tests/unit/ctgrind_signer.c
	@mkdir -p $(@D)
	@gcc -g -O2 $(WARN) -o $@ $< -lhogweed -lnettle -lgmp

ctgrind: $(BUILD)/unit/ctgrind_signer	## no branch of Nettle's on a secret
	@valgrind -q --error-limit=no --num-callers=4 --log-file=$<.log \
	    $< $<.maps
	@$(PYTHON) -B tests/unit/ctgrind.py $<.log $<.maps

fuzz: $(FUZZ_BINS)	## each fuzz target for FUZZ_SECONDS (15)
	@scripts/run-fuzz $(FUZZ_SECONDS) $^

fuzz-coverage: $(COV_BINS)	## what of the parsers the fuzz targets reach
	@scripts/install-deps deep
	@scripts/fuzz-coverage $(FUZZ_SECONDS) $^

simulate: $(BUILD)/sim/simulate $(BUILD)/unit/simulate
simulate:		## two years of 1,000 names, and planted faults
	@scripts/simulate $^

$(BUILD)/hostile: tests/hostile/hostile.c
	@mkdir -p $(@D)
	gcc -g -O2 $(WARN) -o $@ $< -lssl -lcrypto

$(BUILD)/stream: tests/e2e/stream.c
	@mkdir -p $(@D)
	gcc -g -O2 $(WARN) -o $@ $< -lssl -lcrypto

$(BUILD)/memscan: tests/e2e/memscan.c
	@mkdir -p $(@D)
	gcc -g -O2 $(WARN) -o $@ $< -lcrypto -lpthread

# modules of the tests' own, for the same NGINX
$(BUILD)/wrap.so $(BUILD)/taken.so: $(BUILD)/%.so: tests/e2e/%.c \
                                    $(BUILD)/nginx.inputs
	@gcc -g -O2 $(WARN) -shared -fPIC -Wl,-z,nodelete $(NGX_INCS) -o $@ $<

# preloaded by tests
$(BUILD)/%.so: tests/e2e/%.c
	@gcc -g -O2 $(WARN) -shared -fPIC -o $@ $<

E2E_PARTS = $(addprefix $(BUILD)/,nginx-autocert memscan hostile stream \
              wrap.so taken.so nostack.so clock.so crash.so fault.so \
              bench/handshakes bench/waits.so)

# another NGINX than the installed one runs them itself

ifdef NGINX_SRC
export E2E_NGINX = $(OBJS)/nginx
e2e: $(OBJS)/nginx
endif

$(OBJS)/nginx: $(BUILD)/nginx.inputs FORCE
	@$(MAKE) -s -C $(BUILD)/nginx -f objs/Makefile objs/nginx

e2e: $(SHARED) $(E2E_PARTS)
e2e:	## end to end (E2E=arguments for pytest)
	@PYTHON=$(PYTHON) BUILD=$(BUILD) scripts/run-e2e $(E2E)

# with the modules under ASan and UBSan; and NGINX as well, of the main files.
# What is not for that is in tests/e2e/support/asan.py

NGINX_ASAN_E2E = $(patsubst %,test_%.py,issue renewal sessions fiber http01 \
                   tlsalpn restart helper)

e2e-asan: asan asan-nginx $(E2E_PARTS)
e2e-asan:	## end to end, under ASan and UBSan
	@E2E_ASAN=1 E2E_RUN=asan PYTHON=$(PYTHON) BUILD=$(BUILD) \
	    scripts/run-e2e
	@E2E_ASAN=1 E2E_RUN=asan-nginx E2E_FILES="$(NGINX_ASAN_E2E)" \
	    NGINX=$(NGINX_ASAN) E2E_MODULES=$(BUILD)/asan-nginx \
	    PYTHON=$(PYTHON) BUILD=$(BUILD) \
	    scripts/run-e2e

lint: $(SHARED)		## style of the sources, honesty of the layers
	@scripts/version > /dev/null
	@scripts/style
	@scripts/symbols $(OBJS)

analyse: $(SHARED)	## gcc's analyzer, clang-tidy and cppcheck over src/
	@FILES="$(FILES)" scripts/analyse $(NGX_INCS)

check:			## every test that CI runs; installs what it needs
	@scripts/check

$(BUILD)/bench/%: bench/%.c
	@mkdir -p $(@D)
	gcc -g -O2 $(WARN) -o $@ $< -lssl -lcrypto

# all that takes minutes; HOSTILE_SECONDS=60, SOAK_SECONDS=60 and LIFECYCLE=10
# make for a short one

check-deep: all asan ucontext ctgrind $(E2E_PARTS) $(BUILD)/unit/test_signer
check-deep:		## what takes too long for each change
	@$(MAKE) fuzz FUZZ_SECONDS=300
	@$(MAKE) fuzz-coverage
	@$(MAKE) check-package
	@AUTOCERT_DEEP=1 UNIT_SECONDS=1800 scripts/run-unit \
	    $(BUILD)/unit/test_signer
	@cd tests/e2e && $(PYTHON) -B -m pytest -m deep test_hostile.py
	@cd tests/e2e && E2E_ASAN=1 HOSTILE_SECONDS=$(or $(HOSTILE_SECONDS),600) \
	    $(PYTHON) -B -m pytest -m 'deep or not deep' \
	    test_fiber.py test_gap.py test_hostile.py
	@cd tests/e2e && E2E_MODULES=$(BUILD)/ucontext \
	    $(PYTHON) -B -m pytest test_fiber.py
	@$(MAKE) e2e-asan
	@cd tests/e2e && $(PYTHON) -B -m pytest -m deep test_valgrind.py
	@cd tests/e2e && $(PYTHON) -B -m pytest -m 'deep or not deep' \
	    test_budget.py test_cannot.py test_changes.py test_clock.py \
	    test_command.py test_crashes.py test_drain.py test_fairness.py test_holds.py \
	    test_lifecycle.py test_pauses.py test_resume.py test_soak.py \
	    test_windows.py

# a few files, with no more than they need: those that see most of what differs
# between versions of NGINX, of OpenSSL and of Pebble

SUITE     = trixie
SUITE_E2E = $(patsubst %,test_%.py,issue renewal sessions fiber tls_features \
              http3)

check-suite:		## a few tests in a chroot of SUITE (trixie)
	@SUITE_GROUPS="build e2e http3" scripts/suite $(SUITE) \
	    env E2E_FILES="$(SUITE_E2E)" scripts/check-suite

check-matrix:		## SUITES (trixie testing) of Debian, in chroots
	@scripts/check-matrix $(SUITES)

check-builds:		## gcc, clang and the options of NGINX_SRC's configure
	@scripts/check-builds

$(BUILD)/bench/%.so: bench/%.c
	@mkdir -p $(@D)
	@gcc -g -O2 $(WARN) -shared -fPIC -o $@ $<

# a release

.PHONY: dist package check-package

dist:			## the tarball of a release, always the same
	@scripts/dist $(BUILD)

package:		## Debian's packages
	@scripts/package

check-package:		## both, and the package in a clean chroot
	@tests/package/run clean

bench: $(SHARED) $(BUILD)/bench/handshakes $(BUILD)/bench/waits.so
bench:	## ratios against stock NGINX
	@scripts/bench

demo:			## the main job, live
	@scripts/demo

help:			## this list
	@sed -n 's/^\([a-z0-9-]*\):[^#]*## \(.*\)/    make \1	\2/p' \
	    $(MAKEFILE_LIST) | expand -t 20

clean:			## removes build/
	rm -rf $(BUILD)
