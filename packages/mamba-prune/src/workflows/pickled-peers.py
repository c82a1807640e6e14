"""Whole models of the real timm, torchvision, transformers and Torch-Pruning, pickled by torch.save(model), with what they compute.

    python3 pickled-peers.py FOLDER

writes NAME.pt, NAME.expected (safetensors: input, logits), cases.json (by name: what must be read) and refused.json (by
name: a word of the reason).
"""

import collections
import functools
import json
import os
import pickle
import re
import sys
import types
import warnings

os.environ.setdefault("HF_HUB_OFFLINE", "1")
warnings.filterwarnings("ignore")
sys.dont_write_bytecode = True

import timm  # noqa: E402
import torch  # noqa: E402
import torch_pruning as tp  # noqa: E402
import torchvision  # noqa: E402
import torchvision.models as models  # noqa: E402
import transformers as hf  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402

torch.manual_seed(0)
torch.set_num_threads(1)
folder = sys.argv[1]
cases = {}
refused = {}


def randomise(model):
    """Weights like a trained model's: initial zeros and ones hide mistakes."""
    for name, p in model.named_parameters():
        with torch.no_grad():
            if p.dim() > 1 and name.endswith("weight"):
                p.normal_(0, p[0].numel() ** -0.5)
            elif name.endswith("weight"):
                p.normal_(1, 0.2)
            else:
                p.normal_(0, 0.3)
    return model.eval()


def case(name, model, wrap=lambda model: model, side=32, **read):
    # Small values make the eps of a norm seen.
    x = 0.01 * torch.randn(2, 3, side, side)
    randomise(model)
    with torch.no_grad():
        y = model(x)
    torch.save(wrap(model), f"{folder}/{name}.pt")
    logits = y if torch.is_tensor(y) else y.logits
    save_file({"input": x, "logits": logits.contiguous()}, f"{folder}/{name}.expected")
    cases[name] = read


def refuse(name, model, reason):
    torch.save(model, f"{folder}/{name}.pt")
    refused[name] = reason


def vit(**kwargs):
    return timm.create_model("vit_tiny_patch16_224", **{"num_classes": 5, "img_size": 32, "depth": 2, **kwargs})


def pruned(heads, **kwargs):
    model = vit(num_heads=heads)
    pruner = tp.pruner.MagnitudePruner(
        model,
        torch.randn(1, 3, 32, 32),
        tp.importance.MagnitudeImportance(),
        pruning_ratio=0.5,
        num_heads={block.attn.qkv: block.attn.num_heads for block in model.blocks},
        ignored_layers=[model.head],
        **kwargs,
    )
    pruner.step()
    for block in model.blocks:
        attention = block.attn
        attention.num_heads = pruner.num_heads[attention.qkv]
        attention.head_dim = attention.qkv.out_features // (3 * attention.num_heads)
        attention.attn_dim = attention.head_dim * attention.num_heads
    return model


