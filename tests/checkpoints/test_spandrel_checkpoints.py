"""Checkpoints of other projects, which spandrel recognises: as spandrel itself restores with them."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from peer_helpers import esrgan, fftformer, hat, nafnet, swinir
from torch import nn

from deeprftv2_arch import Restorer
from deeprftv2_arch.checkpoints.building import network_of_checkpoint
from deeprftv2_arch.errors import CheckpointError
from deeprftv2_arch.networks.cards import card_of
from deeprftv2_arch.restoring.memory import tiles_that_fit

spandrel = pytest.importorskip("spandrel")


def compact() -> nn.Module:
    from spandrel.architectures.Compact.__arch.SRVGG import SRVGGNetCompact

    network: nn.Module = SRVGGNetCompact(num_feat=8, num_conv=2, upscale=2)
    return network


@pytest.mark.slow
@pytest.mark.parametrize("build", [nafnet, hat, esrgan, compact, swinir])
def test_a_peer_restores_as_with_spandrel(build: Callable[[], nn.Module], tmp_path: Path) -> None:
    torch.manual_seed(0)
    file = tmp_path / "peer.pth"
    torch.save({"params": build().state_dict()}, file)
    network = network_of_checkpoint(file)
    theirs = spandrel.ModelLoader().load_from_file(file)
    image = torch.rand(1, 3, 21, 30)
    expected = theirs(image)
    assert torch.equal(network(image), expected)
    restored = Restorer.from_checkpoint(file, device="cpu")(image[0])
    assert restored.shape == (3, 21 * theirs.scale, 30 * theirs.scale)
    np.testing.assert_allclose(restored.numpy(), expected[0].numpy(), atol=1e-6)


def test_weights_that_nobody_knows(tmp_path: Path) -> None:
    torch.save({"params": {"something": torch.zeros(3)}}, tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match="holds weights of no network of this package"):
        network_of_checkpoint(tmp_path / "x.pth")


def test_networks_of_narrower_licences_are_known_where_their_package_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = []

    def install(ignore_duplicates: bool) -> None:
        installed.append(ignore_duplicates)

    package = SimpleNamespace(install=install)
    monkeypatch.setitem(sys.modules, "spandrel_extra_arches", package)
    monkeypatch.setattr("deeprftv2_arch.checkpoints.peers.find_spec", lambda name: object())
    torch.save({"params": compact().state_dict()}, tmp_path / "x.pth")
    network_of_checkpoint(tmp_path / "x.pth")
    assert installed == [True]


def test_tiles_that_fit_into_the_memory_are_multiples_of_what_a_network_works_on(tmp_path: Path) -> None:
    torch.save({"params": fftformer().state_dict()}, tmp_path / "x.pth")
    network = network_of_checkpoint(tmp_path / "x.pth")
    for side in (80, 96, 200):  # multiples of 32 or not, which a network pads to
        bytes_free = side * side * card_of(network).bytes_per_pixel(network)
        tiles = tiles_that_fit(network, 1000, 1000, bytes_free)
        assert tiles is not None
        assert tiles.size == side // 32 * 32
