"""DeepRFTv2 a second time, as plain float64 formulas on a state dict with the reference's key names.

The tests compare the package with it, so nothing here comes from the package. The structure (width, DMS-UNets, blocks,
FKE, scales) is read off the keys. Speed does not matter: the selective scan is a loop over pixels. All maps are
channels-first, and every function is differentiable.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

PREFIX = "global_model."
LN2D_EPS = 1e-6
OUT_NORM_EPS = 1e-5
STATE_SIZE = 8
SMALLEST_ALPHA = 1e-3

Params = dict[str, Tensor]
Column = tuple[Tensor, ...]
Shapes = dict[str, tuple[int, ...]]


# ---------------------------------------------------------------------------------------------- reading the keys


def count(params: Params, stem: str) -> int:
    """How many consecutive indices 0, 1, ... have at least one key starting with `stem` + index + "."."""
    index = 0
    while has(params, f"{stem}{index}."):
        index += 1
    return index


def has(params: Params, stem: str) -> bool:
    """Whether any key starts with `stem`."""
    return any(key.startswith(stem) for key in params)


# ---------------------------------------------------------------------------------------------- primitive layers


def conv(params: Params, name: str, x: Tensor, stride: int = 1, groups: int = 1) -> Tensor:
    """Convolution of 1 or 2 dimensions; odd kernels are padded with zeros to keep the size, 2x2 ones not at all."""
    weight, bias = params[f"{name}.weight"], params.get(f"{name}.bias")
    padding = (weight.shape[-1] - 1) // 2
    run = functional.conv1d if weight.ndim == 3 else functional.conv2d
    return run(x, weight, bias, stride=stride, padding=padding, groups=groups)


def layer_norm(params: Params, name: str, x: Tensor, eps: float = LN2D_EPS) -> Tensor:
    """LayerNorm over dimension 1 with the biased variance."""
    per_channel = (1, -1) + (1,) * (x.ndim - 2)
    mean = x.mean(dim=1, keepdim=True)
    variance = ((x - mean) ** 2).mean(dim=1, keepdim=True)
    normed = (x - mean) / torch.sqrt(variance + eps)
    return params[f"{name}.weight"].reshape(per_channel) * normed + params[f"{name}.bias"].reshape(per_channel)


def gelu(x: Tensor) -> Tensor:
    """Apply the exact GELU, with the normal distribution function."""
    return 0.5 * x * (1 + torch.erf(x / math.sqrt(2)))


def simple_gate(x: Tensor) -> Tensor:
    """First half of the channels times the second half."""
    half = x.shape[1] // 2
    return x[:, :half] * x[:, half:]


def down(params: Params, name: str, x: Tensor) -> Tensor:
    """2x2 convolution with stride 2."""
    return conv(params, f"{name}.body.0", x, stride=2)


def up(params: Params, name: str, x: Tensor) -> Tensor:
    """1x1 convolution, then every four channels become a 2x2 patch, row by row."""
    x = conv(params, f"{name}.body.0", x)
    batch, channels, height, width = x.shape
    x = x.reshape(batch, channels // 4, 2, 2, height, width)
    return x.permute(0, 1, 4, 2, 5, 3).reshape(batch, channels // 4, 2 * height, 2 * width)


def half_size(image: Tensor) -> Tensor:
    """One pyramid level: 5x5 binomial blur with mirrored border (edge pixel not repeated), then means of 2x2 pixels."""
    taps = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0], dtype=image.dtype, device=image.device) / 16
    padded = functional.pad(image, (2, 2, 2, 2), mode="reflect")
    height, width = image.shape[-2:]
    rows = torch.stack([taps[i] * padded[..., i : i + height, :] for i in range(5)]).sum(dim=0)
    blurred = torch.stack([taps[i] * rows[..., i : i + width] for i in range(5)]).sum(dim=0)
    corners = [blurred[..., i::2, j::2] for i in range(2) for j in range(2)]
    return torch.stack(corners).mean(dim=0)


# ---------------------------------------------------------------------------------------------- blocks


def selective_scan(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor) -> Tensor:
    """h_t = exp(delta_t A) h_(t-1) + delta_t B_t u_t;  y_t = <C_t, h_t> + D u_t, for every channel, h_0 = 0.

    u, delta (batch, e, length); A (e, n); B, C (batch, n, length); D (e).
    """
    h = u.new_zeros(u.shape[0], *A.shape)
    y = []
    for t in range(u.shape[2]):
        step = delta[:, :, t, None]
        h = torch.exp(step * A) * h + step * B[:, None, :, t] * u[:, :, t, None]
        y.append((C[:, None, :, t] * h).sum(dim=2) + D * u[:, :, t])
    return torch.stack(y, dim=2)


def scan_2d(params: Params, name: str, f: Tensor) -> Tensor:
    """EVSS2D: one scan over the pixels row by row, gated."""
    batch, _, height, width = f.shape
    x, z = torch.einsum("oc,bchw->bohw", params[f"{name}.in_proj.weight"], f).chunk(2, dim=1)
    inner = x.shape[1]
    u = gelu(conv(params, f"{name}.conv2d", x, groups=inner)).reshape(batch, inner, height * width)

    s = torch.einsum("oe,bel->bol", params[f"{name}.x_proj_weight"][0], u)
    s = conv(params, f"{name}.x_conv", s, groups=s.shape[1])
    dt_weight, A_logs = params[f"{name}.dt_projs_weight"][0], params[f"{name}.A_logs"]
    states = A_logs.shape[1]
    dt, B, C = s.split([dt_weight.shape[1], states, states], dim=1)
    delta = torch.einsum("er,brl->bel", dt_weight, dt) + params[f"{name}.dt_projs_bias"][0, :, None]
    delta = torch.logaddexp(delta, torch.zeros_like(delta))  # softplus

    y = selective_scan(u, delta, -torch.exp(A_logs), B, C, params[f"{name}.Ds"])
    y = layer_norm(params, f"{name}.out_norm", y, eps=OUT_NORM_EPS).reshape(batch, inner, height, width)
    return torch.einsum("ce,behw->bchw", params[f"{name}.out_proj.weight"], y * gelu(z))


def gated_features(params: Params, name: str, x: Tensor) -> Tensor:
    """Apply the first half of a NAFBlock's spatial branch, up to its gate."""
    x = conv(params, f"{name}.conv1", layer_norm(params, f"{name}.norm1", x))
    return simple_gate(conv(params, f"{name}.conv2", x, groups=x.shape[1]))


