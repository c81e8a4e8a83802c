"""The networks of this package for spandrel, the loader on which other programs for images are built."""

from deeprftv2_arch.errors import OptionError


def install() -> None:
    """Let spandrel's loader open checkpoints of this package, as it does those of its own networks.

    >>> from spandrel import ModelLoader
    >>> from deeprftv2_arch.spandrel_support import install
    >>> install()
    >>> model = ModelLoader().load_from_file("net_g_latest.pth")
    >>> model.architecture.name, model.purpose, model.scale
    ('DeepRFTv2', 'Restoration', 1)

    Once is enough, and more often does no harm. What spandrel opened before, an ATD without estimators for example, it
    opens as before.

    Raises:
        OptionError: spandrel is not installed.
    """
    try:
        import spandrel
    except ImportError as error:
        raise OptionError(f"spandrel is needed ({error}): pip install 'deeprftv2_arch[spandrel]'") from error
    # Only now, since its classes are spandrel's.
    from deeprftv2_arch.networks.cards import CARDS
    from deeprftv2_arch.spandrel_support.architectures import CardArchitecture

    # Theirs would take an ATD for one without estimators, and a UFPNet under the authors' names for a NAFNet.
    theirs = tuple(support.architecture.id for support in spandrel.MAIN_REGISTRY)
    for card in CARDS:
        if card.spandrel_id is None:
            continue
        support = spandrel.ArchSupport.from_architecture(CardArchitecture(card), before=theirs)
        spandrel.MAIN_REGISTRY.add(support, ignore_duplicates=True)
