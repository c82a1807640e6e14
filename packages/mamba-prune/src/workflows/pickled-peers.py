"""Whole models of the real timm, torchvision, transformers and Torch-Pruning, pickled by torch.save(model), with what they compute.

    python3 pickled-peers.py FOLDER

writes NAME.pt, NAME.expected (safetensors: input, logits), cases.json (by name: what must be read) and refused.json (by
name: a word of the reason).
"""

import functools
import json
import os
import sys
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
from safetensors.torch import save_file  # noqa: E402

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
case("timm_resnet", resnet, side=224, config={"arch": "resnet18", "imageSize": 224})
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


case("tv_resnet_cifar", changed(cifar_stem), config={"arch": "resnet18", "stem": "cifar", "imageSize": 32})
case("tv_resnet_old_pool", changed(put("avgpool", torch.nn.AvgPool2d(7, 1))), side=224, config={"stem": "imagenet"})
case("script_resnet", Small(), config={"blocks": [1, 1], "baseWidth": 16})
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
refuse("timm_head_softmax", changed(lambda model: setattr(model, "head", torch.nn.Sequential(model.head, torch.nn.Softmax(1))), vit), "a module of the class Softmax (head.1)")
refuse("timm_norm_pre", changed(put("norm_pre", unscaled(192)), vit), "LayerNorm (norm_pre)")
refuse("timm_fc_norm", changed(put("fc_norm", unscaled(192)), vit), "LayerNorm (fc_norm)")
refuse("timm_patch_norm", changed(lambda model: setattr(model.patch_embed, "norm", unscaled(192)), vit), "LayerNorm (patch_embed.norm)")
normalize = torchvision.transforms.Normalize([0.5] * 3, [0.25] * 3)
around = "Left out: 0 (Normalize), 1.1 (Softmax), 2 (Sigmoid), which a Sequential runs"
case(
    "sequential_around",
    vit(),
    wrap=lambda model: torch.nn.Sequential(normalize, torch.nn.Sequential(model, torch.nn.Softmax(1)), torch.nn.Sigmoid()),
    config={"headDim": 64},
    notes=around,
)
case(
    "sequential_around_nothing",
    vit(),
    wrap=lambda model: torch.nn.Sequential(torch.nn.Identity(), torch.nn.Sequential(model, torch.nn.Dropout(0.1))),
    config={"headDim": 64},
    without="a Sequential runs",
)

for name, content in [("cases", cases), ("refused", refused)]:
    with open(f"{folder}/{name}.json", "w") as file:
        json.dump(content, file)
