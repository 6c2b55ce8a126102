"""Start-up: `bulkhead --version` and `bulkhead run --help`, each against `python -c pass` on the same machine."""

import statistics
import subprocess
import sys
import time

ROUNDS = 15
LIMITS = {("--version",): 5.0, ("run", "--help"): 25.0}


def seconds(arguments: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def medians(commands: list[list[str]]) -> list[float]:
    """The commands take turns, so that a busy moment of the machine meets all of them."""
    rounds = [[seconds(command) for command in commands] for _ in range(ROUNDS)]
    return [statistics.median(times) for times in zip(*rounds, strict=True)]


def main() -> int:
    commands = [["-m", "runner", *arguments] for arguments in LIMITS]
    baseline, *times = medians([["-c", "pass"], *commands])
    print(f"python -c pass           {baseline * 1000:6.1f} ms")
    good = True
    for (arguments, limit), spent in zip(LIMITS.items(), times, strict=True):
        factor = spent / baseline
        good &= factor <= limit
        figure = f"{spent * 1000:6.1f} ms   {factor:4.1f} x (limit {limit:g} x)"
        print(f"bulkhead {' '.join(arguments):<15} {figure}  {'ok' if factor <= limit else 'TOO SLOW'}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