def channel_attention(params: Params, name: str, g: Tensor) -> Tensor:
    """Apply the second half of a NAFBlock's spatial branch: simplified channel attention and conv3."""
    g = g * conv(params, f"{name}.sca.1", g.mean(dim=(2, 3), keepdim=True))
    return conv(params, f"{name}.conv3", g)


def feed_forward(params: Params, name: str, y: Tensor) -> Tensor:
    """Apply the channel branch of a NAFBlock, added to its input."""
    z = simple_gate(conv(params, f"{name}.conv4", layer_norm(params, f"{name}.norm2", y)))
    return y + params[f"{name}.gamma"] * conv(params, f"{name}.conv5", z)


def naf_block(params: Params, name: str, x: Tensor) -> Tensor:
    """NAFBlock."""
    local = channel_attention(params, name, gated_features(params, name, x))
    return feed_forward(params, name, x + params[f"{name}.beta"] * local)


def nafevs_block(params: Params, name: str, x: Tensor, index: int) -> Tensor:
    """NAFEVSBlock, `index` being its place in its level. The new orientation of its input is kept in its output."""
    x = x.flip(2, 3) if index % 2 else x.transpose(2, 3)
    g = gated_features(params, name, x)
    local = channel_attention(params, name, g)
    scanned = scan_2d(params, f"{name}.attn", layer_norm(params, f"{name}.norm_mamba", g))
    scanned = scanned * (params[f"{name}.alpha"] + 1)
    mixed = params[f"{name}.lamb_l"] * local + params[f"{name}.lamb_g"] * scanned
    return feed_forward(params, name, x + params[f"{name}.beta"] * mixed)


