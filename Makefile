# SPDX-License-Identifier: LGPL-2.1-or-later
# A thin front: meson does the work.

BUILD ?= build
PREFIX ?= /usr/local
FUZZ ?= patchfile
SECONDS ?= 60

.DEFAULT_GOAL := help
.PHONY: help deps all demo check check-vm asan lint format fuzz bench install clean

help:
	@echo 'make demo      install what is missing, build, patch a running redis-server, revert'
	@echo 'make check     install what is missing, build, run all tests'
	@echo 'make check-vm  the last of these, in a virtual machine; print klp and upatch side by side'
	@echo 'make asan      unit and fuzz tests under AddressSanitizer and UBSan'
	@echo 'make lint      layers, sizes, names, format'
	@echo 'make format    let clang-format write the sources'
	@echo 'make fuzz      fuzz with libFuzzer, FUZZ=elf|entry|kmod|patchfile|record|template, SECONDS=$(SECONDS)'
	@echo 'make bench     measure, print a table, write $(BUILD)/bench.json'
	@echo 'make install   PREFIX=$(PREFIX) DESTDIR='
	@echo 'make deps      install (Debian, Ubuntu) or name the packages needed'
	@echo 'make clean     remove build directories'

deps:
	@scripts/deps

all: deps
	@test -e $(BUILD)/build.ninja || meson setup --prefix=$(PREFIX) $(BUILD)
	ninja -C $(BUILD)

demo: all
	patches/redis/demo $(BUILD)

check: all
	scripts/check $(BUILD)

check-vm: all
	@scripts/check --vm $(BUILD); r=$$?; sed -n 's/^# //p' $(BUILD)/tests/vm/work/pairs.table; exit $$r

asan: deps
	scripts/check --asan $(BUILD)

lint: all
	scripts/check --lint $(BUILD)

format:
	tests/lint/format --fix .

fuzz: deps
	scripts/fuzz $(BUILD)-fuzz $(FUZZ) $(SECONDS)

bench: all
	tests/bench/run $(BUILD)

# The prefix is compiled in: a tree that was set up for another one is built again.
install: all
	@meson configure --prefix=$(PREFIX) $(BUILD)
	DESTDIR=$(DESTDIR) meson install -C $(BUILD)

clean:
	rm -rf $(BUILD) $(BUILD)-asan $(BUILD)-fuzz