# 192 wide, where vit_tiny has 3 heads of 64.
timm_read = {"arch": "vit_tiny", "headDim": 32}
prepared = {"mean": [0.5, 0.5, 0.5], "preprocessing": {"interpolation": "bicubic", "cropShare": 0.9}}
case("timm_six_heads", vit(num_heads=6, depth=12), config=timm_read, info=prepared)
eps = functools.partial(torch.nn.LayerNorm, eps=1e-3)
case("timm_eps", vit(norm_layer=eps), config={"headDim": 64, "eps": 1e-3}, info=prepared)
case(
    "timm_data_parallel",
    vit(num_heads=6),
    wrap=lambda model: {"epoch": 3, "args": {"num_heads": 3}, "model": torch.nn.DataParallel(model)},
    config=timm_read,
    info=prepared,
)
resnet = timm.create_model("resnet18.a1_in1k", num_classes=5)
case("timm_resnet", resnet, side=224, config={"arch": "resnet18", "imageSize": 224}, without="Taken as usual")
heads = models.VisionTransformer(32, 16, 2, 6, 192, 768, num_classes=5)
case("torchvision_six_heads", heads, config={"headDim": 32})
sizes = {
    "num_hidden_layers": 2,
    "hidden_size": 192,
    "num_attention_heads": 6,
    "intermediate_size": 768,
    "image_size": 32,
    "patch_size": 16,
}
names = ["cat", "dog", "owl"]
labels = {"id2label": dict(enumerate(names)), "label2id": {name: i for i, name in enumerate(names)}}
config = hf.ViTConfig(**sizes, **labels, layer_norm_eps=1e-3)
case(
    "hf_vit",
    hf.ViTForImageClassification(config),
    config={"headDim": 32, "eps": 1e-3},
    info={"classes": names},
)
case("tp_vit_narrower", pruned(6), config={"headDim": 16})
case(
    "tp_vit_fewer",
    pruned(6, prune_num_heads=True, prune_head_dims=False, head_pruning_ratio=0.5),
    config={"headDim": 32},
)

differing = vit()
differing.blocks[1].attn.num_heads, differing.blocks[1].attn.head_dim = 6, 32
refuse("timm_differing_heads", differing, "3 heads (blocks.0.attn.num_heads), 6 heads (blocks.1.attn.num_heads)")
mixed = vit()
mixed.norm.eps = 1e-3
refuse("timm_differing_eps", mixed, "adds 0.001 to the variance (norm.eps)")
refuse("timm_gelu_tanh", vit(act_layer=functools.partial(torch.nn.GELU, approximate="tanh")), "gelu approximated by tanh")
batch_norm = functools.partial(torch.nn.BatchNorm2d, eps=1e-3)
resnet = timm.create_model("resnet18", num_classes=5, norm_layer=batch_norm)
refuse("timm_resnet_eps", resnet, "adds 0.001 to the variance (bn1.eps)")
quick = hf.ViTConfig(**sizes, hidden_act="quick_gelu")
refuse("hf_quick_gelu", hf.ViTForImageClassification(quick), "quick_gelu")
class Small(torch.nn.Module):
    """A ResNet of a script, as those for CIFAR are written: its poolings are functions."""

    def __init__(self, stride=2):
        super().__init__()
        blocks = [models.resnet.BasicBlock(16, 16), models.resnet.BasicBlock(16, 32, stride, shortcut(16, 32, stride))]
        self.conv1 = torch.nn.Conv2d(3, 16, 3, padding="same", bias=False)
        self.bn1 = torch.nn.BatchNorm2d(16)
        self.layer1, self.layer2 = (torch.nn.Sequential(block) for block in blocks)
        self.fc = torch.nn.Linear(32, 5)

    def forward(self, x):
        x = self.layer2(self.layer1(self.bn1(self.conv1(x)).relu()))
        return self.fc(x.mean((2, 3)))


def shortcut(inputs, outputs, stride):
    return torch.nn.Sequential(torch.nn.Conv2d(inputs, outputs, 1, stride, bias=False), torch.nn.BatchNorm2d(outputs))


def changed(change, make=models.resnet18):
    model = make(num_classes=5)
    change(model)
    return model


def cifar_stem(model):
    model.conv1 = torch.nn.Conv2d(3, 64, 3, padding=1, bias=False)
    model.maxpool = torch.nn.Identity()


def each_conv(**attributes):
    def change(model):
        for name, value in attributes.items():
            setattr(model.layer3[0].conv1, name, value)

    return change


def put(name, module):
    return lambda model: setattr(model, name, module)


