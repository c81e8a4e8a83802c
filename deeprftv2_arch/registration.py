"""Everything that this package adds to BasicSR's registries, in one place."""

from typing import Any

from basicsr.utils.registry import ARCH_REGISTRY, DATASET_REGISTRY, LOSS_REGISTRY, MODEL_REGISTRY

from deeprftv2_arch.data.deblur_pair_dataset import DeblurPairDataset
from deeprftv2_arch.data.super_resolution_pair_dataset import SuperResolutionPairDataset
from deeprftv2_arch.losses.frequency_loss import FrequencyLoss
from deeprftv2_arch.models.deblur_model import DeblurModel
from deeprftv2_arch.models.super_resolution_model import SuperResolutionModel
from deeprftv2_arch.networks.atd import ATD
from deeprftv2_arch.networks.deeprftv2 import DeepRFTv2

REGISTERED: dict[Any, tuple[Any, ...]] = {
    ARCH_REGISTRY: (ATD, DeepRFTv2),
    DATASET_REGISTRY: (DeblurPairDataset, SuperResolutionPairDataset),
    LOSS_REGISTRY: (FrequencyLoss,),
    MODEL_REGISTRY: (DeblurModel, SuperResolutionModel),
}


def register_all() -> None:
    """Register every network, data set, loss, metric and model; names that are there already are left as they are."""
    for registry, objects in REGISTERED.items():
        for obj in objects:
            if obj.__name__ not in registry:
                registry.register(obj)