def vs_block(params: Params, name: str, x: Tensor) -> Tensor:
    """Apply the VSBlock of the FKE: a scan and nothing else."""
    return x + scan_2d(params, f"{name}.attn", layer_norm(params, f"{name}.norm1", x))


def blocks(params: Params, level: str, x: Tensor) -> Tensor:
    """All blocks of one level, each of the kind its keys tell."""
    for index in range(count(params, f"{level}.blocks.")):
        name = f"{level}.blocks.{index}"
        if f"{name}.lamb_g" in params:
            x = nafevs_block(params, name, x, index)
        elif f"{name}.beta" in params:
            x = naf_block(params, name, x)
        else:
            x = vs_block(params, name, x)
    return x


# ---------------------------------------------------------------------------------------------- reversible columns


def add_scaled(params: Params, alpha: str, x: Tensor, previous: Tensor | None) -> Tensor:
    """x + alpha * previous, where |alpha| is at least 1e-3 unless alpha is exactly 0; x where nothing went before."""
    if previous is None:
        return x
    value = params[alpha]
    return x + torch.sign(value) * torch.clamp(value.abs(), min=SMALLEST_ALPHA) * previous


def encode(params: Params, name: str, x: Tensor, previous: Column | None, links: Column | None) -> Column:
    """One sub-encoder. `previous`: what the DMS-UNet before left; `links`: the halved full-scale encoder features."""
    features: list[Tensor] = []
    for level in range(3):
        stem = f"{name}.level{level}"
        if level > 0:
            x = down(params, f"{stem}.fusion.down.0", features[-1])
        if links is not None:
            x = conv(params, f"{stem}.fusion.concat_conv.0", torch.cat([x, links[level]], dim=1))
        x = blocks(params, stem, x)
        features.append(add_scaled(params, f"{name}.alpha{level}", x, previous[level] if previous else None))
    return tuple(features)


def decode(params: Params, name: str, latent: Tensor, e1: Tensor, e0: Tensor, last: Tensor | None) -> Column:
    """One sub-decoder: blocks, then up-sampling, then the scaled encoder feature (`last`: the former D2) is added."""
    d0 = up(params, f"{name}.level0.fusion.up.0", blocks(params, f"{name}.level0", latent))
    d0 = add_scaled(params, f"{name}.alpha0", d0, e1)
    d1 = up(params, f"{name}.level1.fusion.up.0", blocks(params, f"{name}.level1", d0))
    d1 = add_scaled(params, f"{name}.alpha1", d1, e0)
    d2 = add_scaled(params, f"{name}.alpha2", blocks(params, f"{name}.level2", d1), last)
    return d0, d1, d2


def kernel_column(params: Params, name: str, r: Tensor, previous: Column | None) -> Column:
    """One sub-resnet in Fourier space; level l also reads level l+1 of the column before."""
    levels = count(params, f"{name}.level")
    features: list[Tensor] = []
    for level in range(levels):
        stem = f"{name}.level{level}"
        if previous is not None and level < levels - 1:
            r = conv(params, f"{stem}.fusion.down.0", torch.cat([r, previous[level + 1]], dim=1))
        r = add_scaled(params, f"{name}.alpha{level}", blocks(params, stem, r), previous[level] if previous else None)
        features.append(r)
    return tuple(features)


# ---------------------------------------------------------------------------------------------- FKE