case("tv_resnet_cifar", changed(cifar_stem), config={"arch": "resnet18", "stem": "cifar", "imageSize": 32}, without="Taken as usual")
case("tv_resnet_old_pool", changed(put("avgpool", torch.nn.AvgPool2d(7, 1))), side=224, config={"stem": "imagenet"})
case("script_resnet", Small(), config={"blocks": [1, 1], "baseWidth": 16}, notes="Taken as usual, for no shape tells it")
sequential = torch.nn.Sequential(*models.resnet18(num_classes=5).children())
sequential.insert(9, torch.nn.Flatten())
case("tv_resnet_sequential", sequential, side=224, config={"arch": "resnet18"})
case(
    "hf_resnet",
    hf.ResNetForImageClassification(hf.ResNetConfig(layer_type="basic", embedding_size=16, hidden_sizes=[16, 32], depths=[1, 1], num_labels=5)),
    side=224,
    config={"blocks": [1, 1], "stem": "imagenet"},
)
refuse("script_resnet_stride", Small(stride=1), "stride 1x1 (layer2.0.conv1.stride)")
refuse("tv_resnet_no_pool", changed(put("maxpool", torch.nn.Identity())), "no max pooling behind its first convolution (maxpool)")
refuse("tv_resnet_cifar_pool", changed(lambda model: [cifar_stem(model), setattr(model, "maxpool", torch.nn.MaxPool2d(3, 2, 1))]), "a max pooling (maxpool)")
refuse("tv_resnet_pool_size", changed(put("maxpool", torch.nn.MaxPool2d(2, 2))), "kernel_size 2 (maxpool.kernel_size)")
refuse("tv_resnet_ceil", changed(put("maxpool", torch.nn.MaxPool2d(3, 2, 1, ceil_mode=True))), "rounds its size up")
refuse("tv_resnet_max", changed(put("avgpool", torch.nn.AdaptiveMaxPool2d(1))), "AdaptiveMaxPool2d (avgpool)")
refuse("tv_resnet_stem_stride", changed(lambda model: setattr(model.conv1, "stride", (1, 1))), "stride 1x1 (conv1.stride)")
refuse("tv_resnet_stride", changed(each_conv(stride=(1, 1))), "stride 1x1 (layer3.0.conv1.stride)")
refuse("tv_resnet_padding", changed(each_conv(padding_mode="reflect")), "pads with reflect")
dilated = models.resnet50(num_classes=5, replace_stride_with_dilation=[False, False, True])
refuse("tv_resnet_dilated", dilated, "stride 1x1 (layer4.0.conv2.stride)")
instances = functools.partial(torch.nn.InstanceNorm2d, affine=True, track_running_stats=True)
refuse("tv_resnet_instances", models.resnet18(num_classes=5, norm_layer=instances), "InstanceNorm2d")
relu_at_end = lambda model: setattr(model, "fc", torch.nn.Sequential(model.fc, torch.nn.ReLU()))
refuse("tv_resnet_relu_at_end", changed(relu_at_end), "ReLU (fc.1)")
refuse("tv_resnet_silu", changed(put("relu", torch.nn.SiLU())), "SiLU (relu)")
refuse("timm_resnet_silu", timm.create_model("resnet18", act_layer="silu"), "act_layer silu")
refuse("timm_resnet_output_stride", timm.create_model("resnet18", output_stride=16), "stride 1x1 (layer4.0.conv1.stride)")
refuse("timm_resnet_max", timm.create_model("resnet18", global_pool="max"), "AdaptiveMaxPool2d")
refuse("timm_resnet_blur", timm.create_model("resnet18", aa_layer=timm.layers.BlurPool2d), "layer2.0.conv1.stride")
refuse("timm_resnet_avg", timm.create_model("resnet18", aa_layer=torch.nn.AvgPool2d), "layer2.0.conv1.stride")
first = hf.ResNetConfig(layer_type="bottleneck", embedding_size=16, hidden_sizes=[64, 128], depths=[1, 1], downsample_in_first_stage=True)
refuse("hf_resnet_first_stage", hf.ResNetForImageClassification(first), "stride")
patches = vit()
patches.patch_embed.proj.padding = (1, 1)
refuse("timm_patches", patches, "padding 1x1 (patch_embed.proj.padding)")
refuse("timm_swin", timm.create_model("swin_tiny_patch4_window7_224"), "relative positions")
first = hf.ResNetConfig(layer_type="bottleneck", hidden_sizes=[256, 512], depths=[2, 1], downsample_in_bottleneck=True)
refuse("hf_resnet_stride", hf.ResNetForImageClassification(first), "downsample_in_bottleneck")

