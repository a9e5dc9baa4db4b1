# SPDX-License-Identifier: BSD-3-Clause
# The short names of what people do here. The build itself is Meson's.

BUILD ?= build/default

all: $(BUILD)/build.ninja
	ninja -C $(BUILD)

$(BUILD)/build.ninja:
	tools/packages build
	meson setup $(BUILD)

install: all
	ninja -C $(BUILD) install

# Boots a stock Debian kernel, on the best hypervisor at hand.
demo:
	tools/packages demo
	tools/demo

# Everything; the last line is "N passed, N failed, N skipped".
test:
	tools/packages test
	tests/run

# cppcheck and clang-tidy, and unit tests built by clang with ThreadSanitizer.
lint:
	tools/packages test
	tests/run --lint

# What no everyday run can do: kvm_intel, under Bochs. Takes minutes.
test-vmx:
	tools/packages vmx
	tests/run --vmx

bench:
	tools/packages bench
	bench/run
	bench/emulators

clean:
	rm -rf build

.PHONY: all install demo test lint test-vmx bench clean
