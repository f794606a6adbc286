"""Shapes, laws and published sizes of sDiT."""

import dataclasses
import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, Mesh

from adiff_jax.models import sdit
from adiff_jax.models.face_basis import local_coordinates, read_basis
from adiff_jax.models.sdit import SDiT, SDiTConfig, patchify, slot_encoding, unpatchify
from adiff_jax.types import NUM_LANDMARKS, Conditioning

CONFIG = SDiTConfig(in_channels=3, input_size=4, num_frames=3, depth=2, width=16, num_heads=2, clip_dim=5)
B, S = 2, 3


def normal(seed, *shape):
    return jax.random.normal(jax.random.key(seed), shape)


def faces(*shape):
    """Faces that differ as those of people do, by a few hundredths of the picture."""
    return 0.35 * read_basis()["shape_mean"] + 0.02 * normal(2, *shape, NUM_LANDMARKS, 2)


def inputs(frames=S):
    cond = Conditioning.create(normal(1, B, 5), faces(B, frames))
    return normal(0, B, frames, 4, 4, 3), jnp.array([3.0, 700.0]), cond


def random_params():
    """Parameters without the zeros of the initialisation."""
    rng = np.random.default_rng(0)
    params = nn.unbox(jax.eval_shape(SDiT(CONFIG).init, jax.random.key(0), *inputs()))
    return jax.tree.map(lambda leaf: 0.2 * rng.standard_normal(leaf.shape, np.float32), params)


@functools.cache
def compiled(**options):
    return jax.jit(SDiT(dataclasses.replace(CONFIG, **options)).apply)


def apply(params, z_t, t, cond, **options):
    return compiled(**options)(params, z_t, t, cond)


def test_output_is_zero_at_initialisation():
    params = jax.jit(SDiT(CONFIG).init)(jax.random.key(0), *inputs())
    output = apply(nn.unbox(params), *inputs())
    assert output.shape == (B, S, 4, 4, 3)
    assert not output.any()


@pytest.mark.parametrize("attention", ["joint", "factorised"])
def test_frames_are_a_set_but_for_their_slots(attention, monkeypatch):
    params = random_params()
    z_t, t, cond = inputs()
    order = jnp.array([2, 0, 1])
    permuted = z_t[:, order], t, dataclasses.replace(cond, landmarks=cond.landmarks[:, order])
    ordered = apply(params, z_t, t, cond, attention=attention)
    assert not jnp.allclose(apply(params, *permuted, attention=attention), ordered[:, order], atol=1e-3)
    monkeypatch.setattr(sdit, "slot_encoding", lambda frames, width: np.zeros((frames, width), np.float32))
    without_slots = jax.jit(SDiT(dataclasses.replace(CONFIG, attention=attention)).apply)
    ordered, result = without_slots(params, z_t, t, cond), without_slots(params, *permuted)
    np.testing.assert_allclose(result, ordered[:, order], atol=1e-4)  # float32 rounding, other order of sums


def test_slot_of_the_anchor_has_no_encoding():
    encoding = slot_encoding(4, 8)
    assert not encoding[0].any()
    assert len(np.unique(encoding, axis=0)) == 4


@pytest.mark.parametrize("name", ["clip", "landmarks"])
def test_dropped_condition_does_not_matter(name):
    params = random_params()
    z_t, t, cond = inputs()
    dropped = dataclasses.replace(cond, **{f"{name}_mask": jnp.array([False, True])})
    poisoned = dataclasses.replace(dropped, **{name: getattr(cond, name).at[0].set(jnp.nan)})
    output = apply(params, z_t, t, dropped)
    np.testing.assert_array_equal(apply(params, z_t, t, poisoned), output)
    difference = jnp.abs(output - apply(params, z_t, t, cond)).max(axis=(1, 2, 3, 4))
    assert difference[0] > 1e-3 and difference[1] == 0

    gradient = jax.jit(jax.grad(lambda params: jnp.sum(SDiT(CONFIG).apply(params, z_t, t, poisoned))))(params)
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


