"""Wrong changes to the action noise."""

from tests.mutation.check import Mutation

PROCESSES = "sb3_dpg/common/noise/processes.py"
SCALED = "sb3_dpg/common/noise/scaled.py"
TESTS = ("tests/common/test_noise.py", "tests/common/test_callbacks.py")

NOISE = [
    Mutation(name, file, old, new, TESTS)
    for name, file, old, new in (
        ("Gaussian: mean left out", PROCESSES, "self.mean + self.sigma * self._stream()", "self.sigma * self._stream()"),
        ("OU: mean left out", PROCESSES, "(self.mean + self._deviation).astype", "self._deviation.astype"),
        ("OU: Euler step in place of the exact one", PROCESSES, "np.exp(-self.theta * self.dt)", "1.0 - self.theta * self.dt"),
        (
            "OU: variance of a step without the 2",
            PROCESSES,
            "np.expm1(-2.0 * self.theta * self.dt)",
            "np.expm1(-self.theta * self.dt)",
        ),
        (
            "OU: stationary law without the 2",
            PROCESSES,
            "self.sigma / np.sqrt(2.0 * self.theta)",
            "self.sigma / np.sqrt(self.theta)",
        ),
        ("OU: correlation time without dt", PROCESSES, "1.0 / (self.theta * self.dt)", "1.0 / self.theta"),
        (
            "autoregressive form: sigma taken for the diffusion",
            PROCESSES,
            "np.sqrt(2.0 * theta / -np.expm1(-2.0 * theta))",
            "np.ones_like(theta)",
        ),
        ("stationary form: sqrt(theta)", PROCESSES, "np.sqrt(2.0 * rate)", "np.sqrt(rate)"),
        (
            "theta = 1 - lambda",
            PROCESSES,
            '-np.log(_constant_in("lambda", lambda_, 1.0))',
            '1.0 - _constant_in("lambda", lambda_, 1.0)',
        ),
        ("the end of one episode resets all", PROCESSES, "slice(None) if indices is None else list(indices)", "slice(None)"),
        (
            "an episode begins at the mean, not at zero",
            PROCESSES,
            "rows[self._starting] = -self.mean",
            "rows[self._starting] = 0.0",
        ),
        (
            "stationary start: standard deviation 1",
            PROCESSES,
            "self.std * self._stream().standard_normal((",
            "self._stream().standard_normal((",
        ),
        ("deep copies share the stream", PROCESSES, "parent._seeds.spawn(1)[0]", "parent._seeds"),
        ("schedules are not followed", PROCESSES, "if not self._constant:", "if self._constant:"),
        (
            "another number of environments forgets the state",
            PROCESSES,
            "deviation[:kept] = self._deviation.reshape(self.n_envs, self.action_dim)[:kept]",
            "pass",
        ),
        ("no stream is continued", PROCESSES, "self._seeds, self._generator = other._seeds, other._generator", "pass"),
        ("scale is not followed", SCALED, "self.scale = self._scale(progress_remaining)", "self.scale = self._scale(1.0)"),
        ("draws are not scaled", SCALED, "(self.scale * draw).astype", "np.asarray(draw).astype"),
        ("law of SB3's OU without its Euler step", SCALED, "(2.0 - noise._theta * noise._dt)", "2.0"),
        (
            "the end of one episode resets all copies",
            SCALED,
            "self.noises if indices is None else [self.noises[index] for index in indices]:",
            "self.noises:",
        ),
        ("the environments' generators are alike", SCALED, "self._made(self._seeds.spawn(1)[0])", "self._made(self._seeds)"),
    )
]