# Heads that were made narrower, with the scale that the wider ones had.
narrower = hf.ViTForImageClassification(config)
tp.pruner.MagnitudePruner(
    narrower,
    torch.randn(1, 3, 32, 32),
    tp.importance.MagnitudeImportance(),
    pruning_ratio=0.5,
    num_heads={layer: 6 for name, layer in narrower.named_modules() if name.endswith(("q_proj", "k_proj", "v_proj"))},
    ignored_layers=[narrower.classifier],
    output_transform=lambda out: out.logits.sum(),
).step()
for module in narrower.modules():
    if hasattr(module, "q_proj"):
        module.head_dim = module.q_proj.out_features // module.num_attention_heads
scale = f"attention.scaling {32**-0.5:.4f}"
case("hf_vit_scaling", narrower, config={"headDim": 16}, notes=scale)
unfused = vit(num_heads=6)
for block in unfused.blocks:
    block.attn.fused_attn, block.attn.scale = False, 0.3
case("timm_scale", unfused, config={"headDim": 32}, notes="(blocks.0.attn.scale 0.3")
fused = vit(num_heads=6)
for block in fused.blocks:
    block.attn.fused_attn, block.attn.scale = True, 0.3
case("timm_scale_unused", fused, config={"headDim": 32})

# What stands between the layers of a ViT, and around a model, without weights.
unscaled = functools.partial(torch.nn.LayerNorm, elementwise_affine=False)


def headed(*modules, make=vit, name="head"):
    return changed(put(name, torch.nn.Sequential(*modules, torch.nn.Linear(192, 5))), make)


torchvision_vit = functools.partial(models.VisionTransformer, 32, 16, 2, 6, 192, 768)
case("timm_head_dropout", headed(torch.nn.Dropout(0.1), torch.nn.Identity()), config={"headDim": 64})
refuse("timm_head_tanh", headed(torch.nn.Tanh()), "a module of the class Tanh (head.0)")
refuse("timm_head_relu", headed(torch.nn.ReLU()), "a module of the class ReLU (head.0)")
refuse("tv_vit_head_tanh", headed(torch.nn.Tanh(), make=torchvision_vit, name="heads"), "a module of the class Tanh (heads.0)")
refuse("timm_norm_pre", changed(put("norm_pre", unscaled(192)), vit), "LayerNorm (norm_pre)")
refuse("timm_fc_norm", changed(put("fc_norm", unscaled(192)), vit), "LayerNorm (fc_norm)")
refuse("timm_patch_norm", changed(lambda model: setattr(model.patch_embed, "norm", unscaled(192)), vit), "LayerNorm (patch_embed.norm)")
normalize = torchvision.transforms.Normalize([0.5] * 3, [0.25] * 3)
around = "Left out: 0 (Normalize), 1.1 (Softmax), 2 (Sigmoid), which the file has before or behind the model"
case(
    "sequential_around",
    vit(),
    wrap=lambda model: torch.nn.Sequential(normalize, torch.nn.Sequential(model, torch.nn.Softmax(1)), torch.nn.Sigmoid()),
    config={"headDim": 64},
    info={"mean": [0.5] * 3, "std": [0.25] * 3},
    notes=around,
)
case(
    "sequential_around_nothing",
    vit(),
    wrap=lambda model: torch.nn.Sequential(torch.nn.Identity(), torch.nn.Sequential(model, torch.nn.Dropout(0.1))),
    config={"headDim": 64},
    without="before or behind the model",
)

