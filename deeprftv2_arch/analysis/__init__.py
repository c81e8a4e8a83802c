"""Looking at kernels: what shows them in blurred images, and what the estimators make of them.

Every analysis is a function that returns arrays, and a command of ``python -m deeprftv2_arch analyze`` that draws them.
"""
