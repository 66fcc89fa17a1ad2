"""The update's mathematics: autograd on loss terms, finite differences, and the equations written out."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3.common.torch_layers import FlattenExtractor

from sb3_dpg.common.features import FourierBasis, PolynomialBasis, TileCoding
from sb3_dpg.copdacq.policies import CompatiblePolicy, LinearPolicy, MlpPolicy
from sb3_dpg.copdacq.updates import (
    ActorCriticWeights,
    Increment,
    StepSizes,
    Transitions,
    actor_gradient,
    compatible,
    copdac_q,
    gradient_q_correction,
    td_error,
)

OBSERVATIONS = spaces.Box(-1.0, 1.0, (3,), np.float32)
STEP_SIZES = StepSizes(theta=0.3, w=0.5, v=0.7, u=0.11, u_v=0.13)
GAMMA = 0.9
BATCH = 6

KINDS: dict[str, Callable[[spaces.Box], CompatiblePolicy]] = {
    "tiles": lambda actions: LinearPolicy(OBSERVATIONS, actions, lambda _: 0.0, TileCoding, {"n_bins": 2, "n_tilings": 4}),
    "fourier": lambda actions: LinearPolicy(OBSERVATIONS, actions, lambda _: 0.0, FourierBasis, {"order": 2}),
    "own value features": lambda actions: LinearPolicy(
        OBSERVATIONS, actions, lambda _: 0.0, FlattenExtractor, None, PolynomialBasis, {"degree": 2}
    ),
    "mlp": lambda actions: MlpPolicy(OBSERVATIONS, actions, lambda _: 0.0, net_arch=[5, 4], final_init=None),
}
ALL = [(kind, action_dim) for kind in KINDS for action_dim in (1, 3)]


def make(kind: str, action_dim: int, scale: float = 0.1) -> CompatiblePolicy:
    """A policy with random weights, in double precision; linear ones far from their action bounds at this scale."""
    th.manual_seed(action_dim)
    policy = KINDS[kind](spaces.Box(-1.0, 1.0, (action_dim,), np.float32)).double()
    for part in policy.weights:
        for tensor in part:
            tensor.copy_(scale * th.randn_like(tensor))
    return policy


def make_batch(policy: CompatiblePolicy, action_dim: int) -> tuple[Transitions, dict[str, th.Tensor]]:
    generator = th.Generator().manual_seed(0)
    data = dict(
        s=2.0 * th.rand(BATCH, 3, generator=generator) - 1.0,
        next_s=2.0 * th.rand(BATCH, 3, generator=generator) - 1.0,
        a=(2.0 * th.rand(BATCH, action_dim, generator=generator) - 1.0).double(),
        r=th.randn(BATCH, 1, generator=generator).double(),
        done=th.tensor([[0.0], [1.0]] * (BATCH // 2)).double(),
    )
    data["s"], data["next_s"] = data["s"].double(), data["next_s"].double()
    # SB3 casts observations to float32, which the double-precision weights must not meet
    policy.preprocess = lambda observations: observations  # type: ignore[method-assign]
    with th.no_grad():
        mu, value, next_value = policy.linearise(data["s"], data["next_s"])
        return Transitions(mu, value, next_value, data["a"] - mu.value, data["r"], GAMMA * (1.0 - data["done"])), data


def leaves(weights: ActorCriticWeights) -> list[list[th.Tensor]]:
    return [[tensor for tensor in part] for part in weights]


def differentiable(policy: CompatiblePolicy) -> tuple[Callable[[th.Tensor], th.Tensor], Callable[[th.Tensor], th.Tensor]]:
    """mu and V as plain functions that autograd can differentiate in the policy's own parameters."""
    for part in policy.weights:
        for tensor in part:
            tensor.requires_grad_(True)
    if isinstance(policy, MlpPolicy):
        return policy.actor, policy.value
    assert isinstance(policy, LinearPolicy)
    return (
        lambda s: policy.features_extractor(s) @ policy.theta,
        lambda s: policy.value_features_extractor(s) @ policy.v,
    )


def jacobians(output: th.Tensor, weights: list[th.Tensor]) -> list[list[list[th.Tensor]]]:
    """d output[b, i] / d weights[k], by one backward pass for each output."""
    return [
        [list(th.autograd.grad(output[b, i], weights, retain_graph=True)) for i in range(output.shape[1])]
        for b in range(len(output))
    ]


def contract(rows: list[list[th.Tensor]], coefficients: th.Tensor) -> list[th.Tensor]:
    """J^T coefficients for one state."""
    return [sum(c * row[k] for c, row in zip(coefficients, rows, strict=True)) for k in range(len(rows[0]))]  # type: ignore[misc]


def dot(first: list[th.Tensor], second: list[th.Tensor]) -> th.Tensor:
    return sum((x * y).sum() for x, y in zip(first, second, strict=True))  # type: ignore[return-value]


def mean(vectors: list[list[th.Tensor]]) -> list[th.Tensor]:
    return [sum(parts) / len(vectors) for parts in zip(*vectors, strict=True)]  # type: ignore[arg-type]