# Wrappers of scripts: a backbone, a classifier beside it, and what else their classes hold.
class Net(torch.nn.Module):
    """What forward computes is `run`; the rest are attributes."""

    def __init__(self, run=None, **parts):
        super().__init__()
        self.run = run
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x):
        return self.run(self, x)


def apart(self, x):
    return self.head(self.backbone(x))


def sequence(*parts):
    return torch.nn.Sequential(*parts)


def small(**kwargs):
    return timm.models.resnet.ResNet(timm.models.resnet.BasicBlock, [1, 1], channels=(16, 32), **{"num_classes": 5, **kwargs})


linear = functools.partial(torch.nn.Linear, 192, 5)
norm = torch.nn.BatchNorm1d
vit_read = {"arch": "vit_tiny", "headDim": 64}
features = functools.partial(vit, num_classes=0)
taken = 'The layer "head" was taken for the classifier'
case("net_vit", Net(apart, backbone=features(), head=linear()), config=vit_read, info=prepared, notes=taken)
for name in ["final", "fc1", "mlp_head", "predictor", "last_layer"]:

    def called(self, x, name=name):
        return getattr(self, name)(self.net(x))

    module = Net(called, net=features(), **{name: linear()})
    x = 0.01 * torch.randn(2, 3, 32, 32)
    randomise(module)
    y = module(x).detach()
    # Its function was made here and cannot be pickled.
    module.run = None
    torch.save(module, f"{folder}/net_{name}.pt")
    save_file({"input": x, "logits": y}, f"{folder}/net_{name}.expected")
    cases[f"net_{name}"] = {"config": vit_read}
multiplied = "was multiplied into the weights of the classifier"
before = sequence(norm(192), torch.nn.Dropout(0.1), linear(bias=False))
case("net_vit_norm", Net(apart, backbone=features(), head=before), config=vit_read, notes=multiplied)
case("net_vit_norms", changed(put("head", sequence(norm(192, affine=False), linear(), norm(5))), vit), config=vit_read, notes=multiplied)
named = torch.nn.Sequential(collections.OrderedDict(drop=torch.nn.Dropout(0.1), out=linear()))
case("net_vit_named", changed(put("head", named), vit), config=vit_read, notes="The layer head.out, the only one")
training = {"criterion": torch.nn.CrossEntropyLoss(torch.ones(5)), "crop": torchvision.transforms.v2.Resize(32)}
case("net_training", Net(apart, backbone=features(), head=linear(), **training), config=vit_read)
case("net_compiled", vit(), wrap=torch.compile, config=vit_read)
case("net_averaged", Net(apart, backbone=features(), head=linear()), wrap=torch.optim.swa_utils.AveragedModel, config=vit_read)
case("net_data_parallel", Net(apart, backbone=features(), head=linear()), wrap=torch.nn.DataParallel, config=vit_read)
refuse("net_tanh", Net(apart, backbone=features(), head=sequence(torch.nn.Tanh(), linear())), "Tanh (head.0), which runs, or may run, between")
refuse("net_relu", Net(apart, backbone=features(), head=linear(), act=torch.nn.ReLU()), "ReLU (act), which runs, or may run, between")
refuse("net_norm_eps", Net(apart, backbone=features(), head=sequence(norm(192, eps=1e-3), linear())), "adds 0.001 to the variance (head.0.eps)")
refuse("net_norm_relu", Net(apart, backbone=features(), head=sequence(norm(192), torch.nn.ReLU(), linear())), "ReLU (head.1)")
refuse("net_two", Net(apart, backbone=vit(), head=torch.nn.Linear(5, 3)), "'head.weight' of shape [3, 5] beside it, expected one classifier")
refuse("net_layers", Net(apart, backbone=features(), head=sequence(torch.nn.Linear(192, 9), torch.nn.ReLU(), torch.nn.Linear(9, 5))), "Beside the backbone lie head.0.weight [9, 192], head.2.weight [5, 9]")
layers = torch.nn.Sequential(collections.OrderedDict(one=torch.nn.Linear(192, 9), two=torch.nn.Linear(9, 5)))
refuse("net_named_layers", changed(put("head", layers), vit), "'head.one.weight' of shape [9, 192]")
pooler = hf.ViTModel(hf.ViTConfig(**sizes))
refuse("net_hf_pooler", Net(apart, backbone=pooler, head=linear()), "add_pooling_layer=False")
refuse("timm_post_norm", vit(block_fn=timm.models.vision_transformer.ResPostBlock, init_values=None), "a block of the class ResPostBlock (blocks.0)")