@pytest.mark.parametrize("route", ["vector", "map"])
def test_landmarks_of_a_frame_condition_that_frame(route, monkeypatch):
    params = random_params()
    z_t, t, cond = inputs()
    if route == "map":
        embedder = params["params"]["condition"]["landmark_embedder"]
        embedder["fc2"] = jax.tree.map(jnp.zeros_like, embedder["fc2"])
    monkeypatch.setattr(sdit, "joint_attention", lambda query, key, value, kernel: jnp.zeros_like(value))
    moved = dataclasses.replace(cond, landmarks=cond.landmarks.at[:, 1].add(0.1))
    single = jax.jit(SDiT(dataclasses.replace(CONFIG, landmark_map=route == "map")).apply)
    changed = jnp.abs(single(params, z_t, t, moved) - single(params, z_t, t, cond)).max(axis=(2, 3, 4))
    assert (changed[:, 1] > 1e-3).all()
    assert not changed[:, [0, 2]].any()


def test_landmark_map_is_local():
    layer = sdit.LandmarkMap(dataclasses.replace(CONFIG, landmark_map_sigma=0.02), grid=(8, 8))
    here = jnp.zeros((1, 1, NUM_LANDMARKS, 2)) - 7 / 8  # the centre of the first token
    # Of the five features of each landmark the heat and the offsets of the first.
    rows = NUM_LANDMARKS * np.arange(3)
    kernel = jnp.zeros((5 * NUM_LANDMARKS, 16)).at[rows].set(1)
    params = {"params": {"proj": {"kernel": kernel, "bias": jnp.zeros(16)}}}
    tokens = layer.apply(params, here, jnp.array([True]))[0, 0, :, 0].reshape(8, 8)
    np.testing.assert_allclose(tokens[0, 0], 1, atol=1e-6)
    assert jnp.abs(tokens).sum() < 1 + 1e-6
    right = layer.apply(params, here + jnp.array([0.04, 0]), jnp.array([True]))[0, 0, 0, 0]
    np.testing.assert_allclose(right, 2 * np.exp(-0.5), rtol=1e-5)  # one sigma to the right: heat + heat * 1 + 0
    assert not layer.apply(params, here, jnp.array([False])).any()


def test_landmark_map_tells_where_a_landmark_lies_among_its_neighbours():
    landmarks, iris = faces(1, 1), 468

    def tokens(*features):
        rows = NUM_LANDMARKS * np.array(features) + iris
        kernel = jnp.zeros((5 * NUM_LANDMARKS, 16)).at[rows].set(1)
        params = {"params": {"proj": {"kernel": kernel, "bias": jnp.zeros(16)}}}
        return sdit.LandmarkMap(CONFIG, grid=(4, 4)).apply(params, landmarks, jnp.array([True]))[0, 0, :, 0]

    expected = tokens(0) * local_coordinates(landmarks)[0, 0, iris].sum()  # the heat's, times x and y
    np.testing.assert_allclose(tokens(3, 4), expected, rtol=1e-4, atol=1e-6)


def test_attentions_agree_on_a_single_frame():
    params = random_params()
    np.testing.assert_allclose(
        apply(params, *inputs(1)), apply(params, *inputs(1), attention="factorised"), atol=1e-4
    )  # float32 rounding
    assert not jnp.allclose(apply(params, *inputs()), apply(params, *inputs(), attention="factorised"), atol=1e-3)


def test_factorised_attention_sees_its_frame_and_its_position():
    query, key, value = (normal(seed, 1, 3, 4, 2, 5) for seed in range(3))
    visible = jnp.eye(3)[:, None, :, None] + jnp.eye(4)[None, :, None, :] > 0
    mask = visible.reshape(12, 12)
    flat = (array.reshape(1, 12, 2, 5) for array in (query, key, value))
    expected = jax.nn.dot_product_attention(*flat, mask=mask).reshape(query.shape)
    np.testing.assert_allclose(sdit.factorised_attention(query, key, value), expected, atol=1e-5)