def changes(increments: list[Increment], weights: ActorCriticWeights) -> ActorCriticWeights:
    """What the increments do to each of the weights."""
    before = [[tensor.detach().clone() for tensor in part] for part in weights]
    with th.no_grad():
        for increment in increments:
            increment.apply()
    return ActorCriticWeights(
        *(
            [after.detach() - old for after, old in zip(part, olds, strict=True)]
            for part, olds in zip(weights, before, strict=True)
        )
    )


def assert_close(actual: list[th.Tensor], expected: list[th.Tensor]) -> None:
    for x, y in zip(actual, expected, strict=True):
        th.testing.assert_close(x, y.detach(), rtol=1e-6, atol=1e-9)


def expected_step(policy: CompatiblePolicy, data: dict[str, th.Tensor], full: bool) -> tuple[Any, ...]:
    """The equations of the paper with explicit Jacobians, transition by transition; the means of their increments."""
    mu, value = differentiable(policy)
    theta, w, v, u, u_v = leaves(policy.weights)
    output, values, next_values = mu(data["s"]), value(data["s"]), value(data["next_s"])
    deltas, steps = [], []
    j, grad_v, grad_next_v = jacobians(output, theta), jacobians(values, v), jacobians(next_values, v)
    for b in range(BATCH):
        phi = contract(j[b], data["a"][b] - output[b])
        discount = GAMMA * (1.0 - data["done"][b, 0])
        delta = data["r"][b, 0] + discount * next_values[b, 0] - dot(phi, w) - values[b, 0]
        jw = th.stack([dot(row, w) for row in j[b]])
        estimate = dot(phi, u) + (dot(grad_v[b][0], u_v) if full else 0.0)
        deltas.append(delta)
        steps.append(
            (
                contract(j[b], jw),
                [delta * x for x in phi],
                [delta * x for x in grad_v[b][0]],
                [-discount * estimate * x for x in grad_next_v[b][0]],
                [(delta - estimate) * x for x in phi],
                [(delta - estimate) * x for x in grad_v[b][0]],
            )
        )
    return th.stack(deltas), *(mean([step[part] for step in steps]) for part in range(6))


@pytest.mark.parametrize(("kind", "action_dim"), ALL)
@pytest.mark.parametrize("gradient_q", [False, True, "full"])
def test_update_is_the_papers_with_explicit_jacobians(kind: str, action_dim: int, gradient_q: bool | str) -> None:
    policy = make(kind, action_dim)
    batch, data = make_batch(policy, action_dim)
    full = gradient_q == "full"
    expected_delta, d_theta, d_w, d_v, correction, d_u, d_u_v = expected_step(policy, data, full)
    with th.no_grad():
        delta = td_error(batch, policy.weights)
        increments = copdac_q(batch, delta, policy.weights, STEP_SIZES, natural=False)
        if gradient_q:
            increments += gradient_q_correction(batch, delta, policy.weights, STEP_SIZES, full)
    th.testing.assert_close(delta.flatten(), expected_delta.detach())
    change = changes(increments, policy.weights)
    assert_close(change.theta, [STEP_SIZES.theta * x for x in d_theta])
    assert_close(change.w, [STEP_SIZES.w * x for x in d_w])
    if not gradient_q:
        correction = [th.zeros_like(x) for x in correction]
    assert_close(change.v, [STEP_SIZES.v * (x + y) for x, y in zip(d_v, correction, strict=True)])
    assert_close(change.u, [STEP_SIZES.u * x * bool(gradient_q) for x in d_u])
    assert_close(change.u_v, [STEP_SIZES.u_v * x * full for x in d_u_v])


@pytest.mark.parametrize(("kind", "action_dim"), ALL)
def test_critic_descends_the_squared_td_error_with_a_fixed_target(kind: str, action_dim: int) -> None:
    policy = make(kind, action_dim)
    batch, data = make_batch(policy, action_dim)
    mu, value = differentiable(policy)
    theta, w, v, _, _ = leaves(policy.weights)
    jw = th.stack([th.stack([dot(row, w) for row in rows]) for rows in _differentiable_jacobians(mu(data["s"]), theta)])
    q_values = ((data["a"] - mu(data["s"]).detach()) * jw).sum(1, keepdim=True) + value(data["s"])
    targets = data["r"] + batch.discounts * value(data["next_s"]).detach()
    loss = 0.5 * (targets - q_values).square().mean()
    gradients = th.autograd.grad(loss, [*w, *v])
    with th.no_grad():
        change = changes(copdac_q(batch, td_error(batch, policy.weights), policy.weights, STEP_SIZES, False), policy.weights)
    assert_close([*change.w], [-STEP_SIZES.w * x for x in gradients[: len(w)]])
    assert_close([*change.v], [-STEP_SIZES.v * x for x in gradients[len(w) :]])


def _differentiable_jacobians(output: th.Tensor, weights: list[th.Tensor]) -> list[list[list[th.Tensor]]]:
    return [[[x.detach() for x in row] for row in rows] for rows in jacobians(output, weights)]


