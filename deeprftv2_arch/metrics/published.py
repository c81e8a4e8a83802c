"""What papers report on the test sets of the protocols, to stand beside what is measured here."""

from collections.abc import Iterator
from typing import Any

Figures = dict[str, float]

# By protocol: whose figures they are, and for every test set the PSNR and the SSIM of the protocol, as far as reported.
_DEBLURRING: dict[str, dict[str, dict[str, Figures]]] = {
    "gopro": {
        "MIMO-UNet+ (paper)": {"GoPro-test": {"psnr": 32.45, "ssim": 0.957}},
        "MPRNet (paper)": {"GoPro-test": {"psnr": 32.66, "ssim": 0.959}},
        "Restormer (paper)": {"GoPro-test": {"psnr": 32.92, "ssim": 0.961}},
        "Uformer-B (paper)": {"GoPro-test": {"psnr": 32.97, "ssim": 0.967}},
        "Stripformer (paper)": {"GoPro-test": {"psnr": 33.08, "ssim": 0.962}},
        "NAFNet-64 (paper)": {"GoPro-test": {"psnr": 33.69, "ssim": 0.967}},
        "UFPNet (paper)": {"GoPro-test": {"psnr": 34.06, "ssim": 0.968}},
        "FFTformer (paper)": {"GoPro-test": {"psnr": 34.21, "ssim": 0.969}},
        "DeepRFTv2-S (paper, Table 6, 200,000 iterations)": {"GoPro-test": {"psnr": 34.10}},
        "DeepRFTv2-B (paper, Table 1)": {"GoPro-test": {"psnr": 34.52, "ssim": 0.971}},
    },
    "hide": {
        "MPRNet (paper)": {"HIDE-test": {"psnr": 30.96, "ssim": 0.939}},
        "Restormer (paper)": {"HIDE-test": {"psnr": 31.22, "ssim": 0.942}},
        "UFPNet (paper)": {"HIDE-test": {"psnr": 31.74, "ssim": 0.947}},
        "DeepRFTv2-B (paper, Table 1)": {"HIDE-test": {"psnr": 32.22, "ssim": 0.953}},
    },
    "realblur": {
        "UFPNet (paper)": {
            "RealBlur-R-test": {"psnr": 38.14, "psnr_aligned": 40.61, "ssim_aligned": 0.974},
            "RealBlur-J-test": {"psnr": 30.82, "psnr_aligned": 33.35, "ssim_aligned": 0.934},
        },
        "DeepRFTv2-B (paper, Table 2)": {
            "RealBlur-R-test": {"psnr": 38.26, "psnr_aligned": 41.39, "ssim_aligned": 0.977},
            "RealBlur-J-test": {"psnr": 31.10, "psnr_aligned": 34.46, "ssim_aligned": 0.945},
        },
    },
    "reds": {"DeepRFTv2-B (paper, Table 3)": {"REDS-val-300": {"psnr": 29.42, "ssim": 0.872}}},
    "dpdd": {
        "DeepRFTv2-S (paper, Table 4)": {
            "DPDD-test": {"psnr": 26.54, "ssim": 0.827, "mae": 0.036, "lpips": 0.164},
            "DPDD-test indoor": {"psnr": 29.50, "ssim": 0.890, "mae": 0.023, "lpips": 0.134},
            "DPDD-test outdoor": {"psnr": 23.73, "ssim": 0.766, "mae": 0.048, "lpips": 0.192},
        }
    },
}
_SETS = ("Set5", "Set14", "B100", "Urban100", "Manga109")
# By scale: PSNR/SSIM on the luma of these sets.
_SUPER_RESOLUTION = {
    2: {
        "bicubic (literature)": "33.66/0.9299 30.24/0.8688 29.56/0.8431 26.88/0.8403 30.80/0.9339",
        "SwinIR-light (paper)": "38.14/0.9611 33.86/0.9206 32.31/0.9012 32.76/0.9340 39.12/0.9783",
        "ATD-light (paper)": "38.28/0.9616 34.11/0.9217 32.39/0.9023 33.27/0.9376 39.51/0.9789",
        "ATD-light+FKE (paper)": "38.27/0.9618 34.26/0.9229 32.41/0.9030 33.55/0.9405 39.63/0.9793",
        "SwinIR (paper)": "38.42/0.9623 34.46/0.9250 32.53/0.9041 33.81/0.9427 39.92/0.9797",
    },
    3: {
        "bicubic (literature)": "30.39/0.8682 27.55/0.7742 27.21/0.7385 24.46/0.7349 26.95/0.8556",
        "SwinIR-light (paper)": "34.62/0.9289 30.54/0.8463 29.20/0.8082 28.66/0.8624 33.98/0.9478",
        "ATD-light (paper)": "34.70/0.9300 30.68/0.8485 29.32/0.8109 29.16/0.8710 34.60/0.9505",
        "ATD-light+FKE (paper)": "34.71/0.9298 30.73/0.8497 29.35/0.8120 29.36/0.8753 34.69/0.9513",
        "SwinIR (paper)": "34.97/0.9318 30.93/0.8534 29.46/0.8145 29.75/0.8826 35.12/0.9537",
    },
    4: {
        "bicubic (literature)": "28.42/0.8104 26.00/0.7027 25.96/0.6675 23.14/0.6577 24.89/0.7866",
        "SwinIR-light (paper)": "32.44/0.8976 28.77/0.7858 27.69/0.7406 26.47/0.7980 30.92/0.9151",
        "ATD-light (paper)": "32.62/0.8997 28.87/0.7884 27.77/0.7439 26.97/0.8107 31.47/0.9198",
        "ATD-light+FKE (paper)": "32.62/0.8991 28.93/0.7902 27.80/0.7451 27.12/0.8163 31.54/0.9210",
        "SwinIR (paper)": "32.92/0.9044 29.09/0.7950 27.92/0.7489 27.45/0.8254 32.03/0.9260",
    },
}


def published_rows(protocol: str, scale: int) -> Iterator[dict[str, Any]]:
    """Yield what papers report, each as an option file's ``published``: ``name``, and figures by test set.

    Args:
        protocol: Name of the protocol.
        scale: By which images are enlarged.
    """
    if protocol != "sr":
        for name, found in _DEBLURRING.get(protocol, {}).items():
            yield {"name": name, **found}
        return
    for name, line in _SUPER_RESOLUTION.get(scale, {}).items():
        pairs = (map(float, pair.split("/")) for pair in line.split())
        sets = {data: dict(zip(("psnr", "ssim"), pair, strict=True)) for data, pair in zip(_SETS, pairs, strict=True)}
        yield {"name": name, **sets}
