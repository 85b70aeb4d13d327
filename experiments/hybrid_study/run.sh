#!/bin/sh
# Reruns the study: run.sh <folder with parallel-qa/, parallel-sentences/ and xquad-r/> [folder to write to [part]]
# The parts, in their order: validation, strategies, target. Each takes up what is finished.
set -eu
data=$1
out=${2:-outputs/hybrid_study}
part=${3:-all}
hr=${HYBRID_RETRIEVAL:-hybrid-retrieval}
xquad="benchmark=xquad_r benchmark.path=$data/xquad-r"
study="experiment=hybrid_study data.path=$data benchmark.path=$data/xquad-r"

wanted() { [ "$part" = all ] || [ "$part" = "$1" ]; }

# On two sets that are never trained on; XQuAD-R plays no part in any choice.
held_out() { # <model> <folder>
  for set in xlinghealth:0.2 omos-qa:0.4; do
    [ -f "$2/${set%:*}/metrics.json" ] || $hr evaluate model="$1" precision=fast benchmark=parallel \
      benchmark.path="$data/parallel-qa/${set%:*}" benchmark.validation_fraction="${set#*:}" hydra.run.dir="$2/${set%:*}"
  done
}

$hr prepare

if wanted validation; then
  held_out e5_small_q4 "$out/validation/untrained"
  for setting in 0.01:2e-5 0.02:2e-5 0.05:2e-5 0.01:5e-5 0.02:5e-5; do
    run=$out/validation/temperature-${setting%:*}-lr-${setting#*:}
    [ -d "$run/model" ] || $hr train $study trainer.max_steps=120 loss.temperature="${setting%:*}" \
      optim.lr="${setting#*:}" evaluate=false hydra.run.dir="$run"
    held_out "$run/model" "$run"
  done
fi

if wanted strategies; then
  [ -f "$out/strategies/untrained/metrics.json" ] ||
    $hr evaluate model=e5_small_q4 precision=fast $xquad hydra.run.dir="$out/strategies/untrained"
  $hr train -m $study sampler=x_x_mono,x_y,hybrid seed=1,2,3 hydra.sweep.dir="$out/strategies"
  $hr compare "$out/strategies"
fi