@pytest.mark.parametrize(("kind", "action_dim"), ALL)
def test_actor_ascends_the_critics_value_of_its_own_action(kind: str, action_dim: int) -> None:
    policy = make(kind, action_dim)
    batch, data = make_batch(policy, action_dim)
    mu, _ = differentiable(policy)
    theta, w, _, _, _ = leaves(policy.weights)
    output = mu(data["s"])
    # grad_a Q(s, a) = J w, held fixed: the deterministic policy gradient
    jw = th.stack([th.stack([dot(row, w) for row in rows]) for rows in jacobians(output, theta)]).detach()
    gradients = th.autograd.grad((output * jw).sum(1).mean(), theta)
    with th.no_grad():
        gradient = actor_gradient(batch.mu, policy.weights, natural=False)
        change = changes([Increment(policy.weights.theta, gradient, 1.0)], policy.weights)
    assert_close(change.theta, list(gradients))


@pytest.mark.parametrize(("kind", "action_dim"), ALL)
def test_compatible_features_are_finite_differences_of_the_policy(kind: str, action_dim: int) -> None:
    policy = make(kind, action_dim)
    batch, data = make_batch(policy, action_dim)
    weights, epsilon = policy.weights, 1e-6
    with th.no_grad():
        # phi(s, a)^T direction = d/de (a - mu(s))^T mu(s; theta + e direction), for w as a random direction
        offset = batch.offset.clone()
        expected = compatible(batch.mu, offset, weights.w)
        outputs = []
        for sign in (1.0, -1.0):
            for tensor, direction in zip(weights.theta, weights.w, strict=True):
                tensor.add_(direction, alpha=sign * epsilon)
            outputs.append(policy.linearise(data["s"], data["next_s"])[0].value)
            for tensor, direction in zip(weights.theta, weights.w, strict=True):
                tensor.add_(direction, alpha=-sign * epsilon)
        difference = (offset * (outputs[0] - outputs[1])).sum(1, keepdim=True) / (2.0 * epsilon)
    th.testing.assert_close(difference, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("kind", list(KINDS))
def test_natural_gradient_is_w_itself_whatever_the_batch(kind: str) -> None:
    policy = make(kind, 3)
    batch, _ = make_batch(policy, 3)
    w = [tensor.clone() for tensor in policy.weights.w]
    with th.no_grad():
        increments = copdac_q(batch, td_error(batch, policy.weights), policy.weights, STEP_SIZES, natural=True)
        change = changes(increments, policy.weights)
    assert_close(change.theta, [STEP_SIZES.theta * x for x in w])


def test_saturated_actions_are_pushed_inwards_only() -> None:
    policy = make("fourier", 1)
    assert isinstance(policy, LinearPolicy)
    batch, _ = make_batch(policy, 1)
    assert isinstance(batch.mu.value, th.Tensor)
    batch.mu.value.copy_(th.tensor([[1.0], [-1.0], [1.0], [-1.0], [0.9], [-0.9]]))
    gates = []
    for sign in (1.0, -1.0):
        ascent = th.full((BATCH, 1), sign).double()
        batch.mu.jvp = lambda direction, ascent=ascent: ascent  # type: ignore[method-assign, misc]
        batch.mu.vjp = lambda cotangent: cotangent  # type: ignore[method-assign, assignment, return-value]
        gates.append(actor_gradient(batch.mu, policy.weights, natural=False).flatten().tolist())  # type: ignore[attr-defined]
    assert gates[0] == [0.0, 1.0, 0.0, 1.0, 1.0, 1.0]
    assert gates[1] == [-1.0, 0.0, -1.0, 0.0, -1.0, -1.0]


def test_rows_touched_twice_in_a_batch_count_twice() -> None:
    policy = make("tiles", 1)
    observation = th.zeros(2, 3).double()
    policy.preprocess = lambda observations: observations  # type: ignore[method-assign]
    with th.no_grad():
        value = policy.linearise(observation, observation)[1]
        change = changes([Increment(policy.weights.v, value.vjp(th.ones(2, 1).double()), 2.0)], policy.weights)
    (v,) = change.v
    assert sorted(v.flatten().round(decimals=6).unique().tolist()) == [0.0, 2.0]
    assert int((v != 0).sum()) == 4


def test_no_increment_is_applied_before_all_are_computed() -> None:
    """The order in which increments are applied makes no difference."""
    results = []
    for order in (1, -1):
        policy = make("mlp", 2)
        batch, _ = make_batch(policy, 2)
        with th.no_grad():
            delta = td_error(batch, policy.weights)
            increments = copdac_q(batch, delta, policy.weights, STEP_SIZES, False)
            increments += gradient_q_correction(batch, delta, policy.weights, STEP_SIZES, full=True)
            for increment in increments[::order]:
                increment.apply()
        results.append([tensor.clone() for part in policy.weights for tensor in part])
    assert_close(results[0], results[1])


def test_q_value_of_the_policys_own_action_is_the_state_value() -> None:
    policy = make("mlp", 2)
    _, data = make_batch(policy, 2)
    with th.no_grad():
        mu, value, _ = policy.linearise(data["s"], data["s"])
        th.testing.assert_close(policy.q_values(data["s"], mu.value), value.value)
        assert (policy.q_values(data["s"], data["a"]) - value.value).abs().min() > 0.0
