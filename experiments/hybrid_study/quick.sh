#!/bin/sh
# A reduced form of the study in less than half an hour on two cores: quick.sh <folder of the data> <folder to write to>
# 60 steps in place of 150, one seed, five of the eleven languages in the evaluation. What it finds goes to
# check_claims.py, whose bounds are in claims.json. A second call takes up what is finished.
set -eu
data=$1
out=$2
hr=${HYBRID_RETRIEVAL:-hybrid-retrieval}
here=$(dirname "$0")
languages="[ar,en,hi,ru,zh]"
$hr prepare
[ -f "$out/untrained/metrics.json" ] || $hr evaluate model=e5_small_q4 precision=fast \
  benchmark=xquad_r benchmark.path="$data/xquad-r" benchmark.languages="$languages" hydra.run.dir="$out/untrained"
$hr train -m experiment=hybrid_study data.path="$data" benchmark.path="$data/xquad-r" benchmark.languages="$languages" \
  trainer.max_steps=60 sampler=x_x_mono,x_y,hybrid seed=1 hydra.sweep.dir="$out"
"${PYTHON:-python3}" "$here/check_claims.py" "$out"
