"""``python -m quickstart``: learns to deblur."""

from quickstart.deblurring import Deblurring
from quickstart.steps import main

if __name__ == "__main__":
    main(Deblurring())
