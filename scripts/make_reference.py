"""Make the tables and figures in outputs/reference, one command at a time; takes hours on two cores, minutes on a GPU.

    python scripts/make_reference.py --utd data/utd_mhad            # all commands that are not finished
    python scripts/make_reference.py --only kinetics --list         # some of them, with what they cost on one core

Each command resumes an interrupted run and does nothing if the run is complete, so this script may be stopped
and started again at any time. Victims are read from outputs/checkpoints; missing victims are trained.
"""

import argparse
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from costs import Costs

RUNS = "outputs/reference_runs"  # separate from other runs
KINDS = ("tables", "figures")


class Scale(NamedTuple):
    """The size of each experiment, as arguments of its commands; the defaults are the full size."""

    graph: str = "model=agcn"
    actions: str = ""  # actions of the synthetic sets for 2s-AGCN
    single: str = ""  # actions of the synthetic set for HCN in transfer, defense and certification
    frames: str = ""  # frames of the synthetic set in transfer, defense and certification
    epochs: str = ""  # epochs of HCN on the few actions for 2s-AGCN
    certified_epochs: str = ""  # epochs of the 2s-AGCN that is certified
    sigma: str = ""  # noise of the defended 2s-AGCN
    thirty: str = ""
    fifteen: str = ""
    chunk: str = " runtime.limit=64"
    budget: str = ""
    fifty: str = ""
    two_hundred: str = ""
    certified: str = ""
    certified_graph: str = " runtime.limit=1000"
    bodies: str = ""
    bodies_graph: str = " runtime.limit=100"
    adversarial: tuple[str, ...] = ("adversarial", "trades")  # trainings that attack every batch in many steps


GPU = Scale()
CPU = Scale(
    graph="model=agcn_small",
    actions=" dataset.num_actions=10 dataset.num_persons=1",
    single=" dataset.num_actions=49 dataset.num_persons=1",  # the first 49 actions, which are single-person
    frames=" dataset.num_frames=32",
    epochs=" recipe.epochs=60",
    certified_epochs=" recipe.epochs=30",
    sigma=" defense.sigma=0.01",
    thirty=" batch_size=30 runtime.limit=30",
    fifteen=" batch_size=15 runtime.limit=15",
    chunk=" batch_size=50 runtime.limit=50",
    budget=" batch_size=50 runtime.limit=50",
    fifty=" batch_size=25 runtime.limit=50",
    two_hundred=" batch_size=50 runtime.limit=200",
    certified=" runtime.limit=200",
    certified_graph=" runtime.limit=100",
    bodies=" runtime.limit=100",
    bodies_graph=" runtime.limit=30",
    adversarial=("adversarial_tuned", "trades_tuned"),
)


# Victims of UTD-MHAD beyond HCN and 2s-AGCN, and of HDM05.
RECOGNISERS = (
    *("ctrgcn_small", "msg3d_small", "sgn_whole", "shiftgcn_small", "stgcn_small", "sttformer_small"),
    *("skateformer_small", "infogcn_small"),
)
OF_MOTION_CAPTURE = ("hcn", "sgn_whole", "stgcn_small", "ctrgcn_small", "msg3d_small")

