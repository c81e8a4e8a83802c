"""What the option files differ in: a template and the values in it for each, by the file's path below ``options/``."""

from typing import Any

Values = dict[str, Any]

# --- data sets --------------------------------------------------------------------------------------------------------

# What `datasets_prep` is told, what the sets are called, and where they lie.
GOPRO: Values = {
    "data": ["python -m datasets_prep gopro --root GOPRO_Large --out datasets/GoPro"],
    "sets": ("GoPro-train", "GoPro-test", "GoPro/train", "GoPro/test"),
    "protocol": "gopro",
    "tested_on": "the GoPro test set (1,111 images)",
}
OWN: Values = {
    "data": ["python -m datasets_prep pairs --blurred DIR --sharp DIR --val 20 --out datasets/mine"],
    "sets": ("mine-train", "mine-val", "mine/train", "mine/val"),
}
HIDE: Values = {
    "data": ["python -m datasets_prep hide --root HIDE_dataset --out datasets/HIDE"],
    "sets": (None, "HIDE-test", None, "HIDE/test"),
    "protocol": "hide",
    "tested_on": "the HIDE test set (2,025 images)",
}
REDS: Values = {
    "data": ["python -m datasets_prep reds --root REDS --out datasets/REDS"],
    "sets": ("REDS-train", "REDS-val-300", "REDS/train", "REDS/val300"),
    "protocol": "reds",
    "tested_on": "REDS-val-300 (300 images of the JPEG track's validation clips)",
}
DPDD: Values = {
    "data": ["python -m datasets_prep dpdd --root dd_dp_dataset_png --out datasets/DPDD --crop 0   (whole images)"],
    "sets": ("DPDD-train", "DPDD-val", "DPDD/train", "DPDD/val"),
    "protocol": "dpdd",
    "tested_on": "the DPDD test set (76 images, one image each instead of two views)",
    "bit_depth": 8,
}


def realblur(half: str) -> Values:
    """Return the values of RealBlur-J or RealBlur-R."""
    folder = f"RealBlur/RealBlur_{half}"
    return {
        "data": [
            "python -m datasets_prep realblur --root DIR --out datasets/RealBlur    (DIR has the folders and lists)"
        ],
        "sets": (f"RealBlur-{half}-train", f"RealBlur-{half}-test", f"{folder}/train", f"{folder}/test"),
        "protocol": "realblur",
        "tested_on": f"the RealBlur-{half} test set (980 images)",
    }


PSNR_SSIM_3D = [
    ("psnr", "calculate_psnr, crop_border: 0", ""),
    ("ssim", "calculate_ssim_3d, crop_border: 0", ""),
]
PSNR_SSIM = [("psnr", "calculate_psnr, crop_border: 0", ""), ("ssim", "calculate_ssim, crop_border: 0", "")]
ALIGNED = [
    ("psnr", "calculate_psnr, crop_border: 0", "  # unaligned"),
    ("ssim", "calculate_ssim, crop_border: 0", ""),
    ("psnr_aligned", "calculate_psnr_aligned", "  # about 2.5 s an image"),
    ("ssim_aligned", "calculate_ssim_aligned", ""),
]
OF_FLOATS = [
    ("psnr", "calculate_psnr_float", ""),
    ("ssim", "calculate_ssim_uniform", ""),
    ("mae", "calculate_mae", ""),
]

# --- what most files share --------------------------------------------------------------------------------------------

COMMON: Values = {
    "scale": 1,
    "bit_depth": None,
    "metrics": PSNR_SSIM_3D,
    "metrics_note": "",
    "metrics_after": [],
    "data_type": "DeblurPairDataset",
    "ablation": False,
    "train_size": None,
    "smallest_size": None,
    "fke_window": None,
    "variant": None,
}
TURNS = "augment: true  # flips and quarter turns"
BATCH_NOTE = "batch_size is the total of all GPUs and must divide by their number"
SMALLER_BATCH = "A smaller batch is another recipe: scale the learning rate with it, and the iterations against it."
TRAINING: Values = {
    **COMMON,
    "command": "train",
    "stock": "torchrun basicsr/train.py",
    "note": "",
    "train_set_note": "",
    "augment": TURNS,
    "zero_pad": False,
    "batch_note": [f"{BATCH_NOTE}."],
    "stage_note": [],
    "stages_before": [],
    "start": None,
    "start_note": "weights to start from",
    "ignores_flow": False,
    "lr": "1e-3",
    "weight_decay": "!!float 1e-3",
    "warmup_iter": -1,
    "schedule_note": [],
    "clip_grad_norm": 0.01,
    "ema_decay": None,
    "amp_note": "the paper trains in float32",
    "channels_last_note": "",
    "val_note": [],
    "print_freq": 200,
    "save_checkpoint_freq": 5000,
}
TESTING: Values = {
    **COMMON,
    "command": "test",
    "stock": "python basicsr/test.py",
    "changes": "the two dataroot lines and pretrain_network_g",
    "results": "Restored images",
    "published": {},
    "published_note": "What the paper reports, for the report.",
    "averaged": False,
    "tile_overlap": 128,
    "metrics": [
        PSNR_SSIM_3D[0],
        (*PSNR_SSIM_3D[1][:2], "  # the 3-D one of this field, not the 2-D calculate_ssim"),
    ],
}


def pairs_of(values: Values, phase: str) -> Values:
    """Return where the pairs of a deblurring data set lie."""
    train, test, train_folder, test_folder = values["sets"]
    found: Values = {
        "held_out": [(phase, test, f"datasets/{test_folder}/sharp.lmdb", f"datasets/{test_folder}/blur.lmdb")]
    }
    if train:
        found |= {
            "train_set": train,
            "train_gt": f"datasets/{train_folder}/sharp.lmdb",
            "train_lq": f"datasets/{train_folder}/blur.lmdb",
        }
    return found