def kernel_estimator(params: Params, name: str, f: Tensor, previous: Column | None) -> tuple[Tensor, Column]:
    """Fourier Kernel Estimator: the deblurred feature and the kernel features of each level."""
    size = (f.shape[2], f.shape[3])
    spectrum = torch.fft.rfft2(conv(params, f"{name}.feature_extract.intro_inp.0", f))
    blurred = torch.fft.rfft2(conv(params, f"{name}.feature_extract.intro_deconv.0", f))
    r = conv(params, f"{name}.intro.ending.0", torch.cat([spectrum.real, spectrum.imag], dim=1))
    features = kernel_column(params, f"{name}.subnets_ker", r, previous)
    r = features[-1] if features else r
    if f"{name}.end_ker1.norm.weight" in params:
        r = layer_norm(params, f"{name}.end_ker1.norm", r)
    real, imaginary = conv(params, f"{name}.end_ker1.ending.0", r).chunk(2, dim=1)
    deblurred = torch.fft.irfft2(blurred * torch.complex(real, imaginary), s=size)
    return conv(params, f"{name}.deblur_feature1.0", torch.cat([deblurred, f], dim=1)), features


# ---------------------------------------------------------------------------------------------- network


@dataclass(frozen=True)
class Scale:
    """One scale of the network: the names its keys go by."""

    embed: str
    encoder: str
    decoder: str
    head: str
    estimator: str


FULL = Scale("patch_embed_maxs", "subnets_max", "subdenets_max", "output_maxs", "kernel_estimator")
HALF = Scale("patch_embed_mids", "subnets_mid", "subdenets_mid", "output_mids", "mid_kernel_estimator")


@dataclass(frozen=True)
class Memory:
    """What one scale of a DMS-UNet hands on to the next DMS-UNet."""

    column: Column | None = None  # D1, D0 and the latent: the "previous" values of the encoder's levels 0, 1, 2
    d2: Tensor | None = None
    feature: Tensor | None = None  # the FKE's deblurred feature, or D2 where there is no FKE
    kernel: Column | None = None


def embed(params: Params, scale: Scale, unit: int, image: Tensor, memory: Memory) -> Tensor:
    """Embed the image; after the first DMS-UNet, join it with the feature that the one before left."""
    x = conv(params, f"{scale.embed}.{unit}.proj", image)
    if memory.feature is None:
        return x
    return conv(params, f"{scale.embed}2.{unit}", torch.cat([x, memory.feature], dim=1))


def reconstruct(
    params: Params, scale: Scale, unit: int, image: Tensor, encoded: Column, latent: Tensor, memory: Memory
) -> tuple[list[Tensor], Memory]:
    """Run decoder, its head, and the FKE: the images of one scale and DMS-UNet, and what the next one gets."""
    d0, d1, d2 = decode(params, f"{scale.decoder}.{unit}", latent, encoded[1], encoded[0], memory.d2)
    images = [conv(params, f"{scale.head}.{unit}", d2) + image]
    feature, kernel = d2, None
    estimator = f"{scale.estimator}.{unit}"
    if has(params, f"{estimator}."):
        feature, kernel = kernel_estimator(params, estimator, d2, memory.kernel)
        images.append(conv(params, f"{estimator}.end_feature1.0", feature) + image)
    return images, Memory(column=(d1, d0, latent), d2=d2, feature=feature, kernel=kernel)


def restore(state: dict[str, Tensor], image: Tensor) -> dict[str, list[Tensor]]:
    """All supervised images, DMS-UNet by DMS-UNet, in each the decoder's image before the FKE's.

    "full" has the size of `image` (its last image is the result), "half" half that size; a network with one scale
    leaves "half" empty.
    """
    if image.shape[-1] % 8 or image.shape[-2] % 8:
        raise ValueError(f"height and width must be multiples of 8, got {tuple(image.shape[-2:])}")
    params = {key.removeprefix(PREFIX): value.double() for key, value in state.items()}
    image = image.double()
    small = half_size(image)
    outputs: dict[str, list[Tensor]] = {"full": [], "half": []}
    full, half = Memory(), Memory()
    for unit in range(count(params, f"{FULL.encoder}.")):
        x = embed(params, FULL, unit, image, full)
        encoded = encode(params, f"{FULL.encoder}.{unit}", x, full.column, None)
        latent = encoded[2]
        if has(params, f"{HALF.encoder}."):
            links = tuple(down(params, f"down_max{level + 1}.{unit}", encoded[level]) for level in range(3))
            z = embed(params, HALF, unit, small, half)
            half_encoded = encode(params, f"{HALF.encoder}.{unit}", z, half.column, links)
            images, half = reconstruct(params, HALF, unit, small, half_encoded, half_encoded[2], half)
            outputs["half"] += images
            assert half.feature is not None
            coarse = down(params, f"down_mid2max.{unit}", half.feature)
            latent = conv(params, f"fusd_max_2.{unit}", torch.cat([coarse, latent], dim=1))
        images, full = reconstruct(params, FULL, unit, image, encoded, latent, full)
        outputs["full"] += images
    return outputs