VICTIMS = ("hcn", "sgn_whole")  # of the benchmark on 100 clips
GRAPHS = ("stgcn_small", "ctrgcn_small", "msg3d_small", "agcn_small", "shiftgcn_small", "sttformer_small")  # on 50
SURROGATES = GRAPHS[:3]
BUDGETED = ("fgsm,mi_fgsm,pgd,apgd_ce", "autoattack_short")  # the cheapest first
SHORTEST = "ddn,ddn_margin,fmn,deepfool,cw,cw_fast,lbfgs,fab"
ON_HCN = "fmn_linf,apgd_dlr"  # autoattack_short contains APGD-DLR, so the slower victims do without these
HUNDRED, FIFTY = " batch_size=50 runtime.limit=100", " batch_size=50 runtime.limit=50"
TWO_HUNDRED = " batch_size=50 runtime.limit=200"
FILTERS = ("noise_filter", "temporal_filter", "median", "savitzky_golay", "bone_projection", "denoiser")
ROBUST = ("adversarial_fast", "pcl", "msvdd", "distillation", "bone_adversarial", "beat")
FEATURES = ("deep_features", "deep_features_paper", "bim", "cw")
CARRIERS = ("k_a3", "k_a3_admm")
LIMITS = ("paper_true", "loose_true", "paper_floor", "loose_floor", "paper_velocity", "rigid")
DETECTED = ("bim", "mi_fgsm", "ddn", "admm", "cw")
# Noise, its sigma, limits with an attack, and tolerances: bones from 1 to 20 %, yaw from 2.5 to 40 degrees.
GAPS = (
    ("bones", "0.1,0.25", "constraint=bone10 attack=bone_length", "0.1,0.2,0.5,1,2"),
    ("yaw", "0.1,0.25", "constraint=yaw10 attack=yaw", "0.25,0.5,1,2,4"),
    ("joints", "0.1,0.25,0.5", "constraint=paper", "0.25,0.5,1,2"),
    ("correlated", "0.1,0.25", "constraint=paper", "0.25,0.5,1,2"),
)
THIRTY, TWENTY_FIVE, TWENTY, TEN = (f" batch_size={count} runtime.limit={count}" for count in (30, 25, 20, 10))


def commands(utd: str, hdm: str, scale: Scale) -> Iterator[str]:
    """The arguments of each command, in the order of execution."""
    real = f"dataset=utd_mhad dataset.root={utd}"
    yield from white_box(real, scale)
    yield from recognisers(real, f"dataset=hdm05 dataset.root={hdm}", scale)
    yield from matrix(real)
    yield from benchmark(real, GRAPHS)
    yield from benchmark(
        f"dataset=hdm05 dataset.root={hdm}", tuple(name for name in GRAPHS if name in OF_MOTION_CAPTURE)
    )
    yield from defended(real, "", "", "", " batch_size=215", scale)  # 430 test clips in two chunks
    yield from defended("dataset=synthetic_cs", scale.single, scale.actions, scale.frames, scale.two_hundred, scale)
    yield from defenses(real, f"dataset=hdm05 dataset.root={hdm}", scale)
    yield from detection(real)
    yield from identification(real)
    yield from anonymity(real)
    yield from gaps(real)
    yield from feasible(real, f"dataset=hdm05 dataset.root={hdm}")


def white_box(real: str, scale: Scale) -> Iterator[str]:
    """Tables 1, 3 and 5, and Figure 3."""
    graph = f"{scale.graph} {real} dataset.num_frames=64"
    yield f"task=train {real} model.seed=0,1,2 -m"
    yield f"task=train {graph} model.seed={'0' if scale.fifty else '0,1,2'} -m"
    for table in ("table1", "table3"):
        yield f"experiment={table} {real}"
        yield f"experiment={table} {graph}{scale.fifty}"
    yield f"experiment=figure3 {real} runtime.limit=64"  # the trace of Table 1's first chunk
    for name, table in (("synthetic_cs", "table1"), ("synthetic_cv", "table1"), ("synthetic_kinetics", "table5")):
        graph = f"{scale.graph} dataset={name}{scale.actions}"
        yield f"task=train dataset={name}"
        yield f"task=train {graph}"
        yield f"experiment={table} dataset={name}{scale.two_hundred}"
        yield f"experiment={table} {graph}{scale.thirty}"
    yield f"experiment=figure3 dataset=synthetic_cs{scale.chunk}"


