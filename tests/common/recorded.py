"""Small trainings whose logs are kept."""

from stable_baselines3.common.logger import KVWriter, Logger


def settings(**changes):
    """New dictionaries each time: SB3 writes into those it is given."""
    small = dict(learning_starts=20, batch_size=4, buffer_size=1000, device="cpu", policy_kwargs=dict(net_arch=[4]), seed=0)
    return small | changes


class MemoryWriter(KVWriter):
    """Keeps all that is logged: (step, values)."""

    def __init__(self):
        self.records = []

    def write(self, key_values, key_excluded, step=0):
        self.records.append((step, dict(key_values)))

    def close(self):
        pass

    def values(self, key):
        return {step: values[key] for step, values in self.records if key in values}

    def last(self, key):
        return list(self.values(key).values())[-1]


def remember_logs(model) -> MemoryWriter:
    writer = MemoryWriter()
    model.set_logger(Logger(folder=None, output_formats=[writer]))
    return writer
