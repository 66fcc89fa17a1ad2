"""Wrong changes to COPDACQ: its update, its linearised functions, what it takes from the replay buffer."""

from tests.mutation.check import Mutation

UPDATES = "sb3_dpg/copdacq/updates.py"
LINEARISATION = "sb3_dpg/copdacq/linearisation.py"
ALGORITHM = "sb3_dpg/copdacq/copdacq.py"
BUFFERS = "sb3_dpg/copdacq/buffers.py"
ARRAYS = "sb3_dpg/copdacq/arrays.py"
TESTS = tuple(f"tests/copdacq/test_{name}.py" for name in ("updates", "arrays", "copdacq"))

COPDACQ = [
    Mutation(name, file, old, new, TESTS)
    for name, file, old, new in (
        (
            "TD error: the next value is subtracted",
            UPDATES,
            "batch.rewards + batch.discounts * batch.next_value.value - q_value",
            "batch.rewards - batch.discounts * batch.next_value.value - q_value",
        ),
        (
            "TD error: without the advantage",
            UPDATES,
            "q_value = compatible(batch.mu, batch.offset, weights.w) + batch.value.value",
            "q_value = batch.value.value",
        ),
        ("actor descends", UPDATES, "factors.theta / size", "-factors.theta / size"),
        ("vanilla and natural gradient swapped", UPDATES, "if natural:", "if not natural:"),
        ("natural gradient divided by the batch size", UPDATES, "len(mu.value) * w for w", "w for w"),
        ("saturated actions are pushed outwards", UPDATES, "ascent * ~outward", "ascent"),
        ("saturated actions cannot come back", UPDATES, "mu.value * ascent > 0.0", "mu.value * ascent < 0.0"),
        (
            "advantage learns without a - mu(s)",
            UPDATES,
            "batch.mu.vjp(delta * batch.offset)",
            "batch.mu.vjp(0 * batch.offset + delta)",
        ),
        ("advantage learns with the value's rate", UPDATES, "factors.w / size", "factors.v / size"),
        (
            "value: sum in place of mean over the batch",
            UPDATES,
            "batch.value.vjp(delta), factors.v / size",
            "batch.value.vjp(delta), factors.v",
        ),
        ("correction: sign", UPDATES, "-factors.v / size", "factors.v / size"),
        ("correction: without gamma", UPDATES, "vjp(batch.discounts * estimate)", "vjp(estimate)"),
        ("correction: features of s in place of s'", UPDATES, "batch.next_value.vjp(", "batch.value.vjp("),
        ("u follows the TD error, not what is left of it", UPDATES, "residual = delta - estimate", "residual = delta"),
        ("full correction: sign of the part of V", UPDATES, "estimate + batch.value.jvp", "estimate - batch.value.jvp"),
        (
            "NumPy: tiles of two states at once count once",
            LINEARISATION,
            "np.add.at(weight, self.indices, rows)",
            "weight[self.indices] += rows",
        ),
        (
            "PyTorch: tiles of two states at once count once",
            LINEARISATION,
            "weight.index_add_(0, self.indices.flatten(), rows.flatten(0, 1))",
            "weight[self.indices.flatten()] += rows.flatten(0, 1)",
        ),
        ("linear policy is not clipped", LINEARISATION, "function.value.clip(-1.0, 1.0)", "function.value"),
        ("offset is the action itself", ALGORITHM, "data.actions - mu.value", "data.actions"),
        (
            "targets bootstrap past terminal states",
            ALGORITHM,
            "discounts * (1.0 - data.dones)",
            "discounts + 0.0 * data.dones",
        ),
        (
            "n-step returns discounted like one step",
            ALGORITHM,
            "self.gamma if data.discounts is None else data.discounts",
            "self.gamma",
        ),
        ("actor's step size not per active feature", UPDATES, "self.actor / actor_n_active", "self.actor"),
        ("value's step size not per active feature", UPDATES, "self.value / value_n_active", "self.value"),
        (
            "correction's step size per active feature of mu for V too",
            UPDATES,
            "self.correction / value_n_active",
            "self.correction / actor_n_active",
        ),
        (
            "rates of actor and advantage swapped",
            ALGORITHM,
            'STEP_SIZES = ("actor_learning_rate", "advantage_learning_rate"',
            'STEP_SIZES = ("advantage_learning_rate", "actor_learning_rate"',
        ),
        ("gradient_q=True corrects nothing", ALGORITHM, "if self.gradient_q:", 'if self.gradient_q == "full":'),
        ("gradient_q=True is the full correction", ALGORITHM, 'factors, self.gradient_q == "full")', "factors, True)"),
        ("any TD error is accepted", ALGORITHM, "largest <= self.max_td_error", "True"),
        (
            "time-outs are terminal states",
            BUFFERS,
            "self.dones[newest] * (1 - self.timeouts[newest])",
            "self.dones[newest] * 1",
        ),
        ("no exploration", ALGORITHM, "scaled + action_noise()", "scaled + 0 * action_noise()"),
        ("next value is that of the state", ARRAYS, "active[size:]", "active[:size]"),
    )
]