# ---------------------------------------------------------------------------------------------- names and shapes


def under(name: str, shapes: Shapes) -> Shapes:
    """Put `name` and a dot in front of every key of shapes."""
    return {f"{name}.{key}": shape for key, shape in shapes.items()}


def conv_shapes(name: str, inputs: int, outputs: int, kernel: int = 1, bias: bool = True) -> Shapes:
    """Describe a two-dimensional convolution; a depthwise one has `inputs` = 1."""
    shapes: Shapes = {f"{name}.weight": (outputs, inputs, kernel, kernel)}
    if bias:
        shapes[f"{name}.bias"] = (outputs,)
    return shapes


def norm_shapes(name: str, c: int) -> Shapes:
    """Describe a LayerNorm."""
    return {f"{name}.weight": (c,), f"{name}.bias": (c,)}


def naf_shapes(c: int) -> Shapes:
    """NAFBlock."""
    return {
        **dict.fromkeys(("beta", "gamma"), (1, c, 1, 1)),
        **conv_shapes("conv1", c, 2 * c),
        **conv_shapes("conv2", 1, 2 * c, 3),
        **conv_shapes("conv3", c, c),
        **conv_shapes("sca.1", c, c),
        **conv_shapes("conv4", c, 2 * c),
        **conv_shapes("conv5", c, c),
        **norm_shapes("norm1", c),
        **norm_shapes("norm2", c),
    }


def scan_shapes(d: int) -> Shapes:
    """EVSS2D."""
    inner, rank = 2 * d, math.ceil(d / 16)
    mixed = rank + 2 * STATE_SIZE
    return {
        "x_proj_weight": (1, mixed, inner),
        "dt_projs_weight": (1, inner, rank),
        "dt_projs_bias": (1, inner),
        "A_logs": (inner, STATE_SIZE),
        "Ds": (inner,),
        "in_proj.weight": (2 * inner, d),
        **conv_shapes("conv2d", 1, inner, 3),
        "x_conv.weight": (mixed, 1, 7),
        "x_conv.bias": (mixed,),
        **norm_shapes("out_norm", inner),
        "out_proj.weight": (d, inner),
    }


def block_shapes(kind: str, c: int) -> Shapes:
    """Describe a block of the kind "naf", "nafevs" or "vs"."""
    if kind == "vs":
        return {**norm_shapes("norm1", c), **under("attn", scan_shapes(c))}
    if kind == "naf":
        return naf_shapes(c)
    if kind == "nafevs":
        own: Shapes = dict.fromkeys(("lamb_l", "lamb_g", "alpha"), (1, c, 1, 1))
        return {**naf_shapes(c), **own, **norm_shapes("norm_mamba", c), **under("attn", scan_shapes(c))}
    raise ValueError(f"unknown kind of block: {kind}")


def level_shapes(level: int, kind: str, c: int, number: int) -> Shapes:
    """Describe the blocks of one level."""
    if kind == "nafevs" and number % 4:
        raise ValueError(f"a level of NAFEVSBlocks needs a multiple of 4 blocks to restore the orientation: {number}")
    shapes: Shapes = {}
    for index in range(number):
        shapes |= under(f"level{level}.blocks.{index}", block_shapes(kind, c))
    return shapes


