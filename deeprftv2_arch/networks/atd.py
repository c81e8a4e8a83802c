"""ATD with and without Fourier Kernel Estimators: the paper's super-resolution networks (Table 5)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from deeprftv2_arch.errors import OptionError
from deeprftv2_arch.layers.atd.attentions import relative_position_index
from deeprftv2_arch.layers.atd.residual_group import Connection, ResidualGroup, connection
from deeprftv2_arch.layers.atd.transformer_layer import LayerSettings, to_map, to_tokens
from deeprftv2_arch.layers.atd.upsampler import UpsamplerKind, upsampling_steps
from deeprftv2_arch.layers.kernel_estimator import FourierKernelEstimator
from deeprftv2_arch.layers.tiling import run_in_tiles
from deeprftv2_arch.layers.vs_block import SelectiveScan2d
from deeprftv2_arch.networks.protocol import NetworkTraits

RGB_MEAN = (0.4488, 0.4371, 0.4040)  # of DIV2K
FKE_BLOCKS = (1, 1, 1, 1)  # VSBlocks of every level of an estimator


class PatchEmbedding(nn.Module):
    """A map (B, C, H, W) as normalised tokens (B, H, W, C), one per pixel."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(to_tokens(x))


class ATD(nn.Module):
    """ATD (CVPR 2024), and with ``fke`` the paper's ATD+FKE: a Fourier Kernel Estimator after every residual group.

    Without ``fke``, names, shapes and results are those of the public implementation, whose checkpoints load as they
    are. The estimators are those of :class:`DeepRFTv2`, one column each of a chain: a group's features go through the
    estimator of the group, which also reads what the estimator before it kept.

    Args:
        upscale: Factor by which images are enlarged.
        in_chans: Channels of the images, 3 (RGB) or 1.
        img_size: Height and width of the low-resolution patches that the network is trained on. In eval mode a network
            with ``fke`` works on larger images in tiles of this size, a multiple of the window; without ``fke`` it
            has no effect, as in the public implementation.
        embed_dim: Channels of the features. ATD-light has 48, ATD 210.
        depths: Transformer layers of every residual group.
        num_heads: Heads of every residual group.
        window_size: Height and width of an attention window.
        category_size: Pixels that attend to each other in the category attention.
        num_tokens: Tokens of a dictionary.
        reducted_dim: Dimensions in which pixels and tokens are compared.
        convffn_kernel_size: Kernel size in the feed-forward parts, odd.
        mlp_ratio: Hidden channels of the feed-forward parts, as a multiple of ``embed_dim``.
        qkv_bias: Whether queries, keys and values have a bias.
        img_range: Largest value of the images inside the network.
        upsampler: ``pixelshuffledirect`` (ATD-light), ``pixelshuffle`` (ATD) or ``nearest+conv``.
        resi_connection: ``1conv`` or ``3conv``, at the end of every residual group and of all.
        use_checkpoint: Whether training keeps the inputs of layers and estimators alone and runs them again for the
            gradients: less memory, more time, equal results.
        fke: Whether there are Fourier Kernel Estimators.
        tile_overlap: Low-resolution pixels that neighbouring tiles share; without ``fke`` of no effect.

    Raises:
        OptionError: An argument is out of range, or arguments do not fit together.
    """

    mean: Tensor
    relative_position_index_SA: Tensor  # noqa: N815 (a name in checkpoints)

    def __init__(
        self,
        upscale: int = 2,
        in_chans: int = 3,
        img_size: int = 64,
        embed_dim: int = 48,
        depths: Sequence[int] = (6, 6, 6, 6),
        num_heads: Sequence[int] = (4, 4, 4, 4),
        window_size: int = 16,
        category_size: int = 128,
        num_tokens: int = 64,
        reducted_dim: int = 8,
        convffn_kernel_size: int = 7,
        mlp_ratio: float = 1.0,
        qkv_bias: bool = True,
        img_range: float = 1.0,
        upsampler: UpsamplerKind = "pixelshuffledirect",
        resi_connection: Connection = "1conv",
        use_checkpoint: bool = False,
        fke: bool = False,
        tile_overlap: int = 16,
    ) -> None:
        super().__init__()
        _check_positive(
            upscale=upscale,
            embed_dim=embed_dim,
            window_size=window_size,
            category_size=category_size,
            num_tokens=num_tokens,
            reducted_dim=reducted_dim,
            convffn_kernel_size=convffn_kernel_size,
            img_range=img_range,
        )
        _check_arguments(in_chans, embed_dim, depths, num_heads, convffn_kernel_size, mlp_ratio)
        self.upscale = upscale
        self.in_chans = in_chans
        self.window_size = window_size
        self.img_range = img_range
        self.use_tiles(img_size if fke else None, tile_overlap)
        mean = RGB_MEAN if in_chans == 3 else (0.0,)
        self.register_buffer("mean", torch.tensor(mean).view(1, in_chans, 1, 1), persistent=False)
        self.register_buffer("relative_position_index_SA", relative_position_index(window_size))

        self.conv_first = nn.Conv2d(in_chans, embed_dim, 3, padding=1)
        self.patch_embed = PatchEmbedding(embed_dim)
        settings = LayerSettings(
            dim=embed_dim,
            window=window_size,
            category_size=category_size,
            tokens=num_tokens,
            reduced=reducted_dim,
            kernel_size=convffn_kernel_size,
            mlp_ratio=mlp_ratio,
            bias=qkv_bias,
        )
        self.layers = nn.ModuleList(
            ResidualGroup(settings, depth, heads, resi_connection, use_checkpoint)
            for depth, heads in zip(depths, num_heads, strict=True)
        )
        self.fkes = nn.ModuleList(
            FourierKernelEstimator(
                embed_dim, FKE_BLOCKS, "VS", first=index == 0, memory="lean" if use_checkpoint else "none"
            )
            for index in range(len(depths) if fke else 0)
        )
        self.norm = nn.LayerNorm(embed_dim)
        self.conv_after_body = connection(resi_connection, embed_dim)
        steps = upsampling_steps(upsampler, upscale, embed_dim, in_chans)
        for name, step in steps.items():  # one by one, since checkpoints have their weights at the top level
            self.add_module(name, step)
        self.upsampling = tuple(steps)
        self.apply(_initialise)

    def use_tiles(self, tile: int | None, overlap: int = 0) -> None:
        """Choose the tiles of eval mode anew.

        Args:
            tile: Height and width, in pixels of the low resolution, of the tiles in which larger images are enlarged;
                None: whole.
            overlap: Pixels that neighbouring tiles share.

        Raises:
            OptionError: The network cannot work in such tiles.
        """
        if tile is not None:
            _check_tiles(tile, overlap, self.window_size)
        self.tile = tile
        self.tile_overlap = overlap

    @property
    def traits(self) -> NetworkTraits:
        """What callers have to know of the network; its estimators know the spectra of its own tiles alone."""
        return NetworkTraits(
            upscale=self.upscale,
            channels=self.in_chans,
            size_multiple=self.window_size,
            tile=self.tile,
            tile_overlap=self.tile_overlap,
            keeps_tiles=True,
        )

    def forward(self, x: Tensor) -> Tensor:
        """Enlarge images.

        Args:
            x: (B, in_chans, H, W) in 0..1, of any size: it is continued by its mirror image to a multiple of the
                window at the bottom and the right, and the result is cropped.

        Returns:
            (B, in_chans, upscale H, upscale W), not clamped.

        Raises:
            OptionError: ``x`` has other channels.
        """
        if x.dim() != 4 or x.shape[1] != self.in_chans:
            raise OptionError(
                f"this ATD enlarges images (B, {self.in_chans}, H, W), got a tensor of shape {tuple(x.shape)}"
            )
        height, width = x.shape[2:]
        x = _mirrored_to_multiple(x, self.window_size)
        shallow = self.conv_first((x - self.mean) * self.img_range)
        if self.tile is not None and not self.training and max(shallow.shape[2:]) > self.tile:
            enlarged = run_in_tiles(
                lambda tiles: self.enlarge(tiles[0]), [shallow], self.tile, self.tile_overlap, self.upscale
            )
        else:
            enlarged = self.enlarge(shallow)
        enlarged = enlarged / self.img_range + self.mean
        return enlarged[:, :, : height * self.upscale, : width * self.upscale]

    def enlarge(self, shallow: Tensor) -> Tensor:
        """Turn shallow features (B, C, H, W) into the enlarged image, in the network's range and without its mean."""
        x = self.patch_embed(shallow)
        kernels = None
        for index, group in enumerate(self.layers):
            x = group(x, self.relative_position_index_SA)
            if self.fkes:
                deblurred, kernels = self.fkes[index](to_map(x), kernels)
                x = to_tokens(deblurred)
        x = self.conv_after_body(to_map(self.norm(x))) + shallow
        for name in self.upsampling:
            x = self.get_submodule(name)(x)
        return x