def recognisers(real: str, motion_capture: str, scale: Scale) -> Iterator[str]:
    """Every recogniser on UTD-MHAD, some on HDM05, and Table 1 with 2s-AGCN at full width."""
    yield f"task=train model={','.join(RECOGNISERS)} {real} -m"
    yield f"task=train model={','.join(OF_MOTION_CAPTURE)} {motion_capture} -m"
    yield f"experiment=table1 {motion_capture}"
    for data, clips in ((real, f" dataset.num_frames=32{scale.thirty}"), (motion_capture, scale.fifteen)):
        yield f"task=train model=agcn {data}"
        yield f"experiment=table1 model=agcn {data}{clips}"


def defended(data: str, single: str, actions: str, frames: str, clips: str, scale: Scale) -> Iterator[str]:
    """Tables 2 and 4 and the other figures of one dataset; transfer requires victims with the same number of frames."""
    hcn, same = data + single + frames, data + actions + frames  # HCN's actions, and those that both victims share
    graph = f"{scale.graph} {same}"
    long = f"{scale.graph} {data}{actions} dataset.num_frames=64 training=noise training.sigma=0.1"
    yield f"task=train {hcn} model.seed=0,1 -m"
    yield f"experiment=table2 {hcn}{clips}"
    yield f"task=train {same} model.seed=1{scale.epochs if actions else ''}"
    yield f"task=train {graph}"
    yield f"experiment=table2 {graph}{clips}"
    yield f"experiment=table4 {hcn}{clips}"
    yield f"experiment=table4 {graph}{scale.sigma}{scale.thirty}"
    yield f"experiment=table4 {hcn} targeted=true defense.sigma=0.01 adaptive=true defense.eot=20{scale.thirty}"
    yield f"experiment=defense_budget {hcn}{scale.budget}"
    yield f"experiment=films {hcn}"
    yield f"experiment=films {graph}"
    recipe = " recipe=hcn/utd_mhad_noise" if "utd_mhad" in data else ""
    yield f"task=train {hcn}{recipe} training=noise training.sigma=0.1,0.25,0.5 -m"
    yield f"experiment=figure5 {hcn}{scale.certified}"
    yield f"experiment=figure5 {hcn} training.sigma=0.25 smoothing.n=100000 smoothing.clips=10 runtime.limit=10"
    if "utd_mhad" in data:
        yield from certified_bodies(hcn, recipe, scale)
    yield f"task=train {long}{scale.certified_epochs}"
    yield f"experiment=figure5 {long}{scale.certified_graph}"


def certified_bodies(hcn: str, recipe: str, scale: Scale) -> Iterator[str]:
    """Certificates in the body's terms of HCN, and of yaw of a graph network; a strength of the noise at a time."""
    for sigma in (0.25, 0.1, 0.5):
        for space in ("bones", "yaw", "correlated", "joints"):
            noise = f"training.space={space} training.sigma={sigma:g}"
            yield f"task=train {hcn}{recipe} training=noise {noise}"
            yield f"experiment=figure5_body {hcn} {noise}{scale.bodies}"
    graph = f"model=stgcn_small {hcn} training.space=yaw training.sigma=0.5"
    yield f"task=train {graph} training=noise"
    yield f"experiment=figure5_body {graph}{scale.bodies_graph}"


def matrix(real: str) -> Iterator[str]:
    """Table 2 with each of eight victims as the surrogate of the others."""
    victims = ",".join(VICTIMS + GRAPHS)
    for surrogate in VICTIMS + GRAPHS:
        own = f"model@surrogate={surrogate} surrogate.seed=0 model={victims} attack.beta=0.1"
        yield f"experiment=table2 {own} {real}{FIFTY}"


