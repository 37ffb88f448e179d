"""Everything that docs/benchmarks.md shows: python -m benchmarks

Half an hour of an otherwise idle machine; every part is a command of its own as well.
"""

import subprocess
import sys

PAGE = "docs/benchmarks.md"
PARTS = {
    "geometry": ["--write", PAGE],
    "growth": ["--write", PAGE],
    "capacity": ["--seeds", "10", "--epochs", "1500", "--write", PAGE],
    "training": ["--epochs", "10000", "--write", PAGE],
    "kernels": ["--write", PAGE],
    "rivals": ["--write", PAGE],
    "reading": ["--write", PAGE],
    "start": ["--write", PAGE],
}

if __name__ == "__main__":
    for name, arguments in PARTS.items():
        print(f"benchmarks.{name}", flush=True)
        subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *arguments], check=True)
