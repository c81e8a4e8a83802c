"""DeepRFTv2 written plainly: the same network as one reads it from the paper, for comparison.

Contiguous NCHW maps everywhere; 2-D LayerNorm by mean and variance over the channel axis; gates by ``chunk``; linear
layers and LayerNorms between contiguous permutations; ``torch.fft`` as it is. Nothing is made slower than a careful
first version would be: a block makes its transposed map contiguous once, and inference keeps nothing for a backward
pass. The modules are named as the package's, whose weights they take (:func:`weights_for_plain`); the scan itself is
the package's operator.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deeprftv2_arch.ops import selective_scan

STATES = 8
SMALLEST_ALPHA = 1e-3


class PlainLayerNorm2d(nn.Module):
    """LayerNorm over the channel axis of (B, C, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean(1, keepdim=True)
        variance = (x - mean).pow(2).mean(1, keepdim=True)
        normed = (x - mean) / (variance + 1e-6).sqrt()
        return self.weight.view(1, -1, 1, 1) * normed + self.bias.view(1, -1, 1, 1)


class PlainGate(nn.Module):
    """Product of the two halves of the channels."""

    def forward(self, x: Tensor) -> Tensor:
        first, second = x.chunk(2, dim=1)
        return first * second


class PlainNAFBlock(nn.Module):
    """NAFBlock, (B, c, H, W) -> (B, c, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = PlainLayerNorm2d(channels)
        self.expand = nn.Conv2d(channels, 2 * channels, 1)
        self.depthwise = nn.Conv2d(2 * channels, 2 * channels, 3, padding=1, groups=2 * channels)
        self.gate = PlainGate()
        self.channel_attention = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, channels, 1))
        self.project = nn.Conv2d(channels, channels, 1)
        self.beta = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.ffn_norm = PlainLayerNorm2d(channels)
        self.ffn_expand = nn.Conv2d(channels, 2 * channels, 1)
        self.ffn_project = nn.Conv2d(channels, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        gated = self.gate(self.depthwise(self.expand(self.norm(x))))
        x = x + self.beta * self.project(gated * self.channel_attention(gated))
        return x + self.gamma * self.ffn_project(self.gate(self.ffn_expand(self.ffn_norm(x))))


class PlainSelectiveScan2d(nn.Module):
    """Gated selective scan in row-major order, (B, d, H, W) -> (B, d, H, W).

    ``recurrence`` is called as ``selective_scan`` is; :func:`leave_out_scans` puts the identity on u in its place.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = 2 * channels
        self.rank = math.ceil(channels / 16)
        projected = self.rank + 2 * STATES
        self.recurrence: Callable[..., Tensor] = selective_scan
        self.in_proj = nn.Linear(channels, 2 * inner, bias=False)
        self.depthwise = nn.Conv2d(inner, inner, 3, padding=1, groups=inner)
        self.x_proj_weight = nn.Parameter(torch.randn(1, projected, inner) * inner**-0.5)
        self.x_conv = nn.Conv1d(projected, projected, 7, padding=3, groups=projected)
        self.dt_proj_weight = nn.Parameter(torch.randn(1, inner, self.rank) * self.rank**-0.5)
        self.dt_proj_bias = nn.Parameter(torch.full((1, inner), -4.0))
        self.A_log = nn.Parameter(torch.arange(1.0, STATES + 1).log().repeat(inner, 1))
        self.D = nn.Parameter(torch.ones(inner))
        self.out_norm = nn.LayerNorm(inner)
        self.out_proj = nn.Linear(inner, channels, bias=False)

    def forward(self, f: Tensor) -> Tensor:
        batch, _, height, width = f.shape
        x, z = self.in_proj(f.permute(0, 2, 3, 1).contiguous()).chunk(2, dim=-1)
        u = F.gelu(self.depthwise(x.permute(0, 3, 1, 2).contiguous())).view(batch, -1, height * width)
        s = self.x_conv(torch.einsum("kc,bcl->bkl", self.x_proj_weight[0], u))
        dt, B, C = s.split([self.rank, STATES, STATES], dim=1)
        delta = torch.einsum("cr,brl->bcl", self.dt_proj_weight[0], dt)
        y = self.recurrence(u, delta, -self.A_log.exp(), B, C, self.D, self.dt_proj_bias[0], delta_softplus=True)
        y = self.out_norm(y.transpose(1, 2).contiguous().view(batch, height, width, -1))
        return self.out_proj(y * F.gelu(z)).permute(0, 3, 1, 2).contiguous()


class PlainVSBlock(nn.Module):
    """x + scan(LN(x))."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = PlainLayerNorm2d(channels)
        self.scan = PlainSelectiveScan2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.scan(self.norm(x))


class PlainNAFEVSBlock(PlainNAFBlock):
    """NAFBlock with a scan beside its local branch, on the map transposed (even index) or turned by 180 degrees."""

    def __init__(self, channels: int, index: int) -> None:
        super().__init__(channels)
        self.transposes = index % 2 == 0
        self.scan_norm = PlainLayerNorm2d(channels)
        self.scan = PlainSelectiveScan2d(channels)
        self.lambda_local = nn.Parameter(torch.ones(1, channels, 1, 1))
        self.lambda_scan = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.alpha = nn.Parameter(torch.ones(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = x.transpose(2, 3).contiguous() if self.transposes else x.flip(2, 3)
        gated = self.gate(self.depthwise(self.expand(self.norm(x))))
        local = self.project(gated * self.channel_attention(gated))
        scanned = self.scan(self.scan_norm(gated)) * (self.alpha + 1)
        x = x + self.beta * (self.lambda_local * local + self.lambda_scan * scanned)
        return x + self.gamma * self.ffn_project(self.gate(self.ffn_expand(self.ffn_norm(x))))


def plain_blocks(kind: str, channels: int, count: int) -> nn.Sequential:
    """Build ``count`` blocks of the kind NAF, NAFEVS or VS."""
    if kind == "NAFEVS":
        return nn.Sequential(*(PlainNAFEVSBlock(channels, index) for index in range(count)))
    block = {"NAF": PlainNAFBlock, "VS": PlainVSBlock}[kind]
    return nn.Sequential(*(block(channels) for _ in range(count)))


class PlainLevel(nn.Module):
    """One level of a column: down-sample, fuse, blocks, up-sample."""

    def __init__(
        self, blocks: nn.Sequential, before: nn.Module | None, fuse: nn.Module | None, after: nn.Module | None
    ) -> None:
        super().__init__()
        self.before, self.fuse, self.blocks, self.after = before, fuse, blocks, after

    def forward(self, x: Tensor, link: Tensor | None) -> Tensor:
        if self.before is not None:
            x = self.before(x)
        if self.fuse is not None and link is not None:
            x = self.fuse(torch.cat([x, link], dim=1))
        x = self.blocks(x)
        return x if self.after is None else self.after(x)


class PlainColumn(nn.Module):
    """Levels with c_l = F_l(c_{l-1}, link_l) + alpha_l * c_l^prev."""

    def __init__(self, levels: Sequence[PlainLevel], channels: Sequence[int]) -> None:
        super().__init__()
        self.levels = nn.ModuleList(levels)
        self.alphas = nn.ParameterList(torch.full((1, c, 1, 1), 0.5) for c in channels)

    def forward(
        self, x: Tensor, previous: Sequence[Tensor | None], links: Sequence[Tensor | None] | None = None
    ) -> list[Tensor]:
        outputs = []
        for index, (level, alpha) in enumerate(zip(self.levels, self.alphas, strict=True)):
            x = level(x, links[index] if links else None)
            before = previous[index]
            if before is not None:
                x = x + alpha.sign() * alpha.abs().clamp_min(SMALLEST_ALPHA) * before
            outputs.append(x)
        return outputs


def plain_encoder(dim: int, counts: Sequence[int], kinds: Sequence[str], linked: bool) -> PlainColumn:
    """Build a sub-encoder, finest level first."""
    levels, widths = [], [dim * 2**level for level in range(len(counts))]
    for index, (kind, width, count) in enumerate(zip(kinds, widths, counts, strict=True)):
        before = nn.Conv2d(width // 2, width, 2, stride=2, bias=False) if index else None
        fuse = nn.Conv2d(2 * width, width, 1) if linked else None
        levels.append(PlainLevel(plain_blocks(kind, width, count), before, fuse, None))
    return PlainColumn(levels, widths)


def plain_decoder(dim: int, counts: Sequence[int], kinds: Sequence[str]) -> PlainColumn:
    """Build a sub-decoder; ``counts`` and ``kinds`` are the encoder's, finest level first."""
    levels, outputs = [], []
    for index in reversed(range(len(counts))):
        width = dim * 2**index
        after = nn.Sequential(nn.Conv2d(width, 2 * width, 1, bias=False), nn.PixelShuffle(2)) if index else None
        levels.append(PlainLevel(plain_blocks(kinds[index], width, counts[index]), None, None, after))
        outputs.append(max(dim, width // 2))
    return PlainColumn(levels, outputs)


class PlainKernelEstimator(nn.Module):
    """Fourier Kernel Estimator."""

    def __init__(self, dim: int, counts: Sequence[int], first: bool) -> None:
        super().__init__()
        self.to_kernel = nn.Conv2d(dim, dim, 1, bias=False)
        self.to_blurred = nn.Conv2d(dim, dim, 1, bias=False)
        self.stem = nn.Conv2d(2 * dim, dim, 1, bias=False)
        levels = []
        for index, count in enumerate(counts):
            fuse = None if first or index == len(counts) - 1 else nn.Conv2d(2 * dim, dim, 1)
            levels.append(PlainLevel(plain_blocks("VS", dim, count), None, fuse, None))
        self.sub_resnet = PlainColumn(levels, [dim] * len(counts))
        self.norm = PlainLayerNorm2d(dim)
        self.kernel_head = nn.Conv2d(dim, 2 * dim, 1)
        self.merge = nn.Conv2d(2 * dim, dim, 1, bias=False)

    def forward(self, f: Tensor, previous: Sequence[Tensor] | None) -> tuple[Tensor, list[Tensor]]:
        spectrum = torch.fft.rfft2(self.to_kernel(f))
        blurred = torch.fft.rfft2(self.to_blurred(f))
        x = self.stem(torch.cat([spectrum.real, spectrum.imag], dim=1))
        depth = len(self.sub_resnet.levels)
        features = self.sub_resnet(x, previous or [None] * depth, [*previous[1:], None] if previous else None)
        real, imaginary = self.kernel_head(self.norm(features[-1])).chunk(2, dim=1)
        deblurred = torch.fft.irfft2(blurred * torch.complex(real, imaginary), s=f.shape[2:])
        return self.merge(torch.cat([deblurred, f], dim=1)), features


class PlainScale(nn.Module):
    """One scale of a unit; keeps what it hands to the same scale of the next unit in the dictionary ``handed_on``."""

    def __init__(
        self,
        dim: int,
        counts: Sequence[int],
        kinds: Sequence[str],
        fke_counts: Sequence[int],
        linked: bool,
        first: bool,
    ) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, dim, 3, padding=1, bias=False)
        self.merge = None if first else nn.Conv2d(2 * dim, dim, 1)
        self.encoder = plain_encoder(dim, counts, kinds, linked)
        self.decoder = plain_decoder(dim, counts, kinds)
        self.decoded_head = nn.Conv2d(dim, 3, 3, padding=1)
        self.fke = PlainKernelEstimator(dim, fke_counts, first) if fke_counts else None
        self.deblurred_head = nn.Conv2d(dim, 3, 3, padding=1) if fke_counts else None

    def encode(self, image: Tensor, before: dict[str, Any], links: Sequence[Tensor] | None = None) -> list[Tensor]:
        """Map the image to the encoder's features."""
        x = self.embed(image)
        if self.merge is not None:
            x = self.merge(torch.cat([x, before["deblurred"]], dim=1))
        return self.encoder(x, before.get("levels", [None] * 3), links)

    def decode(
        self, image: Tensor, latent: Tensor, encoded: Sequence[Tensor], before: dict[str, Any]
    ) -> tuple[dict[str, Any], list[Tensor]]:
        """Map the latent to what the next unit gets, and the restored images."""
        decoded = self.decoder(latent, [encoded[1], encoded[0], before.get("decoded")])
        handed_on = {"levels": [decoded[1], decoded[0], latent], "decoded": decoded[2], "deblurred": decoded[2]}
        images = [self.decoded_head(decoded[2]) + image]
        if self.fke is not None and self.deblurred_head is not None:
            handed_on["deblurred"], handed_on["kernels"] = self.fke(decoded[2], before.get("kernels"))
            images.append(self.deblurred_head(handed_on["deblurred"]) + image)
        return handed_on, images


class PlainUnit(nn.Module):
    """One DMS-UNet."""

    def __init__(
        self,
        dim: int,
        counts: Sequence[int],
        full_kinds: Sequence[str],
        half_kinds: Sequence[str],
        fke_counts: Sequence[int],
        first: bool,
    ) -> None:
        super().__init__()
        self.full_scale = PlainScale(dim, counts, full_kinds, fke_counts, False, first)
        self.half_scale = PlainScale(dim, counts, half_kinds, fke_counts, True, first)
        widths = [dim * 2**level for level in range(len(counts))]
        self.full_to_half = nn.ModuleList(nn.Conv2d(width, width, 2, stride=2, bias=False) for width in widths)
        self.half_to_latent = nn.Conv2d(dim, widths[-1], 2, stride=2, bias=False)
        self.fuse_latent = nn.Conv2d(2 * widths[-1], widths[-1], 1)

    def forward(
        self, full: Tensor, half: Tensor, before_full: dict[str, Any], before_half: dict[str, Any]
    ) -> tuple[dict[str, Any], dict[str, Any], list[Tensor], list[Tensor]]:
        encoded = self.full_scale.encode(full, before_full)
        links = [down(x) for down, x in zip(self.full_to_half, encoded, strict=True)]
        half_encoded = self.half_scale.encode(half, before_half, links)
        after_half, half_images = self.half_scale.decode(half, half_encoded[2], half_encoded, before_half)
        latent = self.fuse_latent(torch.cat([self.half_to_latent(after_half["deblurred"]), encoded[2]], dim=1))
        after_full, full_images = self.full_scale.decode(full, latent, encoded, before_full)
        return after_full, after_half, full_images, half_images


class PlainDeepRFTv2(nn.Module):
    """DeepRFTv2 with two scales. The defaults are DeepRFTv2-B's; arguments as those of the package's network.

    In eval mode: (B, 3, H, W) with height and width multiples of 8 -> the restored images (B, 3, H, W).
    With ``supervise``, as in training: all restored images by scale.
    """

    def __init__(
        self,
        dim: int = 48,
        units: int = 2,
        blocks: Sequence[int] = (1, 4, 8),
        full_kinds: Sequence[str] = ("NAF", "NAFEVS", "NAFEVS"),
        half_kinds: Sequence[str] = ("NAF", "NAF", "NAF"),
        fke_blocks: Sequence[int] = (1, 1, 1, 1),
    ) -> None:
        super().__init__()
        self.units = nn.ModuleList(
            PlainUnit(dim, blocks, full_kinds, half_kinds, fke_blocks, first=index == 0) for index in range(units)
        )

    def forward(self, full: Tensor, supervise: bool = False) -> Tensor | dict[str, list[Tensor]]:
        half = half_size(full)
        images: dict[str, list[Tensor]] = {"full": [], "half": []}
        before_full: dict[str, Any] = {}
        before_half: dict[str, Any] = {}
        for unit in self.units:
            before_full, before_half, full_images, half_images = unit(full, half, before_full, before_half)
            images["full"] += full_images
            images["half"] += half_images
        return images if supervise else images["full"][-1]


def weights_for_plain(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the package's weights by the same names, with linear layers around the scans, the first of them one."""
    plain = {}
    for name, tensor in state.items():
        layer, _, projection = name.rpartition(".scan.")
        if projection == "scan_proj.weight":
            both = torch.cat([tensor, state[f"{layer}.scan.gate_proj.weight"]])
            plain[f"{layer}.scan.in_proj.weight"] = both.flatten(1)
        elif projection == "out_proj.weight":
            plain[name] = tensor.flatten(1)
        elif projection != "gate_proj.weight":
            plain[name] = tensor
    return plain


def half_size(image: Tensor) -> Tensor:
    """Blur by a 5x5 binomial with reflected border, then average every 2x2 pixels."""
    taps = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0], dtype=image.dtype, device=image.device) / 16
    kernel = torch.outer(taps, taps).expand(3, 1, 5, 5)
    blurred = F.conv2d(F.pad(image, (2, 2, 2, 2), mode="reflect"), kernel, groups=3)
    return F.interpolate(blurred, scale_factor=0.5, mode="bilinear", align_corners=False)


def leave_out_scans(network: nn.Module) -> nn.Module:
    """Replace the recurrence of every scan of a plain network by y = u; all projections around it stay."""
    for module in network.modules():
        if isinstance(module, PlainSelectiveScan2d):
            module.recurrence = _input_of_scan
    return network


def _input_of_scan(u: Tensor, *others: Tensor, **options: bool) -> Tensor:
    return u
