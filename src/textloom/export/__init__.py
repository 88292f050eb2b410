"""Export of trained models: a portable folder, or one ONNX file."""