# --- DeepRFTv2 --------------------------------------------------------------------------------------------------------

NAF, NAF_AND_EVS = "[NAF, NAF, NAF]", "[NAF, NAFEVS, NAFEVS]"
S: Values = {
    "network": "DeepRFTv2",
    "dim": 48,
    "units": 2,
    "scales": 2,
    "blocks": "[1, 4, 8]",
    "full_kinds": NAF,
    "fke_blocks": "[1, 1, 1, 1]",
    "fke_kind": "VS",
}
B: Values = {**S, "full_kinds": NAF_AND_EVS}
PARAMETERS = {"S": "21,191,096 parameters", "B": "30,117,560 parameters"}


def deblurring(heading: list[str], data: Values, network: Values, stages: list[Any], **more: Any) -> tuple[str, Values]:
    """Return a training of DeepRFTv2; ``stages`` are (iterations, patch size, batch size, comment)."""
    values = {
        **TRAINING,
        "model_type": "DeblurModel",
        "manual_seed": 100,
        "changes": "the four dataroot lines; the batch sizes, if the GPUs run out of memory",
        "heading": heading,
        "stages": stages,
        "total_iter": sum(stage[0] for stage in stages),
        "channels_last_note": "activations are always channels_last; this lays the weights out alike",
        "tile_overlap": 128,
        **data,
        **pairs_of(data, "val"),
        **network,
        **more,
    }
    return "deblurring_training", values


PAPER_STAGES = [(450000, 256, 16, ""), (150000, 512, 8, "")]
OF_RECIPE = "with the recipe of the paper"


def batches_of(theirs: str) -> list[str]:
    """Return what to know about batch sizes."""
    return [f"{BATCH_NOTE}; the paper's was {theirs}.", SMALLER_BATCH]


def deblurring_on_realblur(half: str, reported: str) -> tuple[str, Values]:
    """Return the training of DeepRFTv2-B on a half of RealBlur."""
    return deblurring(
        [f"DeepRFTv2-B trained on RealBlur-{half} {OF_RECIPE} ({PARAMETERS['B']}).", f"The paper reports {reported}."],
        realblur(half),
        B,
        [(50000, 512, 16, ""), (100000, "[776, 680]", 8, "  # height and width: the whole image")],
        augment="augment: flips  # no quarter turns, since the last patches are no squares",
        zero_pad=True,
        batch_note=batches_of("2, then 1, on each of 8"),
        smallest_size="[776, 680]",
        metrics=PSNR_SSIM,
        metrics_after=[
            "calculate_psnr_aligned and calculate_ssim_aligned, the paper's, take 2.5 s an image: they are in "
            "options/test."
        ],
    )


REALBLUR_REPORTED = {
    "J": "34.46 dB / 0.945 aligned, 31.10 / 0.933 unaligned (Table 2)",
    "R": "41.39 dB / 0.977 aligned, 38.26 / 0.971 unaligned (Table 2)",
}
DEBLURRING_TRAININGS = {
    "DeepRFTv2_GoPro": deblurring(
        [
            f"DeepRFTv2-B trained on GoPro {OF_RECIPE} ({PARAMETERS['B']}, 120.3 GMACs at 256x256).",
            "The paper reports 34.52 dB / 0.971 on GoPro, 32.22 dB / 0.953 on HIDE.",
        ],
        GOPRO,
        B,
        PAPER_STAGES,
        batch_note=batches_of("2, then 1, on each of 8"),
        tile_overlap=48,
    ),
    "DeepRFTv2_S_GoPro": deblurring(
        [
            f"DeepRFTv2-S trained on GoPro {OF_RECIPE} ({PARAMETERS['S']}, 75.3 GMACs at 256x256).",
            "The paper reports 34.10 dB on GoPro after 200,000 iterations of 256x256 (Table 6, row 14).",
        ],
        GOPRO,
        S,
        PAPER_STAGES,
        batch_note=batches_of("2, then 1, on each of 8"),
        tile_overlap=48,
    ),
    "DeepRFTv2_RealBlur_J": deblurring_on_realblur("J", REALBLUR_REPORTED["J"]),
    "DeepRFTv2_RealBlur_R": deblurring_on_realblur("R", REALBLUR_REPORTED["R"]),
    "DeepRFTv2_REDS": deblurring(
        [
            f"DeepRFTv2-B trained on REDS (the JPEG track) {OF_RECIPE} ({PARAMETERS['B']}).",
            "The paper reports 29.42 dB / 0.872 on REDS-val-300 (Table 3).",
        ],
        REDS,
        B,
        [(600000, 512, 8, "")],
        batch_note=batches_of("1 on each of 8"),
        train_size=256,
    ),
    "DeepRFTv2_S_DPDD": deblurring(
        [
            f"DeepRFTv2-S trained on DPDD (defocus, one image) {OF_RECIPE} ({PARAMETERS['S']}).",
            "The paper reports 26.54 dB / 0.827, MAE 0.036, LPIPS 0.164 on the 76 test images (Table 4).",
        ],
        DPDD,
        S,
        [(150000, 640, 8, "")],
        batch_note=batches_of("1 on each of 8"),
        train_size=320,
        fke_window=320,
        metrics=OF_FLOATS,
    ),
    "own_pictures": deblurring(
        [
            f"DeepRFTv2-S trained on pictures of your own, with smaller batches ({PARAMETERS['S']}).",
            "path: pretrain_network_g fine-tunes a trained network instead; lower lr to 1e-4 then.",
        ],
        OWN,
        S,
        [(200000, 256, 8, "")],
        batch_note=batches_of("16"),
        tile_overlap=48,
    ),
}

