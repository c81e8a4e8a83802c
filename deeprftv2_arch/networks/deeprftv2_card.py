"""The cards of DeepRFTv2 and of its ablations: their weights, the authors' names of them, and their estimators."""

import re
from typing import Any

from torch import Tensor, nn

from deeprftv2_arch.errors import CheckpointError
from deeprftv2_arch.networks.card import AuthorsLayout, NetworkCard, State, count_entries
from deeprftv2_arch.networks.deeprftv2 import DeepRFTv2

BASE = {
    "dim": 48,
    "units": 2,
    "scales": 2,
    "blocks": [1, 4, 8],
    "full_kinds": ["NAF", "NAFEVS", "NAFEVS"],
    "half_kinds": ["NAF", "NAF", "NAF"],
    "fke_blocks": [1, 1, 1, 1],
    "fke_kind": "VS",
}
PUBLISHED = {"DeepRFTv2-B": BASE, "DeepRFTv2-S": {**BASE, "full_kinds": ["NAF", "NAF", "NAF"]}}

# The reference's names and ours, applied one after the other. {i}: unit, {l}: level of a column, {k}: block.
RENAMES = (
    # places in the network
    (r"^global_model\.", ""),
    (r"^patch_embed_(max|mid)s\.(\d+)\.proj\.", r"\1.\2.embed."),
    (r"^patch_embed_(max|mid)s2\.(\d+)\.", r"\1.\2.merge."),
    (r"^subnets_(max|mid)\.(\d+)\.", r"\1.\2.encoder."),
    (r"^subdenets_(max|mid)\.(\d+)\.", r"\1.\2.decoder."),
    (r"^output_(max|mid)s\.(\d+)\.", r"\1.\2.decoded_head."),
    (r"^kernel_estimator\.(\d+)\.", r"max.\1.fke."),
    (r"^mid_kernel_estimator\.(\d+)\.", r"mid.\1.fke."),
    (r"\.fke\.end_feature1\.0\.", r".deblurred_head."),
    (r"^max\.(\d+)\.", r"units.\1.full_scale."),
    (r"^mid\.(\d+)\.", r"units.\1.half_scale."),
    (r"^down_max1\.(\d+)\.body\.0\.", r"units.\1.full_to_half.0."),
    (r"^down_max2\.(\d+)\.body\.0\.", r"units.\1.full_to_half.1."),
    (r"^down_max3\.(\d+)\.body\.0\.", r"units.\1.full_to_half.2."),
    (r"^down_mid2max\.(\d+)\.body\.0\.", r"units.\1.half_to_latent."),
    (r"^fusd_max_2\.(\d+)\.", r"units.\1.fuse_latent."),
    # Fourier Kernel Estimator
    (r"\.feature_extract\.intro_inp\.0\.", r".to_kernel."),
    (r"\.feature_extract\.intro_deconv\.0\.", r".to_blurred."),
    (r"\.intro\.ending\.0\.", r".stem."),
    (r"\.subnets_ker\.", r".sub_resnet."),
    (r"\.end_ker1\.norm\.", r".norm."),
    (r"\.end_ker1\.ending\.0\.", r".kernel_head."),
    (r"\.deblur_feature1\.0\.", r".merge."),
    # columns
    (r"\.alpha(\d+)$", r".alphas.\1"),
    (r"\.level(\d+)\.", r".levels.\1."),
    (r"sub_resnet\.levels\.(\d+)\.fusion\.down\.0\.", r"sub_resnet.levels.\1.fuse."),
    (r"\.fusion\.down\.0\.body\.0\.", r".before."),
    (r"\.fusion\.concat_conv\.0\.", r".fuse."),
    (r"\.fusion\.up\.0\.body\.0\.", r".after.0."),
    # blocks
    (r"(blocks\.\d+)\.norm1\.", r"\1.norm."),
    (r"(blocks\.\d+)\.norm2\.", r"\1.ffn_norm."),
    (r"(blocks\.\d+)\.norm_mamba\.", r"\1.scan_norm."),
    (r"(blocks\.\d+)\.conv1\.", r"\1.expand."),
    (r"(blocks\.\d+)\.conv2\.", r"\1.depthwise."),
    (r"(blocks\.\d+)\.sca\.1\.", r"\1.channel_attention.1."),
    (r"(blocks\.\d+)\.conv3\.", r"\1.project."),
    (r"(blocks\.\d+)\.conv4\.", r"\1.ffn_expand."),
    (r"(blocks\.\d+)\.conv5\.", r"\1.ffn_project."),
    (r"(blocks\.\d+)\.lamb_l$", r"\1.lambda_local"),
    (r"(blocks\.\d+)\.lamb_g$", r"\1.lambda_scan"),
    (r"(blocks\.\d+)\.attn\.", r"\1.scan."),
    (r"\.scan\.conv2d\.", r".scan.depthwise."),
    (r"\.scan\.dt_projs_(weight|bias)$", r".scan.dt_proj_\1"),
    (r"\.scan\.A_logs$", r".scan.A_log"),
    (r"\.scan\.Ds$", r".scan.D"),
)


