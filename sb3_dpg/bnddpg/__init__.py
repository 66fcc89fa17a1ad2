from sb3_dpg.bnddpg.bnddpg import BNDDPG
from sb3_dpg.bnddpg.policies import BNDDPGPolicy, CnnPolicy, MlpPolicy, MultiInputPolicy

__all__ = ["BNDDPG", "BNDDPGPolicy", "CnnPolicy", "MlpPolicy", "MultiInputPolicy"]
