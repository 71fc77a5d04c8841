"""ProS-GAN (CVPR 2021): prototype codes, the generator guided by them, and the ablations."""
