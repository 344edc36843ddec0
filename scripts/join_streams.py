"""Join two published checkpoints of 2s-AGCN, one per stream, in one file for ``model=agcn model.checkpoint=``.

python scripts/join_streams.py ntu_cs_agcn_joint.pt ntu_cs_agcn_bone.pt agcn_ntu_cs.safetensors
"""

import argparse
import sys
from pathlib import Path

from safetensors.torch import save

from skeleton_adv.core.errors import CheckpointError
from skeleton_adv.models.checkpoint import load_checkpoint
from skeleton_adv.models.layouts import canonical
from skeleton_adv.models.weights import read_state_dict


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("joint", type=Path, help="the joint stream's checkpoint")
    parser.add_argument("bone", type=Path, help="the bone stream's checkpoint")
    parser.add_argument("out", type=Path, help="the file to write")
    arguments = parser.parse_args()
    try:
        weights = {
            f"{stream}.{key}": value.contiguous()
            for stream in ("joint", "bone")
            for key, value in canonical(read_state_dict(getattr(arguments, stream))).items()
        }
        load_checkpoint(weights)  # raises an error if the two streams do not fit one model
        part = arguments.out.with_name(arguments.out.name + ".part")
        part.write_bytes(save(weights))
        part.replace(arguments.out)
    except (CheckpointError, OSError) as error:
        sys.exit(f"error: {error}")
    print(arguments.out)


if __name__ == "__main__":
    main()