def look(module, inputs, output):
    """As whoever looks at features registers it."""


hooked = vit()
hooked.blocks[1].register_forward_hook(look)
case("hooked", hooked, config=vit_read, notes="hooks of the forward pass, __main__.look (blocks.1)")
logits_alone = "Left out: head.1 (LogSoftmax), which the file has before or behind"
plain = vit()
case(
    "timm_head_softmax",
    plain,
    wrap=lambda model: changed(put("head", sequence(model.head, torch.nn.LogSoftmax(1))), lambda num_classes: model),
    config=vit_read,
    notes=logits_alone,
)

# The mean over all pixels, as an average pooling of the size that is left.
case("tv_resnet_pool_224", changed(put("avgpool", torch.nn.AvgPool2d(7))), side=224, config={"stem": "imagenet"})
refuse("tv_resnet_pool_part", changed(put("avgpool", torch.nn.AvgPool2d(5))), "an average pooling of 5x5 pixels at its end (avgpool), as the file says, expected one of the 7x7")


# Images that are normalised in the model: the answers for images that were normalised before it.
class Normalised(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.4, 0.5, 0.6]).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor([0.2, 0.25, 0.3]).view(1, 3, 1, 1))
        self.model = model

    def forward(self, x):
        return self.model((x - self.mean) / self.std)


inner = {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.25, 0.3]}
case("normalised", vit(), wrap=Normalised, config=vit_read, info=inner, notes="by mean and std")
case("normalised_state", vit(), wrap=lambda model: Normalised(model).state_dict(), options={"heads": 3}, config=vit_read, info=inner)


channels = {"mean": torch.tensor([0.4, 0.5, 0.6]).view(1, 3, 1, 1), "std": torch.tensor([0.2, 0.25, 0.3]).view(1, 3, 1, 1)}
case("normalised_entries", vit(), wrap=lambda model: {"state_dict": model.state_dict(), **channels}, options={"heads": 3}, config=vit_read, info=inner)


# Vim and VMamba, with the attributes of their classes: weights, images and logits are those of their own code.
class VisionMamba(torch.nn.Module):
    pass


class Part(torch.nn.Module):
    pass


class Lenient(pickle.Unpickler):
    """Settings of a package that is not here stand for themselves."""

    def find_class(self, module, name):
        try:
            return super().find_class(module, name)
        except (ImportError, AttributeError):
            return type(name, (dict,), {})


def published(family):
    there = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "models", family, "fixtures")
    lenient = types.SimpleNamespace(Unpickler=Lenient, load=pickle.load, __name__="lenient")
    state = torch.load(f"{there}/checkpoint.pth", pickle_module=lenient, weights_only=False)["model"]
    io = load_file(f"{there}/io.safetensors")
    return state, io["images"], io["logits_f64"].float()


def skeleton(state, root, convolutions):
    """Modules that hold a state dict; what they compute is not asked."""
    for name, tensor in state.items():
        *steps, last = name.split(".")
        module, path = root, ""
        for step in steps:
            path = f"{path}.{step}".lstrip(".")
            if step not in module._modules:
                kind = next((settings for pattern, settings in convolutions if re.fullmatch(pattern, path)), None)
                module.add_module(step, Part() if kind is None else torch.nn.Conv2d(1, 1, 3, bias=False, **kind))
            module = module._modules[step]
        module.register_parameter(last, torch.nn.Parameter(tensor))
    return root


