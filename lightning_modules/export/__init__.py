"""Models as files for other programs: safetensors for torch, ONNX for all else, each with a manifest."""
