"""Attack a shipped victim with a protocol of sa.benchmark, on its clips; writes outputs/reference/protocol_<name>.

    python scripts/run_protocol.py hcn utd_mhad data/utd_mhad

The same command continues a run that was stopped.
"""

import argparse

from pack_runs import REFERENCE, pack

import skeleton_adv as sa
from skeleton_adv.api.protocols import PROTOCOLS
from skeleton_adv.core.ending import one_line
from skeleton_adv.core.files import write_whole


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a victim of sa.list('weights')")
    parser.add_argument("dataset", help="a dataset of sa.list('datasets')")
    parser.add_argument("root", nargs="?", help="the folder with its files; none for generated datasets")
    parser.add_argument("--protocol", default="v1", choices=[*PROTOCOLS])
    parser.add_argument("--out", default="outputs/protocol", help="the folder of the runs, which are continued there")
    given = parser.parse_args()
    with one_line():
        clips = sa.load_clips(given.dataset, given.root, limit=PROTOCOLS[given.protocol].limit)
        victim = sa.load_victim(given.model, dataset=given.dataset)
        found = sa.benchmark(victim, clips, given.protocol, batch_size=50, out=given.out)
        place = REFERENCE / f"protocol_{given.protocol}"
        for result in found:
            pack(result.run, place)
        stem = place / found[0].run.dataset / given.model
        write_whole(stem.with_suffix(".csv"), found.summary().to_csv(index=False, float_format="%.6g"))
        print(
            write_whole(
                stem.with_suffix(".md"),
                f"# {given.model} on {found[0].run.dataset}, protocol {given.protocol}\n\n```\n{found.table()}\n```\n",
            )
        )


if __name__ == "__main__":
    main()
