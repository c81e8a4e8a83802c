"""``python -m quickstart``: learns to deblur."""

from quickstart.command import main
from quickstart.deblurring import Deblurring

if __name__ == "__main__":
    main(Deblurring())
