"""Training: the head and fine-tuning, calibration, suspects."""
