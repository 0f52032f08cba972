"""Start a finished sweep of 24 jobs again: wall time in seconds, and whether torch is imported.

python benchmarks/sweep.py
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time

SWEEP = [
    "train", "-m", "dataset=digits", "dataset.classes=[0,1]", "dataset.image_size=16", "dataset.channels=1",
    "backbone=small_cnn", "backbone.width=4", "trainer=debug", "trainer.model_summary=false", "logger=none",
    "optimizer.lr=1e-3,1e-2", "strategy=full,linear_probe,gradual", "seed=0,1,2,3",
]  # fmt: skip
CODE = "import atexit, sys, tlx.cli; atexit.register(lambda: print('torch' in sys.modules)); tlx.cli.main(sys.argv[1:])"


def main(rounds: int = 5) -> None:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", CODE, *SWEEP, f"output_dir={folder}"]
        seconds = []
        for _ in range(rounds + 1):
            start = time.perf_counter()
            done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
            seconds.append(time.perf_counter() - start)
            assert done.returncode == 0, done.stdout + done.stderr
        again = done.stdout.count("finished already")
        print(f"{'24 jobs, hydra/launcher=basic':<32}  seconds")
        print(f"{'first start':<32}  {seconds[0]:7.2f}")
        print(f"{f'started again ({again} finished)':<32}  {statistics.median(seconds[1:]):7.2f}")
        print(f"torch imported: {done.stdout.splitlines()[-1]}")


if __name__ == "__main__":
    main()
