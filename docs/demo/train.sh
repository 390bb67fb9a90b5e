#!/usr/bin/env bash
# Makes the demo model from nothing on one GPU with 16 cores, in about 24 minutes: docs/demo/README.md tells how it went.
# Usage: docs/demo/train.sh RUNS   (a folder for everything; run again to go on)
set -euo pipefail -m
runs=$1
mkdir -p "$runs"
train() { storyreel train "$1" --out "$runs" "${@:2}" 2>&1 | tee -a "$runs/$1.log"; }
say() { echo "[$SECONDS s] $*" | tee -a "$runs/times.log"; }

say draw
(train demo-clips-9s --workers 16 && train demo-clips-3s --workers 16) >/dev/null 2>&1 &
drawing=$!
until [ "$(find "$runs" -path '*clips-9s/*.json' 2>/dev/null | wc -l)" -ge 100 ]; do sleep 1; done
say vae
train demo-vae --minutes "${VAE_MINUTES:-4}" --anneal --workers 4
kill -- -"$drawing" 2>/dev/null || true
say encode
train demo-latents-3s --workers 12
say base
train demo-latents-9s --workers 8 >/dev/null 2>&1 &
train demo-base --minutes "${BASE_MINUTES:-7}" --anneal
wait
say 3s
train demo-probe --minutes "${PROBE_MINUTES:-1}" --anneal --workers 8 >/dev/null 2>&1 &
train demo-3s --minutes "${THREE_MINUTES:-2}" --anneal
wait
say 9s
train demo-9s --minutes "${NINE_MINUTES:-5}" --anneal
say decoder
train demo-vae-decoder --minutes "${DECODER_MINUTES:-1}" --anneal --workers 6
say pack
train demo-pack
say done
