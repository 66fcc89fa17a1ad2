"""
The update of COPDAC-Q and COPDAC-GQ (Silver et al. 2014, section 4.3), for one transition or the mean over a batch.

Symbols are the paper's: theta the weights of the policy mu, w those of the advantage A(s, a) = phi(s, a)^T w with the
compatible features phi(s, a) = J(s)^T (a - mu(s)), J(s) = d mu(s) / d theta, v those of the value V(s), and u those of
gradient Q-learning's correction.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, Protocol

from sb3_dpg.copdacq.linearisation import ArrayT, DenseGradient, Gradient, Linearisation, Linearised, Weights


class StepSizes(NamedTuple):
    """
    What the gradients of one update are multiplied by: the learning rates, divided by the number of active features.

    :param theta: alpha_theta / n_active of mu's features
    :param w: alpha_w / n_active of mu's features
    :param v: alpha_v / n_active of V's features
    :param u: alpha_u / n_active of mu's features
    :param u_v: alpha_u / n_active of V's features
    """

    theta: float
    w: float
    v: float
    u: float
    u_v: float


@dataclass
class ActorCriticWeights(Generic[ArrayT]):
    """
    Everything that is learned.

    :param theta: Of the policy
    :param w: Of the advantage, in the space of theta
    :param v: Of the value
    :param u: Of gradient Q-learning's correction, in the space of theta
    :param u_v: The part of the correction that the paper leaves out, in the space of v
    """

    theta: Weights[ArrayT]
    w: Weights[ArrayT]
    v: Weights[ArrayT]
    u: Weights[ArrayT]
    u_v: Weights[ArrayT]

    def __iter__(self) -> Iterator[Weights[ArrayT]]:
        return iter(vars(self).values())


class CompatibleFunctions(Protocol[ArrayT]):
    """What the update needs of a policy."""

    @property
    def weights(self) -> ActorCriticWeights[ArrayT]:
        """Everything that is learned; the arrays of the policy itself."""

    def linearise(self, observations: ArrayT, next_observations: ArrayT) -> Linearised[ArrayT]:
        """
        :param observations: s, (batch_size, ...)
        :param next_observations: s', (batch_size, ...)
        :return: mu at s, V at s, V at s'
        """


@dataclass
class Transitions(Generic[ArrayT]):
    """
    A batch of transitions (s, a, r, s') as the update sees it.

    :param mu: The policy, linearised at s
    :param value: V, linearised at s
    :param next_value: V, linearised at s'
    :param offset: a - mu(s), (batch_size, action_dim)
    :param rewards: r, (batch_size, 1)
    :param discounts: gamma, and 0 where s' is terminal, (batch_size, 1)
    """

    mu: Linearisation[ArrayT]
    value: Linearisation[ArrayT]
    next_value: Linearisation[ArrayT]
    offset: ArrayT
    rewards: ArrayT
    discounts: ArrayT


def linearised(policy: CompatibleFunctions[ArrayT], replay_data: Any, gamma: float) -> Transitions[ArrayT]:
    """
    :param policy: The policy
    :param replay_data: A batch from the replay buffer, SB3's ``ReplayBufferSamples``, of tensors or arrays as the policy's
    :param gamma: The discount factor of one step
    :return: The same with mu and V linearised at its states
    """
    mu, value, next_value = policy.linearise(replay_data.observations, replay_data.next_observations)
    # n-step buffers come with the discount of each return's length
    discounts = gamma if replay_data.discounts is None else replay_data.discounts
    return Transitions(
        mu,
        value,
        next_value,
        replay_data.actions - mu.value,
        replay_data.rewards,
        discounts * (1.0 - replay_data.dones),
    )


@dataclass
class Increment(Generic[ArrayT]):
    """
    weights += step_size * gradient, computed but not yet applied.

    :param weights: What to change
    :param gradient: The direction
    :param step_size: The factor
    """

    weights: Weights[ArrayT]
    gradient: Gradient[ArrayT]
    step_size: float

    def apply(self) -> None:
        """Change the weights, in place."""
        self.gradient.add_to(self.weights, self.step_size)


def compatible(mu: Linearisation[ArrayT], offset: ArrayT, direction: Weights[ArrayT]) -> ArrayT:
    """
    phi(s, a)^T direction = (a - mu(s))^T (J(s) direction): with w for the direction, the advantage A(s, a) of theorem 3.

    :param mu: The policy, linearised at s
    :param offset: a - mu(s), (batch_size, action_dim)
    :param direction: A direction in the space of theta
    :return: One number a transition, (batch_size, 1)
    """
    return (offset * mu.jvp(direction)).sum(1)[:, None]


def td_error(batch: Transitions[ArrayT], weights: ActorCriticWeights[ArrayT]) -> ArrayT:
    """
    delta = r + gamma Q(s', mu(s')) - Q(s, a), where Q(s', mu(s')) = V(s') because A(s', mu(s')) = 0.

    :param batch: Transitions
    :param weights: The weights
    :return: delta, (batch_size, 1)
    """
    q_value = compatible(batch.mu, batch.offset, weights.w) + batch.value.value
    return batch.rewards + batch.discounts * batch.next_value.value - q_value


def actor_gradient(mu: Linearisation[ArrayT], weights: ActorCriticWeights[ArrayT], natural: bool) -> Gradient[ArrayT]:
    """
    The direction of theta: J(s)^T (J(s) w), or, as the natural gradient in the metric E[J^T J], w itself.

    :param mu: The policy, linearised at s
    :param weights: The weights
    :param natural: Whether to follow the natural gradient
    :return: A direction in the space of theta, the mean over the batch
    """
    if natural:
        # Copies: w itself is about to change
        return DenseGradient([1.0 * w for w in weights.w])
    ascent = mu.jvp(weights.w)
    # J(s) w = grad_a Q(s, a). Where the action already lies on its bound, a step further out changes nothing but the way back
    outward = (abs(mu.value) >= 1.0) & (mu.value * ascent > 0.0)
    return mu.vjp(ascent * ~outward)


def copdac_q(
    batch: Transitions[ArrayT], delta: ArrayT, weights: ActorCriticWeights[ArrayT], step_sizes: StepSizes, natural: bool
) -> list[Increment[ArrayT]]:
    """
    COPDAC-Q: increments of theta, w and v, none of them applied.

    :param batch: Transitions
    :param delta: Their TD errors, (batch_size, 1)
    :param weights: The weights
    :param step_sizes: What multiplies the gradients
    :param natural: Whether the actor follows the natural gradient
    :return: The increments
    """
    return [
        Increment(weights.theta, actor_gradient(batch.mu, weights, natural), step_sizes.theta),
        Increment(weights.w, batch.mu.vjp(delta * batch.offset), step_sizes.w),
        Increment(weights.v, batch.value.vjp(delta), step_sizes.v),
    ]


def gradient_q_correction(
    batch: Transitions[ArrayT], delta: ArrayT, weights: ActorCriticWeights[ArrayT], step_sizes: StepSizes, full: bool
) -> list[Increment[ArrayT]]:
    """
    What COPDAC-GQ adds to COPDAC-Q: the correction of v and the increments of u, none of them applied.

    w has no correction, as phi(s', mu(s')) = 0. The paper's u estimates the TD error from phi(s, a) alone. With zero-mean
    exploration E[phi(s, a) | s] = 0, so that where s' does not depend on the action the correction of v vanishes on average;
    ``full`` estimates it from all features of the critic, phi(s, a) and phi(s), as gradient Q-learning is defined (Maei et
    al. 2010).

    :param batch: Transitions
    :param delta: Their TD errors, (batch_size, 1)
    :param weights: The weights
    :param step_sizes: What multiplies the gradients
    :param full: Whether u has a part for the features of V
    :return: The increments
    """
    estimate = compatible(batch.mu, batch.offset, weights.u)
    if full:
        estimate = estimate + batch.value.jvp(weights.u_v)
    residual = delta - estimate
    increments = [
        Increment(weights.v, batch.next_value.vjp(batch.discounts * estimate), -step_sizes.v),
        Increment(weights.u, batch.mu.vjp(residual * batch.offset), step_sizes.u),
    ]
    if full:
        increments.append(Increment(weights.u_v, batch.value.vjp(residual), step_sizes.u_v))
    return increments
