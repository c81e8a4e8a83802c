"""UFPNet a second time, as plain float64 formulas on a state dict with the reference's key names.

The tests compare the package with it, so nothing here comes from the package. The structure (widths, blocks, size of
the kernels, flow) is read off the keys. Noise is injected. Speed does not matter: local pooling is a loop over pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

Params = dict[str, Tensor]
Shapes = dict[str, tuple[int, ...]]

LAYER_NORM_EPS = 1e-6
FLOW_NORM_EPS = 1e-5
BUFFERS = ("mask", "running_mean", "running_var", "base_dist_mean", "base_dist_var", "size", "alpha", "normalization")


# ---------------------------------------------------------------------------------------------- shapes of the keys


def reference_shapes(
    width: int = 64,
    enc_blocks: Sequence[int] = (1, 1, 1, 28),
    middle_blocks: int = 1,
    dec_blocks: Sequence[int] = (1, 1, 1, 1),
    kernel_width: int = 64,
    kernel_size: int = 19,
    flow_blocks: int = 5,
    flow_hidden: int = 25,
) -> Shapes:
    """Every key of a checkpoint of the reference and its shape; kernel attention is where a level has one block."""
    shapes: Shapes = {}
    entries = kernel_size**2

    def layer(name: str, *shape: int, bias: int | None = None) -> None:
        shapes[f"{name}.weight"] = shape
        shapes[f"{name}.bias"] = (shape[0] if bias is None else bias,)

    def res_blocks(prefix: str, c: int) -> None:
        for name in ("ResBlock1.body.1", "ResBlock1.body.3", "ResBlock2.body.1", "ResBlock2.body.3"):
            layer(f"{prefix}.{name}", c, c, 3, 3)

    def naf_block(prefix: str, c: int, attention: bool) -> None:
        shapes[f"{prefix}.beta"] = shapes[f"{prefix}.gamma"] = (1, c, 1, 1)
        layer(f"{prefix}.conv1", 2 * c, c, 1, 1)
        layer(f"{prefix}.conv2", 2 * c, 1, 3, 3)
        layer(f"{prefix}.conv3", c, c, 1, 1)
        layer(f"{prefix}.sca.1", c, c, 1, 1)
        layer(f"{prefix}.conv4", 2 * c, c, 1, 1)
        layer(f"{prefix}.conv5", c, c, 1, 1)
        layer(f"{prefix}.norm1", c)
        layer(f"{prefix}.norm2", c)
        if attention:
            layer(f"{prefix}.kernel_atttion.conv_1.0", c, c, 3, 3)
            layer(f"{prefix}.kernel_atttion.conv_kernel.0", c, entries, 3, 3)
            layer(f"{prefix}.kernel_atttion.conv_kernel.2", c, c, 3, 3)
            layer(f"{prefix}.kernel_atttion.conv_2.0", c, 2 * c, 3, 3)

    w = kernel_width
    for index, (before, c) in enumerate(((3, w), (w, 2 * w)), 1):
        layer(f"kernel_extra.Encoding_Block{index}.Conv_head", c, before, 3, 3)
        res_blocks(f"kernel_extra.Encoding_Block{index}", c)
        layer(f"kernel_extra.Encoding_Block{index}.downsample", c, c, 3, 3)
    for index in range(5):
        layer(f"kernel_extra.Conv_mid.body.{2 * index}", 4 * w, (4 if index else 2) * w, 3, 3)
    for index, c in enumerate((2 * w, w), 1):
        layer(f"kernel_extra.Decoding_Block{index}.Conv_t", 2 * c, c, 3, 3, bias=c)
        layer(f"kernel_extra.Decoding_Block{index}.Conv_head", c, 2 * c, 3, 3)
        res_blocks(f"kernel_extra.Decoding_Block{index}", c)
    for tail in ("mean", "var"):
        layer(f"kernel_extra.Conv_tail.{tail}.0", w, w, 3, 3)
        layer(f"kernel_extra.Conv_tail.{tail}.2", entries, w, 3, 3)

    shapes |= {f"flow.{name}": (1,) for name in ("kernel_size", "alpha", "normalization")}
    shapes |= {"flow.base_dist_mean": (entries,), "flow.base_dist_var": (entries,)}
    for index in range(flow_blocks):
        shapes[f"flow.net.{2 * index}.mask"] = (entries,)
        for net in ("s_net", "t_net"):
            layer(f"flow.net.{2 * index}.{net}.0", flow_hidden, entries)
            layer(f"flow.net.{2 * index}.{net}.2", flow_hidden, flow_hidden)
            layer(f"flow.net.{2 * index}.{net}.4", entries, flow_hidden)
        for name in ("log_gamma", "beta", "running_mean", "running_var"):
            shapes[f"flow.net.{2 * index + 1}.{name}"] = (entries,)

    layer("intro", width, 3, 3, 3)
    layer("ending", 3, width, 3, 3)
    levels = len(enc_blocks)
    for level, count in enumerate(enc_blocks):
        for block in range(count):
            naf_block(f"encoders.{level}.{block}", width * 2**level, attention=count == 1)
        layer(f"downs.{level}", width * 2 ** (level + 1), width * 2**level, 2, 2)
        layer(f"kernel_down.{level}", entries, entries, 2, 2)
    for block in range(middle_blocks):
        naf_block(f"middle_blks.{block}", width * 2**levels, attention=False)
    for index, count in enumerate(dec_blocks):
        c = width * 2 ** (levels - 1 - index)
        shapes[f"ups.{index}.0.weight"] = (4 * c, 2 * c, 1, 1)
        for block in range(count):
            naf_block(f"decoders.{index}.{block}", c, attention=False)
    return shapes


def is_parameter(key: str) -> bool:
    return not (key.startswith("flow.") and key.endswith(BUFFERS))


def random_state(dtype: torch.dtype = torch.float64, **structure: object) -> Params:
    """Random tensors of :func:`reference_shapes`, of a scale at which every part has an effect."""
    state = {}
    for key, shape in reference_shapes(**structure).items():
        fan_in = math.prod(shape[1:]) or 1
        if ".conv2.weight" in key or len(shape) == 1:
            fan_in = 9
        if ".s_net.4." in key or "log_gamma" in key:
            fan_in *= 16  # since the scales of all layers are multiplied
        state[key] = torch.randn(shape, dtype=dtype) / math.sqrt(fan_in)
        if key.endswith("running_var"):
            state[key] = 0.5 + torch.rand(shape, dtype=dtype)
        elif key.endswith(".mask"):
            parity = int(key.split(".")[2]) // 2 % 2
            state[key] = ((torch.arange(shape[0]) + parity) % 2).to(dtype)
    entries = state["flow.base_dist_mean"].numel()
    state["flow.base_dist_mean"].zero_()
    state["flow.base_dist_var"].fill_(1)
    state["flow.kernel_size"].fill_(math.isqrt(entries))
    state["flow.alpha"].fill_(1e-6)
    state["flow.normalization"].fill_(1)
    state["ending.weight"] *= 0.1
    state["ending.bias"] *= 0.1
    return state


# ---------------------------------------------------------------------------------------------- parts


def conv(p: Params, name: str, x: Tensor, stride: int = 1, padding: int = 0, groups: int = 1) -> Tensor:
    bias = p.get(f"{name}.bias")
    return functional.conv2d(
        x, p[f"{name}.weight"].double(), None if bias is None else bias.double(), stride, padding, 1, groups
    )


def linear(p: Params, name: str, x: Tensor) -> Tensor:
    return x @ p[f"{name}.weight"].double().T + p[f"{name}.bias"].double()


def res_block(p: Params, name: str, x: Tensor) -> Tensor:
    y = conv(p, f"{name}.body.1", functional.relu(x), padding=1)
    return x + conv(p, f"{name}.body.3", functional.relu(y), padding=1)


def estimator(p: Params, x: Tensor) -> tuple[Tensor, Tensor]:
    """Section 3: (B, 3, H, W) -> softmax codes (B, D, H, W) and sigma (B, 1, H, W)."""
    skips = []
    for index in (1, 2):
        block = f"kernel_extra.Encoding_Block{index}"
        x = conv(p, f"{block}.Conv_head", x, padding=1)
        x = res_block(p, f"{block}.ResBlock2", res_block(p, f"{block}.ResBlock1", x))
        skips.append(functional.relu(x))
        x = conv(p, f"{block}.downsample", skips[-1], stride=2, padding=1)
    for index in range(5):
        x = functional.relu(conv(p, f"kernel_extra.Conv_mid.body.{2 * index}", x, padding=1))
    for index in (1, 2):
        block = f"kernel_extra.Decoding_Block{index}"
        skip = skips.pop()
        extra = [skip.shape[axis] - (2 * x.shape[axis] - 1) for axis in (2, 3)]
        weight, bias = p[f"{block}.Conv_t.weight"].double(), p[f"{block}.Conv_t.bias"].double()
        x = functional.conv_transpose2d(x, weight, bias, stride=2, padding=1, output_padding=extra)
        x = conv(p, f"{block}.Conv_head", torch.cat([x, skip], 1), padding=1)
        x = functional.relu(res_block(p, f"{block}.ResBlock2", res_block(p, f"{block}.ResBlock1", x)))
    heads = {}
    for tail in ("mean", "var"):
        y = functional.relu(conv(p, f"kernel_extra.Conv_tail.{tail}.0", x, padding=1))
        heads[tail] = conv(p, f"kernel_extra.Conv_tail.{tail}.2", y, padding=1)
    exponentials = heads["mean"].exp()
    return exponentials / exponentials.sum(1, keepdim=True), (1 / (1 + (-heads["var"]).exp())).mean(1, keepdim=True)


def decode(p: Params, u: Tensor) -> Tensor:
    """Section 1: codes (N, D) -> kernels (N, D)."""
    for index in reversed(range(sum(key.endswith(".mask") for key in p))):
        norm, net = f"flow.net.{2 * index + 1}", f"flow.net.{2 * index}"
        deviation = (p[f"{norm}.running_var"].double() + FLOW_NORM_EPS).sqrt()
        u = (u - p[f"{norm}.beta"].double()) * (-p[f"{norm}.log_gamma"].double()).exp() * deviation
        u = u + p[f"{norm}.running_mean"].double()
        m = p[f"{net}.mask"].double()
        s = linear(p, f"{net}.s_net.4", linear(p, f"{net}.s_net.2", linear(p, f"{net}.s_net.0", m * u).tanh()).tanh())
        t = linear(p, f"{net}.t_net.2", linear(p, f"{net}.t_net.0", m * u).clamp(min=0)).clamp(min=0)
        u = m * u + (1 - m) * (u * s.exp() + linear(p, f"{net}.t_net.4", t))
    alpha = float(p["flow.alpha"])
    return (1 / (1 + (-u).exp()) - alpha) / (1 - 2 * alpha) * float(p["flow.normalization"])


def kernel_field(p: Params, x: Tensor, noise: Tensor) -> Tensor:
    """Section 3.1: (B, 3, H, W) and noise (B, D, H, W) -> (B, D, H, W), one pixel after the other's entries."""
    a, sigma = estimator(p, x)
    batch, entries, height, width = a.shape
    a, noise = (y.permute(0, 2, 3, 1).reshape(-1, entries) for y in (a, noise))
    sigma = sigma.reshape(-1, 1)
    centred = a - a.sum(1, keepdim=True) / entries
    z = centred / (centred.square().sum(1, keepdim=True) / (entries - 1)).sqrt()
    kernels = decode(p, z * (1 - sigma**2).sqrt() + noise * sigma)
    return kernels.reshape(batch, height, width, entries).permute(0, 3, 1, 2)