# --- the paper's ablations --------------------------------------------------------------------------------------------

# Table 6 by its rows: blocks of the UNet, blocks of the kernel estimators, architecture, units, width, parameters,
# GMACs at 256x256, PSNR on GoPro, and what it is.
TABLE_6: dict[int, tuple[str, str, str, int, int, str, str, str, str]] = {
    1: (
        *("NAF", "-", "UNet", 1, 56, "6,772,139", "34.93", "33.00"),
        "a one-scale UNet of NAFBlocks, 56 channels wide, without kernel estimators",
    ),
    2: (
        *("NAF", "-", "MIMO", 1, 56, "6,896,521", "36.42", "32.95"),
        "MIMO-UNet of NAFBlocks, 56 channels wide",
    ),
    3: (
        *("NAF", "-", "DMS", 1, 48, "10,390,326", "33.40", "33.32"),
        "one DMS-UNet of NAFBlocks, without kernel estimators",
    ),
    4: (
        *("NAF", "-", "UNet", 1, 48, "4,994,451", "25.81", "32.74"),
        "a one-scale UNet of NAFBlocks, without kernel estimators",
    ),
    5: (
        *("NAF", "Res", "UNet", 1, 48, "5,180,838", "32.32", "33.06"),
        "a one-scale UNet of NAFBlocks with kernel estimators of ResBlocks",
    ),
    6: (
        *("NAF", "NAF", "UNet", 1, 48, "5,085,414", "28.82", "33.10"),
        "a one-scale UNet of NAFBlocks with kernel estimators of NAFBlocks",
    ),
    7: (
        *("NAF", "VS", "UNet", 1, 48, "5,087,750", "28.84", "33.11"),
        "a one-scale UNet of NAFBlocks with kernel estimators of VSBlocks",
    ),
    8: (
        *("NAF", "NAFx2", "UNet", 1, 48, "5,156,262", "30.82", "33.11"),
        "a one-scale UNet of NAFBlocks with kernel estimators of twice the NAFBlocks",
    ),
    9: (
        *("NAF", "VSx2", "UNet", 1, 48, "5,160,934", "30.86", "33.17"),
        "a one-scale UNet of NAFBlocks with kernel estimators of twice the VSBlocks",
    ),
    10: (
        *("NAF", "VS", "DMS", 1, 48, "10,576,924", "37.18", "33.62"),
        "one DMS-UNet of NAFBlocks with kernel estimators of VSBlocks",
    ),
    11: (
        *("NAF", "-", "DMS", 2, 48, "20,789,964", "67.19", "33.66"),
        "two DMS-UNets of NAFBlocks, without kernel estimators",
    ),
    12: (
        *("NAF+VS", "VS", "DMS", 1, 48, "15,040,156", "59.67", "33.84"),
        "one DMS-UNet of NAF and NAFEVS blocks with kernel estimators of VSBlocks",
    ),
    13: (
        *("NAFx2", "VSx2", "DMS", 1, 48, "20,337,308", "70.26", "33.90"),
        "one DMS-UNet with twice the NAFBlocks and twice the VSBlocks in its kernel estimators",
    ),
    14: (
        *("NAF", "VS", "DMS", 2, 48, "21,191,096", "75.33", "34.10"),
        "DeepRFTv2-S, two DMS-UNets of NAFBlocks with kernel estimators of VSBlocks",
    ),
    15: (
        *("NAF+VS", "VS", "DMS", 2, 48, "30,117,560", "120.30", "34.34"),
        "DeepRFTv2-B, two DMS-UNets of NAF and NAFEVS blocks with kernel estimators of VSBlocks",
    ),
}
# Table 7 by what a file is called: the row of Table 6 that it changes, the variant of DeepRFTv2Ablation (None: that row
# itself), parameters, GMACs, PSNR, and what it is.
BETWEEN = "between 32.72 and 32.84"
UNET = "a one-scale UNet of NAFBlocks"
TABLE_7: dict[str, tuple[int, str | None, str, str, str, str]] = {
    "no_fke": (4, None, "4,994,451", "25.81", "32.74", f"{UNET}, without kernel estimators, as in row 4 of Table 6"),
    "full": (
        *(5, None, "5,180,838", "32.32", "33.06"),
        f"{UNET} with kernels estimated from the decoder's features d1, as in row 5 of Table 6",
    ),
    "spatial": (5, "spatial", "5,176,182", "37.73", "32.72", f"{UNET} with kernels estimated in space"),
    "no_activation": (
        *(5, "no_activation", "5,180,838", "32.30", "32.74"),
        f"{UNET} with kernels estimated in Fourier space without an activation",
    ),
    "from_blurred": (
        *(5, "from_blurred", "5,178,678", "32.17", BETWEEN),
        f"{UNET} with kernels estimated from the blurred image",
    ),
    "from_restored": (
        *(5, "from_restored", "5,178,678", "32.17", BETWEEN),
        f"{UNET} with kernels estimated from the restored image",
    ),
    "from_e1": (
        *(5, "from_e1", "5,180,838", "32.32", BETWEEN),
        f"{UNET} with kernels estimated from the encoder's features e1",
    ),
    "added": (
        *(5, "added", "5,180,838", "32.32", "32.90"),
        f"{UNET} with kernels that are added instead of multiplied",
    ),
    "with_skip": (
        *(14, None, "21,191,096", "75.33", "34.10"),
        "DeepRFTv2-S, whose kernel estimators have skip links, as in row 14 of Table 6",
    ),
    "without_skip": (
        *(14, "without_skip", "21,163,160", "74.75", "34.04"),
        "DeepRFTv2-S without the skip links between its kernel estimators",
    ),
}


