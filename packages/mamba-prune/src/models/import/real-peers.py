"""State dicts of the real timm, torchvision, transformers and Torch-Pruning, with what their models compute.

    python3 real-peers.py FOLDER

writes NAME.pt (as torch.save does), NAME.expected (safetensors: input, logits), cases.json (options of the import
by name) and refused.json (shapes of what must be refused, with a word of the reason). Small images and few blocks: the names
and the arithmetic are those of the full models.
"""

import json
import os
import sys
import warnings

os.environ.setdefault("HF_HUB_OFFLINE", "1")
warnings.filterwarnings("ignore")
sys.dont_write_bytecode = True

import torch  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

torch.manual_seed(0)
torch.set_num_threads(1)
folder = sys.argv[1]
cases = {}
refused = {}


def randomise(model):
    """Weights like a trained model's: initial zeros and ones hide mistakes."""
    for name, p in model.named_parameters():
        last = name.rsplit(".", 1)[-1]
        with torch.no_grad():
            # in_proj_weight too: with larger ones the largest score takes all of the attention, and roundings decide which it is.
            if p.dim() > 1 and last.endswith("weight"):
                p.normal_(0, p[0].numel() ** -0.5)
            elif last == "weight":
                p.normal_(1, 0.2)
            elif "gamma" in last or "lambda" in last:
                p.uniform_(0.3, 1)
            else:
                p.normal_(0, 0.3)
    for name, b in model.named_buffers():
        if name.endswith("running_mean"):
            b.normal_(0, 0.2)
        elif name.endswith("running_var"):
            b.uniform_(0.5, 2)
    return model.eval()


def logits_of(model, x):
    with torch.no_grad():
        y = model(x)
    return y if torch.is_tensor(y) else y.logits


def expect(name, model, x, **options):
    torch.save(model.state_dict(), f"{folder}/{name}.pt")
    save_file(
        {"input": x.contiguous(), "logits": logits_of(model, x).contiguous()},
        f"{folder}/{name}.expected",
    )
    cases[name] = options


def case(name, model, side, **options):
    expect(name, randomise(model), torch.randn(2, 3, side, side), **options)


def refuse(name, model, reason, **options):
    # Names and shapes are enough.
    shapes = {k: list(v.shape) for k, v in model.state_dict().items()}
    refused[name] = {"reason": reason, "options": options, "shapes": shapes}


