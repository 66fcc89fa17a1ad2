"""What results say: which runs are compared, their scores, time to solve and stability, aggregates by rliable."""