def network_of_row(row: int) -> Values:
    """Return the network of a row of Table 6."""
    blocks, fke, architecture, units, dim, *_ = TABLE_6[row]
    return {
        "network": "MIMOUNet" if architecture == "MIMO" else "DeepRFTv2",
        "dim": dim,
        "units": units,
        "scales": 2 if architecture == "DMS" else 1,
        "blocks": "[2, 8, 16]" if blocks == "NAFx2" else "[1, 4, 8]",
        "full_kinds": NAF_AND_EVS if blocks == "NAF+VS" else NAF,
        "fke_blocks": str([] if fke == "-" else [2 if fke.endswith("x2") else 1] * 4),
        "fke_kind": None if fke == "-" else fke.removesuffix("x2"),
    }


def ablation(
    source: str, row: int, variant: str | None, parameters: str, gmacs: str, psnr: str, what: str
) -> tuple[str, Values]:
    """Return a training of the ablations: one recipe, of networks that differ."""
    return deblurring(
        [
            f"{source}: {what}",
            f"({parameters} parameters, {gmacs} GMACs at 256x256). The paper reports {psnr} dB on GoPro.",
        ],
        GOPRO,
        network_of_row(row),
        [(200000, 256, 16, "")],
        batch_note=batches_of("16"),
        ablation=True,
        variant=variant,
        tile_overlap=48,
    )


ABLATIONS = {
    f"ablation/table6_row{row:02d}": ablation(f"Row {row} of the paper's Table 6", row, None, *values[5:])
    for row, values in TABLE_6.items()
} | {f"ablation/table7_{name}": ablation("From the paper's Table 7", *values) for name, values in TABLE_7.items()}


# --- tests of DeepRFTv2 -----------------------------------------------------------------------------------------------

REPORT = ": PSNR and SSIM of the blurred images, of the network and of the paper."


def deblurring_test(
    heading: list[str], data: Values, network: Values, trained: str, published: Values, **more: Any
) -> tuple[str, Values]:
    """Return a test of DeepRFTv2; ``published`` is by the name of who published and then of the test set."""
    values = {
        **TESTING,
        "model_type": "DeblurModel",
        "manual_seed": 100,
        "heading": heading,
        "trained": trained,
        "reported": REPORT if published else ": PSNR and SSIM of the blurred images and of the network.",
        **data,
        **pairs_of(data, "test"),
        **network,
        **more,
    }
    return "test", values | published_by(published)


def published_by(published: Values) -> Values:
    """Return what a test file says of published figures, from {who: {test set: values}}."""
    if not published:
        return {"published": []}
    ((who, figures),) = published.items()
    return {"published_by": who, "published": list(figures.items())}


def test_on_realblur(half: str, psnr: str, psnr_aligned: str, ssim_aligned: str, ssim: str) -> tuple[str, Values]:
    """Return the test of DeepRFTv2-B on a half of RealBlur."""
    data = realblur(half)
    reported = REALBLUR_REPORTED[half]
    return deblurring_test(
        [f"DeepRFTv2-B on {data['tested_on']}.", f"The paper reports {reported}."],
        data,
        B,
        f"DeepRFTv2_RealBlur_{half}",
        {
            "DeepRFTv2-B (paper, Table 2)": {
                f"RealBlur-{half}-test": f"psnr: {psnr}, psnr_aligned: {psnr_aligned}, ssim_aligned: {ssim_aligned}"
            }
        },
        published_note="What the paper reports, for the report. Its SSIM without alignment, "
        f"{ssim}, names no definition and is left out.",
        reported=": the metrics of the blurred images, of the network and of the paper.",
        smallest_size="[776, 680]",
        metrics=ALIGNED,
    )


DEBLURRING_TESTS = {
    "test/DeepRFTv2_GoPro": deblurring_test(
        [f"DeepRFTv2-B on {GOPRO['tested_on']}.", "The paper reports 34.52 dB / 0.971."],
        GOPRO,
        B,
        "DeepRFTv2_GoPro",
        {"DeepRFTv2-B (paper, Table 1)": {"GoPro-test": "psnr: 34.52, ssim: 0.971"}},
    ),
    "test/DeepRFTv2_HIDE": deblurring_test(
        [
            f"DeepRFTv2-B on {HIDE['tested_on']}.",
            "The paper reports 32.22 dB / 0.953 for the network trained on GoPro.",
        ],
        HIDE,
        B,
        "DeepRFTv2_GoPro",
        {"DeepRFTv2-B (paper, Table 1)": {"HIDE-test": "psnr: 32.22, ssim: 0.953"}},
    ),
    "test/DeepRFTv2_S_GoPro": deblurring_test(
        [
            f"DeepRFTv2-S on {GOPRO['tested_on']}.",
            "The paper reports 34.10 dB after 200k iterations (Table 6, row 14).",
        ],
        GOPRO,
        S,
        "DeepRFTv2_S_GoPro",
        {"DeepRFTv2-S (paper, Table 6, 200,000 iterations)": {"GoPro-test": "psnr: 34.10"}},
    ),
    "test/DeepRFTv2_S_HIDE": deblurring_test(
        [f"DeepRFTv2-S on {HIDE['tested_on']}.", "The paper reports no figure for S here."],
        HIDE,
        S,
        "DeepRFTv2_S_GoPro",
        {},
    ),
    "test/DeepRFTv2_RealBlur_J": test_on_realblur("J", "31.10", "34.46", "0.945", "0.933"),
    "test/DeepRFTv2_RealBlur_R": test_on_realblur("R", "38.26", "41.39", "0.977", "0.971"),
    "test/DeepRFTv2_REDS": deblurring_test(
        [f"DeepRFTv2-B on {REDS['tested_on']}.", "The paper reports 29.42 dB / 0.872 (Table 3)."],
        REDS,
        B,
        "DeepRFTv2_REDS",
        {"DeepRFTv2-B (paper, Table 3)": {"REDS-val-300": "psnr: 29.42, ssim: 0.872"}},
        train_size=256,
    ),
    "test/DeepRFTv2_S_DPDD": deblurring_test(
        [
            f"DeepRFTv2-S on {DPDD['tested_on']}.",
            "The paper reports 26.54 dB / 0.827, MAE 0.036, LPIPS 0.164 (Table 4).",
        ],
        {**DPDD, "sets": (None, "DPDD-test", None, "DPDD/test")},
        S,
        "DeepRFTv2_S_DPDD",
        {
            "DeepRFTv2-S (paper, Table 4)": {
                "DPDD-test": "psnr: 26.54, ssim: 0.827, mae: 0.036, lpips: 0.164",
                "DPDD-test indoor": "psnr: 29.50, ssim: 0.890, mae: 0.023, lpips: 0.134",
                "DPDD-test outdoor": "psnr: 23.73, ssim: 0.766, mae: 0.048, lpips: 0.192",
            }
        },
        reported=": the metrics of the blurred images and of the network. The paper's figures are of results that are "
        "not rounded to 8 bits, which python -m deeprftv2_arch evaluate measures.",
        train_size=320,
        fke_window=320,
        metrics=[*OF_FLOATS, ("lpips", "calculate_lpips", "  # needs the package lpips and its weights")],
    ),
    "test/ablation_GoPro": deblurring_test(
        [
            "The full estimator of the paper's Table 7 on the GoPro test set (1,111 images); the paper reports "
            "33.06 dB. Every other row of Tables 6 and 7 is measured by its own file in options/ablation/, as it is, "
            "once it has been trained: python -m deeprftv2_arch test -opt options/ablation/table6_row02.yml. Several "
            "rows make one table, in the tiles of this file: python -m deeprftv2_arch evaluate -opt "
            "options/ablation/table6_row*.yml --protocol gopro --tile 512 128"
        ],
        GOPRO,
        network_of_row(5),
        "ablation_table7_full",
        {"full estimator (paper, Table 7, 200,000 iterations)": {"GoPro-test": "psnr: 33.06"}},
        ablation=True,
    ),
}

