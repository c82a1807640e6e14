"""Libraries that stand in for those of CUDA, so that a torch without them can be imported for its CPU part.

    cuda-stand-ins.py TORCH_LIB FOLDER

FOLDER gets an empty library under the name of each one that the loader does not find (for LD_LIBRARY_PATH), and
names.so with the names that torch wants from them (for LD_PRELOAD: names.so has no versions, which the loader takes
for every version only from a library that none is asked of). Calling one would end the process; without a GPU
nothing does.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

lib, folder = map(Path, sys.argv[1:])
folder.mkdir(parents=True, exist_ok=True)
files = sorted(lib.glob("*.so*"))


def output(*command):
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


missing = {
    name
    for file in files
    for name in re.findall(r"^\s*(\S+) => not found", output("ldd", str(file)), re.M)
}
wanted = {
    line.split()[-1].split("@")[0]
    for file in files
    for line in output("nm", "-D", "--undefined-only", str(file)).splitlines()
}
libraries = r"(cublas|cudnn|cusparse|cufft|cusolver|nccl|nvshmem|cuFile|nvrtc|nvJitLink|cu[A-Z])"
names = sorted(name for name in wanted if re.match(libraries, name))
source = folder / "names.c"
source.write_text("".join(f"char {name}[64];\n" for name in names))
compiler = [os.environ.get("CC", "gcc"), "-w", "-shared"]
subprocess.run([*compiler, str(source), "-o", str(folder / "names.so")], check=True)
subprocess.run([*compiler, "-x", "c", "/dev/null", "-o", str(folder / "empty.so")], check=True)
for name in missing:
    link = folder / name
    link.unlink(missing_ok=True)
    link.symlink_to("empty.so")
