#!/bin/sh
# Reruns the study: run.sh <folder with parallel-qa/ and xquad-r/> [folder to write to]
set -eu
data=$1
out=${2:-outputs/first_real_run}
hr=${HYBRID_RETRIEVAL:-hybrid-retrieval}
qa=$data/parallel-qa
$hr prepare
$hr evaluate model=e5_small_q4 benchmark=xquad_r benchmark.path="$data/xquad-r" hydra.run.dir="$out/untrained"
$hr train -m experiment=first_real_run sampler=x_x_mono,x_y,hybrid \
  "data.path=[$qa/pseudo-ntrex,$qa/pseudo-tico19,$qa/xlinghealth,$qa/omos-qa,$qa/ms-customer-insights]" \
  benchmark.path="$data/xquad-r" hydra.sweep.dir="$out"
$hr compare "$out" paper=true