def timm_cases():
    import timm
    from timm.models.resnet import Bottleneck, ResNet
    from timm.models.vision_transformer import VisionTransformer

    def vit(arch="vit_tiny_patch16_224", side=32, **kwargs):
        return timm.create_model(arch, img_size=side, **{"num_classes": 5, "depth": 2, **kwargs})

    tiny = {"arch": "vit_tiny", "depth": 2}
    case("timm_vit_tiny_full", vit(depth=12), 32)
    case("timm_vit_small_32", vit("vit_small_patch32_224", 64), 64, arch="vit_small", depth=2)
    case("timm_vit_base", vit("vit_base_patch16_224", depth=1), 32, arch="vit_base", depth=1)
    case("timm_registers", vit(side=48, reg_tokens=4), 48, **tiny, imageSize=48)
    # 16 positions are 11 patches and 5 tokens otherwise, which make no grid; 36 may be 5x7 patches and a token.
    unplaced = vit(side=64, reg_tokens=4, no_embed_class=True)
    case("timm_registers_no_position", unplaced, 64, **tiny)
    case("timm_no_embed_class", vit(side=96, no_embed_class=True), 96, **tiny, imageSize=96)
    dinov2 = vit("vit_small_patch14_reg4_dinov2", 224, depth=1)
    case("timm_dinov2_registers_at_224", dinov2, 224, arch="vit_small", depth=1)
    case("timm_mean_fc_norm", vit(global_pool="avg"), 32, **tiny)
    case("timm_mean_registers", vit(side=64, global_pool="avg", reg_tokens=4), 64, **tiny)
    case("timm_mean_after_norm", vit(global_pool="avg", fc_norm=False), 32, **tiny, pooling="mean")
    case(
        "timm_gap",
        vit(class_token=False, global_pool="avg", fc_norm=False, qkv_bias=False, init_values=0.1),
        32,
        **tiny,
    )
    case("timm_layer_scale", vit(init_values=1e-5), 32, **tiny)
    case("timm_no_biases", vit(qkv_bias=False, proj_bias=False), 32, **tiny)
    case("timm_token_fc_norm", vit(fc_norm=True), 32, **tiny, pooling="token")
    case(
        "timm_deit_distilled",
        timm.create_model("deit_tiny_distilled_patch16_224", num_classes=5, img_size=32, depth=2),
        32,
        **tiny,
    )
    case(
        "timm_deit3",
        timm.create_model("deit3_small_patch16_224", num_classes=5, img_size=32, depth=2),
        32,
        arch="vit_small",
        depth=2,
    )
    headless = VisionTransformer(32, 8, num_classes=5, embed_dim=192, depth=1, num_heads=3)
    headless.head.bias = None
    case("timm_head_without_bias", headless, 32, arch="vit_tiny", depth=1)
    other = VisionTransformer(32, 8, num_classes=5, embed_dim=192, depth=2, num_heads=6)
    case("timm_six_heads", other, 32, **tiny, heads=6)

    # Positions for another size, as timm resamples them.
    model = randomise(vit(side=64))
    torch.save(model.state_dict(), f"{folder}/timm_resampled.pt")
    model.set_input_size(96)
    x = torch.randn(2, 3, 96, 96)
    save_file({"input": x, "logits": logits_of(model, x)}, f"{folder}/timm_resampled.expected")
    cases["timm_resampled"] = {**tiny, "imageSize": 96, "resamplePositions": True}

    for arch in ["resnet18", "resnet34"]:
        case(f"timm_{arch}", timm.create_model(arch, num_classes=5), 64, imageSize=64)
    few = {"arch": "resnet50", "blocks": [1, 1, 1, 1], "imageSize": 64}
    case("timm_bottlenecks", ResNet(Bottleneck, [1, 1, 1, 1], num_classes=5), 64, **few)
    case("timm_wide", ResNet(Bottleneck, [1, 1, 1, 1], num_classes=5, base_width=128), 64, **few)

    class Wrapped(torch.nn.Module):
        """A backbone without a classifier, and one beside it, as people write them for their own data."""

        def __init__(self, backbone, width):
            super().__init__()
            self.backbone = backbone
            self.head = torch.nn.Sequential(torch.nn.Dropout(0.1), torch.nn.Linear(width, 5))

        def forward(self, x):
            return self.head(self.backbone(x))

    case("timm_vit_wrapped", Wrapped(vit(num_classes=0), 192), 32, **tiny)
    resnet = timm.create_model("resnet18", num_classes=0)
    case("timm_resnet_wrapped", Wrapped(resnet, 512), 64, imageSize=64)

    class Normed(torch.nn.Module):
        """BatchNorm as an attribute before the classifier, and a second classifier."""

        def __init__(self, backbone, width, norms, heads=1):
            super().__init__()
            self.backbone = backbone
            self.bn = torch.nn.BatchNorm1d(width) if norms else torch.nn.Identity()
            self.fc = torch.nn.Linear(width, 5)
            if heads > 1:
                self.fc_b = torch.nn.Linear(width, 7)

        def forward(self, x):
            features = self.bn(self.backbone(x))
            return self.fc_b(features) if hasattr(self, "fc_b") else self.fc(features)

    case("timm_vit_normed", Normed(vit(num_classes=0), 192, True), 32, **tiny)
    case("timm_resnet_normed", Normed(resnet, 512, True), 64, imageSize=64)
    two = Normed(resnet, 512, True, heads=2)
    case("timm_resnet_one_of_two", two, 64, imageSize=64, classifier="bn,fc_b")
    refuse("timm_resnet_two", two, "`classifier`")

    class OneOfDeit(torch.nn.Module):
        """DeiT whose classifier of the distillation token answers alone."""

        def __init__(self):
            super().__init__()
            self.deit = timm.create_model(
                "deit_tiny_distilled_patch16_224", num_classes=5, img_size=32, depth=2
            )

        def forward(self, x):
            return self.deit.head_dist(self.deit.forward_features(x)[:, 1])

    case("timm_deit_distillation_alone", OneOfDeit(), 32, **tiny, classifier="head_dist")

    refuse("timm_no_head", timm.create_model("vit_tiny_patch16_224", num_classes=0), "no layer that is its classifier")
    refuse("timm_resnet_no_head", timm.create_model("resnet18", num_classes=0), "no layer that is its classifier")
    refuse("timm_rectangle", vit(side=(32, 80)), "square", **tiny)
    refuse("timm_glu", vit(mlp_layer=timm.layers.GluMlp), "gates", **tiny)
    refuse("timm_rms_norm", vit(norm_layer=timm.layers.RmsNorm), "RMSNorm", **tiny)
    refuse("timm_qk_norm", vit(qk_norm=True), "qk_norm", **tiny)
    refuse("timm_map_pool", vit(global_pool="map"), "attention", **tiny)
    refuse("timm_pre_norm", vit(pre_norm=True), "norm before the blocks", **tiny)
    refuse("timm_beit", timm.create_model("beit_base_patch16_224", depth=1), "BEiT", arch="vit_base", depth=1)
    refuse("timm_eva02", timm.create_model("eva02_tiny_patch14_224", depth=1), "", arch="vit_tiny", depth=1)
    refuse(
        "timm_swiglu",
        timm.create_model("vit_giant_patch14_reg4_dinov2", depth=1, embed_dim=192, num_heads=3, img_size=28),
        "",
        arch="vit_tiny",
        depth=1,
    )
    for arch, reason in {
        "resnet18d": "deep stem",
        "resnet50d": "deep stem",
        "seresnet50": "SE",
        "ecaresnet50t": "",
        "resnext50_32x4d": "groups",
        "resnet50_gn": "GroupNorm",
        "skresnet18": "",
        "resnest14d": "",
        "res2net50_26w_4s": "Res2Net",
        "resnetv2_50": "",
        "swin_tiny_patch4_window7_224": "",
        "convnext_atto": "",
        "regnety_002": "",
        "cait_xxs24_224": "",
        "xcit_nano_12_p16_224": "",
        "vit_relpos_small_patch16_224": "",
        "vit_small_r26_s32_224": "",
    }.items():
        refuse(f"timm_{arch}", timm.create_model(arch, num_classes=5), reason)


