"""What a connected viewer costs the pipeline: the same clip without the page, with it, and watched.

    chrt -r 5 python benchmarks/preview.py bundles/compact.fer --video clip.mp4

chrt keeps other load on the machine out of the figures. The three take turns. The clip is read as
fast as the pipeline goes, which leaves no idle time to hide in; the viewer asks for picture after
picture, as the page does, from a process of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
from multiprocessing import get_context

import aiohttp

WAYS = ("without", "served", "watched")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle")
    parser.add_argument("--video", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    found: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    for _ in range(options.rounds):
        for way in WAYS:
            found[way].append(measure(options.bundle, options.video, way))
    names = list(found["without"][0])
    print(f"{'median of rounds':18}" + "".join(f"{name:>12}" for name in names))
    middle = {
        way: {name: statistics.median(one[name] for one in found[way]) for name in names}
        for way in WAYS
    }
    for way in WAYS:
        print(f"{way:18}" + "".join(f"{middle[way][name]:12.2f}" for name in names))
    for way in WAYS[1:]:
        ratios = [middle[way][name] / max(middle["without"][name], 1e-9) for name in names[:-1]]
        print(f"{way + ' / without':18}" + "".join(f"{ratio:12.2f}" for ratio in ratios))


def measure(bundle: str, video: str, way: str) -> dict[str, float]:
    """Run once; returns percentiles in ms, frames a second, and the pictures that were seen."""
    command = [sys.executable, "-m", "fer_edge", "run", bundle, "--video", video, "--json"]
    if way != "without":
        command += ["--serve", "127.0.0.1:0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stderr is not None
    context = get_context("spawn")
    seen = context.Value("i", 0)
    viewer = None
    if way != "without":
        url = process.stderr.readline().split()[-1]
        if way == "watched":
            viewer = context.Process(target=watch, args=(url, seen))
            viewer.start()
    output, messages = process.communicate()
    if viewer is not None:
        viewer.join()
    if process.returncode:
        raise SystemExit(messages)
    summary = json.loads(output.splitlines()[-1])
    total, out = summary["latency_ms"]["total"], summary["latency_ms"]["output"]
    return {
        "p50 ms": total["p50"],
        "p90 ms": total["p90"],
        "p99 ms": total["p99"],
        "output p50": out["p50"],
        "frames/s": summary["fps"],
        "pictures": seen.value,
    }


def watch(url: str, seen) -> None:
    """Ask for picture after picture until the run ends."""

    async def talk() -> None:
        async with aiohttp.ClientSession() as client, client.ws_connect(f"{url}ws") as page:
            await page.send_str("picture")
            async for message in page:
                if message.type is aiohttp.WSMsgType.BINARY:
                    seen.value += 1
                    await page.send_str("picture")

    try:
        asyncio.run(talk())
    except aiohttp.ClientError:
        return


if __name__ == "__main__":
    main()