# --- UFPNet -----------------------------------------------------------------------------------------------------------

FLOW_FILE = "experiments/UFPNet_flow/models/net_g_latest.pth"
UFPNET_DEFAULTS: Values = {
    "manual_seed": 10,
    "channels_last_note": "memory layout of the weights",
    "amp_note": "the published training is in float32",
}


def ufpnet(heading: list[str], data: Values, iterations: int, batch: int = 64, **more: Any) -> tuple[str, Values]:
    """Return a training of the third stage of UFPNet."""
    values = {
        **TRAINING,
        **UFPNET_DEFAULTS,
        "model_type": "UFPNetModel",
        "network": "UFPNet",
        "changes": "the four dataroot lines; the two files of the stages before; the batch size, if the GPUs run out "
        "of memory",
        "heading": heading,
        "stages": [(iterations, 256, batch, "")],
        "total_iter": iterations,
        "stage_note": [
            "Of the stages before: the kernel estimator (UFPNet_kernel.yml) and the flow prior of kernels "
            "(UFPNet_flow.yml). They",
            "are frozen, and saved with the network.",
        ],
        "stages_before": [
            ("pretrain_network_kernel", "experiments/UFPNet_kernel/models/net_g_latest.pth", ""),
            ("pretrain_network_flow", FLOW_FILE, ""),
        ],
        "start_note": "weights of a whole network to start from, in place of those two",
        "reblurs": True,
        **data,
        **pairs_of(data, "val"),
        **more,
    }
    return "ufpnet_training", values


def ufpnet_on_realblur(half: str, reported: str) -> tuple[str, Values]:
    """Return the training of UFPNet on a half of RealBlur."""
    return ufpnet(
        [
            f"Stage 3 of UFPNet: deblurring with estimated kernels, trained on RealBlur-{half} (79,300,373 parameters, "
            "of which 73,486,045 are trained here). The kernel estimator is the one that was trained on GoPro, as "
            "published.",
            f"Its paper reports {reported}, aligned.",
        ],
        realblur(half),
        400000,
        lr="1e-4",
        reblurs=False,
        schedule_note=[
            "The published file had T_max: 400000 with total_iter: 1600000, and a cosine that rises again after T_max. "
            "Here the",
            "training ends with the cosine.",
        ],
    )


def ufpnet_test(heading: list[str], data: Values, trained: str, published: Values, **more: Any) -> tuple[str, Values]:
    """Return a test of a network that deblurs with estimated kernels."""
    values = {
        **TESTING,
        **UFPNET_DEFAULTS,
        "model_type": "UFPNetModel",
        "network": "UFPNet",
        "heading": heading,
        "trained": trained,
        "published_note": "What the paper of UFPNet reports, for the report.",
        "reported": ": the metrics of the blurred images, of the network and of its paper."
        if published
        else ": the metrics of the blurred images and of the network.",
        **data,
        **pairs_of(data, "test"),
        **more,
    }
    return "test", values | published_by({"UFPNet (paper)": published} if published else {})


def ufpnet_test_on_realblur(half: str, reported: str, values: str) -> tuple[str, Values]:
    """Return the test of UFPNet on a half of RealBlur."""
    data = realblur(half)
    return ufpnet_test(
        [f"UFPNet on {data['tested_on']}.", f"Its paper reports {reported} for the network that was trained on GoPro."],
        data,
        f"UFPNet_RealBlur_{half}",
        {f"RealBlur-{half}-test": values},
        published_note="What the paper of UFPNet reports, for the report. The PSNR without alignment is from Table 2 "
        "of DeepRFTv2's paper; its SSIM there names no definition and is left out.",
        metrics=ALIGNED,
    )