def _mirrored_to_multiple(x: Tensor, multiple: int) -> Tensor:
    """Continue images (B, C, H, W) at the bottom and the right by their mirror images to multiples of a size."""
    for axis in (2, 3):
        length = x.shape[axis]
        if length % multiple:
            position = torch.arange(length + -length % multiple, device=x.device) % (2 * length)
            x = x.index_select(axis, torch.minimum(position, 2 * length - 1 - position))
    return x


@torch.no_grad()
def _initialise(module: nn.Module) -> None:
    """Initialise linear layers as the public ATD, and as the reference also those of the estimators' scans."""
    projections: list[nn.Linear | nn.Conv2d] = [module] if isinstance(module, nn.Linear) else []
    if isinstance(module, SelectiveScan2d):
        projections = [module.scan_proj, module.gate_proj, module.out_proj]
    for projection in projections:
        nn.init.trunc_normal_(projection.weight, std=0.02)
        if projection.bias is not None:
            nn.init.zeros_(projection.bias)


def _check_positive(**arguments: float) -> None:
    for name, value in arguments.items():
        if value <= 0:
            raise OptionError(f"ATD: {name} must be positive, got {value}")


def _check_arguments(
    in_chans: int,
    embed_dim: int,
    depths: Sequence[int],
    num_heads: Sequence[int],
    convffn_kernel_size: int,
    mlp_ratio: float,
) -> None:
    if in_chans not in (1, 3):
        raise OptionError(f"ATD: in_chans must be 1 or 3, got {in_chans}")
    if not depths:
        raise OptionError("ATD: depths must have an entry for every residual group, got none")
    if len(depths) != len(num_heads):
        raise OptionError(
            f"ATD: depths and num_heads must be as long as each other, got {list(depths)}, {list(num_heads)}"
        )
    for name, values in (("depths", depths), ("num_heads", num_heads)):
        if any(value < 1 for value in values):
            raise OptionError(f"ATD: every entry of {name} must be at least 1, got {list(values)}")
    if any(embed_dim % heads for heads in num_heads):
        raise OptionError(
            f"ATD: embed_dim must be a multiple of every entry of num_heads, got {embed_dim}, {list(num_heads)}"
        )
    if convffn_kernel_size % 2 == 0:
        raise OptionError(f"ATD: convffn_kernel_size must be odd, got {convffn_kernel_size}")
    if int(embed_dim * mlp_ratio) < 1:
        raise OptionError(f"ATD: mlp_ratio must leave at least one of {embed_dim} channels, got {mlp_ratio}")


def _check_tiles(tile: int, overlap: int, window: int) -> None:
    if tile < window or tile % window:
        raise OptionError(
            f"ATD: img_size must be a multiple of window_size ({window}) where there are tiles, got {tile}"
        )
    if not 0 <= overlap < tile:
        raise OptionError(f"ATD: tile_overlap must be from 0 on and smaller than img_size, got {overlap} and {tile}")