def benchmark(data: str, graphs: tuple[str, ...]) -> Iterator[str]:
    """The benchmark of one dataset; if it is stopped after any command, the tables are complete for what has run."""
    victims = (f"model={','.join(VICTIMS)} {data}{HUNDRED}", f"model={','.join(graphs)} {data}{FIFTY}")
    few = (f"model=hcn {data}{TWENTY_FIVE}", f"model=stgcn_small {data}{TEN}")
    for attacks in BUDGETED:
        for own in victims:
            yield f"experiment=benchmark attack={attacks} {own}"
    for own in victims:
        yield f"experiment=benchmark attack=apgd_ce attack.steps=40 {own}"  # as many as PGD
        yield f"experiment=benchmark_least attack=ddn {own}"
        yield f"experiment=benchmark attack=pgd,apgd_ce threat=linf_10mm {own}"
        yield f"experiment=benchmark_bones {own}"
        yield f"experiment=benchmark_corruption {own}"
    everyone = f"model={','.join((*VICTIMS, *graphs))} {data}{FIFTY}"  # a surrogate's clips serve all victims
    for surrogate in SURROGATES:
        yield f"experiment=benchmark_transfer model@surrogate={surrogate} {everyone}"
        # RobustBenchHAR's code; its MIG, with 4,005 passes per clip, is beyond the limit of 1,000.
        yield f"experiment=benchmark_transfer attack=dim_released model@surrogate={surrogate} {everyone}"
        for training in ("tasar", "ba"):  # the posterior of the same surrogate
            yield f"task=train training={training} model={surrogate} {data}"
            posterior = f"model@surrogate={surrogate} training@surrogate_training={training}"
            yield f"experiment=benchmark_transfer attack={training} {posterior} {everyone}"
    encoder = "model@surrogate=contrastive_encoder_small training@surrogate_training=contrastive"
    yield f"task=train training=contrastive model=contrastive_encoder_small {data}"
    yield f"experiment=benchmark_transfer attack=no_box,no_box_i {encoder} {everyone}"
    yield f"experiment=benchmark_ensemble {everyone}"
    yield f"experiment=benchmark_ensemble attack=ens_released {everyone}"
    for own in victims:
        yield f"experiment=benchmark attack=universal,isaac_n,k_joint,one_frame threat=linf_10mm {own}"
        yield f"experiment=benchmark attack=admm,ciasa threat=paper {own}"
    for own in few:
        yield f"experiment=benchmark_black_box {own}"
        yield f"experiment=benchmark attack=square,one_joint_de threat=linf_10mm {own}"
    yield f"experiment=benchmark_least attack=cw_l0 model=hcn {data}{THIRTY}"
    yield f"experiment=benchmark_least attack={SHORTEST} model=hcn {data}{HUNDRED}"
    yield f"experiment=benchmark attack={ON_HCN} model=hcn {data}{HUNDRED}"
    for attacks in BUDGETED:
        yield f"experiment=benchmark attack={attacks} model=hcn model.seed=1,2 {data}{HUNDRED}"
    yield f"experiment=benchmark_least attack=ddn model=hcn model.seed=1,2 {data}{HUNDRED}"


def defenses(data: str, motion_capture: str, scale: Scale) -> Iterator[str]:
    """Defended victims; after any command, the table is complete for its rows.

    HCN behind each defense on two datasets, a graph network on few clips, certificates of HCN behind the denoiser, and
    HCN with each robust training.
    """
    own = f"model=hcn {data}{HUNDRED}"
    yield from filtered(own)
    yield f"experiment=defenses_randomised attack=autoattack_rand_short defense.eot=20 {own}"  # a check of 8 draws
    yield from filtered(f"model=stgcn_small {data}{TWENTY}")
    yield from filtered(f"model=hcn {motion_capture}{HUNDRED}")
    certified = f"smoothing.sigma=0.1,0.25 model=hcn {data}{scale.certified} -m"
    yield f"task=certify defense=denoiser defense.objective=mse,stability {certified}"
    yield f"task=certify defense=none {certified}"  # the same victim, not trained with noise either
    for training in (*scale.adversarial, *ROBUST):
        trained = f"defense=none training={training} {own}"
        yield f"task=train training={training} {data}"
        yield f"experiment=defenses {trained}"
        yield f"experiment=defenses attack=autoattack_short model@surrogate=hcn {trained}"  # oblivious
        yield f"experiment=defenses_admm adaptive=true {trained}"
        yield f"experiment=defenses_admm adaptive=true model@surrogate=hcn {trained}"
        yield f"experiment=defenses_transfer {trained}"


