"""UFPNet: deblurring by kernels that a flow prior and uncertainty learning estimate (CVPR 2023)."""

from collections.abc import Sequence

from torch import Tensor, nn

from deeprftv2_arch.errors import OptionError
from deeprftv2_arch.layers.kernel_attention import KernelBlock, KernelPyramid
from deeprftv2_arch.layers.local_pooling import use_local_pooling
from deeprftv2_arch.layers.naf_block import NAFBlock
from deeprftv2_arch.layers.resample import downsample, upsample
from deeprftv2_arch.networks.kernel_flow import KernelFlow
from deeprftv2_arch.networks.kernel_guided import KernelGuidedNetwork
from deeprftv2_arch.networks.uncertain_kernel_estimator import UncertainKernelEstimator


class UFPNet(KernelGuidedNetwork):
    """NAFNet whose encoder levels, all but the deepest, begin with a block that attends to the blur kernels.

        K = flow(estimator(x));  K_0 = K, K_1, .. = pyramid(K);  restored = clamp(x + NAFNet(x; K_0, K_1, ..))

    The estimator and the flow come from their own trainings and are frozen. The defaults build the published network:
    79,300,373 parameters, which are 80,343,663 less two layers of the authors' that have no effect.

    Args:
        width: Channels of the finest level; twice as many at every level below.
        enc_blocks: Blocks of every encoder level, finest first.
        middle_blocks: Blocks at the bottom.
        dec_blocks: Blocks of every decoder level, deepest first.
        kernel_width: ``width`` of the estimator.
        kernel_size: Height and width of the kernels.
        flow_blocks: ``blocks`` of the flow.
        flow_hidden: ``hidden`` of the flow.
        samples: 0: restore with the kernels of the mean codes; n: with those of drawn codes, in eval mode the mean of n
            restored images. The paper draws one.
        seed: In eval mode every call draws the same noise, on devices of one kind; None: every call draws anew.
        train_size: Where channel attention is to average over windows of 1.5 times this size (at half resolution half
            of it, and so on) instead of over the whole map: local pooling, TLC. The paper's is 256.
        kernel_contrast: ``contrast`` of the estimator.
        kernel_unit_sum: ``unit_sum`` of the flow.

    Raises:
        OptionError: An argument is out of range, or lists that belong together differ in length.
    """

    def __init__(
        self,
        width: int = 64,
        enc_blocks: Sequence[int] = (1, 1, 1, 28),
        middle_blocks: int = 1,
        dec_blocks: Sequence[int] = (1, 1, 1, 1),
        kernel_width: int = 64,
        kernel_size: int = 19,
        flow_blocks: int = 5,
        flow_hidden: int = 25,
        samples: int = 1,
        seed: int | None = None,
        train_size: int | None = None,
        kernel_contrast: bool = False,
        kernel_unit_sum: bool = False,
    ) -> None:
        _check_arguments(width, enc_blocks, middle_blocks, dec_blocks, train_size)
        super().__init__(
            estimator=UncertainKernelEstimator(kernel_width, kernel_size, kernel_contrast),
            flow=KernelFlow(kernel_size, flow_blocks, flow_hidden, unit_sum=kernel_unit_sum),
            size_multiple=2 ** len(enc_blocks),
            samples=samples,
            seed=seed,
        )
        levels = len(enc_blocks)
        widths = [width * 2**level for level in range(levels + 1)]
        self.pyramid = KernelPyramid(kernel_size**2, levels - 1)
        self.intro = nn.Conv2d(3, width, 3, padding=1)
        self.kernel_blocks = nn.ModuleList(KernelBlock(channels, kernel_size**2) for channels in widths[: levels - 1])
        self.encoders = nn.ModuleList(
            _blocks(channels, count - 1 if level < levels - 1 else count)
            for level, (channels, count) in enumerate(zip(widths[:-1], enc_blocks, strict=True))
        )
        self.downs = nn.ModuleList(downsample(channels, 2 * channels, bias=True) for channels in widths[:-1])
        self.middle = _blocks(widths[-1], middle_blocks)
        self.ups = nn.ModuleList(upsample(2 * channels, channels) for channels in widths[-2::-1])
        self.decoders = nn.ModuleList(
            _blocks(channels, count) for channels, count in zip(widths[-2::-1], dec_blocks, strict=True)
        )
        self.ending = nn.Conv2d(width, 3, 3, padding=1)
        if train_size is not None:
            self.pool_locally(train_size)

    def pool_locally(self, train_size: int) -> None:
        """Pool locally; see ``train_size`` of the class."""
        use_local_pooling(self.middle, train_size / 2 ** len(self.encoders))
        for level, (encoder, decoder) in enumerate(zip(self.encoders, reversed(self.decoders), strict=True)):
            for part in (encoder, decoder, *self.kernel_blocks[level : level + 1]):
                use_local_pooling(part, train_size / 2**level)

    def deblur(self, x: Tensor, kernels: Tensor) -> Tensor:
        features = self.intro(x)
        pyramid = self.pyramid(kernels)
        skips = []
        for level, (encoder, down) in enumerate(zip(self.encoders, self.downs, strict=True)):
            if level < len(self.kernel_blocks):
                features = self.kernel_blocks[level](features, pyramid[level])
            features = encoder(features)
            skips.append(features)
            features = down(features)
        features = self.middle(features)
        for up, decoder in zip(self.ups, self.decoders, strict=True):
            features = decoder(up(features) + skips.pop())
        return x + self.ending(features)


def _blocks(channels: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(NAFBlock(channels) for _ in range(count)))


def _check_arguments(
    width: int, enc_blocks: Sequence[int], middle_blocks: int, dec_blocks: Sequence[int], train_size: int | None
) -> None:
    if width < 1:
        raise OptionError(f"UFPNet: width must be at least 1, got {width}")
    if len(enc_blocks) < 2 or len(enc_blocks) != len(dec_blocks):
        raise OptionError(
            "UFPNet: enc_blocks and dec_blocks must have one entry for each level, of which there are two or more, got "
            f"{list(enc_blocks)} and {list(dec_blocks)}"
        )
    for name, counts in (("enc_blocks", enc_blocks), ("middle_blocks", [middle_blocks]), ("dec_blocks", dec_blocks)):
        if any(count < 1 for count in counts):
            raise OptionError(f"UFPNet: {name} must be at least 1 everywhere, got {list(counts)}")
    if train_size is not None and train_size < 2 ** len(enc_blocks):
        raise OptionError(f"UFPNet: train_size must be at least {2 ** len(enc_blocks)} or null, got {train_size}")
