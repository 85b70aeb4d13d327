#!/bin/sh
# Reruns the study on a SLURM cluster: run.sh [folder to write to [settings of the cluster: launcher.partition=cpu ...]]
set -eu
out=${1:-outputs/alpha_world_facts}
[ $# = 0 ] || shift
hr=${HYBRID_RETRIEVAL:-hybrid-retrieval}
$hr prepare
$hr evaluate model=e5_small_q4 benchmark=world_facts_sample hydra.run.dir="$out/untrained"
$hr train -m experiment=demo sweep=alpha sampler.alpha=0,0.25,0.5,0.75,1 seed=1,2 \
  save_checkpoints=true trainer.checkpoint_every_n_steps=16 launcher=slurm hydra.sweep.dir="$out" "$@"
$hr compare "$out"
