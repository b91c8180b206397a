"""Smoke with four workers against its slowest check: interleaved with runs without workers, in one checkout.

    python tests/bench/bench_smoke.py [--rounds 5]

The goal: smoke with -n 4 takes no longer than 1.5 times its slowest check plus worker start. Times are the log's:
a check's from its step.finished, the phase's from its phase.finished. Worker start is what `-n 4` adds before run.opened,
measured in the same rounds. Exit 1 where the goal is missed.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.project_checkout import Checkout

GOAL = 1.5
WORKERS = 4


def smoke(checkout: Checkout, *arguments: str) -> tuple[float, float, float]:
    """One smoke run: seconds of the phase, of its slowest check, and from the process's start to run.opened."""
    began = datetime.fromtimestamp(time.time(), UTC)
    ran = checkout.run("--deploy-env=local", "--deploy-pipeline=smoke", *arguments)
    if ran.code != 0:
        raise SystemExit(ran.said)
    events = checkout.events(checkout.last_run())
    (phase,) = (e.data for e in events if e.type == "phase.finished" and e.data["phase"] == "smoke")
    checks = [e.data["duration_s"] for e in events if e.type == "step.finished" and e.data["phase"] == "smoke"]
    opened = next(e.time for e in events if e.type == "run.opened")
    return phase["duration_s"], max(checks), (opened - began).total_seconds()


def main() -> int:
    """Print the medians and whether the goal is met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds: int = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder, Checkout.open(Path(folder)) as checkout:
        deployed = checkout.deploy()
        if deployed.code != 0:
            raise SystemExit(deployed.said)
        alone, spread = [], []
        for _ in range(rounds):
            alone.append(smoke(checkout))
            spread.append(smoke(checkout, "-n", str(WORKERS)))
    phase_1, slowest_1, start_1 = (statistics.median(column) for column in zip(*alone, strict=True))
    phase_n, slowest_n, start_n = (statistics.median(column) for column in zip(*spread, strict=True))
    allowed = GOAL * slowest_n + (start_n - start_1)
    said = [
        f"smoke, medians of {rounds} interleaved rounds, seconds",
        f"  one process   phase {phase_1:.2f}   slowest check {slowest_1:.2f}   run.opened after {start_1:.2f}",
        f"  -n {WORKERS}          phase {phase_n:.2f}   slowest check {slowest_n:.2f}   run.opened after {start_n:.2f}",
        f"  worker start {start_n - start_1:.2f}; phase {phase_n / slowest_n:.2f} x its slowest check",
        f"  phase {phase_n:.2f}, {GOAL} x slowest check + worker start {allowed:.2f}: ratio {phase_n / allowed:.2f}",
    ]
    sys.stdout.write("\n".join([*said, ""]))
    return 0 if phase_n <= allowed else 1


if __name__ == "__main__":
    raise SystemExit(main())
