"""The models of mamba-prune in plain PyTorch (1.13 or newer), dense or pruned.

Each is built from the configuration in the model file, which holds the width of every prunable group,
and has the same parameter names, so `load_state_dict` takes the file's weights as they are.
"""
import torch
import torch.nn as nn
import torch.nn.functional as F


class SelectiveSSM(nn.Module):
    """Mamba's selective state space model; `bi` scans in both directions, with weights for each.

    Vim's mixer is the same with `halved`: the mean of both directions in place of their sum.
    """

    def __init__(self, d_model, d_inner, d_state, d_conv, dt_rank, scan, halved=False):
        super().__init__()
        self.halved = halved
        self.d_inner, self.d_state, self.dt_rank = d_inner, d_state, dt_rank
        self.directions = ["", "_b"] if scan == "bi" else [""]
        self.in_proj = nn.Linear(d_model, 2 * d_inner, bias=False)
        for way in self.directions:
            conv = nn.Conv1d(d_inner, d_inner, d_conv, groups=d_inner, padding=d_conv - 1)
            self.add_module(f"conv1d{way}", conv)
            self.add_module(f"x_proj{way}", nn.Linear(d_inner, dt_rank + 2 * d_state, bias=False))
            self.add_module(f"dt_proj{way}", nn.Linear(dt_rank, d_inner))
            self.register_parameter(f"A{way}_log", nn.Parameter(torch.zeros(d_inner, d_state)))
            self.register_parameter(f"D{way}", nn.Parameter(torch.ones(d_inner)))
        self.out_proj = nn.Linear(d_inner, d_model, bias=False)

    def forward(self, x):  # [batch, length, d_model]
        u, z = self.in_proj(x).chunk(2, -1)
        y = self.direction(u, "")
        if "_b" in self.directions:
            y = y + self.direction(u.flip(1), "_b").flip(1)
        y = y / 2 if self.halved else y
        return self.out_proj(y * F.silu(z))

    def direction(self, x, way):
        part = lambda name: getattr(self, f"{name}{way}")
        u = F.silu(part("conv1d")(x.transpose(1, 2))[..., : x.shape[1]].transpose(1, 2))
        dt, b, c = part("x_proj")(u).split([self.dt_rank, self.d_state, self.d_state], -1)
        a = -torch.exp(getattr(self, f"A{way}_log"))
        return selective_scan(u, F.softplus(part("dt_proj")(dt)), a, b, c) + u * part("D")


def selective_scan(u, dt, a, b, c):
    """h_t = exp(dt_t A) h_(t-1) + dt_t B_t u_t, y_t = C_t h_t; u and dt are [batch, length, d_inner]."""
    h = u.new_zeros(u.shape[0], u.shape[2], a.shape[1])
    ys = []
    for dt_t, v_t, b_t, c_t in zip(dt.unbind(1), (dt * u).unbind(1), b.unbind(1), c.unbind(1)):
        h = torch.exp(dt_t.unsqueeze(-1) * a) * h + v_t.unsqueeze(-1) * b_t.unsqueeze(1)
        ys.append((h @ c_t.unsqueeze(-1)).squeeze(-1))
    return torch.stack(ys, 1)


class MambaBlock(nn.Module):
    def __init__(self, config, index):
        super().__init__()
        d_model, widths = config["dModel"], config["widths"]
        mlp = widths[f"blocks.{index}.mlp"]
        self.norm1 = nn.LayerNorm(d_model)
        self.ssm = SelectiveSSM(
            d_model,
            widths[f"blocks.{index}.ssm"],
            widths.get(f"blocks.{index}.state", config["dState"]),
            config["dConv"],
            widths.get(f"blocks.{index}.dt_rank", config["dtRank"]),
            config["scan"],
        )
        self.norm2 = nn.LayerNorm(d_model)
        self.mlp = nn.Sequential(nn.Linear(d_model, mlp), nn.GELU(), nn.Linear(mlp, d_model))

    def forward(self, x):
        x = x + self.ssm(self.norm1(x))
        return x + self.mlp(self.norm2(x))


def transposed(x):
    """Patches column by column that were row by row, or the other way round."""
    batch, length, _ = x.shape
    side = int(length**0.5)
    return x.view(batch, side, side, -1).transpose(1, 2).reshape(batch, length, -1)