def test_single_frame_without_landmarks_is_dit():
    """DiT written out, with the class embedding in the place of the null CLIP embedding."""
    params = random_params()
    params["params"]["condition"]["null_landmarks"] *= 0
    z_t, t, cond = inputs(1)
    nothing = jnp.zeros(B, bool)
    cond = dataclasses.replace(cond, clip_mask=nothing, landmarks_mask=nothing)
    p = params["params"]

    def linear(p, x):
        out = p["bias"].shape
        return (x @ p["kernel"].reshape(x.shape[-1], -1)).reshape(*x.shape[:-1], *out) + p["bias"]

    def norm(x):
        return (x - x.mean(-1, keepdims=True)) / jnp.sqrt(x.var(-1, keepdims=True) + 1e-6)

    angles = t[:, None] * 10_000 ** (-jnp.arange(128) / 128)
    c = jnp.concatenate([jnp.cos(angles), jnp.sin(angles)], -1)
    c = linear(p["condition"]["t_embedder"]["fc2"], nn.silu(linear(p["condition"]["t_embedder"]["fc1"], c)))
    c = nn.silu(c + p["condition"]["null_clip"])
    x = linear(p["x_embedder"], patchify(z_t, 2)[:, 0]) + sdit.sincos_2d(2, 2, 16)
    for i in range(CONFIG.depth):
        block = jax.tree.map(lambda leaf: leaf[i], p["blocks"])  # noqa: B023
        modulation = jnp.moveaxis(linear(block["adaln_modulation"], c), 1, 0)[:, :, None]
        query, key, value = jnp.moveaxis(
            linear(block["attn"]["qkv"], norm(x) * (1 + modulation[1]) + modulation[0]), 2, 0
        )
        weights = jax.nn.softmax(jnp.einsum("bnhd,bmhd->bhnm", query, key) / 8**0.5)
        y = jnp.einsum("bhnm,bmhd->bnhd", weights, value).reshape(x.shape)
        x = x + modulation[2] * linear(block["attn"]["proj"], y)
        y = nn.gelu(linear(block["mlp"]["fc1"], norm(x) * (1 + modulation[4]) + modulation[3]))
        x = x + modulation[5] * linear(block["mlp"]["fc2"], y)
    shift, scale = jnp.moveaxis(linear(p["final_layer"]["adaln_modulation"], c), 1, 0)[:, :, None]
    expected = unpatchify(linear(p["final_layer"]["linear"], norm(x) * (1 + scale) + shift)[:, None], 2, (2, 2))
    np.testing.assert_allclose(apply(params, z_t, t, cond), expected, atol=1e-4)  # float32 rounding


@pytest.mark.parametrize(
    "options",
    [
        {"scan_layers": False},
        {"remat": True},
        {"scan_layers": False, "remat": True},
        {"remat": True, "remat_policy": "products"},
    ],
)
def test_scan_and_remat_change_nothing(options):
    params, args = random_params(), inputs()

    def gradient(**options):
        model = SDiT(dataclasses.replace(CONFIG, **options))
        return jax.jit(jax.value_and_grad(lambda params: jnp.mean(jnp.square(model.apply(params, *args)))))(params)

    expected = gradient()
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), gradient(**options), expected)


def test_bfloat16_is_close():
    params, args = random_params(), inputs()
    exact, half = apply(params, *args), apply(params, *args, dtype="bfloat16")
    assert half.dtype == jnp.float32
    assert jnp.linalg.norm(half - exact) < 2e-2 * jnp.linalg.norm(exact)  # 8 bits of mantissa


def test_other_sizes_and_lengths_than_trained_on():
    params = random_params()
    z_t = normal(0, B, 5, 6, 8, 3)
    cond = Conditioning.create(normal(1, B, 5), jnp.zeros((B, 5, NUM_LANDMARKS, 2)))
    assert apply(params, z_t, jnp.zeros(B), cond).shape == z_t.shape


