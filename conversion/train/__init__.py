"""Teaching: the teacher, the distillation, the calibration."""
