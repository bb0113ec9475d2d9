# SPDX-License-Identifier: Apache-2.0
"""The vendor's fake driver has exactly the functions of its table, beside those by which an application captures graphs, and the plugin
is linked with no library of the vendor."""
import pathlib
import re
import subprocess
import sys

listed = set(re.findall(r"^(?:DRIVER|OPTIONAL)\(\w+, (\w+)\)", pathlib.Path(sys.argv[1]).read_text(), re.M))
prefix = {"cuda": "cu", "hip": "hip"}[pathlib.Path(sys.argv[1]).stem]
names = subprocess.run(["nm", "-D", "--defined-only", sys.argv[2]], capture_output=True, text=True, check=True).stdout
defined = set(re.findall(rf" T ({prefix}[A-Z]\w+)", names))
defined = {name for name in defined if not re.match(r"cuGraph|cuStream(Begin|End)Capture", name)}
needed = subprocess.run(["readelf", "-d", sys.argv[3]], capture_output=True, text=True, check=True).stdout
libraries = re.findall(r"NEEDED.*\[(.*)\]", needed)
problems = [f"only in the table: {name}" for name in sorted(listed - defined)]
problems += [f"only in the fake driver: {name}" for name in sorted(defined - listed)]
problems += [f"the plugin needs {name}" for name in libraries if re.match(r"lib(cuda|nv|cu|amd|hip|hsa|roc)", name)]
print("\n".join(problems))
print(f"{len(listed)} driver functions, {len(libraries)} libraries needed, {len(problems)} problems")
sys.exit(1 if problems or len(listed) < 20 or not libraries else 0)
