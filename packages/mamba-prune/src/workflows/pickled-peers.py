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
refuse("timm_swin", timm.create_model("swin_tiny_patch4_window7_224"), "relative positions")
first = hf.ResNetConfig(layer_type="bottleneck", hidden_sizes=[256, 512], depths=[2, 1], downsample_in_bottleneck=True)
refuse("hf_resnet_stride", hf.ResNetForImageClassification(first), "downsample_in_bottleneck")

for name, content in [("cases", cases), ("refused", refused)]:
    with open(f"{folder}/{name}.json", "w") as file:
        json.dump(content, file)
