#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A consumer builds from a staged prefix, once by pkg-config and once by find_package, in C11 and in C++17.
set -eu
source=$1 build=$2
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
cmake --install "$build" --prefix "$stage/prefix" >/dev/null
export PKG_CONFIG_PATH=$(dirname "$(find "$stage/prefix" -name stoa.pc)")
export LD_LIBRARY_PATH=$(dirname "$(find "$stage/prefix" -name libstoa.so)")
cc -std=c11 -Wall -Wextra -Wpedantic -Werror "$source/tests/checks/consumer.c" $(pkg-config --cflags --libs stoa) -o "$stage/by_pkgconfig"
"$stage/by_pkgconfig"
c++ -std=c++17 -Wall -Wextra -Wpedantic -Werror -x c++ "$source/tests/checks/consumer.c" $(pkg-config --cflags --libs stoa) -o "$stage/by_cxx"
"$stage/by_cxx"
mkdir "$stage/app"
cp "$source/tests/checks/consumer.c" "$stage/app"
cat > "$stage/app/CMakeLists.txt" <<'CMAKE'
cmake_minimum_required(VERSION 3.25)
project(consumer LANGUAGES C)
find_package(stoa 0.1 REQUIRED)
add_executable(consumer consumer.c)
target_link_libraries(consumer stoa::stoa)
add_executable(consumer_static consumer.c)
target_link_libraries(consumer_static stoa::stoa_static)
CMAKE
cmake -S "$stage/app" -B "$stage/app/build" -G Ninja -DCMAKE_PREFIX_PATH="$stage/prefix" >/dev/null
cmake --build "$stage/app/build" >/dev/null
"$stage/app/build/consumer"
"$stage/app/build/consumer_static"
# Every public header stands alone, in C and in C++.
for header in "$stage"/prefix/include/stoa/*.h; do
    name=$(basename "$header")
    case $name in layout_gen.h | tensor_each.h) continue ;; esac  # parts of other headers
    echo "#include \"stoa/$name\"" | cc -std=c11 -Wall -Wextra -Wpedantic -Werror -I"$stage/prefix/include" -fsyntax-only -x c -
    echo "#include \"stoa/$name\"" | c++ -std=c++17 -Wall -Wextra -Wpedantic -Werror -I"$stage/prefix/include" -fsyntax-only -x c++ -
done
echo "installed, found and run in four ways"
