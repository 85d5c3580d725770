"""The training steps that `bench_train_step` compares with, in PyTorch (extra `bench`).

The same networks, objectives and optimizers as ours, written as a PyTorch user would for speed:
channels-last images, fused Adam, autocast for bfloat16. Modules have the names of our parameters.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional


class Encoder(nn.Module):
    """Convolution blocks (features, kernel, stride, padding, pool), hidden layers, y.

    Returns the map of the block `local` as f[n,l,c], the last hidden layer, and y.
    """

    def __init__(self, side: int, blocks, hidden: Sequence[int], features: int, local: int):
        super().__init__()
        self._local, self._pools, self._hidden = local, [block[-1] for block in blocks], len(hidden)
        channels = 3
        for index, (width, kernel, stride, padding, pool) in enumerate(blocks):
            conv = nn.Conv2d(channels, width, kernel, stride, padding, bias=False)
            self.add_module(f"conv{index}", conv)
            self.add_module(f"conv{index}_norm", nn.BatchNorm2d(width))
            channels, side = width, (side + 2 * padding - kernel) // stride + 1
            side = (side - 3) // 2 + 1 if pool else side
        width = side * side * channels
        for index, size in enumerate(hidden):
            self.add_module(f"fc{index}", nn.Linear(width, size, bias=False))
            self.add_module(f"fc{index}_norm", nn.BatchNorm1d(size))
            width = size
        self.y = nn.Linear(width, features)

    def forward(self, images):
        x, local = images, None
        for index, pool in enumerate(self._pools):
            x = getattr(self, f"conv{index}")(x)
            x = functional.relu(getattr(self, f"conv{index}_norm")(x))
            x = functional.max_pool2d(x, 3, 2) if pool else x
            if index == self._local:
                local = x.permute(0, 2, 3, 1).flatten(1, 2)
        x = x.permute(0, 2, 3, 1).flatten(1)
        for index in range(self._hidden):
            x = functional.relu(getattr(self, f"fc{index}_norm")(getattr(self, f"fc{index}")(x)))
        return local, x, self.y(x)


def make_encoder(block: Mapping[str, Any]) -> tuple[Encoder, int]:
    """The encoder of a config's block, "dcgan32" or "alexnet64", and its local features' number."""
    base, hidden, features = (block[key] for key in ("width", "hidden", "features"))
    if block["name"] == "dcgan32":
        blocks = [(base * 2**i, 4, 2, 1, False) for i in range(3)]
        return Encoder(32, blocks, (hidden,), features, local=1), 2 * base
    blocks = [
        (base, 3, 1, 1, True),
        (2 * base, 3, 1, 1, True),
        (4 * base, 3, 1, 1, False),
        (4 * base, 3, 1, 1, False),
        (2 * base, 3, 1, 1, True),
    ]
    return Encoder(64, blocks, (hidden, hidden), features, local=2), 4 * base


def _infonce(scores):
    """The mean over positives of log(1 + sum of exp(others - positive)), of scores f[n,n,l]."""
    scores = scores.float()
    positives = torch.diagonal(scores, dim1=0, dim2=1).T  # f[n,l]
    same = torch.eye(len(scores), dtype=torch.bool, device=scores.device)[:, :, None]
    others = scores.masked_fill(same, float("-inf")).flatten(1).logsumexp(1)
    return (torch.logaddexp(positives, others[:, None]) - positives).mean()


def _all_scores(sources, targets):
    """Products f[n,m,l] of rows f[n,d] with all locations of f[m,l,d]."""
    n, locations, features = targets.shape
    return (sources @ targets.reshape(n * locations, features).T).view(n, n, locations)


class Branch(nn.Module):
    """One side of the encode-and-dot critic, on rows."""

    def __init__(self, inputs: int, width: int):
        super().__init__()
        self.linear0 = nn.Linear(inputs, width, bias=False)
        self.norm = nn.BatchNorm1d(width)
        self.linear1 = nn.Linear(width, width)
        self.shortcut = nn.Linear(inputs, width, bias=False)
        self.layer_norm = nn.LayerNorm(width, eps=1e-5)

    def forward(self, rows):
        x = functional.relu(self.norm(self.linear0(rows)))
        return self.layer_norm(self.linear1(x) + self.shortcut(rows))


class LocalInfoMax(nn.Module):
    """DIM(L) with InfoNCE: every global vector against all local features of the batch."""

    views = 1

    def __init__(self, method: Mapping[str, Any]):
        super().__init__()
        width = method["local_critic"]["width"]
        self.encoder, channels = make_encoder(method["encoder"])
        features = method["encoder"]["features"]
        branches = dict(anchor=Branch(features, width), candidate=Branch(channels, width))
        self.local = nn.ModuleDict(branches)

    def forward(self, images, labels):
        del labels
        local, _, y = self.encoder(images)
        candidates = self.local["candidate"](local.flatten(0, 1)).view(*local.shape[:2], -1)
        return _infonce(_all_scores(self.local["anchor"](y), candidates))


class Supervised(nn.Module):
    """The encoder and a classifier with one hidden layer on y, trained end to end."""

    views = 1

    def __init__(self, method: Mapping[str, Any]):
        super().__init__()
        self.encoder, _ = make_encoder(method["encoder"])
        spec = method["classifier"]
        parts = dict(
            linear0=nn.Linear(method["encoder"]["features"], spec["hidden"]),
            dropout=nn.Dropout(spec["dropout"]),
            norm=nn.BatchNorm1d(spec["hidden"]),
            relu=nn.ReLU(),
            logits=nn.Linear(spec["hidden"], spec["classes"]),
        )
        self.classifier = nn.ModuleDict(parts)

    def forward(self, images, labels):
        x = self.encoder(images)[-1]
        for layer in self.classifier.values():
            x = layer(x)
        return functional.cross_entropy(x.float(), labels)


class Decoder(nn.Module):
    """A linear layer to a map of 4x4, transposed convolutions that double it, a convolution."""

    def __init__(self, inputs: int, base: int, widths: Sequence[int]):
        super().__init__()
        self._base, self._stages = base, len(widths)
        self.linear0 = nn.Linear(inputs, 16 * base, bias=False)
        self.linear0_norm = nn.BatchNorm1d(16 * base)
        for index, (before, after) in enumerate(zip((base, *widths[:-1]), widths, strict=True)):
            conv = nn.ConvTranspose2d(before, after, 4, 2, 1, bias=False)
            self.add_module(f"conv{index}", conv)
            self.add_module(f"conv{index}_norm", nn.BatchNorm2d(after))
        self.image = nn.Conv2d(widths[-1], 3, 3, 1, 1, bias=False)

    def forward(self, codes):
        x = functional.relu(self.linear0_norm(self.linear0(codes)))
        x = x.view(len(x), 4, 4, self._base).permute(0, 3, 1, 2)  # channels last
        for index in range(self._stages):
            x = getattr(self, f"conv{index}")(x)
            x = functional.relu(getattr(self, f"conv{index}_norm")(x))
        return self.image(x).tanh()


class VariationalAutoencoder(nn.Module):
    """Squared error of the decoded image plus the KL divergence of the code, both per image."""

    views = 1

    def __init__(self, method: Mapping[str, Any]):
        super().__init__()
        block, decoder = method["encoder"], method["decoder"]
        self._weights = method["reconstruction"], method["beta"]
        self.encoder, _ = make_encoder(block)
        layer = nn.Linear(block["hidden"], block["features"])
        self.deviation = nn.ModuleDict(dict(linear=layer))
        self.decoder = Decoder(block["features"], decoder["base"], decoder["widths"])

    def forward(self, images, labels):
        del labels
        _, hidden, y = self.encoder(images)
        mean, log_deviation = y.float(), self.deviation["linear"](hidden).float()
        codes = mean + log_deviation.exp() * torch.randn_like(mean)
        decoded = self.decoder(codes).float()
        reconstruction, beta = self._weights
        error = (decoded - images).square().sum((1, 2, 3)).mean()
        rate = ((2 * log_deviation).expm1() + mean.square()) / 2 - log_deviation
        return reconstruction * error + beta * rate.sum(1).mean()


class AmdimLayer(nn.Module):
    """Convolution, ReLU, 1x1 convolution, and a pooled shortcut with zeros for new channels."""

    def __init__(self, inputs: int, features: int, window: int, stride: int):
        super().__init__()
        self._pooling, self._missing = (window, stride), features - inputs
        self.conv = nn.Conv2d(inputs, features, window, stride, bias=False)
        self.out = nn.Conv2d(features, features, 1, bias=False)
        nn.init.zeros_(self.out.weight)

    def forward(self, inputs):
        x = self.out(functional.relu(self.conv(inputs)))
        window, stride = self._pooling
        shortcut = inputs if window == 1 else functional.avg_pool2d(inputs, window, stride)
        if self._missing:
            shortcut = functional.pad(shortcut, (0, 0, 0, 0, 0, self._missing))
        return x + shortcut


class AmdimEncoder(nn.Module):
    """AMDIM's encoder for 32 pixels: the maps of 7x7 and 5x5, and y."""

    def __init__(self, ndf: int, n_rkhs: int, n_depth: int):
        super().__init__()

        def block(inputs, features, window, stride):
            layers = {"layer0": AmdimLayer(inputs, features, window, stride)}
            more = (AmdimLayer(features, features, 1, 1) for _ in range(n_depth - 1))
            layers |= {f"layer{index}": layer for index, layer in enumerate(more, 1)}
            return nn.ModuleDict(layers)

        self.stem = nn.Conv2d(3, ndf, 3)
        self.layer30 = AmdimLayer(ndf, ndf, 1, 1)
        self.block14 = block(ndf, 2 * ndf, 4, 2)
        self.block7 = block(2 * ndf, 4 * ndf, 2, 2)
        self.block5 = block(4 * ndf, 4 * ndf, 3, 1)
        self.block3 = block(4 * ndf, 4 * ndf, 3, 1)
        self.layer1 = AmdimLayer(4 * ndf, n_rkhs, 3, 1)
        self.y_norm = nn.BatchNorm1d(n_rkhs)

    def forward(self, images):
        x, maps = self.layer30(functional.relu(self.stem(images))), []
        for block in (self.block14, self.block7, self.block5, self.block3):
            for layer in block.values():
                x = layer(x)
            maps.append(x)
        return maps[1], maps[2], self.y_norm(self.layer1(x).flatten(1))