UFPNET = {
    "UFPNet_flow": (
        "ufpnet_flow_training",
        {**TRAINING, "model_type": "KernelFlowModel", "stock": "python basicsr/train.py", "scale": None}
        | {"manual_seed": 10},
    ),
    "UFPNet_kernel": (
        "ufpnet_kernel_training",
        {
            **ufpnet([], GOPRO, 480000, 16)[1],
            "model_type": "KernelEstimationModel",
            "network": "UncertainKernelEstimator",
            "heading": [
                "Stage 2 of UFPNet: the kernel estimator (5,619,858 parameters) learns the blur kernel of every pixel "
                "without being told any: blurred with the kernels, the sharp image must give the blurred one. The flow "
                "prior of stage 1 decodes its codes. Of this training only the 480,000 iterations are published, and "
                "that its estimator served GoPro and both RealBlur sets; batches, optimiser and schedule are this "
                "project's choice.",
                "The paper reports 45.92 dB / 0.996 for GoPro's images blurred again, 41.63 dB / 0.989 for an older "
                "method.",
            ],
            "changes": "the four dataroot lines; the file of the flow prior; the batch size, if the GPUs run out of "
            "memory",
            "lr": "1e-4",
            "clip_grad_norm": 1.0,
            "amp_note": "kernels are decoded in float32 all the same",
            "stage_note": [],
            "stages_before": [("pretrain_network_flow", FLOW_FILE, "  # of stage 1; stays as it is")],
            "start_note": "weights to start from",
            "ignores_flow": True,
            "val_note": [
                "Measures the sharp images, blurred with the kernels of the mean codes, against the blurred ones. An "
                "image of 1280x720",
                "takes about 5.3 GB of memory.",
            ],
        },
    ),
    "UFPNet_GoPro": ufpnet(
        [
            "Stage 3 of UFPNet: deblurring with estimated kernels, trained on GoPro (79,300,373 parameters, of which "
            "73,486,045 are trained here and the kernel estimator and the flow prior are not).",
            "Its paper reports 34.06 dB / 0.968 on GoPro, 31.74 dB / 0.947 on HIDE.",
        ],
        GOPRO,
        800000,
    ),
    "UFPNet_RealBlur_J": ufpnet_on_realblur("J", "33.35 dB / 0.934"),
    "UFPNet_RealBlur_R": ufpnet_on_realblur("R", "40.61 dB / 0.974"),
    "UFPNet_UNet_GoPro": ufpnet(
        [
            "The kernel estimator of UFPNet as a plug-in: a plain U-Net, one scale of one unit of DeepRFTv2 without "
            "Fourier Kernel Estimators, whose encoder attends to the estimated kernels (14,687,237 parameters, "
            "8,872,909 of them trained here). Nothing is published for it; with the estimator, UFPNet's paper reports "
            "32.83 instead of 32.45 dB for MIMO-UNet and 33.04 instead of 32.66 dB for MPRNet on GoPro. Iterations and "
            "batches are those of DeepRFTv2's ablation."
        ],
        GOPRO,
        200000,
        16,
        network="KernelGuidedUNet",
    ),
    "test/UFPNet_kernel": (
        "test",
        {
            **ufpnet_test([], GOPRO, "UFPNet_kernel", {"GoPro-test": "psnr: 45.92, ssim: 0.996"})[1],
            "model_type": "KernelEstimationModel",
            "network": "UncertainKernelEstimator",
            "protocol": None,
            "heading": [
                "Stage 2 of UFPNet on the GoPro test set (1,111 images): the sharp images, blurred again with the "
                "kernels that the estimator finds in the blurred ones, against these. The report has the sharp images "
                "as they are as its baseline.",
                "The paper reports 45.92 dB / 0.996, with codes of kernels that are drawn; here the mean codes are "
                "taken.",
            ],
            "changes": "the two dataroot lines and the two files of weights",
            "results": "Images that are blurred again",
            "reported": ".",
        },
    ),
    "test/UFPNet_GoPro": ufpnet_test(
        [f"UFPNet on {GOPRO['tested_on']}.", "Its paper reports 34.06 dB / 0.968."],
        GOPRO,
        "UFPNet_GoPro",
        {"GoPro-test": "psnr: 34.06, ssim: 0.968"},
    ),
    "test/UFPNet_HIDE": ufpnet_test(
        [f"UFPNet on {HIDE['tested_on']}.", "Its paper reports 31.74 dB / 0.947 for the network trained on GoPro."],
        HIDE,
        "UFPNet_GoPro",
        {"HIDE-test": "psnr: 31.74, ssim: 0.947"},
    ),
    "test/UFPNet_RealBlur_J": ufpnet_test_on_realblur(
        "J", "33.35 dB / 0.934 aligned, and 29.87 dB / 0.884", "psnr: 30.82, psnr_aligned: 33.35, ssim_aligned: 0.934"
    ),
    "test/UFPNet_RealBlur_R": ufpnet_test_on_realblur(
        "R", "40.61 dB / 0.974 aligned, and 36.25 dB / 0.953", "psnr: 38.14, psnr_aligned: 40.61, ssim_aligned: 0.974"
    ),
    "test/UFPNet_UNet_GoPro": ufpnet_test(
        [
            "A plain U-Net that attends to estimated kernels, on the GoPro test set (1,111 images). Nothing is "
            "published for it."
        ],
        GOPRO,
        "UFPNet_UNet_GoPro",
        {},
        network="KernelGuidedUNet",
    ),
}

# --- super-resolution -------------------------------------------------------------------------------------------------

