"""The names in checkpoints of the authors' DeepRFTv2, and ours."""

import re

from torch import Tensor

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
    """A tensor of the reference under our name. Its values are the same.

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
