"""The training steps that `bench_train_step` compares with, in PyTorch (extra `bench`).

The same networks, objective and optimizer as ours, written as a PyTorch user would for speed: rows
instead of 1x1 convolutions, channels-last images, fused Adam, autocast for bfloat16.
"""

import time

import torch
from torch import nn


class Encoder(nn.Module):
    """Convolution blocks (features, kernel, stride, padding, pool), hidden layers, y.

    Returns the map of the block `local` as f[n,l,c], and y f[n,64].
    """

    def __init__(self, side: int, blocks, hidden, local: int):
        super().__init__()
        self.local = local
        convs, channels = [], 3
        for features, kernel, stride, padding, pool in blocks:
            parts = [
                nn.Conv2d(channels, features, kernel, stride, padding, bias=False),
                nn.BatchNorm2d(features),
                nn.ReLU(),
            ]
            convs.append(nn.Sequential(*parts, *([nn.MaxPool2d(3, 2)] if pool else [])))
            channels, side = features, (side + 2 * padding - kernel) // stride + 1
            side = (side - 3) // 2 + 1 if pool else side
        self.convs = nn.ModuleList(convs)
        layers, width = [], side * side * channels
        for size in hidden:
            layers += [nn.Linear(width, size, bias=False), nn.BatchNorm1d(size), nn.ReLU()]
            width = size
        self.head = nn.Sequential(*layers, nn.Linear(width, 64))

    def forward(self, images):
        x, local = images, None
        for index, conv in enumerate(self.convs):
            x = conv(x)
            if index == self.local:
                local = x.permute(0, 2, 3, 1).flatten(1, 2)
        return local, self.head(x.permute(0, 2, 3, 1).flatten(1))


class Branch(nn.Module):
    """One side of the encode-and-dot critic, on rows."""

    def __init__(self, inputs: int, width: int):
        super().__init__()
        self.nonlinear = nn.Sequential(
            nn.Linear(inputs, width, bias=False),
            nn.BatchNorm1d(width),
            nn.ReLU(),
            nn.Linear(width, width),
        )
        self.shortcut = nn.Linear(inputs, width, bias=False)
        self.norm = nn.LayerNorm(width)

    def forward(self, rows):
        return self.norm(self.nonlinear(rows) + self.shortcut(rows))


class LocalInfoMax(nn.Module):
    """DIM(L) with InfoNCE: every global vector against all local features of the batch."""

    def __init__(self, encoder: Encoder, channels: int, width: int):
        super().__init__()
        self.encoder = encoder
        self.anchor, self.candidate = Branch(64, width), Branch(channels, width)

    def forward(self, images):
        local, y = self.encoder(images)
        n, locations, channels = local.shape
        anchors = self.anchor(y)
        candidates = self.candidate(local.reshape(n * locations, channels))
        scores = (anchors @ candidates.T).float().view(n, n, locations)
        own = torch.diagonal(scores, dim1=0, dim2=1).T  # f[n,l]
        same = torch.eye(n, dtype=torch.bool, device=scores.device)[:, :, None]
        others = scores.masked_fill(same, float("-inf")).flatten(1).logsumexp(1)
        return (torch.logaddexp(own, others[:, None]) - own).mean()


def local_infomax(encoder: dict, width: int) -> LocalInfoMax:
    """The model of a config's encoder block, "dcgan32" or "alexnet64", and a critic's width."""
    base, hidden = encoder["width"], encoder["hidden"]
    if encoder["name"] == "dcgan32":
        blocks = [(base * 2**i, 4, 2, 1, False) for i in range(3)]
        return LocalInfoMax(Encoder(32, blocks, (hidden,), local=1), 2 * base, width)
    blocks = [
        (base, 3, 1, 1, True),
        (2 * base, 3, 1, 1, True),
        (4 * base, 3, 1, 1, False),
        (4 * base, 3, 1, 1, False),
        (2 * base, 3, 1, 1, True),
    ]
    return LocalInfoMax(Encoder(64, blocks, (hidden, hidden), local=2), 4 * base, width)


class Step:
    """One Adam update after another on the same images."""

    def __init__(self, model: nn.Module, images, *, compiled: bool, bfloat16: bool):
        self._device = images.device
        model = model.to(self._device, memory_format=torch.channels_last)
        self._images = images.contiguous(memory_format=torch.channels_last)
        self._loss = torch.compile(model) if compiled else model
        self._bfloat16 = bfloat16
        self._adam = torch.optim.Adam(model.parameters(), lr=1e-4, betas=(0.5, 0.999), fused=True)

    def seconds(self, steps: int) -> float:
        """The mean of so many steps."""
        self._wait()
        began = time.perf_counter()
        for _ in range(steps):
            self.update()
        self._wait()
        return (time.perf_counter() - began) / steps

    def update(self):
        """One step; returns the loss before it."""
        self._adam.zero_grad(set_to_none=True)
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._bfloat16):
            loss = self._loss(self._images)
        loss.backward()
        self._adam.step()
        return loss.detach()

    def _wait(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize()
