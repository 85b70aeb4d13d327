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
set -- benchmark=xquad_r benchmark.path="$data/xquad-r" benchmark.languages="$languages"
[ -f "$out/untrained/metrics.json" ] || $hr evaluate model=e5_small_q4 precision=fast "$@" hydra.run.dir="$out/untrained"
set -- experiment=hybrid_study data.path="$data" "$@" trainer.max_steps=60 seed=1
$hr train -m "$@" sampler=x_x_mono,x_y,hybrid hydra.sweep.dir="$out"
[ -f "$out/teacher_alignment/metrics.json" ] || $hr train "$@" sampler=hybrid loss=multilingual_distillation \
  hydra.run.dir="$out/teacher_alignment"
"${PYTHON:-python3}" "$here/check_claims.py" "$out"
