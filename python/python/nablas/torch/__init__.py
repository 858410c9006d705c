"""nablas in PyTorch: `MLP`, an `nn.Module` whose passes are fused calls, and `train_step`, a whole training step in
one.

>>> net = nablas.torch.MLP([64, 128, 10], "relu")
>>> net(x).logsumexp(-1).sum().backward()
>>> nablas.torch.train_step(net, x, classes, "softmax_cross_entropy", nablas.Adam(net.param_len, 1e-3))
"""

from nablas.torch._module import MLP, from_sequential
from nablas.torch._ops import mlp
from nablas.torch._train import train_step

__all__ = ["MLP", "from_sequential", "mlp", "train_step"]