class VisionMamba(nn.Module):
    def __init__(self, config):
        super().__init__()
        d_model, patch = config["dModel"], config["patchSize"]
        self.patch_embed = nn.Conv2d(config["channels"], d_model, patch, patch)
        self.pos_embed = nn.Parameter(torch.zeros(1, (config["imageSize"] // patch) ** 2, d_model))
        self.blocks = nn.ModuleList([MambaBlock(config, i) for i in range(config["depth"])])
        self.norm, self.head = nn.LayerNorm(d_model), nn.Linear(d_model, config["numClasses"])
        self.takes_turns = config["scan"] == "cross"

    def forward(self, x):  # [batch, channels, side, side], normalised
        x = self.patch_embed(x).flatten(2).transpose(1, 2) + self.pos_embed
        for index, block in enumerate(self.blocks):
            if self.takes_turns and index > 0:
                # Rows forward, columns forward, columns backward, rows backward, and again.
                x = transposed(x) if index % 2 == 1 else x.flip(1)
            x = block(x)
        return self.head(self.norm(x).mean(1))


class Attention(nn.Module):
    def __init__(self, d_model, heads, head_dim):
        super().__init__()
        self.heads, self.head_dim = heads, head_dim
        self.qkv = nn.Linear(d_model, 3 * heads * head_dim)
        self.proj = nn.Linear(heads * head_dim, d_model)

    def forward(self, x):
        batch, length, _ = x.shape
        qkv = self.qkv(x).view(batch, length, 3, self.heads, self.head_dim)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        weights = (q @ k.transpose(-2, -1) * self.head_dim**-0.5).softmax(-1)
        return self.proj((weights @ v).transpose(1, 2).reshape(batch, length, -1))


class Mlp(nn.Module):
    def __init__(self, d_model, hidden):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(d_model, hidden), nn.Linear(hidden, d_model)

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(x)))


class VitBlock(nn.Module):
    def __init__(self, config, index):
        super().__init__()
        d_model, widths, eps = config["dModel"], config["widths"], config.get("eps", 1e-6)
        group = f"blocks.{index}.attn"
        head_dim = config.get("headDims", {}).get(group, config["headDim"])
        self.norm1 = nn.LayerNorm(d_model, eps=eps)
        self.attn = Attention(d_model, widths[group], head_dim)
        self.norm2 = nn.LayerNorm(d_model, eps=eps)
        self.mlp = Mlp(d_model, widths[f"blocks.{index}.mlp"])

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class PatchEmbed(nn.Module):
    def __init__(self, channels, d_model, patch, stride=None):
        super().__init__()
        self.proj = nn.Conv2d(channels, d_model, patch, stride or patch)

    def forward(self, x):
        return self.proj(x).flatten(2).transpose(1, 2)


class VisionTransformer(nn.Module):
    """Before the patches stand the tokens that the configuration names: of the class, of distillation, registers."""

    def __init__(self, config):
        super().__init__()
        d_model, patch = config["dModel"], config["patchSize"]
        tokens = {
            "cls_token": int(config.get("classToken", True)),
            "dist_token": int(config.get("distilled", False)),
            "reg_token": config.get("registers", 0),
        }
        self.prefix = [name for name, count in tokens.items() if count > 0]
        for name in self.prefix:
            self.register_parameter(name, nn.Parameter(torch.zeros(1, tokens[name], d_model)))
        self.before = sum(tokens.values())
        length = (config["imageSize"] // patch) ** 2 + self.before
        self.pos_embed = nn.Parameter(torch.zeros(1, length, d_model))
        self.patch_embed = PatchEmbed(config["channels"], d_model, patch)
        self.blocks = nn.ModuleList([VitBlock(config, i) for i in range(config["depth"])])
        self.norm = nn.LayerNorm(d_model, eps=config.get("eps", 1e-6))
        self.pooling = config.get("pooling", "token")
        self.pools_before_norm = config.get("poolsBeforeNorm", False)
        pooled = 2 * d_model if self.pooling == "token-and-mean" else d_model
        self.head = nn.Linear(pooled, config["numClasses"])
        self.head_dist = nn.Linear(pooled, config["numClasses"]) if "dist_token" in self.prefix else None

    def forward(self, x):
        tokens = [getattr(self, name).expand(x.shape[0], -1, -1) for name in self.prefix]
        x = torch.cat([*tokens, self.patch_embed(x)], 1) + self.pos_embed
        for block in self.blocks:
            x = block(x)
        if self.pools_before_norm:
            return self.head(self.norm(x[:, self.before :].mean(1)))
        x = self.norm(x)
        if self.head_dist is not None:
            return (self.head(x[:, 0]) + self.head_dist(x[:, 1])) / 2
        read = [] if self.pooling == "mean" else [x[:, 0]]
        read += [] if self.pooling == "token" else [x[:, self.before :].mean(1)]
        return self.head(torch.cat(read, -1))


class ResidualBlock(nn.Module):
    def __init__(self, channels, kernels, stride):
        """channels: of the input and after each convolution."""
        super().__init__()
        self.count = len(kernels)
        for i, kernel in enumerate(kernels):
            step = stride if i == kernels.index(3) else 1
            conv = nn.Conv2d(channels[i], channels[i + 1], kernel, step, kernel // 2, bias=False)
            self.add_module(f"conv{i + 1}", conv)
            self.add_module(f"bn{i + 1}", nn.BatchNorm2d(channels[i + 1]))
        self.downsample = nn.Sequential()
        if stride != 1 or channels[0] != channels[-1]:
            conv = nn.Conv2d(channels[0], channels[-1], 1, stride, bias=False)
            self.downsample = nn.Sequential(conv, nn.BatchNorm2d(channels[-1]))

    def forward(self, x):
        y = x
        for i in range(1, self.count + 1):
            y = getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(y))
            if i < self.count:
                y = y.relu()
        return (y + self.downsample(x)).relu()


class ResNet(nn.Module):
    def __init__(self, config):
        super().__init__()
        width, widths = config["baseWidth"], config["widths"]
        inner, kernels, expansion = {
            "basic": (["conv1"], [3, 3], 1),
            "bottleneck": (["conv1", "conv2"], [1, 3, 1], 4),
        }[config["block"]]
        self.has_pool = config["stem"] == "imagenet"
        stem = (7, 2, 3) if self.has_pool else (3, 1, 1)
        self.conv1 = nn.Conv2d(config["channels"], width, *stem, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.stages, before = len(config["blocks"]), width
        for stage, count in enumerate(config["blocks"]):
            blocks, out = [], width * 2**stage * expansion
            for index in range(count):
                between = [widths[f"layer{stage + 1}.{index}.{conv}"] for conv in inner]
                stride = 2 if stage > 0 and index == 0 else 1
                blocks.append(ResidualBlock([before, *between, out], kernels, stride))
                before = out
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))
        self.fc = nn.Linear(before, config["numClasses"])

    def forward(self, x):
        x = self.bn1(self.conv1(x)).relu()
        if self.has_pool:
            x = F.max_pool2d(x, 3, 2, 1)
        for stage in range(self.stages):
            x = getattr(self, f"layer{stage + 1}")(x)
        return self.fc(x.mean((2, 3)))


class CrossScan(nn.Module):
    """VMamba's mixer: the grid is scanned along its rows, its columns, and both from their ends."""

    def __init__(self, dim, d_inner, d_state, dt_rank):
        super().__init__()
        self.d_state, self.dt_rank = d_state, dt_rank
        self.x_proj_weight = nn.Parameter(torch.zeros(4, dt_rank + 2 * d_state, d_inner))
        self.dt_projs_weight = nn.Parameter(torch.zeros(4, d_inner, dt_rank))
        self.dt_projs_bias = nn.Parameter(torch.zeros(4, d_inner))
        self.A_logs = nn.Parameter(torch.zeros(4 * d_inner, d_state))
        self.Ds = nn.Parameter(torch.ones(4 * d_inner))
        self.in_proj = nn.Linear(dim, d_inner, bias=False)
        self.conv2d = nn.Conv2d(d_inner, d_inner, 3, padding=1, groups=d_inner, bias=False)
        self.out_norm = nn.LayerNorm(d_inner)
        self.out_proj = nn.Linear(d_inner, dim, bias=False)

    def forward(self, x):  # [batch, height, width, dim]
        u = F.silu(self.conv2d(self.in_proj(x).permute(0, 3, 1, 2))).permute(0, 2, 3, 1)
        y = self.scan(u, 0) + self.scan(u.transpose(1, 2), 1).transpose(1, 2)
        return self.out_proj(self.out_norm(y))

    def scan(self, grid, k):
        """Forward with the weights of direction k, backward with those of k + 2."""
        u, total = grid.flatten(1, 2), 0
        for way in (k, k + 2):
            v = u if way == k else u.flip(1)
            sizes = [self.dt_rank, self.d_state, self.d_state]
            dt, b, c = F.linear(v, self.x_proj_weight[way]).split(sizes, -1)
            dt = F.softplus(F.linear(dt, self.dt_projs_weight[way], self.dt_projs_bias[way]))
            a, d = -torch.exp(self.A_logs.chunk(4)[way]), self.Ds.chunk(4)[way]
            y = selective_scan(v, dt, a, b, c) + v * d
            total = total + (y if way == k else y.flip(1))
        return total.view(grid.shape)


class VMambaBlock(nn.Module):
    def __init__(self, dim, d_inner, hidden, d_state, dt_rank):
        super().__init__()
        self.norm, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.op = CrossScan(dim, d_inner, d_state, dt_rank)
        self.mlp = Mlp(dim, hidden)

    def forward(self, x):
        x = x + self.op(self.norm(x))
        return x + self.mlp(self.norm2(x))


class ChannelsLast(nn.Module):
    def __init__(self, *dims):
        super().__init__()
        self.dims = dims

    def forward(self, x):
        return x.permute(*self.dims)


def conv_norm(before, after, stride):
    """A convolution between channels-last grids, and the norm behind it: four places of a Sequential."""
    conv = nn.Conv2d(before, after, 3, stride, 1)
    return [ChannelsLast(0, 3, 1, 2), conv, ChannelsLast(0, 2, 3, 1), nn.LayerNorm(after)]


class VMamba(nn.Module):
    def __init__(self, config):
        super().__init__()
        dim, widths, stages = config["baseWidth"], config["widths"], len(config["blocks"])
        first, second = [2 if config["stemStride"] > limit else 1 for limit in (1, 2)]
        stem = [*conv_norm(config["channels"], dim // 2, first)[1:], nn.GELU()]
        # The places of VMamba's own layers are 0, 2, 5 and 7.
        self.patch_embed = nn.Sequential(*stem, *conv_norm(dim // 2, dim, second))
        self.layers = nn.ModuleList()
        for stage, count in enumerate(config["blocks"]):
            rank = config.get("dtRanks") or [-(-dim // 16)] * stages
            layer = nn.Module()
            layer.blocks = nn.Sequential()
            for index in range(count):
                name = f"layers.{stage}.blocks.{index}"
                inner, hidden = widths[f"{name}.ssm"], widths[f"{name}.mlp"]
                block = VMambaBlock(dim, inner, hidden, config["dState"], rank[stage])
                layer.blocks.add_module(str(index), block)
            is_last = stage == stages - 1
            layer.downsample = nn.Identity() if is_last else nn.Sequential(*conv_norm(dim, 2 * dim, 2))
            self.layers.append(layer)
            dim = dim if is_last else 2 * dim
        self.classifier = nn.ModuleDict(
            {"norm": nn.LayerNorm(dim), "head": nn.Linear(dim, config["numClasses"])}
        )

    def forward(self, x):  # [batch, channels, side, side], normalised
        x = self.patch_embed(x)
        for layer in self.layers:
            x = layer.downsample(layer.blocks(x))
        return self.classifier["head"](self.classifier["norm"](x).mean((1, 2)))


class RMSNorm(nn.Module):
    def __init__(self, dim, eps=1e-5):
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(dim)), eps

    def forward(self, x):
        return x * torch.rsqrt((x * x).mean(-1, keepdim=True) + self.eps) * self.weight


class VimLayer(nn.Module):
    def __init__(self, config, index):
        super().__init__()
        d_model, widths = config["dModel"], config["widths"]
        self.norm = RMSNorm(d_model)
        self.mixer = SelectiveSSM(
            d_model,
            widths[f"layers.{index}.ssm"],
            widths.get(f"layers.{index}.state", config["dState"]),
            config["dConv"],
            widths.get(f"layers.{index}.dt_rank", config["dtRank"]),
            "bi",
            halved=True,
        )

    def forward(self, x):
        return x + self.mixer(self.norm(x))


class Vim(nn.Module):
    def __init__(self, config):
        super().__init__()
        d_model, patch, stride = config["dModel"], config["patchSize"], config["stride"]
        patches = ((config["imageSize"] - patch) // stride + 1) ** 2
        self.middle = patches // 2
        self.cls_token = nn.Parameter(torch.zeros(1, 1, d_model))
        self.pos_embed = nn.Parameter(torch.zeros(1, patches + 1, d_model))
        self.patch_embed = PatchEmbed(config["channels"], d_model, patch, stride)
        self.layers = nn.ModuleList([VimLayer(config, i) for i in range(config["depth"])])
        self.norm_f, self.head = RMSNorm(d_model), nn.Linear(d_model, config["numClasses"])

    def forward(self, x):  # [batch, channels, side, side], normalised
        x, token = self.patch_embed(x), self.cls_token.expand(x.shape[0], -1, -1)
        x = torch.cat([x[:, : self.middle], token, x[:, self.middle :]], 1) + self.pos_embed
        for layer in self.layers:
            x = layer(x)
        return self.head(self.norm_f(x[:, self.middle]))


FAMILIES = {
    "mamba": VisionMamba,
    "vit": VisionTransformer,
    "resnet": ResNet,
    "vmamba": VMamba,
    "vim": Vim,
}
