"""The quickstart: a small DeepRFTv2 learns to deblur photographs on this computer's CPU, in a few minutes.

Run it with ``make quickstart`` or ``python -m quickstart`` from the checkout's folder.
"""