BENCHMARKS = ("Set5", "Set14", "B100", "Urban100", "Manga109")
# The paper's Table 5 (PSNR and SSIM on the benchmarks) by whether there are kernel estimators and by scale, and the
# number of parameters.
TABLE_5: dict[tuple[bool, int], tuple[str, str]] = {
    (False, 2): ("753,204", "38.28/0.9616 34.11/0.9217 32.39/0.9023 33.27/0.9376 39.51/0.9789"),
    (False, 3): ("759,699", "34.70/0.9300 30.68/0.8485 29.32/0.8109 29.16/0.8710 34.60/0.9505"),
    (False, 4): ("768,792", "32.62/0.8997 28.87/0.7884 27.77/0.7439 26.97/0.8107 31.47/0.9198"),
    (True, 2): ("1,163,108", "38.27/0.9618 34.26/0.9229 32.41/0.9030 33.55/0.9405 39.63/0.9793"),
    (True, 3): ("1,169,603", "34.71/0.9298 30.73/0.8497 29.35/0.8120 29.36/0.8753 34.69/0.9513"),
    (True, 4): ("1,178,696", "32.62/0.8991 28.93/0.7902 27.80/0.7451 27.12/0.8163 31.54/0.9210"),
}
SR_SETS = "python -m datasets_prep sr-benchmarks --root DIR --out datasets/SR      (DIR has Set5, Set14, ...)"


def super_resolution(fke: bool, scale: int, phase: str) -> Values:
    """Return what training and test of ATD-light share."""
    title = f"ATD-light{'+FKE' if fke else ''}"
    figures = [tuple(pair.split("/")) for pair in TABLE_5[fke, scale][1].split()]
    return {
        "model_type": "SuperResolutionModel",
        "network": "ATD",
        "data_type": "SuperResolutionPairDataset",
        "scale": scale,
        "fke": fke,
        "title": title,
        "figures": figures,
        "manual_seed": 0,
        "held_out": [
            (f"{phase}_{n}", name, f"datasets/SR/{name}/HRx{scale}.lmdb", f"datasets/SR/{name}/LRx{scale}.lmdb")
            for n, name in enumerate(BENCHMARKS, 1)
        ],
        "metrics": [
            (name, f"calculate_{name}, crop_border: {scale}, test_y_channel: true", "") for name in ("psnr", "ssim")
        ],
        "metrics_note": "  # on the luma, without a border of `scale` pixels",
    }


def super_resolution_training(fke: bool, scale: int) -> tuple[str, Values]:
    """Return a training of ATD-light: 500,000 iterations for x2, and half of it from there for the others."""
    shared = super_resolution(fke, scale, "val")
    name, first = f"ATDlight_{'FKE_' if fke else ''}SRx", scale == 2
    figures = [" / ".join(shared["figures"][BENCHMARKS.index(data)]) for data in ("Set5", "Urban100")]
    iterations = 500000 if first else 250000
    high = 64 * scale
    values = {
        **TRAINING,
        **shared,
        "heading": [
            f"{shared['title']} at x{scale}, trained with ATD-light's own recipe"
            f"{' and clipped gradients' if fke else ''} ({TABLE_5[fke, scale][0]} parameters).",
            f"The paper reports {figures[0]} on Set5 and {figures[1]} on Urban100 (Table 5).",
        ],
        "data": [
            "python -m datasets_prep df2k --root DIR --out datasets/DF2K             (DIR has DIV2K and Flickr2K)",
            SR_SETS,
        ],
        "note": ""
        if first
        else "As in that recipe, the training starts from the weights of x2, all but the upsampler, and is half as "
        f"long. Train those first (options/{name}2.yml), or name a file of yours in pretrain_network_g.",
        "changes": "the dataroot lines; the batch size, if the GPUs run out of memory",
        "train_set": "DF2K",
        "train_set_note": "  # ATD-light itself was trained on DIV2K alone",
        "train_gt": "datasets/DF2K/train/HR.lmdb",
        "train_lq": f"datasets/DF2K/train/LRx{scale}.lmdb",
        "batch_note": [
            f"patch_size is that of the low resolution: {high}x{high} pixels of the high one. batch_size is the total "
            "of all GPUs",
            "and must divide by their number. A smaller batch is another recipe: scale the learning rate with it, and "
            "the",
            "iterations against it.",
        ],
        "stages": [(iterations, 64, 32, "")],
        "total_iter": iterations,
        "warmup_iter": f"{20000 if first else 10000}  # the learning rate rises linearly from 0",
        "lr": "5e-4" if first else "2e-4",
        "weight_decay": 0,
        "milestones": "[250000, 400000, 450000, 475000, 490000]" if first else "[150000, 200000, 225000, 240000]",
        "start": None if first else f"experiments/{name}2/models/net_g_latest.pth",
        "clip_grad_norm": 0.01 if fke else "~  # the largest norm of the gradient; ~ leaves it as it is",
        "ema_decay": 0.999,
        "print_freq": 100,
        "save_checkpoint_freq": 10000,
    }
    return "super_resolution_training", values


def super_resolution_test(fke: bool, scale: int) -> tuple[str, Values]:
    """Return a test of ATD-light on the five benchmarks."""
    shared = super_resolution(fke, scale, "test")
    published = {
        name: f"psnr: {psnr}, ssim: {ssim}" for name, (psnr, ssim) in zip(BENCHMARKS, shared["figures"], strict=True)
    }
    values = {
        **TESTING,
        **shared,
        "heading": [f"{shared['title']} at x{scale} on Set5, Set14, B100, Urban100 and Manga109."],
        "data": [SR_SETS],
        "protocol": "sr",
        "changes": "the dataroot lines and pretrain_network_g",
        "results": "Enlarged images",
        "reported": ": PSNR and SSIM of bicubic enlargement, of the network and of the paper.",
        "published_note": "What the paper reports (Table 5), for the report.",
        "trained": f"ATDlight_{'FKE_' if fke else ''}SRx{scale}",
        "averaged": True,
    }
    return "test", values | published_by({f"{shared['title']} (paper)": published})


