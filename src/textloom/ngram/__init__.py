"""The n-gram model with modified Kneser-Ney smoothing."""
