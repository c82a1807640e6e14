#!/bin/sh
# 70% of mamba_small away on CIFAR-10 with RSST, in 16 rounds: 60 epochs with a penalty on the units'
# norms that grows with the fourth power of time, the cut, 60 epochs of fine-tuning. The flags are
# those of the original training script; only the command in front of them is ours.
#
# Purpose: what run_mamba_small_refill.sh does, by the other method.
# Takes: (1 + 2 x 16) x 60 epochs of CIFAR-10, twice as long as Refill; --reg_epochs 30 --epochs 30
# makes it equal. Ctrl-C stops it; the same command with --resume goes on.
#
# Data: mamba-prune data get cifar10 --data datasets/cifar10
# Shorter, to try it: further flags come last and win, as in
#   sh run_mamba_small_rsst.sh --epochs 1 --pruning_times 2 --train_images 512 --test_images 512
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
  --reg_granularity_prune 1.0 \
  --RST_schedule exp_custom_exponents \
  --exponents 4 \
  --exp_name mamba_small_rsst_70p \
  "$@"
