"""What spandrel has to know about the networks of this package."""

from spandrel import Architecture, ImageModelDescriptor, ModelTiling, StateDict
from torch import nn

from deeprftv2_arch.checkpoints import atd_variant, deeprftv2_variant, ufpnet_variant
from deeprftv2_arch.checkpoints.building import network_of_weights
from deeprftv2_arch.checkpoints.io import bare_names
from deeprftv2_arch.checkpoints.reference import under_our_names


class DeepRFTv2Architecture(Architecture[nn.Module]):
    """DeepRFTv2, under this package's names or those of the authors' reference."""

    def __init__(self) -> None:
        super().__init__(id="DeepRFTv2", detect=lambda state: deeprftv2_variant.MARK in _ours(state))

    def load(self, state_dict: StateDict) -> ImageModelDescriptor[nn.Module]:
        """Build the network of these weights."""
        state = _ours(state_dict)
        arguments = deeprftv2_variant.deduce_arguments(state)
        published = deeprftv2_variant.published_name(arguments)
        tags = [*([published] if published else []), f"{arguments['dim']}dim", f"{arguments['units']}units"]
        return _descriptor(self, state, tags, ModelTiling.SUPPORTED)


class ATDWithEstimatorsArchitecture(Architecture[nn.Module]):
    """ATD with Fourier Kernel Estimators; spandrel itself knows the one without."""

    def __init__(self) -> None:
        super().__init__(id="ATD+FKE", detect=lambda state: _has_estimators(_ours(state)))

    def load(self, state_dict: StateDict) -> ImageModelDescriptor[nn.Module]:
        """Build the network of these weights."""
        state = _ours(state_dict)
        arguments = atd_variant.deduce_arguments(state)
        published = atd_variant.published_name(arguments)
        tags = [*([published] if published else []), f"{arguments['embed_dim']}dim", f"{arguments['window_size']}w"]
        return _descriptor(self, state, tags, ModelTiling.INTERNAL)


class UFPNetArchitecture(Architecture[nn.Module]):
    """UFPNet, under this package's names or those of the authors' reference; an image always becomes the same one."""

    def __init__(self) -> None:
        super().__init__(id="UFPNet", detect=lambda state: ufpnet_variant.MARK in _ours(state))

    def load(self, state_dict: StateDict) -> ImageModelDescriptor[nn.Module]:
        """Build the network of these weights."""
        state = _ours(state_dict)
        arguments = ufpnet_variant.deduce_arguments(state)
        published = ufpnet_variant.published_name(arguments)
        tags = [*([published] if published else []), f"{arguments['width']}w", f"{arguments['kernel_size']}ks"]
        return _descriptor(self, state, tags, ModelTiling.SUPPORTED)


def _ours(state: StateDict) -> StateDict:
    return dict(under_our_names(bare_names(state), "the checkpoint"))


def _has_estimators(state: StateDict) -> bool:
    return atd_variant.MARK in state and any(name.startswith("fkes.") for name in state)


def _descriptor(
    architecture: Architecture[nn.Module], state: StateDict, tags: list[str], tiling: ModelTiling
) -> ImageModelDescriptor[nn.Module]:
    network = network_of_weights(state)
    scale, channels = int(getattr(network, "upscale", 1)), int(getattr(network, "in_chans", 3))
    return ImageModelDescriptor(
        network,
        state,
        architecture=architecture,
        purpose="Restoration" if scale == 1 else "SR",
        tags=tags,
        # The spectra are of float32, and what they are multiplied with as well.
        supports_half=False,
        supports_bfloat16=False,
        scale=scale,
        input_channels=channels,
        output_channels=channels,
        # No requirements as to size: the networks themselves continue an image as they were trained to.
        tiling=tiling,
    )
