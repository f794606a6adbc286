"""The ways to make a long video that are compared."""

from collections.abc import Mapping

Contender = Mapping[str, object]
"""Options of `AnchoredDiffusionPipeline.reenact`, over those that all contenders share."""

CONTENDERS: Mapping[str, Contender] = {
    "pinned": {"method": "anchored", "plan": "shifted", "pin_source": True, "anchor_frame": None},
    "shifted": {"method": "anchored", "plan": "shifted"},
    "contiguous": {"method": "anchored", "plan": "contiguous"},
    "strided": {"method": "anchored", "plan": "strided"},
    "random": {"method": "anchored", "plan": "random"},
    "shifted-mean": {"method": "anchored", "plan": "shifted", "anchor": "mean"},
    "contiguous-mean": {"method": "anchored", "plan": "contiguous", "anchor": "mean"},
    "shifted-eta-0": {"method": "anchored", "plan": "shifted", "solver": "ddim", "eta": 0.0},
    "shifted-first-frame": {"method": "anchored", "plan": "shifted", "anchor_frame": 0},
    "multidiffusion": {"method": "multidiffusion", "overlap": 1},
    "multidiffusion-half": {"method": "multidiffusion", "overlap": 2},
    "independent": {"method": "independent"},
    "autoregressive": {"method": "autoregressive", "overlap": 1},
}
NAMES = {
    "pinned": "anchored at the source, shifted groups",
    "shifted": "anchored, shifted groups",
    "contiguous": "anchored, fixed groups (paper)",
    "strided": "anchored, strided groups",
    "random": "anchored, random groups",
    "shifted-mean": "anchored, shifted groups, mean anchor",
    "contiguous-mean": "anchored, fixed groups, mean anchor",
    "shifted-eta-0": "anchored, shifted groups, eta 0",
    "shifted-first-frame": "anchored, shifted groups, the first frame is the anchor",
    "multidiffusion": "MultiDiffusion, overlap 1",
    "multidiffusion-half": "MultiDiffusion, overlap 2",
    "independent": "independent groups",
    "autoregressive": "autoregressive",
}
CEILING = "autoencoder"  # the driving clip through the autoencoder: what no method can be better than
CEILING_NAME = "autoencoder of the driving clip"
