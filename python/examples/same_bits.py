"""Same bits: a network 100→100→1 trained on each instruction set, on one and on several threads, has the same parameters
to the last bit; and a batch that is split for the forward pass has the same outputs. torch's, if it is there, beside it.

    python same_bits.py [--steps 200]
"""

import argparse
import hashlib

import numpy as np

import nablas

SIZES, BATCH = [100, 100, 1], 512


def digest(*arrays):
    return hashlib.sha256(b"".join(np.ascontiguousarray(a).tobytes() for a in arrays)).hexdigest()[:16]


def data():
    rng = np.random.default_rng(1)
    x = rng.standard_normal((BATCH, SIZES[0]), dtype="float32")
    return x, np.sin(x[:, :1]) * x[:, 1:2]


def trained(steps, isa, threads):
    """Parameters after some steps."""
    mlp, (x, y) = nablas.Mlp(SIZES, "tanh"), data()
    params, plan, adam = (
        mlp.init("xavier_normal", seed=1),
        mlp.plan(BATCH, isa=isa, threads=threads),
        nablas.Adam(mlp, isa=isa),
    )
    for _ in range(steps):
        plan.train_step(params, x, "mse", y, adam)
    return params


def outputs(params, isa, part):
    """A forward pass in parts of some rows."""
    plan, (x, _) = nablas.Mlp(SIZES, "tanh").plan(BATCH, isa=isa), data()
    return np.concatenate([plan.forward(params, x[start : start + part]) for start in range(0, BATCH, part)])


def torch_digests(steps):
    """The same in torch: trained on one and on several threads, and the batch split."""
    import torch

    def model():
        torch.manual_seed(1)
        return torch.nn.Sequential(torch.nn.Linear(100, 100), torch.nn.Tanh(), torch.nn.Linear(100, 1))

    x, y = map(torch.from_numpy, data())
    for threads in (1, 2):
        torch.set_num_threads(threads)
        net = model()
        adam = torch.optim.Adam(net.parameters())
        for _ in range(steps):
            adam.zero_grad()
            torch.nn.functional.mse_loss(net(x), y).backward()
            adam.step()
        yield f"trained, {threads} threads", digest(*(p.detach().numpy() for p in net.parameters()))
    net = model()
    for part in (BATCH, 100, 7, 1):
        with torch.no_grad():
            yield f"forward, {part} rows at a time", digest(torch.cat([net(rows) for rows in x.split(part)]).numpy())


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=200)
    options = parser.parse_args()

    isas, found = nablas.config()["isas"], set()
    for isa in isas:
        for threads in (1, 2, 3):
            value = digest(trained(options.steps, isa, threads))
            found.add(value)
            print(f"nablas  trained, {isa}, {threads} threads".ljust(44), value)
    params, split = trained(options.steps, None, 1), set()
    for isa in isas:
        for part in (BATCH, 100, 7, 1):
            value = digest(outputs(params, isa, part))
            split.add(value)
            print(f"nablas  forward, {isa}, {part} rows at a time".ljust(44), value)
    try:
        theirs = list(torch_digests(options.steps))
    except ImportError:
        theirs = []
    for what, value in theirs:
        print(f"torch   {what}".ljust(44), value)
    if len(found) != 1 or len(split) != 1:
        raise SystemExit("nablas has more than one digest")
    beside = f"; torch {len({v for _, v in theirs[:2]})} and {len({v for _, v in theirs[2:]})}" if theirs else ""
    print(f"different digests of parameters and of outputs: nablas 1 and 1{beside}")


if __name__ == "__main__":
    main()
