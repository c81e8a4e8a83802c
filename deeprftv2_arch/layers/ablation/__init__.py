"""What the paper's ablation of the Fourier Kernel Estimator puts in its place (Table 7)."""
