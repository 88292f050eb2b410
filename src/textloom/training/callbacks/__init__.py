"""Lightning callbacks: checkpoints, curves, samples, progress, averaging."""