SUPER_RESOLUTION = {
    f"{folder}ATDlight_{'FKE_' if fke else ''}SRx{scale}": make(fke, scale)
    for folder, make in (("", super_resolution_training), ("test/", super_resolution_test))
    for fke, scale in TABLE_5
}

# --- quickstarts ------------------------------------------------------------------------------------------------------

OF_QUICKSTART: Values = {
    **TRAINING,
    "stock": "python basicsr/train.py",
    "manual_seed": 0,
    "gt": "sharp",
    "lq": "blur",
    "metrics": PSNR_SSIM,
    "betas": "[0.9, 0.9]",
    "eta_min": "1e-7",
    "print_freq": 5,
    "rarely": 100000,  # iterations between validations and checkpoints: more than there are
}
QUICKSTARTS: dict[str, Values] = {
    "quickstart": {
        "model_type": "DeblurModel",
        "total_iter": 400,
        "patch_size": 64,
        "batch_size": 8,
        "lr": "3e-3",
        "rarely": 10000,
    },
    "quickstart_sr": {
        "model_type": "SuperResolutionModel",
        "data_type": "SuperResolutionPairDataset",
        "scale": 2,
        "gt": "HR",
        "lq": "LR",
        "total_iter": 700,
        "patch_size": 32,
        "batch_size": 4,
        "lr": "3e-3",
        "rarely": 10000,
        "weight_decay": 0,
        **{key: super_resolution(True, 2, "val")[key] for key in ("metrics", "metrics_note")},
    },
    "quickstart_ufpnet_flow": {
        "model_type": "KernelFlowModel",
        "scale": None,
        "total_iter": 2500,
        "optimiser": "Adam",
        "lr": "3e-3",
        "eta_min": "1e-6",
        "print_freq": 20,
    },
    "quickstart_ufpnet_kernel": {
        "model_type": "KernelEstimationModel",
        "total_iter": 1200,
        "patch_size": 32,
        "batch_size": 8,
        "augmented": "false  # flipped kernels would lie where the prior has none",
        "optimiser": "Muon",
        "warmup_iter": 50,
        "lr": "4e-3",
        "eta_min": "1e-6",
        "metrics": PSNR_SSIM[:1],
        "stages_before": [
            (
                "pretrain_network_flow",
                "experiments/quickstart_ufpnet_flow/models/net_g_latest.pth",
                "  # of stage 1; stays as it is",
            )
        ],
        "ignores_flow": True,
    },
    "quickstart_ufpnet": {
        "model_type": "UFPNetModel",
        "total_iter": 300,
        "patch_size": 64,
        "batch_size": 4,
        "lr": "2e-3",
        "stage_note": [
            "Of the stages before: the kernel estimator and the flow prior of kernels. They are frozen, and saved with "
            "the network."
        ],
        "stages_before": [
            ("pretrain_network_kernel", "experiments/quickstart_ufpnet_kernel/models/net_g_latest.pth", ""),
            ("pretrain_network_flow", "experiments/quickstart_ufpnet_flow/models/net_g_latest.pth", ""),
        ],
        "start_note": "weights of a whole network to start from, in place of those two",
    },
}


# --- DeepRFTv2-T ------------------------------------------------------------------------------------------------------

OF_PHOTOGRAPHS: Values = {
    **TRAINING,
    "stock": "python basicsr/train.py",
    "model_type": "DeblurModel",
    "manual_seed": 0,
    "metrics": PSNR_SSIM,
}
PHOTOGRAPHS: dict[str, Values] = {
    "DeepRFTv2_T_photos": {
        "heading": "DeepRFTv2-T, a small network for hand-held photographs (docs/deeprftv2_t.md).",
        "note": "It learns from sharp photographs alone, which are blurred while it asks for them, first by short "
        "paths of the camera and then by longer ones. The Charbonnier loss, with a knee at 0.03, learns short paths "
        "much sooner than the mean squared error, and long ones no later; Muon learns in about two thirds of AdamW's "
        "steps. The learning rate is held for 12,000 iterations and then falls for 17,500. Each takes 0.4 to 0.5 s on "
        "one core, so three and a half hours; to stop sooner or later, change hold and, with it, total_iter and the "
        "last stage, and resume from any state before the fall.",
        "paths": "[2.5, 26]",
        "curriculum": "{longest: 9, pairs: 14286}",
        "stages": [(25700, 64, 8), (3800, 96, 4)],
        "start": None,
        "warmup_iter": 50,
        "hold": 12000,
        "t_max": 17500,
        "losses": {"charbonnier": "CharbonnierLoss, loss_weight: 1.0, eps: !!float 1e-3, reduction: mean"},
        "val_freq": 5000,
        "save_checkpoint_freq": 1000,
    },
}


def _named(recipe: str, template: str, values: Values) -> tuple[str, Values]:
    """Return a recipe with the name of its run: the file's, with the folder before it."""
    return template, {**values, "name": recipe.replace("/", "_")}


# By the path of the option file below options/, without .yml: a template, and the values in it.
RECIPES: dict[str, tuple[str, Values]] = {
    recipe: _named(recipe, template, values)
    for recipe, (template, values) in {
        **DEBLURRING_TRAININGS,
        **UFPNET,
        **SUPER_RESOLUTION,
        **{name: (name, OF_QUICKSTART | values) for name, values in QUICKSTARTS.items()},
        **{name: ("photographs_training", OF_PHOTOGRAPHS | values) for name, values in PHOTOGRAPHS.items()},
        **DEBLURRING_TESTS,
        **ABLATIONS,
    }.items()
}