def filtered(own: str) -> Iterator[str]:
    """One victim behind each defense that changes clips, under attacks that know the defense and that do not."""
    yield f"experiment=defenses {own}"
    yield f"experiment=defenses attack=autoattack_short adaptive=false defense={','.join(FILTERS)} {own}"
    yield f"experiment=defenses_randomised {own}"
    yield f"experiment=defenses_admm defense=none adaptive=true {own}"
    yield f"experiment=defenses_admm {own}"
    yield f"experiment=defenses_transfer {own}"


def detection(data: str) -> Iterator[str]:
    """Detectors for HCN: fitted on all attacks, then on one of them; subjects 2 and 4, judged on 6 and 8."""
    own = f"model=hcn {data}"
    parts = "fit_clips=*_s2_*|*_s4_* judged_clips=*_s6_*|*_s8_*"
    folders = [f"{RUNS}/utd_mhad/hcn/{attack}/none" for attack in DETECTED]
    paper = "detector=mlp,lstm detector.representative=medoid,centroid detector.distance=l2,cosine adaptive=false"
    for attack in DETECTED:
        yield f"attack={attack} targeted=false,true runtime.save_clips=true {own}{TWO_HUNDRED} -m"
    for targeted in ("false", "true"):
        judged = f"judged={','.join(folders)} targeted={targeted} {parts} {own}"
        yield f"experiment=detection fit_on=[{','.join(folders)}] {judged}"
        yield f"experiment=detection {paper} fit_on=[{','.join(folders)}] {judged}"
        yield f"experiment=detection detector=mlp,lstm adaptive=false fit_on=[{folders[0]}] {judged}"


def identification(data: str) -> Iterator[str]:
    """Identification of actions and of subjects after deep features and classifier attacks, by HCN's features."""
    own = f"model=hcn {data}"
    for attack in FEATURES:
        yield f"attack={attack} targeted=false,true runtime.save_clips=true {own}{TWO_HUNDRED} -m"
    judged = f"judged={','.join(f'{RUNS}/utd_mhad/hcn/{attack}/none' for attack in FEATURES)}"
    for targeted in ("false", "true"):
        yield f"experiment=identification targeted={targeted} {judged} {own}"
    subjects = "of=subjects gallery=*_t1|*_t2 probes=*_t3|*_t4"
    yield f"experiment=identification {subjects} distance=cosine bones=kept,normalised {judged} {own}"
    yield f"experiment=identification {subjects} distance=l2 bones=alone {judged} {own}"  # the cosine ignores size


def anonymity(data: str) -> Iterator[str]:
    """k-anonymity of HCN's test clips and of subjects, before networks never attacked and retrained ones."""
    few = f"runtime.save_clips=false {data}{HUNDRED}"
    yield f"experiment=anonymity model=hcn {few}"
    yield f"experiment=anonymity model@surrogate=hcn model=sgn_whole,ctrgcn_small attack.k=5 {few}"
    people = f"{data} dataset.label=subject"
    yield f"task=train model=hcn,sgn_whole {people} -m"
    for split in ("test", "train"):
        yield f"experiment=anonymity attack.k=4 split={split} model=hcn {people}"
    for carrier in CARRIERS:
        made = f"{RUNS}/utd_mhad_subjects/hcn/{carrier}/none"
        judged, retrained = f"attack=from_file attack.path={made}", f"training=saved training.clips={made}"
        yield f"task=train model=hcn,sgn_whole {retrained} {people} -m"
        yield f"{judged} model=hcn,sgn_whole {retrained} {people} -m"
        yield f"{judged} model=sgn_whole {people}"
        yield f"{judged} model=hcn,sgn_whole {data} -m"  # utility: the actions in clips that hide the subject
        # The reverse, with the fewest ranks on all clips, so that this run has the most saved clips in its folder.
        yield f"attack={carrier} attack.k=2 runtime.save_clips=true model=hcn {data} batch_size=50"
        yield f"attack=from_file attack.path={RUNS}/utd_mhad/hcn/{carrier}/none model=hcn,sgn_whole {people} -m"