class Embedding(nn.Module):
    """AMDIM's embedding of a map: two 1x1 layers beside a linear shortcut, then batch norm."""

    def __init__(self, inputs: int, features: int):
        super().__init__()
        self.linear0 = nn.Conv2d(inputs, features, 1, bias=False)
        self.linear1 = nn.Conv2d(features, features, 1)
        self.shortcut = nn.Conv2d(inputs, features, 1, bias=False)
        self.norm = nn.BatchNorm2d(features)

    def forward(self, x):
        x = self.norm(self.linear1(functional.relu(self.linear0(x))) + self.shortcut(x))
        return x.permute(0, 2, 3, 1).flatten(1, 2)


class Amdim(nn.Module):
    """AMDIM: features of one view predict those of the other, at several scales."""

    views = 2

    def __init__(self, method: Mapping[str, Any]):
        super().__init__()
        block, self._penalty, self._clip = method["encoder"], method["penalty"], method["clip"]
        ndf, n_rkhs = block["ndf"], block["n_rkhs"]
        self._terms = [term.split("_to_") for term in method["terms"]]
        self.encoder = AmdimEncoder(ndf, n_rkhs, block["n_depth"])
        for side in ("5", "7"):
            self.add_module(side, Embedding(4 * ndf, n_rkhs))

    def forward(self, first, last, labels):
        del labels
        first, last = self._rows(first), self._rows(last)
        return (self._compare(first, last) + self._compare(last, first)) / 2

    def _rows(self, images):
        map7, map5, y = self.encoder(images)
        return {"1": y[:, None], "5": getattr(self, "5")(map5), "7": getattr(self, "7")(map7)}

    def _compare(self, sources, targets):
        total = 0.0
        for source, target in self._terms:
            rows = sources[source]
            place = torch.randint(rows.shape[1], (len(rows), 1, 1), device=rows.device)
            rows = rows.gather(1, place.expand(-1, 1, rows.shape[-1]))[:, 0]
            raw = _all_scores(rows, targets[target]).float() / rows.shape[-1] ** 0.5
            clipped = self._clip * torch.tanh(raw / self._clip)
            total = total + _infonce(clipped) + self._penalty * raw.square().mean()
        return total


