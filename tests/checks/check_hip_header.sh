#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The functions, types and numbers that src/device/gpu/hip_api.h declares are those of ROCm's own header, by the compiler's word; and
# the comparison finds a wrong one. 77: there is no such header.
set -eu
compiler=$1 source=$2 include=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if [ ! -f "$include/hip/hip_runtime_api.h" ]; then
    echo "skipped: no hip/hip_runtime_api.h (Debian: libamdhip64-dev)"
    exit 77
fi
compare() {
    "$compiler" -std=gnu11 -fsyntax-only -D__HIP_PLATFORM_AMD__ -D__HIP_PLATFORM_HCC__ -DSTOA_HIP_HEADER -isystem "$include" -x c "$1"
}
refuses() {
    sed "$1" "$source/src/device/gpu/hip_api.h" > "$work/wrong.h"
    if cmp -s "$work/wrong.h" "$source/src/device/gpu/hip_api.h"; then
        echo "nothing to change: $1"
        exit 1
    fi
    if compare "$work/wrong.h" 2>/dev/null; then
        echo "not noticed: $1"
        exit 1
    fi
}
compare "$source/src/device/gpu/hip_api.h"
refuses 's/X(hipErrorNotReady, 600)/X(hipErrorNotReady, 601)/'
refuses 's/hipDeviceAttributeWarpSize, 87/hipDeviceAttributeWarpSize, 86/'
refuses 's/hipMemcpyAsync(void \*dst, const void \*src/hipMemcpyAsync(void *dst, void *src/'
refuses 's/X(hipMemPoolAttrReleaseThreshold, 4)/X(hipMemPoolAttrReleaseThreshold, 5)/'
refuses 's/typedef struct ihipEvent_t/typedef struct ihipOther_t/'
echo "$(grep -cE '^(DRIVER|OPTIONAL)\(' "$source/src/device/gpu/hip.def") functions: those that $include/hip/hip_runtime_api.h has are declared as there"
for name in $(sed -nE 's/^(DRIVER|OPTIONAL)\(.*, (.*)\)/\2/p' "$source/src/device/gpu/hip.def"); do
    grep -q "$name(" "$include/hip/hip_runtime_api.h" || echo "not in this header: $name"
done
