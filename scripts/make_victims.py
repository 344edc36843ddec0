"""Write outputs/reference/victims.md and .csv: every shipped victim with its accuracy, size and time per clip.

    python scripts/make_victims.py                  # all weights in outputs/checkpoints
    python scripts/make_victims.py utd_mhad         # the times of one dataset's victims are measured again

Accuracy and its count are those that the training recorded, of the weights as stored, on all test clips. Times are
the median of several passes on one core of this machine, when nothing else runs; they are kept until measured again.
"""

import argparse
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from tabulate import tabulate

from skeleton_adv.core.errors import UserError
from skeleton_adv.core.files import write_whole
from skeleton_adv.models.checkpoint import load_victim_and_dataset
from skeleton_adv.models.probe import sample
from skeleton_adv.report.columns import format_rate
from skeleton_adv.report.stats import Rate

CHECKPOINTS, OUT = Path("outputs/checkpoints"), Path("outputs/reference")
CLIPS, PASSES = 8, 5
TITLE = """# Victims
Victims that are shipped as weights, with their accuracy on all test clips of their dataset. Every dataset here stands
in for the paper's NTU RGB+D or Kinetics. *noise*: standard deviation of the noise in training. Times are per clip, in
batches of {clips}, on one core of {processor}.

Mean accuracy of the {count} victims on UTD-MHAD that are trained without noise (for each, its first seed at the most
frames): {mean:.1f} %; the best: {best:.1f} %.

Made by: `python scripts/make_victims.py`

"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("again", nargs="*", help="datasets whose times are measured again")
    again = parser.parse_args().again
    torch.set_num_threads(1)
    known = pd.read_csv(OUT / "victims.csv").set_index("weights") if (OUT / "victims.csv").exists() else pd.DataFrame()
    rows = []
    try:
        for path in sorted(CHECKPOINTS.rglob("*.safetensors")):
            row = described(path)
            timed = row["weights"] in known.index and row["dataset"] not in again
            times = known.loc[row["weights"]][["forward_ms", "both_ms"]].to_dict() if timed else measured(path)
            rows.append(row | times)
            print(row["weights"], file=sys.stderr)
    except UserError as error:
        sys.exit(f"error: {error}")
    frame = pd.DataFrame(rows)
    write_whole(OUT / "victims.csv", frame.to_csv(index=False))
    write_whole(OUT / "victims.md", page(frame))


def described(path: Path) -> dict[str, Any]:
    """The facts of a victim, without times."""
    facts = json.loads(path.with_suffix(".json").read_text())
    network, _ = load_victim_and_dataset(path)
    hits, clips = round(facts["test_accuracy"] * facts["test_clips"]), facts["test_clips"]
    low, high = Rate(hits, clips).interval
    settings = facts["settings"]
    return {
        "weights": str(path.relative_to(CHECKPOINTS)),
        "dataset": facts["dataset"],
        "victim": facts["choices"]["model"],
        "frames": facts["num_frames"],
        "classes": facts["num_classes"],
        "noise": settings.get("noise", 0.0),
        "seed": settings["seed"],
        "hits": hits,
        "clips": clips,
        "accuracy": hits / clips,
        "low": low,
        "high": high,
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
    }


def measured(path: Path) -> dict[str, float]:
    """Milliseconds per clip of a forward pass, and of a forward and a backward pass to the clips."""
    network, dataset = load_victim_and_dataset(path)
    body = dataset.skeleton
    x = sample(body.channels, dataset.num_frames, body.num_joints, dataset.num_persons)[:1].repeat(CLIPS, 1, 1, 1, 1)

    def forward() -> None:
        with torch.no_grad():
            network(x)

    def both() -> None:
        torch.autograd.grad(network(x.requires_grad_()).sum(), x)

    return {"forward_ms": milliseconds(forward), "both_ms": milliseconds(both)}


def milliseconds(call: Any) -> float:
    call()
    times = []
    for _ in range(PASSES):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return round(1e3 * statistics.median(times) / CLIPS, 2)


def page(frame: pd.DataFrame) -> str:
    """The table in Markdown."""
    grid = [
        {
            "dataset": row.dataset,
            "victim": row.victim,
            "T": row.frames,
            "classes": row.classes,
            "noise, m": row.noise or "",
            "seed": row.seed,
            "accuracy [95 %]": format_rate(Rate(row.hits, row.clips)),
            "parameters": f"{row.parameters:,}",
            "forward, ms": row.forward_ms,
            "forward + backward, ms": row.both_ms,
        }
        for row in frame.sort_values(["dataset", "noise", "victim", "frames", "seed"]).itertuples()
    ]
    clean = frame[(frame.dataset == "utd_mhad") & (frame.noise == 0)]
    first = clean.sort_values(["seed", "frames"], ascending=[True, False]).groupby("victim").head(1)
    title = TITLE.format(
        clips=CLIPS,
        processor=processor(),
        count=len(first),
        mean=100 * first.accuracy.mean(),
        best=100 * first.accuracy.max(),
    )
    return title + tabulate(grid, "keys", "pipe", disable_numparse=True) + "\n"


def processor() -> str:
    """The name of the processor."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), "this machine")


if __name__ == "__main__":
    main()
