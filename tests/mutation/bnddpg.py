"""Wrong changes to BNDDPG: its losses and targets, which statistics normalise, and which pass may move them."""

from tests.mutation.check import Mutation

ALGORITHM = "sb3_dpg/bnddpg/bnddpg.py"
STEPS = "sb3_dpg/common/updates.py"
NORM = "sb3_dpg/common/batch_norm.py"
TESTS = (
    *(f"tests/bnddpg/test_{name}.py" for name in ("statistics", "updates", "equivalence", "oracles", "training")),
    "tests/common/test_batch_norm.py",
)

BNDDPG = [
    Mutation(name, file, old, new, TESTS)
    for name, file, old, new in (
        ("targets bootstrap past terminal states", ALGORITHM, "(1 - data.dones) * discounts", "discounts"),
        (
            "n-step returns discounted like one step",
            ALGORITHM,
            "self.gamma if data.discounts is None else data.discounts",
            "self.gamma",
        ),
        ("actor descends", ALGORITHM, "return -self.critic.q1_forward", "return self.critic.q1_forward"),
        ("largest target critic", ALGORITHM, ".amin(dim=1", ".amax(dim=1"),
        ("joint: the loss from the half of the next pairs", ALGORITHM, "q[: len(targets)]", "q[-len(targets) :]"),
        (
            "joint: targets from the half of the current pairs",
            ALGORITHM,
            "next_q[-len(data.rewards) :]",
            "next_q[: len(data.rewards)]",
        ),
        ("joint does not join", ALGORITHM, 'if self.batch_norm_mode == "joint":', "if False:"),
        (
            "joint and target-batch normalise targets by running statistics",
            ALGORITHM,
            'in ("joint", "target-batch"):',
            "in ():",
        ),
        ("target-batch is joint's alone", ALGORITHM, 'in ("joint", "target-batch"):', 'in ("joint",):'),
        (
            "running normalises targets by the batch",
            ALGORITHM,
            'in ("joint", "target-batch"):',
            'in ("joint", "target-batch", "running"):',
        ),
        ("the actor's pass moves the critic's statistics", ALGORITHM, "with self._critic_norm.from_running():", "if True:"),
        (
            "the actor's loss normalises the critic by its batch",
            ALGORITHM,
            "with self._critic_norm.from_running():",
            "with self._critic_norm.from_batch():",
        ),
        ("the critic's loss moves shared statistics", ALGORITHM, "with self._shared_norm.from_batch():", "if True:"),
        (
            "statistics of the target actor are never copied",
            ALGORITHM,
            "self._actor_target_norm.copy_from(self._actor_norm)",
            "pass",
        ),
        (
            "statistics of the target critic are never copied",
            ALGORITHM,
            "self._critic_target_norm.copy_from(self._critic_norm)",
            "pass",
        ),
        ("hard updates of the targets", ALGORITHM, "self._target_parameters, self.tau)", "self._target_parameters, 1.0)"),
        ("targets are never updated", ALGORITHM, "                self.update_targets()\n", ""),
        ("policy_delay ignored", ALGORITHM, "self._n_updates % self.policy_delay == 0", "True"),
        ("smoothing noise left out", ALGORITHM, "if self.target_policy_noise > 0:", "if False:"),
        ("smoothing noise not clipped", ALGORITHM, "noise.clamp(-self.target_noise_clip, self.target_noise_clip)", "noise"),
        ("smoothed actions leave their range", ALGORITHM, ".clamp(-1, 1)", ""),
        (
            "one learning rate for both",
            ALGORITHM,
            "update_learning_rate(self.actor.optimizer, actor_rate)",
            "update_learning_rate(self.actor.optimizer, critic_rate)",
        ),
        (
            "a shared extractor's target moves twice",
            ALGORITHM,
            "*self.critic_target.own_parameters()]",
            "*self.critic_target.parameters()]",
        ),
        ("polyak: tau and 1 - tau swapped", STEPS, "parameters, tau)", "parameters, 1.0 - tau)"),
        ("parameters that are constant for a loss stay so", STEPS, "parameter.requires_grad = True", "pass"),
        ("frozen parameters go on by their last gradient", STEPS, "    optimizer.zero_grad()\n", ""),
        ("gradients are not clipped", STEPS, "if gradient_clip is not None:", "if False:"),
        ("join: next batch first", STEPS, "th.cat([first, second])", "th.cat([second, first])"),
        (
            "target networks have the online networks' statistics in every mode",
            ALGORITHM,
            'if self.batch_norm_mode in ("running", "none"):',
            "if True:",
        ),
        (
            "an extractor's target statistics are never copied without batch norm",
            ALGORITHM,
            'if self.batch_norm_mode in ("running", "none"):',
            'if self.batch_norm_mode == "running":',
        ),
        (
            "target networks have no running statistics of their own",
            ALGORITHM,
            "with self._actor_target_norm.in_training(), self._critic_target_norm.in_training():",
            "with self._actor_target_norm.from_batch(), self._critic_target_norm.from_batch():",
        ),
        ("from_running moves the statistics", NORM, "self._changed(training=False)", "self._changed(training=True)"),
        ("from_batch moves the statistics", NORM, "training=True, momentum=0.0", "training=True"),
        ("settings of the layers are not put back", NORM, "layer.update(values)", "pass"),
        ("running statistics weigh the old batches", NORM, "self.momentum,\n", "1.0 - self.momentum,\n"),
        ("nothing is copied", NORM, "th._foreach_copy_(self.buffers, source.buffers)", "pass"),
    )
]