def test_patchify_order_and_inverse():
    z = jnp.arange(16.0).reshape(1, 1, 4, 4, 1)
    np.testing.assert_array_equal(patchify(z, 2)[0, 0], [[0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15]])
    z = normal(0, 2, 3, 4, 6, 5)
    np.testing.assert_array_equal(unpatchify(patchify(z, 2), 2, (2, 3)), z)


def test_logical_constraints_reach_the_compiler():
    params, args = random_params(), inputs()
    axes = ("data", "tensor")
    mesh = Mesh(np.asarray(jax.devices()[:1]).reshape(1, 1), axes, axis_types=(AxisType.Auto,) * 2)
    rules = (("batch", "data"), ("heads", "tensor"), ("mlp", "tensor"), ("embed", None))
    with jax.set_mesh(mesh), nn.logical_axis_rules(rules):
        text = jax.jit(SDiT(CONFIG).apply).lower(params, *args).as_text()
    assert "sharding_constraint" in text
    assert '"tensor"' in text and '"data"' in text


def test_every_parameter_has_logical_axes():
    abstract = jax.eval_shape(SDiT(CONFIG).init, jax.random.key(0), *inputs())["params"]
    boxes = jax.tree.leaves(abstract, is_leaf=lambda leaf: isinstance(leaf, nn.LogicallyPartitioned))
    assert all(isinstance(box, nn.LogicallyPartitioned) and len(box.names) == box.value.ndim for box in boxes)
    assert abstract["blocks"]["mlp"]["fc1"]["kernel"].names == ("layers", "embed", "mlp")


@pytest.mark.parametrize(("name", "millions"), [("S/2", 33), ("B/2", 130), ("L/2", 458), ("XL/2", 675)])
def test_published_sizes(name, millions):
    """The counts of the DiT paper, table 4; to the digit for XL/2, whose published file has the fixed positions too."""
    config = SDiTConfig.size(name)
    cond = Conditioning.create(jnp.zeros((1, 768)), jnp.zeros((1, 4, NUM_LANDMARKS, 2)))
    args = jnp.zeros((1, 4, 32, 32, 4)), jnp.zeros(1), cond
    params = jax.eval_shape(SDiT(config).init, jax.random.key(0), *args)["params"]
    count = lambda tree: sum(leaf.size for leaf in jax.tree.leaves(tree))  # noqa: E731
    shared = [params["x_embedder"], params["blocks"], params["final_layer"], params["condition"]["t_embedder"]]

    width = config.width
    classes, positions, variances = (1000 + 1) * width, 16 * 16 * width, (width + 1) * 2 * 2 * 4
    dit = count(shared) + classes + positions + variances
    assert abs(dit / 1e6 - millions) < 1  # the table rounds some up and some down
    assert name != "XL/2" or dit == 675_129_632

    def mlp(inputs):
        return (inputs + 1) * width + (width + 1) * width

    clip = mlp(768) + width  # and its null embedding
    landmarks = mlp(NUM_LANDMARKS * 2 + 3 + 65) + width  # coordinates; place, size and shape
    landmark_map = (NUM_LANDMARKS * 5 + 1) * width
    assert count(params) == count(shared) + clip + landmarks + landmark_map


def test_sizes_by_name():
    config = SDiTConfig.size("B/4", in_channels=16)
    assert (config.depth, config.width, config.num_heads, config.patch_size, config.in_channels) == (12, 768, 12, 4, 16)


@pytest.mark.parametrize("name", ["XL", "XL/", "M/2", "xl/2"])
def test_unknown_size_is_refused(name):
    with pytest.raises(ValueError, match="such as XL/2"):
        SDiTConfig.size(name)


@pytest.mark.parametrize("options", [{"width": 18}, {"num_heads": 3}, {"attention": "sparse"}])
def test_wrong_options_are_refused(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        dataclasses.replace(CONFIG, **options)


def test_latent_not_divisible_by_patch_is_refused():
    _, t, cond = inputs()
    with pytest.raises(ValueError, match="patch_size 2"):
        apply(random_params(), normal(0, B, S, 5, 4, 3), t, cond)
