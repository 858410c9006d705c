"""CartPole by proximal policy optimisation in PyTorch, with `nn.Sequential` and with `nablas.torch.MLP` in its place.

    pip install 'nablas[torch]' gymnasium
    python python/examples/ppo_cartpole.py            # three seeds each; --steps, --seeds, --threads

Nothing but the networks differs: the same loop, losses, optimizer and seeds. It prints steps a second, of which most
are the environment's, the time in the networks alone, and the mean return of the last episodes, which is 500 at best.
"""

import argparse
import statistics
import time

import gymnasium
import nablas
import nablas.torch
import numpy as np
import torch
from torch import nn

ENVS, HORIZON, EPOCHS, MINIBATCH = 8, 128, 4, 64
GAMMA, LAMBDA, CLIP, ENTROPY, RATE = 0.99, 0.95, 0.2, 0.01, 1e-3


def networks(ours):
    """Policy (logits of two actions) and value of four observations; the same first parameters either way."""

    def network(outputs, gain):
        net = nn.Sequential(nn.Linear(4, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, outputs))
        for layer in net[::2]:
            nn.init.orthogonal_(layer.weight, 2**0.5 if layer is not net[-1] else gain)
            nn.init.zeros_(layer.bias)
        return nablas.torch.from_sequential(net) if ours else net

    return network(2, 0.01), network(1, 1.0)


class Timed:
    """Seconds spent in blocks."""

    def __init__(self):
        self.seconds = 0.0

    def __enter__(self):
        self.start = time.perf_counter()

    def __exit__(self, *_):
        self.seconds += time.perf_counter() - self.start


def advantages(rewards, dones, values, last):
    """Generalised advantage estimates."""
    out, running = torch.zeros_like(rewards), torch.zeros(ENVS)
    for t in reversed(range(HORIZON)):
        alive = 1 - dones[t]
        ahead = values[t + 1] if t + 1 < HORIZON else last
        running = rewards[t] + GAMMA * alive * ahead - values[t] + GAMMA * LAMBDA * alive * running
        out[t] = running
    return out


def run(ours, seed, steps):
    """(steps a second, seconds in networks, mean return of the last hundred episodes)."""
    torch.manual_seed(seed)
    vector = {"autoreset_mode": gymnasium.vector.AutoresetMode.SAME_STEP}
    env = gymnasium.make_vec("CartPole-v1", ENVS, vectorization_mode="sync", vector_kwargs=vector)
    policy, value = networks(ours)
    adam = torch.optim.Adam([*policy.parameters(), *value.parameters()], RATE, eps=1e-5, fused=True)
    seen, _ = env.reset(seed=seed)
    returns, running, in_networks, start = [], np.zeros(ENVS), Timed(), time.perf_counter()
    for _ in range(steps // (ENVS * HORIZON)):
        x = torch.zeros(HORIZON, ENVS, 4)
        actions = torch.zeros(HORIZON, ENVS, dtype=torch.int64)
        chances, values, rewards, dones = (torch.zeros(HORIZON, ENVS) for _ in range(4))
        for t in range(HORIZON):
            x[t] = torch.from_numpy(seen)
            with torch.no_grad(), in_networks:
                logits, values[t] = policy(x[t]), value(x[t])[:, 0]
            with torch.no_grad():
                log = logits.log_softmax(-1)
                actions[t] = torch.multinomial(log.exp(), 1)[:, 0]
                chances[t] = log.gather(1, actions[t][:, None])[:, 0]
            seen, reward, ended, cut, _ = env.step(actions[t].numpy())
            done = ended | cut
            rewards[t], dones[t] = torch.from_numpy(reward).float(), torch.from_numpy(done).float()
            running += reward
            returns += running[done].tolist()
            running[done] = 0
        with torch.no_grad():
            last = value(torch.from_numpy(seen))[:, 0]
            gains = advantages(rewards, dones, values, last)
        x, actions, chances, gains = x.flatten(0, 1), actions.flatten(), chances.flatten(), gains.flatten()
        goals = gains + values.flatten()
        for _ in range(EPOCHS):
            for rows in torch.randperm(len(x)).split(MINIBATCH):
                with in_networks:
                    logits, guess = policy(x[rows]), value(x[rows])[:, 0]
                log = logits.log_softmax(-1)
                ratio = (log.gather(1, actions[rows][:, None])[:, 0] - chances[rows]).exp()
                gain = gains[rows]
                gain = (gain - gain.mean()) / (gain.std() + 1e-8)
                surrogate = torch.min(ratio * gain, ratio.clamp(1 - CLIP, 1 + CLIP) * gain).mean()
                entropy = -(log.exp() * log).sum(-1).mean()
                loss = -surrogate - ENTROPY * entropy + 0.5 * (guess - goals[rows]).square().mean()
                adam.zero_grad()
                with in_networks:
                    loss.backward()
                nn.utils.clip_grad_norm_(adam.param_groups[0]["params"], 0.5)
                adam.step()
    seconds = time.perf_counter() - start
    return steps / seconds, in_networks.seconds, statistics.mean(returns[-100:])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=50 * ENVS * HORIZON, help="of the environment, for each run")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1, help="of PyTorch and of nablas")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    nablas.set_num_threads(options.threads)
    table = {False: [], True: []}
    for seed in range(options.seeds):
        for ours in table:
            table[ours].append(run(ours, seed, options.steps))
            name, (rate, inside, mean) = "nablas.torch" if ours else "torch.nn", table[ours][-1]
            print(f"seed {seed} {name:12}: {rate:6.0f} steps/s, {inside:5.2f} s in networks, return {mean:5.1f}")
    (rate, inside, mean), (theirs, theirs_inside, theirs_mean) = (
        [statistics.mean(column) for column in zip(*table[ours])] for ours in (True, False)
    )
    print(
        f"nablas.torch {rate:.0f} steps/s, return {mean:.0f}; torch.nn {theirs:.0f} steps/s, return {theirs_mean:.0f}: "
        f"{rate / theirs:.2f}× in all, {theirs_inside / inside:.2f}× in networks and backward"
    )


if __name__ == "__main__":
    main()
