"""What the peers of image models share: parity cases, timing, the command line."""
import argparse
import json

import torch
import torch.nn.functional as F

from torch_mamba import infer_step, median_ms, save_safetensors, train_step


def parity_case(model, x, y):
    """Weights, input, logits, loss and every gradient, in the mode that the model is in."""
    case = {f"weight.{k}": v.clone() for k, v in model.state_dict().items()}
    logits = model(x)
    loss = F.cross_entropy(logits, y)
    loss.backward()
    case.update({"input": x, "logits": logits, "loss": loss})
    case.update({f"grad.{k}": v.grad.clone() for k, v in model.named_parameters()})
    return case


def main(archs, build, golden):
    """`build(arch)` makes a model for 32 px, `golden(name)` a parity case by name."""
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=["time", "golden"])
    parser.add_argument("out", nargs="?")
    parser.add_argument("--arch", default=next(iter(archs)), choices=archs)
    parser.add_argument("--case", help="which parity case, where there are several")
    parser.add_argument("--what", default="train", choices=["train", "infer"])
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=5)
    args = parser.parse_args()
    torch.manual_seed(0)
    if args.command == "golden":
        # One thread: the order of the sums must not hang on the machine.
        torch.set_num_threads(1)
        save_safetensors(args.out, golden(args.case) if args.case else golden())
        return
    torch.set_num_threads(args.threads)
    model = build(args.arch)
    x, y = torch.randn(args.batch, 3, 32, 32), torch.randint(0, 10, (args.batch,))
    step = train_step(model, x, y) if args.what == "train" else infer_step(model.eval(), x)
    print(json.dumps({"peer": f"torch {torch.__version__}", "what": args.what, "ms": median_ms(step, args.runs)}))