def encoder_shapes(dim: int, numbers: Sequence[int], kinds: Sequence[str], linked: bool) -> Shapes:
    """One sub-encoder; `linked`: the half scale's, which also reads the full scale's."""
    shapes: Shapes = {}
    for level, (number, kind) in enumerate(zip(numbers, kinds, strict=True)):
        c = dim * 2**level
        shapes[f"alpha{level}"] = (1, c, 1, 1)
        if level > 0:
            shapes |= conv_shapes(f"level{level}.fusion.down.0.body.0", c // 2, c, 2, bias=False)
        if linked:
            shapes |= conv_shapes(f"level{level}.fusion.concat_conv.0", 2 * c, c)
        shapes |= level_shapes(level, kind, c, number)
    return shapes


def decoder_shapes(dim: int, numbers: Sequence[int], kinds: Sequence[str]) -> Shapes:
    """One sub-decoder; `numbers` and `kinds` from the latent up."""
    shapes: Shapes = {}
    for level, (number, kind) in enumerate(zip(numbers, kinds, strict=True)):
        c = dim * 2 ** (2 - level)
        shapes[f"alpha{level}"] = (1, max(c // 2, dim), 1, 1)
        if level < 2:
            shapes |= conv_shapes(f"level{level}.fusion.up.0.body.0", c, 4 * (c // 2), bias=False)
        shapes |= level_shapes(level, kind, c, number)
    return shapes


def estimator_shapes(c: int, numbers: Sequence[int], first: bool) -> Shapes:
    """One FKE with `numbers` VSBlocks in its levels; `first`: that of the first DMS-UNet, which has no links."""
    column: Shapes = {}
    for level, number in enumerate(numbers):
        column[f"alpha{level}"] = (1, c, 1, 1)
        if not first and level < len(numbers) - 1:
            column |= conv_shapes(f"level{level}.fusion.down.0", 2 * c, c)
        column |= level_shapes(level, "vs", c, number)
    return {
        **conv_shapes("feature_extract.intro_inp.0", c, c, bias=False),
        **conv_shapes("feature_extract.intro_deconv.0", c, c, bias=False),
        **conv_shapes("intro.ending.0", 2 * c, c, bias=False),
        **under("subnets_ker", column),
        **norm_shapes("end_ker1.norm", c),
        **conv_shapes("end_ker1.ending.0", c, 2 * c),
        **conv_shapes("deblur_feature1.0", 2 * c, c, bias=False),
        **conv_shapes("end_feature1.0", c, 3, 3),
    }


def scale_shapes(
    scale: Scale, unit: int, dim: int, numbers: Sequence[int], kinds: Sequence[str], fke: Sequence[int]
) -> Shapes:
    """Describe what both scales of a DMS-UNet have."""
    encoder = encoder_shapes(dim, numbers, kinds, linked=scale is HALF)
    shapes = conv_shapes(f"{scale.embed}.{unit}.proj", 3, dim, 3, bias=False)
    if unit > 0:
        shapes |= conv_shapes(f"{scale.embed}2.{unit}", 2 * dim, dim)
    shapes |= under(f"{scale.encoder}.{unit}", encoder)
    shapes |= under(f"{scale.decoder}.{unit}", decoder_shapes(dim, numbers[::-1], kinds[::-1]))
    shapes |= conv_shapes(f"{scale.head}.{unit}", dim, 3, 3)
    if fke:
        shapes |= under(f"{scale.estimator}.{unit}", estimator_shapes(dim, fke, first=unit == 0))
    return shapes


def between_scales_shapes(unit: int, dim: int) -> Shapes:
    """Describe the layers of a DMS-UNet from the full to the half scale and back."""
    shapes: Shapes = {}
    for level in range(3):
        c = dim * 2**level
        shapes |= conv_shapes(f"down_max{level + 1}.{unit}.body.0", c, c, 2, bias=False)
    shapes |= conv_shapes(f"down_mid2max.{unit}.body.0", dim, 4 * dim, 2, bias=False)
    return {**shapes, **conv_shapes(f"fusd_max_2.{unit}", 8 * dim, 4 * dim)}


def reference_shapes(
    dim: int = 8,
    units: int = 2,
    enc_blocks: Sequence[int] = (1, 4, 8),
    kinds: Sequence[str] = ("naf", "nafevs", "nafevs"),
    half_kinds: Sequence[str] = ("naf", "naf", "naf"),
    fke_blocks: Sequence[int] = (1, 1, 1, 1),
    scales: int = 2,
) -> Shapes:
    """Names and shapes of the reference's state dict; no `fke_blocks`, no FKE. `dim` = 48 is DeepRFTv2-B."""
    shapes: Shapes = {}
    for unit in range(units):
        shapes |= scale_shapes(FULL, unit, dim, enc_blocks, kinds, fke_blocks)
        if scales == 2:
            shapes |= scale_shapes(HALF, unit, dim, enc_blocks, half_kinds, fke_blocks)
            shapes |= between_scales_shapes(unit, dim)
    return {PREFIX + key: shape for key, shape in shapes.items()}


# ---------------------------------------------------------------------------------------------- random values


def column_alpha(shape: tuple[int, ...], generator: torch.Generator, edges: bool) -> Tensor:
    """Alphas of both signs around +-0.5; with `edges` the first three are 0 and +-2e-4, below the smallest allowed."""
    uniform = torch.rand(shape, generator=generator, dtype=torch.float64)
    sign = torch.where(torch.rand(shape, generator=generator, dtype=torch.float64) < 0.3, -1.0, 1.0)
    values = sign * (0.3 + 0.4 * uniform)
    if edges:
        values.view(-1)[:3] = torch.tensor([0.0, 2e-4, -2e-4], dtype=torch.float64)
    return values


def random_value(name: str, shape: tuple[int, ...], generator: torch.Generator, edges: bool) -> Tensor:
    """One tensor, of a size at which its branch matters and the features stay of order one."""
    leaf = name.rsplit(".", 1)[-1]
    noise = torch.randn(shape, generator=generator, dtype=torch.float64)
    if leaf.startswith("alpha") and leaf != "alpha":
        return column_alpha(shape, generator, edges)
    if leaf == "A_logs":
        return torch.arange(1, shape[1] + 1, dtype=torch.float64).log() + 0.1 * noise
    if leaf == "dt_projs_bias":
        uniform = torch.rand(shape, generator=generator, dtype=torch.float64)
        step = torch.exp(math.log(1e-3) + uniform * math.log(1e2))
        return step + torch.log(-torch.expm1(-step))  # the inverse of softplus
    centre = {"beta": 0.3, "gamma": 0.3, "lamb_l": 1.0, "lamb_g": 1.0, "alpha": 1.0, "Ds": 1.0, "bias": 0.0}.get(leaf)
    if centre is None and len(shape) == 1:  # the weight of a LayerNorm
        centre = 1.0
    if centre is not None:
        return centre + 0.2 * noise
    fan_in = shape[-1] if leaf in ("x_proj_weight", "dt_projs_weight") else math.prod(shape[1:])
    gain = 0.05 if name.endswith("intro.ending.0.weight") else 1.0  # it reads an FFT that is not normalised
    return gain * noise / math.sqrt(fan_in)


def random_state(
    dim: int = 8,
    units: int = 2,
    enc_blocks: Sequence[int] = (1, 4, 8),
    kinds: Sequence[str] = ("naf", "nafevs", "nafevs"),
    half_kinds: Sequence[str] = ("naf", "naf", "naf"),
    fke_blocks: Sequence[int] = (1, 1, 1, 1),
    scales: int = 2,
    seed: int = 0,
    edge_alphas: bool = True,
) -> dict[str, Tensor]:
    """Make a random float64 state dict with the reference's names and shapes, in which no branch is silent.

    `edge_alphas` puts a 0 and two values below 1e-3 into every column's alphas; a column with a 0 cannot be reversed.
    """
    generator = torch.Generator().manual_seed(seed)
    shapes = reference_shapes(dim, units, enc_blocks, kinds, half_kinds, fke_blocks, scales)
    return {key: random_value(key, shape, generator, edge_alphas) for key, shape in shapes.items()}
