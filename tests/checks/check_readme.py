# SPDX-License-Identifier: Apache-2.0
"""The program that the README shows is text of examples/infer.c, which is compiled and run."""
import pathlib
import sys

root = pathlib.Path(sys.argv[1])
program = (root / "README.md").read_text().split("```c\n", 1)[1].split("```", 1)[0]
found = len(program.splitlines()) > 15 and program in (root / "examples/infer.c").read_text()
print(f"README.md: {len(program.splitlines())} lines of C, {'those' if found else 'not all'} of examples/infer.c")
sys.exit(not found)