def torchvision_cases():
    import torchvision.models as models
    from torchvision.models.vision_transformer import VisionTransformer

    def vit(**kwargs):
        return VisionTransformer(32, 16, 2, 12, 768, 3072, num_classes=5, **kwargs)

    base = {"arch": "vit_base", "depth": 2}
    # Its heads begin with zeros, which randomise replaces.
    case("torchvision_vit_b_16", vit(), 32, **base)
    old = randomise(vit())
    x = torch.randn(2, 3, 32, 32)
    expect("torchvision_vit_old_names", old, x, **base)
    state = {
        k.replace(".mlp.0.", ".mlp.linear_1.").replace(".mlp.3.", ".mlp.linear_2."): v
        for k, v in old.state_dict().items()
    }
    torch.save(state, f"{folder}/torchvision_vit_old_names.pt")
    replaced = vit()
    replaced.heads = torch.nn.Linear(768, 3)
    case("torchvision_vit_heads_replaced", replaced, 32, **base)
    refuse("torchvision_representation", vit(representation_size=64), "representation_size", **base)
    for arch in ["resnet18", "resnet34", "resnet50"]:
        case(f"torchvision_{arch}", getattr(models, arch)(num_classes=5), 64, imageSize=64)
    dropout = models.resnet18()
    dropout.fc = torch.nn.Sequential(torch.nn.Dropout(0.5), torch.nn.Linear(512, 5))
    case("torchvision_fc_in_sequential", dropout, 64, imageSize=64)
    biased = models.resnet18(num_classes=5)
    biased.conv1 = torch.nn.Conv2d(3, 64, 7, 2, 3)
    case("torchvision_resnet_bias", biased, 64, imageSize=64)
    refuse("torchvision_resnext", models.resnext50_32x4d(num_classes=5), "groups")
    two = models.resnet18()
    two.fc = torch.nn.Sequential(torch.nn.Linear(512, 64), torch.nn.ReLU(), torch.nn.Linear(64, 5))
    refuse("torchvision_two_layers", two, "several layers")


