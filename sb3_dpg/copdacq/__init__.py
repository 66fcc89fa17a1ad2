from sb3_dpg.copdacq.copdacq import COPDACQ

__all__ = ["COPDACQ"]
