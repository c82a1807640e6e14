#!/bin/sh
# 70% of mamba_small away on CIFAR-10 with Refill, in 16 rounds of 60 epochs. The flags are those of
# the original training script; only the command in front of them is ours.
#
# Purpose: the dense model, and one after each round, to see what accuracy is left at which size.
# Takes: (1 + 16) x 60 epochs of CIFAR-10: about 44 minutes of one H200, and weeks of a CPU by the time of a
# step. What came out is in docs/results/70-percent.md. Ctrl-C stops it; the same command with --resume goes on.
#
# Data: mamba-prune data get cifar10 --data datasets/cifar10
# Shorter, to try it: further flags come last and win, as in
#   sh run_mamba_small_refill.sh --epochs 1 --pruning_times 2 --train_images 512 --test_images 512
# MAMBA_PRUNE is the command to run, mamba-prune unless set.

${MAMBA_PRUNE:-mamba-prune} imp \
  --arch mamba_small \
  --dataset cifar10 \
  --data datasets/cifar10 \
  --mamba_structured \
  --mamba_prune_target both \
  --rate 0.7 \
  --mamba_mlp_prune_ratio 0.7 \
  --pruning_times 16 \
  --epochs 60 \
  --lr 0.01 \
  --batch_size 128 \
  --fillback_rate 0.0 \
  --exp_name mamba_small_refill_70p \
  "$@"
