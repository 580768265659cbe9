"""What a build is measured by: parity with torch, calibration, figures."""
