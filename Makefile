# SPDX-License-Identifier: Apache-2.0
# A thin wrapper over the CMake presets: each goal does its own set-up.
PRESET ?= release
JOBS   ?= $(shell nproc)
OUT    ?= out
TARGET  = all

.PHONY: help all setup build demo physics test test-release test-asan test-tsan bench bench-packages format clean

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

all: build

setup:  ## install what is missing: Debian packages (as root) and the Python environment .venv
	@tools/setup

build: setup  ## configure and build (PRESET=release)
	@cmake --preset $(PRESET) $(CMAKE_ARGS) > /dev/null
	@cmake --build --preset $(PRESET) -j $(JOBS) --target $(TARGET)

demo: TARGET = $(if $(TORCH),all,stoa_cli)
demo: build  ## generate events, run the HLT and the L1-scouting job on them and, where they are, on real ones; TORCH=1: also through PyTorch's files
	@TORCH=$(TORCH) tools/demo build/$(PRESET) $(OUT)/demo

test: test-release test-asan test-tsan  ## every test; the short ones under ASan and UBSan, the threaded ones under TSan too
	@tools/test-summary build/release build/asan build/tsan

test-release: setup  ## every test of the release build, without the sanitizers
	@cmake --preset ci $(CMAKE_ARGS) > /dev/null
	@cmake --build --preset ci -j $(JOBS)
	@ctest --preset ci -j $(JOBS) --output-junit junit.xml

test-asan: setup  ## the short tests under AddressSanitizer and UndefinedBehaviorSanitizer
	@cmake --preset asan > /dev/null
	@cmake --build --preset asan -j $(JOBS)
	@ctest --preset asan -j $(JOBS) --output-junit junit.xml

test-tsan: setup  ## the threaded tests under ThreadSanitizer
	@cmake --preset tsan > /dev/null
	@cmake --build --preset tsan -j $(JOBS)
	@ctest --preset tsan -j $(JOBS) --output-junit junit.xml

bench-packages: build  ## the files that 'stoa bench copy' and 'stoa bench aot' run
	@PYTHONPATH=python:tests/python STOA_BUILD_DIR=build/$(PRESET) .venv/bin/python -W ignore tests/python/make_packages.py build/packages selector
	@PYTHONPATH=python:tests/python STOA_BUILD_DIR=build/$(PRESET) .venv/bin/python -W ignore bench/aot_nets.py build/bench_packages

bench: build  ## the benchmarks beside their peers: CSV, plots and a page in out/bench
	@build/$(PRESET)/cli/stoa bench --out $(OUT)/bench

physics: build  ## tables and pictures of the HLT job: three chains, four selectors, simulated and real tracks
	@.venv/bin/python tools/hlt_physics.py build/$(PRESET)/cli/stoa $(OUT)/physics

format: setup  ## clang-format over all sources, in the version of requirements/format.txt
	@.venv/bin/pip install -q --disable-pip-version-check -r requirements/format.txt
	@git ls-files '*.c' '*.h' '*.hpp' '*.cpp' '*.cu' '*.cuh' | grep -v tensor_each.h | xargs .venv/bin/clang-format -i

clean:  ## remove what building made (.venv stays)
	@rm -rf build $(OUT)