def transformers_cases():
    import transformers as hf

    sizes = {
        "num_hidden_layers": 2,
        "hidden_size": 192,
        "num_attention_heads": 3,
        "image_size": 32,
        "patch_size": 16,
        "num_labels": 5,
    }
    mlp = {"intermediate_size": 768}
    tiny = {"arch": "vit_tiny", "depth": 2}
    case("hf_vit", hf.ViTForImageClassification(hf.ViTConfig(**sizes, **mlp)), 32, **tiny)
    no_bias = hf.ViTForImageClassification(hf.ViTConfig(**sizes, **mlp, qkv_bias=False))
    case("hf_vit_no_qkv_bias", no_bias, 32, **tiny)
    eps = hf.ViTConfig(**sizes, **mlp, layer_norm_eps=1e-3)
    case("hf_vit_eps", hf.ViTForImageClassification(eps), 32, **tiny, eps=1e-3)
    deit = hf.DeiTConfig(**sizes, **mlp)
    case("hf_deit_teacher", hf.DeiTForImageClassificationWithTeacher(deit), 32, **tiny)
    case("hf_deit", hf.DeiTForImageClassification(deit), 32, **tiny)
    dinov2 = hf.Dinov2Config(**sizes)
    case("hf_dinov2", hf.Dinov2ForImageClassification(dinov2), 32, **tiny)
    registers = hf.Dinov2WithRegistersConfig(**sizes)
    case(
        "hf_dinov2_registers", hf.Dinov2WithRegistersForImageClassification(registers), 32, **tiny
    )
    swiglu = hf.Dinov2Config(**sizes, use_swiglu_ffn=True)
    refuse("hf_swiglu", hf.Dinov2ForImageClassification(swiglu), "SwiGLU", **tiny)
    refuse("hf_vit_model", hf.ViTModel(hf.ViTConfig(**sizes, **mlp)), "no layer that is its classifier", **tiny)
    beit = hf.BeitForImageClassification(hf.BeitConfig(**sizes, **mlp, use_relative_position_bias=True))
    refuse("hf_beit", beit, "BEiT", **tiny)
    plain = hf.BeitForImageClassification(hf.BeitConfig(**sizes, **mlp))
    refuse("hf_beit_plain", plain, "", **tiny)
    for kind, widths in [("basic", [64, 128]), ("bottleneck", [256, 512])]:
        config = hf.ResNetConfig(layer_type=kind, hidden_sizes=widths, depths=[2, 1], num_labels=5)
        arch = "resnet18" if kind == "basic" else "resnet50"
        case(f"hf_resnet_{kind}", hf.ResNetForImageClassification(config), 64, arch=arch, blocks=[2, 1], imageSize=64)


def pruned_cases():
    import timm
    import torch_pruning as tp
    import torchvision.models as models

    def prune_vit(arch, depth, ratio, **kwargs):
        model = timm.create_model(arch, num_classes=5, img_size=32, depth=depth)
        heads = {block.attn.qkv: block.attn.num_heads for block in model.blocks}
        pruner = tp.pruner.MagnitudePruner(
            model,
            torch.randn(1, 3, 32, 32),
            tp.importance.MagnitudeImportance(),
            pruning_ratio=ratio,
            num_heads=heads,
            ignored_layers=[model.head],
            **kwargs,
        )
        pruner.step()
        for block in model.blocks:
            attention = block.attn
            attention.num_heads = pruner.num_heads[attention.qkv]
            attention.head_dim = attention.qkv.out_features // (3 * attention.num_heads)
            attention.attn_dim = attention.head_dim * attention.num_heads
        return model, model.blocks[0].attn

    model, attention = prune_vit("vit_tiny_patch16_224", 2, 0.5)
    sizes = {"arch": "vit_tiny", "depth": 2, "dModel": model.cls_token.shape[2]}
    case("tp_vit_narrower", model, 32, **sizes, headDim=attention.head_dim)
    refuse("tp_vit_unsaid", model, "`headDim`", **sizes)
    model, attention = prune_vit(
        "vit_small_patch16_224", 2, 0.5, prune_num_heads=True, prune_head_dims=False, head_pruning_ratio=0.5
    )
    sizes = {"arch": "vit_small", "depth": 2, "dModel": model.cls_token.shape[2]}
    case("tp_vit_fewer", model, 32, **sizes, headDim=attention.head_dim)

    # Inside of blocks only: the residual stream stays.
    resnet = models.resnet18(num_classes=5)
    ratios = {}
    for name, module in resnet.named_modules():
        if name.endswith(".conv1"):
            ratios[module] = 0.5
    tp.pruner.MagnitudePruner(
        resnet,
        torch.randn(1, 3, 64, 64),
        tp.importance.MagnitudeImportance(),
        pruning_ratio=0.0,
        pruning_ratio_dict=ratios,
        ignored_layers=[resnet.fc],
    ).step()
    case("tp_resnet_inside", resnet, 64, imageSize=64)
    whole = models.resnet50(num_classes=5)
    tp.pruner.MagnitudePruner(
        whole,
        torch.randn(1, 3, 64, 64),
        tp.importance.MagnitudeImportance(),
        pruning_ratio=0.5,
        ignored_layers=[whole.fc],
    ).step()
    case("tp_resnet_whole", whole, 64, arch="resnet50", baseWidth=32, imageSize=64)


for make in [timm_cases, torchvision_cases, transformers_cases, pruned_cases]:
    make()
for name, content in [("cases", cases), ("refused", refused)]:
    with open(f"{folder}/{name}.json", "w") as file:
        json.dump(content, file)
