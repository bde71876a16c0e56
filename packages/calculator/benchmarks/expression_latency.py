"""How long an ordinary expression takes through the jailed process: `python expression_latency.py [calls]`."""

import asyncio
import statistics
import sys
import time

from calculator import Calculator

ORDINARY = (
    "17*24 + 3/4",
    "binomial(10, 3)*0.25",
    "(-3 + sqrt(17))/2",
    "log(50, 10)",
    "sum(k**2, k, 1, 100)",
    "powmod(7, 222, 13)",
    "sin(pi/3)*12",
    "count(k % 3 == 0, k, 1, 100)",
)


async def measure(calls: int) -> None:
    started = time.perf_counter()
    async with Calculator(processes=1) as calculator:
        print(f"start: {time.perf_counter() - started:.2f} s, bubblewrap: {calculator.jailed}")
        everything: list[float] = []
        for statement in ORDINARY:
            times = []
            for _ in range(calls):
                started = time.perf_counter()
                (calculation,) = await calculator.evaluate([statement])
                times.append((time.perf_counter() - started) * 1_000)
                assert calculation.error is None, calculation
            everything += times
            print(f"{statement:32} p50 {statistics.median(times):7.2f} ms   max {max(times):7.2f} ms")
        percentiles = statistics.quantiles(everything, n=100)
        print(f"{'all':32} p50 {percentiles[49]:7.2f} ms   p99 {percentiles[98]:7.2f} ms   n {len(everything)}")


if __name__ == "__main__":
    asyncio.run(measure(int(sys.argv[1]) if len(sys.argv) > 1 else 100))
