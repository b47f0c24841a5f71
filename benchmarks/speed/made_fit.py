"""One fit of made-up rows in a process of its own; `growth.py` starts it."""

import json

from benchmarks.common.processes import use_code
from benchmarks.compare.fit import learned, parser, rounded, scores
from benchmarks.speed.fit import about, costs
from benchmarks.speed.made import Shape, made

N_TEST = 500


def main() -> None:
    """Fit, predict, and print the figures as one line of JSON."""
    options = parser(__doc__)
    for name, size in Shape()._asdict().items():
        options.add_argument(f"--{name}", type=int, default=size)
    args = options.parse_args()
    use_code(args.code)
    shape = Shape(*(getattr(args, name) for name in Shape._fields))
    train, test = made(shape, N_TEST)
    fit = learned(train, args)
    found = scores(test, fit.predict(test))
    row = {"score": found["accuracy"], "log_loss": found["log_loss"]}
    row = rounded(row | costs(fit, test, args.seed))
    row |= {"n_train": len(train.y), "n_test": len(test.y)} | about(args.method)
    print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