def layer_norm(p: Params, name: str, x: Tensor) -> Tensor:
    centred = x - x.mean(1, keepdim=True)
    x = centred / (centred.square().mean(1, keepdim=True) + LAYER_NORM_EPS).sqrt()
    return p[f"{name}.weight"].double()[:, None, None] * x + p[f"{name}.bias"].double()[:, None, None]


def gate(x: Tensor) -> Tensor:
    half = x.shape[1] // 2
    return x[:, :half] * x[:, half:]


def pool(x: Tensor, window: int | None) -> Tensor:
    """Section 4.7: the mean, or means over windows inside the map, repeated up to the border."""
    height, width = x.shape[2:]
    if window is None or (window >= height and window >= width):
        return x.mean((2, 3), keepdim=True)
    rows, columns = min(window, height), min(window, width)
    means = torch.empty_like(x)
    for i in range(height):
        for j in range(width):
            top = min(max(i - (height - (height - rows + 1)) // 2, 0), height - rows)
            left = min(max(j - (width - (width - columns + 1)) // 2, 0), width - columns)
            means[:, :, i, j] = x[:, :, top : top + rows, left : left + columns].mean((2, 3))
    return means


def gelu(x: Tensor) -> Tensor:
    return x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))


def naf_block(p: Params, name: str, x: Tensor, window: int | None, kernels: Tensor | None = None) -> Tensor:
    """Sections 4.1 and 4.2."""
    seen = x
    if f"{name}.kernel_atttion.conv_1.0.weight" in p:
        prefix = f"{name}.kernel_atttion"
        f = gelu(conv(p, f"{prefix}.conv_1.0", x, padding=1))
        g = gelu(conv(p, f"{prefix}.conv_kernel.0", kernels, padding=1))
        g = gelu(conv(p, f"{prefix}.conv_kernel.2", g, padding=1))
        seen = x + f * torch.sigmoid(conv(p, f"{prefix}.conv_2.0", torch.cat([f, g], 1), padding=1))
    a = conv(p, f"{name}.conv1", layer_norm(p, f"{name}.norm1", seen))
    a = gate(conv(p, f"{name}.conv2", a, padding=1, groups=a.shape[1]))
    a = conv(p, f"{name}.conv3", a * conv(p, f"{name}.sca.1", pool(a, window)))
    y = x + p[f"{name}.beta"].double() * a
    b = conv(p, f"{name}.conv5", gate(conv(p, f"{name}.conv4", layer_norm(p, f"{name}.norm2", y))))
    return y + p[f"{name}.gamma"].double() * b


# ---------------------------------------------------------------------------------------------- the network


def count(p: Params, prefix: str) -> int:
    return len({key[len(prefix) :].split(".")[0] for key in p if key.startswith(prefix)})


def padded(x: Tensor, multiple: int) -> Tensor:
    """Reflected at the bottom and the right, the border not repeated."""
    for axis in (2, 3):
        length = x.shape[axis]
        mirrored = [length - 2 - i for i in range(-length % multiple)]
        x = torch.cat([x, x.index_select(axis, torch.tensor(mirrored, dtype=torch.long))], axis)
    return x


def restore(p: Params, x: Tensor, noise: Tensor, train_size: int | None = None) -> tuple[Tensor, Tensor]:
    """Images (B, 3, H, W), noise (B, D, H', W') of the padded size -> restored images, padded kernel field."""
    levels = count(p, "encoders.")
    height, width = x.shape[2:]
    x = padded(x.double(), 2**levels)
    kernels = kernel_field(p, x, noise.double())
    windows = [None if train_size is None else train_size // 2**level * 384 // 256 for level in range(levels + 1)]

    features, skips, field = conv(p, "intro", x, padding=1), [], kernels
    for level in range(levels):
        for block in range(count(p, f"encoders.{level}.")):
            features = naf_block(p, f"encoders.{level}.{block}", features, windows[level], field)
        skips.append(features)
        features = conv(p, f"downs.{level}", features, stride=2)
        field = conv(p, f"kernel_down.{level}", field, stride=2)
    for block in range(count(p, "middle_blks.")):
        features = naf_block(p, f"middle_blks.{block}", features, windows[levels])
    for index in range(levels):
        features = functional.pixel_shuffle(conv(p, f"ups.{index}.0", features), 2) + skips.pop()
        for block in range(count(p, f"decoders.{index}.")):
            features = naf_block(p, f"decoders.{index}.{block}", features, windows[levels - 1 - index])
    restored = (x + conv(p, "ending", features, padding=1)).clamp(0, 1)
    return restored[:, :, :height, :width], kernels
