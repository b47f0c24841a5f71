"""Where the time of a fit goes: the functions with the most cumulative time.

    python -m benchmarks.speed.profile titanic
    python -m benchmarks.speed.profile watch --sort tottime --top 40
    python -m benchmarks.speed.profile titanic --of row

The fit is made with the defaults and one thread.
"""

import argparse
import cProfile
import pstats
from pathlib import Path

import numpy as np
import torch

from benchmarks.common.processes import use_code
from benchmarks.common.tasks import TASKS, load
from benchmarks.compare.methods import Setup, start

ROWS = 100  # that come one by one


def main() -> None:
    """Profile, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("--of", choices=["fit", "row", "batch"], default="fit")
    parser.add_argument("--sort", default="cumulative", help="a key of pstats")
    parser.add_argument("--top", type=int, default=25)
    parser.add_argument("--code", type=Path, help="a checkout to take the package from")
    args = parser.parse_args()
    torch.set_num_threads(1)
    use_code(args.code)
    train, test = load(args.task, 0, 0)
    learn, setup = start("skfusion"), Setup(0, 1, 0.0)
    profile = cProfile.Profile()
    if args.of == "fit":
        profile.runcall(learn, train, setup)
    else:
        predict = learn(train, setup)
        predict(test)
        one_by_one = [test.rows(np.array([i % len(test.y)])) for i in range(ROWS)]
        parts = one_by_one if args.of == "row" else [test]
        profile.runcall(lambda: [predict(part) for part in parts])
    stats = pstats.Stats(profile)
    stats.sort_stats(args.sort).print_stats(args.top)


if __name__ == "__main__":
    main()
