# SPDX-License-Identifier: Apache-2.0
"""Includes point down only: the order of the layers, and who may see internals."""
import pathlib
import re
import sys

root = pathlib.Path(sys.argv[1])
order = ["core", "device", "soa", "tensor", "model", "runtime"]
# The registry names the built-in runtime's table: the one arrow that points up, so that nobody has to register it.
allowed_up = {("model/registry.c", "runtime/native/native.h"), ("device/backend.c", "device/host/host.h")}
# Runtimes do not see each other; two folders serve several: manifests of packages, and the native engine's kernels.
shared = {"runtime/package/", "runtime/native/vmath.h", "runtime/native/products.h"}
# Products of matrices have no public face; their benchmark measures them where they are.
allowed_inside = {("bench/products_bench.c", "runtime/native/products.h")}
problems, arrows = [], 0
for source in sorted(path for path in (root / "src").rglob("*.*") if path.suffix in (".c", ".h", ".cpp", ".hpp")):
    name = source.relative_to(root / "src").as_posix()
    layer = name.split("/")[0]
    for include in re.findall(r'#include "([^"]+)"', source.read_text()):
        target = include.split("/")[0]
        if include.startswith(("reco/", "cli/", "pipelines/", "bench/")):
            problems.append(f"src/{name} includes {include}")
        if target not in order or layer not in order:
            continue
        arrows += 1
        if order.index(target) > order.index(layer) and (name, include) not in allowed_up:
            problems.append(f"src/{name} includes {include}: {layer} must not see {target}")
        if target == "runtime" and layer == "runtime" and include.split("/")[1] != name.split("/")[1] \
                and not any(include.startswith(folder) for folder in shared):
            problems.append(f"src/{name} includes {include}: runtimes do not see each other")
for folder in ("reco", "pipelines", "cli", "bench", "examples"):
    for source in sorted((root / folder).rglob("*.[ch]")):
        for include in re.findall(r'#include "([^"]+)"', source.read_text()):
            if include.split("/")[0] in order + ["algo"] and (source.relative_to(root).as_posix(), include) not in allowed_inside:
                problems.append(f"{source.relative_to(root)} includes the internal {include}")
            if folder == "reco" and include.startswith(("cli/", "pipelines/", "bench/")):
                problems.append(f"{source.relative_to(root)} includes {include}")
print("\n".join(problems))
print(f"{arrows} arrows between layers, {len(problems)} problems")
sys.exit(1 if problems or arrows < 10 else 0)