def gaps(data: str) -> Iterator[str]:
    """Clips of smoothed victims that are attacked or certified within limits: all of the paper's, bones, and yaw.

    HCN first; after any command, the table is complete for its rows.
    """
    for model, clips in (("hcn", HUNDRED), ("stgcn_small", FIFTY)):
        recipe = " recipe=hcn/utd_mhad_noise" if model == "hcn" else ""
        for space, sigmas, limits, tolerances in GAPS:
            trained = f"training=noise training.space={space} training.sigma={sigmas} model={model} {data}"
            yield f"task=train {trained}{recipe} -m"
            own = f"{limits} tolerance={tolerances} {trained}{clips}".replace("batch_size=50 ", "")
            yield f"experiment=gap {own}"


def feasible(data: str, motion_capture: str) -> Iterator[str]:
    """Attacks within the limits of the body, and what remains of others once their saved clips are projected.

    The search within the limits comes first, then the attacks as they are, which save their clips on the paper's
    limits only, then their projections, and last the other limits.
    """
    experiment = "experiment=table1_feasible"
    for dataset, own, few in (
        ("utd_mhad", f"model=hcn {data} batch_size=215", f"model=hcn {data}{HUNDRED}"),
        ("utd_mhad", f"model=stgcn_small {data}{THIRTY}", f"model=stgcn_small {data}{THIRTY}"),
        ("hdm05_11", f"model=hcn {motion_capture} batch_size=50", f"model=hcn {motion_capture} batch_size=50"),
    ):
        victim = own.partition(" ")[0].removeprefix("model=")
        made = ",".join(f"{RUNS}/{dataset}/{victim}/{attack}/none" for attack in ("admm", "pgd", "cw"))
        yield f"{experiment} attack=admm_feasible,admm_tuned threat=paper,loose {own}"
        yield f"{experiment} attack=admm,pgd,cw {own}"
        yield f"{experiment} attack=projected attack.path={made} threat=paper,loose {own}"
        yield f"{experiment} attack=admm_feasible threat={','.join(LIMITS)} {few}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--utd", default="data/utd_mhad", help="folder with UTD-MHAD's .mat files")
    parser.add_argument("--hdm", default="data/hdm05", help="folder with HDM05's .asf and .amc files")
    parser.add_argument("--gpu", action="store_true", help="use 2s-AGCN at full width, and every clip")
    parser.add_argument("--only", default="", help="run only commands that contain this text")
    parser.add_argument("--list", action="store_true", help="show the commands and their costs, run nothing")
    arguments = parser.parse_args()
    costs = Costs(Path(RUNS)) if arguments.list else None
    for command in commands(arguments.utd, arguments.hdm, GPU if arguments.gpu else CPU):
        if arguments.only not in command:
            continue
        print(f"python -m skeleton_adv {command}", flush=True)
        if costs:
            print(f"    # {costs.line(command)}", flush=True)
        if not arguments.list and subprocess.call(
            [sys.executable, "-m", "skeleton_adv", *command.split(), f"runtime.output_dir={RUNS}"]
        ):
            sys.exit(f"error: the command above failed: fix the cause and run again: python {' '.join(sys.argv)}")
    if not arguments.list:
        shown = [RUNS, "--out", "outputs/reference", "--skip-unfinished"]
        options = {"figures": ["--paper"]}
        failed = [
            subprocess.call([sys.executable, "-m", f"skeleton_adv.{kind}", *shown, *options.get(kind, [])])
            for kind in KINDS
        ]
        sys.exit(any(failed))


if __name__ == "__main__":
    main()
