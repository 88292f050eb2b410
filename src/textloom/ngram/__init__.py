"""The n-gram model with modified Kneser-Ney smoothing: counting, fitting and scoring."""