_MODELS = {
    "dim": LocalInfoMax,
    "supervised": Supervised,
    "autoencoders": VariationalAutoencoder,
    "amdim": Amdim,
}


def model(method: Mapping[str, Any]) -> nn.Module:
    """The model of a config's method: (the images of every view, labels) -> loss."""
    return _MODELS[method["name"]](method)


class Step:
    """One Adam update after another on the same images; two views differ by random flips.

    adam: the config's block of the optimizer.
    """

    def __init__(
        self,
        model: nn.Module,
        images,
        labels,
        adam: Mapping[str, Any],
        *,
        compiled: bool,
        bfloat16: bool,
    ):
        self._device, self._views = images.device, model.views
        model = model.to(self._device, memory_format=torch.channels_last)
        self._images = images.contiguous(memory_format=torch.channels_last)
        self._flipped = images.flip(3).contiguous(memory_format=torch.channels_last)
        self._labels = labels
        self._loss = torch.compile(model) if compiled else model
        self._bfloat16 = bfloat16
        self._adam = torch.optim.Adam(
            model.parameters(),
            lr=adam["learning_rate"],
            betas=(adam["b1"], adam["b2"]),
            weight_decay=adam.get("l2", 0.0),
            fused=True,
        )

    def seconds(self, steps: int) -> float:
        """The mean of this many steps."""
        self._wait()
        began = time.perf_counter()
        for _ in range(steps):
            self.update()
        self._wait()
        return (time.perf_counter() - began) / steps

    def update(self):
        """One step; returns the loss before it."""
        self._adam.zero_grad(set_to_none=True)
        views = [self._images] if self._views == 1 else [self._view() for _ in range(self._views)]
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._bfloat16):
            loss = self._loss(*views, self._labels)
        loss.backward()
        self._adam.step()
        return loss.detach()

    def _view(self):
        flip = torch.rand(len(self._images), 1, 1, 1, device=self._device) < 0.5
        return torch.where(flip, self._flipped, self._images)

    def _wait(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize()
