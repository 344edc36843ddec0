"""Laws of certificates: they respect the exact margin of a linear victim end to end, and radii are monotone."""

import pytest
import torch
from conftest import Linear, make_batch
from scipy.stats import norm

from skeleton_adv.certificates.counts import count_classes
from skeleton_adv.certificates.radii import ABSTAIN, cohen, zheng
from skeleton_adv.core.skeleton import KINECT20, NTU25, OPENPOSE18, Skeleton

SIGMA, N0, N, ALPHA = 0.5, 100, 3000, 1e-3
bodies = pytest.mark.parametrize("skeleton", [NTU25, KINECT20, OPENPOSE18], ids=lambda s: s.name)


@bodies
@pytest.mark.parametrize("classes", [2, 5])
def test_radii_are_below_the_exact_margin_and_reach_a_share_of_it(skeleton: Skeleton, classes: int) -> None:
    """The margin is the distance, over movable entries, to the nearest decision boundary of a linear victim.

    Under noise, the class has a probability of at most Phi(margin / sigma), and exactly this with two classes. So
    the radius exceeds the margin with probability at most alpha per clip. With two classes it is also near the
    margin: at 3,000 draws, the bound is within 5 standard errors of the exact probability.
    """
    batch = make_batch(n=12, t=2, skeleton=skeleton, seed=3)
    model = Linear(batch, classes=classes, seed=2)
    logits, weight = model(batch.x), model.weight.view(classes, *batch.x.shape[1:])
    margins = []
    for n, best in enumerate(logits.argmax(dim=1).tolist()):
        across = ((weight[best] - weight) * batch.movable[n]).flatten(1).norm(dim=1)
        far = (logits[n, best] - logits[n]) / across
        margins.append(float(far[[k for k in range(classes) if k != best]].min()))
    scale = SIGMA / float(torch.tensor(margins).median())  # so that the margin of the middle clip is sigma

    def count(purpose: str, draws: int) -> torch.Tensor:
        noisy = {"sigma": SIGMA / scale, "num_classes": classes, "seed": 1, "purpose": purpose, "at_once": 250}
        return count_classes(lambda x, repeated: model(x), batch, draws=range(draws), **noisy)  # type: ignore[arg-type]

    selection, estimation = count("selection", N0), count("estimation", N)
    assert not selection[:, -1].any() and not estimation[:, -1].any()
    reached = []
    for n, margin in enumerate(scale * m for m in margins):
        certificate = cohen(selection[n, :-1], estimation[n, :-1], SIGMA, ALPHA)
        assert certificate.radius < margin
        if certificate.pred != ABSTAIN:
            assert certificate.pred == int(logits[n].argmax())
            reached.append(certificate.radius / margin)
        if classes == 2:
            p = float(norm.cdf(margin / SIGMA))
            least = p - 5 * (p * (1 - p) / N) ** 0.5 - 7 / N  # 7 / N: the bound if all draws agree
            if least > 0.5:
                assert certificate.radius >= SIGMA * norm.ppf(least)
                assert margin > 2.5 * SIGMA or margin < 0.5 * SIGMA or certificate.radius > 0.75 * margin
    assert len(reached) >= 4 and max(reached) > (0.85 if classes == 2 else 0.4)


def test_radii_grow_with_agreement_and_with_sigma() -> None:
    for form in (lambda c, s: cohen(c, c, s, 0.001).radius, lambda c, s: zheng(c, s, 0.05).radius):
        radii = [form(torch.tensor([k, 200 - k, 0]), 0.5) for k in range(110, 201)]
        assert radii == sorted(radii) and radii[0] == 0 < radii[-1]
        counts = torch.tensor([180, 15, 5])
        assert form(counts, 1.0) == pytest.approx(2 * form(counts, 0.5))
        shuffled = [form(counts[list(order)], 0.5) for order in ((0, 1, 2), (2, 0, 1), (1, 2, 0))]
        assert shuffled == pytest.approx([shuffled[0]] * 3)
