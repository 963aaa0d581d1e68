"""Speed and memory of wayjax beside two PyTorch contenders."""
