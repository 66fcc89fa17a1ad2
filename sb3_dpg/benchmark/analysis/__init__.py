"""What results say: scores, intervals and tests by rliable, stability, thresholds."""