def translate(key: str, tensor: Tensor) -> dict[str, Tensor]:
    """Put a tensor of the reference under our name; its values stay.

    The linear layers around the scan are 1x1 convolutions here, and the first of them is two.
    """
    for pattern, replacement in RENAMES:
        key = re.sub(pattern, replacement, key)
    if key.endswith(".scan.in_proj.weight") and tensor.dim() == 2 and tensor.shape[0] % 2 == 0:
        layer = key.removesuffix("in_proj.weight")
        scanned, gate = tensor[:, :, None, None].chunk(2)
        return {f"{layer}scan_proj.weight": scanned.clone(), f"{layer}gate_proj.weight": gate.clone()}
    if key.endswith(".scan.out_proj.weight") and tensor.dim() == 2:
        tensor = tensor[:, :, None, None]
    return {key: tensor}


class DeepRFTv2FamilyCard(NetworkCard):
    """What DeepRFTv2 and its ablations share; the ablations' weights are not recognised."""

    continuation = "zeros"

    def estimator_label(self, name: str) -> str:
        """Return ``unit1_full`` for ``units.0.full_scale.fke``."""
        _, unit, scale, _ = name.split(".")
        return f"unit{int(unit) + 1}_{scale.removesuffix('_scale')}"

    def estimator_halvings(self, name: str) -> int:
        """Return 1 for the half scale."""
        return int(".half_scale." in name)

    def export_hindrance(self, network: nn.Module) -> str | None:
        """Refuse a smallest size."""
        if not isinstance(network, DeepRFTv2) or network.smallest_size == (0, 0):
            return None
        return "smallest_size (small images take another path): leave it out, and pad them where the export runs"


class DeepRFTv2Card(DeepRFTv2FamilyCard):
    """See :class:`deeprftv2_arch.networks.deeprftv2.DeepRFTv2`."""

    mark = "units.0.full_scale.embed.weight"
    layout = AuthorsLayout("deeprftv2", "global_model.patch_embed_maxs.0.proj.weight", translate)
    published = PUBLISHED
    unpublished = "DeepRFTv2"
    spandrel_id = "DeepRFTv2"
    spandrel_tags = (("dim", "dim"), ("units", "units"))

    def arguments_of(self, state: State) -> dict[str, Any]:
        """Deduce all but ``memory`` and what only eval mode or local pooling needs."""
        embed = state["units.0.full_scale.embed.weight"]
        if embed.dim() != 4:
            raise CheckpointError(
                f"these are not the tensors of a DeepRFTv2: '{self.mark}' has {embed.dim()} dimensions"
            )
        full = _levels(state, "units.0.full_scale.encoder")
        half = _levels(state, "units.0.half_scale.encoder")
        fke = _levels(state, "units.0.full_scale.fke.sub_resnet")
        arguments = {
            "dim": embed.shape[0],
            "units": count_entries(state, "units"),
            "scales": 2 if half else 1,
            "blocks": [count for _, count in full],
            "full_kinds": [kind for kind, _ in full],
            "half_kinds": [kind for kind, _ in half] or ["NAF"] * len(full),
            "fke_blocks": [count for _, count in fke],
        }
        return {**arguments, "fke_kind": fke[0][0]} if fke else arguments


def _levels(state: State, column: str) -> list[tuple[str, int]]:
    """Return kind and number of the blocks of every level of a column; nothing if there is no such column."""
    return [
        (_kind(state, f"{column}.levels.{level}.blocks.0."), count_entries(state, f"{column}.levels.{level}.blocks"))
        for level in range(count_entries(state, f"{column}.levels"))
    ]


def _kind(state: State, block: str) -> str:
    has_gate, has_scan = f"{block}expand.weight" in state, f"{block}scan.scan_proj.weight" in state
    if has_gate:
        return "NAFEVS" if has_scan else "NAF"
    return "VS" if has_scan else "Res"