def own(name, model, images, logits, options={}, **read):
    torch.save(model, f"{folder}/{name}.pt")
    save_file({"input": images.float().contiguous(), "logits": logits.contiguous()}, f"{folder}/{name}.expected")
    cases[name] = {**read, "options": options}


def vim(state, **attributes):
    model = skeleton(state, VisionMamba(), [(r"patch_embed\.proj", {"stride": 8})])
    model.use_middle_cls_token, model.use_double_cls_token = True, False
    model.if_bidirectional, model.flip_img_sequences_ratio = False, -1.0
    model.patch_embed.img_size = (64, 64)
    for layer in model.layers.children():
        layer.mixer.bimamba_type, layer.mixer.if_divide_out = "v2", True
        layer.mixer.act = torch.nn.SiLU()
    for name, value in attributes.items():
        holder = model if hasattr(model, name) else model.layers._modules["1"].mixer
        setattr(holder, name, value)
    return model


state, images, logits = published("vim")
vim_read = {"stride": 8, "patchSize": 16, "imageSize": 64}
own("vim_module", vim(state), images, logits, config=vim_read)
backbone = vim({name: tensor for name, tensor in state.items() if not name.startswith("head.")})
head = torch.nn.Linear(*state["head.weight"].shape[::-1])
head.load_state_dict({"weight": state["head.weight"], "bias": state["head.bias"]})
own("vim_wrapped", Net(backbone=backbone, fc=sequence(torch.nn.Dropout(0.1), head)), images, logits, config=vim_read)
refuse("vim_token_elsewhere", vim(state, use_middle_cls_token=False), "its class token elsewhere than in the middle of the patches (use_middle_cls_token)")
refuse("vim_sum", vim(state, if_divide_out=False), "the sum of both directions (layers.1.mixer.if_divide_out)")
refuse("vim_v1", vim(state, bimamba_type="v1"), "scans of bimamba v1 (layers.1.mixer.bimamba_type)")
refuse("vim_flip", vim(state, flip_img_sequences_ratio=0.5), "reversed by chance (flip_img_sequences_ratio)")
refuse("vim_act", vim(state, act=torch.nn.GELU()), "GELU (layers.1.mixer.act)")


def vmamba(state, act=torch.nn.SiLU, stem=()):
    strided = {"stride": 2, "padding": 1}
    model = skeleton(
        state,
        Part(),
        [(r"patch_embed\.0", settings) for settings in stem]
        + [(r"patch_embed\.[05]|.*\.downsample\.1", strided), (r".*\.op\.conv2d", {"padding": 1})],
    )
    for name, module in list(model.named_modules()):
        if name.endswith(".op"):
            module.act = act()
        if name.endswith(".mlp"):
            module.act = torch.nn.GELU()
    return model


state, images, logits = published("vmamba")
sized = {"imageSize": images.shape[-1]}
own("vmamba_module", vmamba(state), images, logits, sized, config={**sized, "stemStride": 4})
refuse("vmamba_stem", vmamba(state, stem=[{"stride": 3, "padding": 1}]), "stride 3x3 (patch_embed.0.stride)")
backbone = vmamba({name: tensor for name, tensor in state.items() if not name.startswith("classifier.head.")})
weight = state["classifier.head.weight"].flatten(1)
head = torch.nn.Linear(*weight.shape[::-1])
head.load_state_dict({"weight": weight, "bias": state["classifier.head.bias"]})
own("vmamba_wrapped", Net(backbone=backbone, head=head), images, logits, sized, config=sized)
refuse("vmamba_act", vmamba(state, torch.nn.GELU), "GELU (layers.0.blocks.0.op.act)")

for name, content in [("cases", cases), ("refused", refused)]:
    with open(f"{folder}/{name}.json", "w") as file:
        json.dump(content, file)
