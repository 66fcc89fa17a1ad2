"""What runs are executed by: processes of this machine, or a Ray cluster."""
