"""Everything that this package adds to BasicSR's registries, in one place; added when this module is imported."""

from typing import Any

from basicsr.utils.registry import ARCH_REGISTRY, DATASET_REGISTRY, LOSS_REGISTRY, METRIC_REGISTRY, MODEL_REGISTRY

from deeprftv2_arch.checkpoints.building import NetworkOfCheckpoint
from deeprftv2_arch.data.image_pair_dataset import DeblurPairDataset, SuperResolutionPairDataset
from deeprftv2_arch.data.motion_kernel_dataset import MotionKernelDataset
from deeprftv2_arch.data.synthetic_blur_dataset import SyntheticBlurDataset
from deeprftv2_arch.losses.frequency_loss import FrequencyLoss
from deeprftv2_arch.losses.kernel_loss import LeastSquaresKernelLoss
from deeprftv2_arch.losses.psnr_loss import PSNRLoss
from deeprftv2_arch.metrics.aligned import calculate_psnr_aligned, calculate_ssim_aligned
from deeprftv2_arch.metrics.lpips_distance import calculate_lpips
from deeprftv2_arch.metrics.pixel_errors import calculate_mae, calculate_psnr_float
from deeprftv2_arch.metrics.ssim import calculate_ssim_3d, calculate_ssim_uniform
from deeprftv2_arch.models.deblur_model import DeblurModel
from deeprftv2_arch.models.kernel_estimation_model import KernelEstimationModel
from deeprftv2_arch.models.kernel_flow_model import KernelFlowModel
from deeprftv2_arch.models.super_resolution_model import SuperResolutionModel
from deeprftv2_arch.models.ufpnet_model import UFPNetModel
from deeprftv2_arch.networks.cards import CARDS

REGISTERED: dict[Any, tuple[Any, ...]] = {
    ARCH_REGISTRY: (*(card.network for card in CARDS), NetworkOfCheckpoint),
    DATASET_REGISTRY: (DeblurPairDataset, MotionKernelDataset, SuperResolutionPairDataset, SyntheticBlurDataset),
    LOSS_REGISTRY: (FrequencyLoss, LeastSquaresKernelLoss, PSNRLoss),
    METRIC_REGISTRY: (
        calculate_lpips,
        calculate_mae,
        calculate_psnr_aligned,
        calculate_psnr_float,
        calculate_ssim_3d,
        calculate_ssim_aligned,
        calculate_ssim_uniform,
    ),
    MODEL_REGISTRY: (DeblurModel, KernelEstimationModel, KernelFlowModel, SuperResolutionModel, UFPNetModel),
}


def register_all() -> None:
    """Register every network, data set, loss, metric and model; names that are there already are left as they are."""
    for registry, objects in REGISTERED.items():
        for obj in objects:
            if obj.__name__ not in registry:
                registry.register(obj)


register_all()
