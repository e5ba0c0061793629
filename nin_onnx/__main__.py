"""`python -m nin_onnx`: the same commands as `nin-onnx`, for a checkout that is not installed and for torchrun."""

from nin_onnx.cli import main

if __name__ == "__main__":
    main()
